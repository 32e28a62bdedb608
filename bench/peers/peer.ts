import type { BrokerProcess } from "./broker-process.ts";

/** Whether a broker can be measured here, and under which conditions. */
export type Presence =
  | { readonly isPresent: true; readonly version: string; readonly conditions: string }
  | { readonly isPresent: false; readonly reason: string };

/** What a scenario wants of a broker beside MQTT over TCP. */
export interface BrokerSetup {
  readonly transport: "tcp" | "tls" | "websocket";
  /** A stream keeps every message, where the broker has streams. */
  readonly capturesAll: boolean;
}

/** MQTT over TCP, nothing special. */
export const PLAIN_SETUP: BrokerSetup = { transport: "tcp", capturesAll: false };

/** A broker that the bench can start, afresh for each run. */
export interface Peer {
  /** Name on the command line and in the report. */
  readonly name: string;
  /** Finds out whether it is installed. Never rejects for an absent one. */
  probe(): Promise<Presence>;
  /** Why it cannot take part in a scenario with this setup and quality of service; `undefined`: it can. */
  cannot?(setup: BrokerSetup, qos: 0 | 1 | 2): string | undefined;
  /**
   * Starts it on a free port of loopback; its files, if any, go to `folder`. Resolves once it accepts.
   * @param setup by default `PLAIN_SETUP`
   */
  start(folder: string, setup?: BrokerSetup): Promise<BrokerProcess>;
}
