import { INCOMPLETE, packetBytes } from "./packets.ts";

/** The largest packet that may be split between two chunks: nothing a bench sends comes near it. */
const HELD_BYTES_MAX = 1_048_576;

/**
 * Sees one whole packet: `bytes[at, at + size)`. Both are valid only during the call.
 */
export type PacketVisitor = (bytes: Uint8Array, at: number, size: number) => void;

/**
 * Finds the packets in a byte stream by their fixed headers alone and shows each to a visitor. What a chunk
 * leaves unfinished is copied and completed by the next ones, so chunks may be reused after `feed` returns.
 */
export class PacketWalker {
  readonly #visit: PacketVisitor;
  #held = new Uint8Array(0);
  #heldEnd = 0;

  /** `visit` is called in the order of arrival. */
  constructor(visit: PacketVisitor) {
    this.#visit = visit;
  }

  /** Bytes of an unfinished packet waiting for the rest. */
  get heldBytes(): number {
    return this.#heldEnd;
  }

  /** Walks `bytes[0, end)`. Throws an Error on a malformed fixed header or a packet beyond 1 MiB in pieces. */
  // Hot path: per chunk; copies only a packet that is cut in two.
  feed(bytes: Uint8Array, end = bytes.length): void {
    let at = this.#heldEnd > 0 ? this.#complete(bytes, end) : 0;
    while (at < end) {
      const size = packetBytes(bytes, at, end);
      if (size === INCOMPLETE || at + size > end) {
        this.#hold(bytes, at, end);
        return;
      }
      this.#visit(bytes, at, size);
      at += size;
    }
  }

  /** Completes the held packet and returns where the next one starts, or `end` when bytes are still missing. */
  #complete(bytes: Uint8Array, end: number): number {
    let at = 0;
    let size = packetBytes(this.#held, 0, this.#heldEnd);
    while (size === INCOMPLETE) {
      if (at === end) return end;
      this.#hold(bytes, at, at + 1);
      at++;
      size = packetBytes(this.#held, 0, this.#heldEnd);
    }
    const stop = Math.min(end, at + size - this.#heldEnd);
    this.#hold(bytes, at, stop);
    if (this.#heldEnd < size) return end;
    this.#heldEnd = 0;
    this.#visit(this.#held, 0, size);
    return stop;
  }

  #hold(bytes: Uint8Array, at: number, stop: number): void {
    const needed = this.#heldEnd + stop - at;
    if (needed > HELD_BYTES_MAX) throw new Error(`a packet of more than ${HELD_BYTES_MAX} bytes`);
    if (needed > this.#held.length) {
      const grown = new Uint8Array(Math.max(1_024, needed * 2));
      grown.set(this.#held.subarray(0, this.#heldEnd));
      this.#held = grown;
    }
    this.#held.set(bytes.subarray(at, stop), this.#heldEnd);
    this.#heldEnd = needed;
  }
}
