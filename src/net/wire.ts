import type { Socket } from "node:net";
import { DirectWrite, type WriteListener, writeDirectly } from "./direct-write.ts";

/** What a link writes to: a stream of bytes, or binary frames of a WebSocket. */
export interface Wire {
  /** Bytes that were written and that the kernel does not have yet. */
  readonly queuedBytes: number;
  /** True from its end on: nothing can be written any more. */
  readonly isGone: boolean;
  /**
   * Writes `bytes[0, end)`. True: they are not needed any more. Else the listener is called once, later, when they are not or never will be.
   */
  write(bytes: Uint8Array, end: number, listener: WriteListener): boolean;
  setPaused(isPaused: boolean): void;
  /** Ends it after what was written. */
  end(): void;
}

/** MQTT right on TCP, TLS or a unix socket. */
export class StreamWire implements Wire {
  readonly #stream: Socket;
  /** Nothing is between the stream and the network. */
  readonly #isPlain: boolean;

  /** `isPlain`: the stream is the network connection itself, no TLS on it. */
  constructor(stream: Socket, isPlain: boolean) {
    this.#stream = stream;
    this.#isPlain = isPlain;
  }

  get queuedBytes(): number {
    const stream = this.#stream;
    return this.#isPlain ? unsentBytes(stream) : stream.writableLength;
  }

  get isGone(): boolean {
    return this.#stream.destroyed;
  }

  /** Hot path: per socket and turn. */
  write(bytes: Uint8Array, end: number, listener: WriteListener): boolean {
    const stream = this.#stream;
    if (this.#isPlain && !stream.writableEnded && stream.writableLength === 0) {
      const outcome = writeDirectly(stream, bytes, end, listener);
      if (outcome !== DirectWrite.unavailable) return outcome === DirectWrite.taken;
    }
    stream.write(bytes.subarray(0, end), () => listener.onWritten(bytes, end));
    return false;
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
