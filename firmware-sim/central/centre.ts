import type { SinkRecord } from "../sink-check.ts";

/** What an independent client found at the centre after the edge had stopped. */
export interface CentreContents {
  /** In order of arrival. */
  readonly records: readonly SinkRecord[];
  /** How many records the centre itself says that it accepted from the edge. */
  readonly accepted: number;
}

/** A central broker or cluster as the demo uses it. Owns servers and their folders until `close`. */
export interface Centre {
  /** For the report. */
  readonly title: string;
  /** Whether a record id comes back with each record, so that duplicates can be told from repeats. */
  readonly hasRecordIds: boolean;
  /** Starts it; afterwards it takes connections and keeps what arrives. Says where the proxy is to lead. */
  start(): Promise<{ readonly host: string; readonly port: number }>;
  /** The uplink's driver section of the edge's configuration, with the proxy's port instead of the centre's. */
  uplinkSettings(proxyPort: number): Readonly<Record<string, unknown>>;
  /** Records that arrived so far, for the live line; may lag behind. */
  arrived(): number;
  /** Does its harm during the outage. Says what it did; undefined: this centre has nothing to break. */
  disturb(): Promise<string | undefined>;
  /** Undoes the harm. Says what it did. */
  recover(): Promise<string | undefined>;
  /** Reads everything with a client of its own. Call it once, after the edge has stopped. */
  read(): Promise<CentreContents>;
  close(): Promise<void>;
}
