import type { BrokerProcess } from "./broker-process.ts";

/** Whether a broker can be measured here, and under which conditions. */
export type Presence =
  | { readonly isPresent: true; readonly version: string; readonly conditions: string }
  | { readonly isPresent: false; readonly reason: string };

/** A broker that the bench can start, afresh for each run. */
export interface Peer {
  /** Name on the command line and in the report. */
  readonly name: string;
  /** Finds out whether it is installed. Never rejects for an absent one. */
  probe(): Promise<Presence>;
  /** Starts it on a free port of loopback; its files, if any, go to `folder`. Resolves once it accepts. */
  start(folder: string): Promise<BrokerProcess>;
}
