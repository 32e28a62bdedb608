/** Who is measured. */
import type { BrokerProcess } from "../peers/broker-process.ts";
import type { Target } from "./load-order.ts";
import type { SyncTotals } from "./sync-clock.ts";

/** One server that runs. */
export interface RunningPeer {
  readonly server: BrokerProcess;
  readonly target: Target;
  /** Time in syncs so far; undefined: it cannot be told of this server. */
  syncs(): SyncTotals | undefined;
  /** Seconds that commits took so far, all together, by the server's own count. */
  commitSeconds(): Promise<number | undefined>;
}

export interface PatternPeer {
  readonly name: string;
  readonly version: string;
  readonly conditions: string;
  start(folder: string): Promise<RunningPeer>;
}
