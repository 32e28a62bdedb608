import type { Backing } from "./backing.ts";

/** Free space is asked for at most this often, and after this many bytes. */
const POLL_MS = 500;
const POLL_BYTES = 4 * 1_048_576;

/** Knows whether the disk has less than the reserve; asks the file system now and then. */
export class DiskSpace {
  readonly #backing: Backing;
  readonly #reserveBytes: number;
  #isFull = false;
  #polledAt = Number.NEGATIVE_INFINITY;
  #bytesSincePoll = 0;

  constructor(backing: Backing, reserveBytes: number) {
    this.#backing = backing;
    this.#reserveBytes = reserveBytes;
  }

  /** So many bytes are on their way to disk. */
  countWritten(bytes: number): void {
    this.#bytesSincePoll += bytes;
  }

  /** True: less than the reserve is free. `liveBytes`: what the store holds, flushed or not. */
  isFull(liveBytes: number): boolean {
    const now = performance.now();
    if (now - this.#polledAt >= POLL_MS || this.#bytesSincePoll >= POLL_BYTES) {
      this.#polledAt = now;
      this.#bytesSincePoll = 0;
      this.#isFull = this.#backing.bytesFree(liveBytes) < this.#reserveBytes;
    }
    return this.#isFull;
  }
}
