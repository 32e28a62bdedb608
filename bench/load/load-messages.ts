import type { ProcessUsage } from "../process-accounting.ts";
import type { Load } from "../scenario.ts";

/** What the bench tells the publishers' process. */
export type PublisherCommand =
  | {
      readonly kind: "open";
      readonly port: number;
      readonly publishers: number;
      readonly load: Load;
      readonly payloadBytes: number;
    }
  | { readonly kind: "start" }
  | { readonly kind: "count" }
  | { readonly kind: "stop" };

/** What the publishers' process tells the bench. */
export type PublisherReport =
  | { readonly kind: "opened" }
  | ({ readonly kind: "counted"; readonly mark: PublisherMark } & PublisherTotals)
  | ({ readonly kind: "stopped" } & PublisherTotals)
  | { readonly kind: "failed"; readonly reason: string };

/** The publishers' process at one moment. */
export interface PublisherMark {
  /** Milliseconds on its monotonic clock. */
  readonly atMs: number;
  readonly publisher: ProcessUsage | undefined;
}

/** Counts so far, from the start of the run. */
export interface PublisherTotals {
  /** Packets of all writes begun. */
  readonly sent: number;
  /** PUBACKs received; 0 for QoS 0. */
  readonly acknowledged: number;
  /** Packets from the broker that were not the PUBACK due next [MQTT-4.6.0-2]. */
  readonly unexpected: number;
}

/** What the bench tells the subscriber's process. */
export type SubscriberCommand =
  | {
      readonly kind: "open";
      readonly port: number;
      readonly topicFilter: string;
      readonly qos: 0 | 1;
      readonly isDurable: boolean;
      /** Size of every PUBLISH that may arrive. */
      readonly publishBytes: number;
      readonly warmupMs: number;
      readonly windowMs: number;
      /** Whose accounts are read together with the counts. */
      readonly brokerPid: number;
      readonly publisherPid: number;
    }
  | { readonly kind: "drain"; readonly expected: number };

/** What the subscriber's process tells the bench. */
export type SubscriberReport =
  | { readonly kind: "opened" }
  | { readonly kind: "measured"; readonly begin: Mark; readonly end: Mark }
  | ({ readonly kind: "drained" } & SubscriberTotals)
  | { readonly kind: "failed"; readonly reason: string };

/** Counts and accounts at one moment. */
export interface Mark {
  /** Milliseconds on the subscriber's monotonic clock. */
  readonly atMs: number;
  /** PUBLISH packets received so far. */
  readonly received: number;
  readonly broker: ProcessUsage | undefined;
  readonly publisher: ProcessUsage | undefined;
  readonly subscriber: ProcessUsage | undefined;
}

/** Counts over a whole run, warm-up and drain included. */
export interface SubscriberTotals {
  /** PUBLISH packets received, repeated ones included. */
  readonly received: number;
  /** Those of them with the DUP flag. */
  readonly redelivered: number;
  /** Packets that were no PUBLISH of the one size, and bytes left over in the end. */
  readonly unexpected: number;
  /** False when messages still arrived as the time for draining was over: then nothing can be said about drops. */
  readonly isDrained: boolean;
}
