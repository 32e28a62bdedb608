/** What the bench tells the process of its load generator, and what that answers; over the channel of `child_process.fork`. */

/** What is measured. */
export type Pattern = "queue" | "queue-windows" | "append" | "consume" | "requests";

/** The first message: whom to load, over two connections. */
export interface Target {
  readonly protocol: "rill" | "nats";
  readonly port: number;
}

/** One load: so long to warm up, then so long to be counted. */
export interface LoadOrder {
  readonly pattern: Pattern;
  readonly warmUpSeconds: number;
  readonly seconds: number;
  readonly outstanding: number;
}

/** What the load process says: that it is connected; that a window begins; what it brought; that it could not. */
export type LoadReport =
  | { readonly kind: "ready" }
  | { readonly kind: "begun" }
  | {
      readonly kind: "done";
      /** Finished in the window. */
      readonly count: number;
      readonly seconds: number;
      /** Processor time of the load process in the window, in microseconds. */
      readonly cpuUs: number;
      /** Round trips in milliseconds, of `requests`. */
      readonly timesMs: readonly number[];
    }
  | { readonly kind: "failed"; readonly reason: string };

/** A pattern under load on one server. */
export interface Load {
  /** Keeps so many under way until `stop`; `finished` is called with how many more are done. */
  start(pattern: Pattern, outstanding: number, finished: (count: number) => void): Promise<void>;
  /** Starts nothing new; resolves when nothing is under way. */
  stop(): Promise<void>;
  /** Round trips since the last call, in milliseconds. */
  takeTimes(): number[];
  close(): void;
}

/** Bytes of every payload. */
export const PAYLOAD_BYTES = 256;

/** With windows: so many times what is outstanding may be in the queue, so that a sender that is faster does not fill the disk. */
export const BACKLOG_FACTOR = 10;
