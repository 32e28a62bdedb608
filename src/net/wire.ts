import type { Socket } from "node:net";

/** What a link writes to: a stream of bytes, or binary frames of a WebSocket. */
export interface Wire {
  /** Bytes that were written and that the kernel does not have yet. */
  readonly queuedBytes: number;
  /** True from its end on: nothing can be written any more. */
  readonly isGone: boolean;
  /** Writes; `onWritten` is called once, when the bytes are not needed any more or never will be. */
  write(bytes: Uint8Array, onWritten: () => void): void;
  setPaused(isPaused: boolean): void;
  /** Ends it after what was written. */
  end(): void;
}

/** MQTT right on TCP, TLS or a unix socket. */
export class StreamWire implements Wire {
  readonly #stream: Socket;

  constructor(stream: Socket) {
    this.#stream = stream;
  }

  get queuedBytes(): number {
    return this.#stream.writableLength;
  }

  get isGone(): boolean {
    return this.#stream.destroyed;
  }

  write(bytes: Uint8Array, onWritten: () => void): void {
    this.#stream.write(bytes, onWritten);
  }

  setPaused(isPaused: boolean): void {
    if (isPaused) this.#stream.pause();
    else this.#stream.resume();
  }

  end(): void {
    // What still comes is thrown away, so that the peer's end is seen.
    this.#stream.resume();
    this.#stream.end();
  }
}

/**
 * Bytes of the write under way that the kernel has not taken. `writableLength` moves only when a whole write is done, which
 * over a slow network takes minutes; this is what Node's own socket timeouts look at.
 */
export function unsentBytes(socket: Socket): number {
  const { _handle: handle } = socket as { readonly _handle?: { readonly writeQueueSize?: number } };
  return handle?.writeQueueSize ?? socket.writableLength;
}
