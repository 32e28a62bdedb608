import type { ByteWriter } from "../lib/byte-writer.ts";

/** Who is at the other end, as far as the network can tell. */
export interface Peer {
  /** IP address, or `unix` for a unix socket. */
  readonly address: string;
  /**
   * Common name of the client's certificate, or its first alternative name where it has none; undefined when there was
   * no certificate. Only ever set when a certification authority of the listener has signed it.
   */
  readonly certificateSubject: string | undefined;
}

/** The port to one network connection. What is written into `output` goes out at the end of the turn, in one write. */
export interface Link {
  readonly output: ByteWriter;
  readonly peer: Peer;
  /** False while more output waits than the write budget allows. */
  readonly hasRoom: boolean;
  /** So much output waits that the network is not read either: what the client sent lies there unheard. */
  readonly isFlooded: boolean;
  /** There is something in `output`. */
  touch(): void;
  /** Stops or resumes reading from the network. */
  setPaused(isPaused: boolean): void;
  /** Sends what is in `output`, then closes. Idempotent. */
  close(): void;
}
