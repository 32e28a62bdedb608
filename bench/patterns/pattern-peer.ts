/** What is measured of the patterns, and who is measured. */

/** Bytes of every payload. */
export const PAYLOAD_BYTES = 256;
/** Messages sent and not finished at a time. */
export const OUTSTANDING = 100;

/** What one run brought. Figures that a server does not tell are `undefined`. */
export interface PatternFigures {
  /** Sent, received and acknowledged, each with its answer, per second. */
  readonly queuePerSecond: number;
  /** Share of the time in which a commit was on its way to the disk, while the queue was measured. */
  readonly queueFlushShare: number | undefined;
  /** Appended with an answer, per second. */
  readonly appendPerSecond: number;
  /** Records read from the beginning of the stream, per second. */
  readonly readPerSecond: number;
  /** Half of the requests had their reply in so many milliseconds, one at a time. */
  readonly requestP50Ms: number;
}

/** One server that runs, with clients of its own. */
export interface RunningPeer {
  /** Keeps `OUTSTANDING` messages under way for so long; returns how many were finished. */
  queue(seconds: number): Promise<number>;
  /** Seconds that commits took so far, all together. */
  flushSeconds(): Promise<number | undefined>;
  append(seconds: number): Promise<number>;
  /** Reads what was appended; returns how many records. */
  read(): Promise<number>;
  /** Round trips in milliseconds. */
  requests(seconds: number): Promise<number[]>;
  stop(): Promise<void>;
}

export interface PatternPeer {
  readonly name: string;
  readonly conditions: string;
  start(folder: string): Promise<RunningPeer>;
}
