import type { ByteWriter } from "../lib/byte-writer.ts";

/**
 * The port to one WebSocket. What is in `output` at the end of a turn goes out as one message: it is a whole list of frames after
 * every frame that was added (`FrameWriter`).
 */
export interface NativeLink {
  readonly output: ByteWriter;
  readonly peer: {
    /** IP address, or `unix` for a unix socket. */
    readonly address: string;
    /** Of a certificate that a certification authority of the listener has signed; undefined: there was none. */
    readonly certificateSubject: string | undefined;
  };
  /** False while more output waits than the write budget allows; `onRoom` is called when it is true again. */
  readonly hasRoom: boolean;
  /** There is something in `output`. */
  touch(): void;
  /** Stops or resumes reading from the network. */
  setPaused(isPaused: boolean): void;
  /** Sends what is in `output`, then closes. Idempotent. */
  close(): void;
}
