/** What the metrics show, as those see it who ask for it: nothing here knows Prometheus. */
import type { Counters } from "../broker/counters.ts";
import type { AllPatternCounts } from "../broker/pattern-counts.ts";

/** One stream. */
export interface StreamView {
  readonly name: string;
  readonly messages: number;
  readonly bytes: number;
  /** Age of the oldest on disk; 0: there is none. */
  readonly oldestSeconds: number;
}

/** One queue. */
export interface QueueView {
  readonly name: string;
  /** Not settled, delayed ones among them. */
  readonly messages: number;
  readonly bytes: number;
  /** In somebody's hands, or rejected with a delay. */
  readonly inflight: number;
  readonly delayed: number;
  /** Given up, and waiting for room in their dead letter queue. */
  readonly held: number;
  /** Who takes messages: subscriptions, and long polls that wait. */
  readonly receivers: number;
  /** Age of the oldest on disk; 0: there is none. */
  readonly oldestSeconds: number;
}

/** One durable consumer of a stream. */
export interface ConsumerView {
  readonly stream: string;
  readonly name: string;
  /** Records that are not settled. */
  readonly lag: number;
  readonly unacked: number;
  /** Given up, and waiting for room in the dead letter stream. */
  readonly held: number;
  /** Connections that share it. */
  readonly members: number;
  /** Age of the oldest record that is not settled; 0: there is none. */
  readonly lagSeconds: number;
}

/** Requests of all clients together. */
export interface RequestView {
  /** Requests without reply yet. */
  readonly waiting: number;
  /** Bytes of replies that are kept. */
  readonly cacheBytes: number;
}

/** One lane of an uplink. */
export interface LaneView {
  readonly name: string;
  readonly stream: string;
  /** State of its state machine, such as `blocked`. */
  readonly state: string;
  /** Records never delivered since the start, all of them in the loss ledger. */
  readonly dropped: number;
  /** Records and bytes not yet acknowledged by the remote. */
  readonly lagMessages: number;
  readonly lagBytes: number;
  /** Age of the oldest of them in seconds; 0: there is none. */
  readonly oldestUnsentSeconds: number;
  /** Totals since the start. */
  readonly acknowledged: number;
  readonly resent: number;
  /** Found stored at the remote, though unacknowledged, when it was asked after a reconnect. */
  readonly reconciled: number;
}

/** One uplink. */
export interface UplinkView {
  readonly name: string;
  /** State of its state machine, such as `streaming`. */
  readonly state: string;
  /** Dead letters on disk. */
  readonly deadLetters: number;
  readonly lanes: readonly LaneView[];
}

/** What listeners refused or ended, and certificates read while running; totals by reason and result. */
export interface NetworkView {
  readonly dropped: readonly (readonly [reason: string, count: number])[];
  /** Bytes of MQTT, and connections that were accepted by a listener. */
  readonly bytesReceived: number;
  readonly bytesSent: number;
  readonly opened: number;
  /** Output that the kernel does not have yet. */
  readonly bytesWaiting: number;
  readonly certificates: readonly (readonly [result: string, count: number])[];
}

/** Where the metrics come from; asked once per scrape. */
export interface MetricsSource {
  network(): NetworkView;
  counters(): Readonly<Counters>;
  connections(): number;
  sessions(): { readonly online: number; readonly offline: number };
  /** Retained messages with their bytes, and subscriptions of all sessions. */
  kept(): {
    readonly retainedMessages: number;
    readonly retainedBytes: number;
    readonly subscriptions: number;
  };
  store(): {
    readonly liveBytes: number;
    /** Of them, those of sessions, wills, retained messages and progress. */
    readonly tableBytes: number;
    readonly pendingBytes: number;
  };
  streams(): readonly StreamView[];
  queues(): readonly QueueView[];
  consumers(): readonly ConsumerView[];
  requests(): RequestView;
  patterns(): AllPatternCounts;
  /** Requests of native clients, by what was asked and what was said. */
  nativeRequests(): Iterable<readonly [op: string, code: string, count: number]>;
  uplinks(): readonly UplinkView[];
}
