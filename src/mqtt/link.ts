import type { ByteWriter } from "../lib/byte-writer.ts";

/** The port to one network connection. What is written into `output` goes out at the end of the turn, in one write. */
export interface Link {
  readonly output: ByteWriter;
  /** False while more output waits than the write budget allows. */
  readonly hasRoom: boolean;
  /** There is something in `output`. */
  touch(): void;
  /** Stops or resumes reading from the network. */
  setPaused(isPaused: boolean): void;
  /** Sends what is in `output`, then closes. Idempotent. */
  close(): void;
}
