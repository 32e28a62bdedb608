import { RingBuffer } from "../lib/ring-buffer.ts";
import { copyMessage, type Message, propertyBytes } from "./message.ts";
import type { Owed, Pending } from "./owed.ts";

/** What a session that ends with its connection has not been sent yet: copies in memory, up to a bound. */
export class MemoryBacklog {
  readonly #waiting = new RingBuffer<Pending>();
  readonly #bytesMax: number;
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get size(): number {
    return this.#waiting.size;
  }

  /** How much of its bound is used, 0..1. */
  get fill(): number {
    return this.#bytes / this.#bytesMax;
  }

  /** False when it is full: nothing was taken. */
  offer(owed: Owed, message: Message): boolean {
    const bytes = costOf(message);
    if (this.#bytes + bytes > this.#bytesMax) return false;
    this.#bytes += bytes;
    this.#waiting.push({ owed, message: copyMessage(message) });
    return true;
  }

  peek(): Pending | undefined {
    return this.#waiting.peek();
  }

  take(): void {
    const pending = this.#waiting.shift();
    if (pending !== undefined) this.#bytes -= costOf(pending.message);
  }

  clear(): void {
    this.#waiting.clear();
    this.#bytes = 0;
  }
}

/** Payload and properties, plus what the objects around them take, roughly, in bytes. */
const costOf = ({ payloadStart, payloadEnd, properties }: Message): number =>
  payloadEnd - payloadStart + propertyBytes(properties) + 256;
