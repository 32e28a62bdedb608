import type { Backing } from "./backing.ts";

/** Free space is asked for at most this often, and after this many bytes. */
const POLL_MS = 500;
const POLL_BYTES_MAX = 4 * 1_048_576;
/** With less than this free each commit asks. */
const NEAR_BYTES = 32 * 1_048_576;
/** What was refused for want of space is taken again when so many times the reserve is free: no flapping at the edge. */
const LOW_WATERMARK_FACTOR = 1.25;
/** A commit may write so many times its own bytes, and so much more: pages of the trees. */
const COMMIT_FACTOR = 2;
const COMMIT_SLACK_BYTES = 262_144;

/** Knows whether the disk has less than the reserve; asks the file system now and then. */
export class DiskSpace {
  readonly #backing: Backing;
  readonly #reserveBytes: number;
  readonly #pollBytes: number;
  #bytesFree = 0;
  /** Less than the reserve was free, and not clearly more since. */
  #isLow = false;
  #polledAt = Number.NEGATIVE_INFINITY;
  /** A group has begun since the clock was looked at. */
  #isNewGroup = true;
  #bytesSincePoll = 0;

  constructor(backing: Backing, reserveBytes: number) {
    this.#backing = backing;
    this.#reserveBytes = reserveBytes;
    this.#pollBytes = Math.min(POLL_BYTES_MAX, reserveBytes / 4);
  }

  /** So many bytes are on their way to disk. */
  countWritten(bytes: number): void {
    this.#bytesSincePoll += bytes;
  }

  /** A group is sealed: the next one looks at the clock. */
  onSealed(): void {
    this.#isNewGroup = true;
  }

  /** True: less than the reserve is free. `liveBytes`: what the store holds, flushed or not. */
  isFull(liveBytes: number): boolean {
    // Hot path: per durable message; a look at the clock per group, or, where nothing is taken and so no group ends, per call.
    if (this.#isNewGroup || this.#isLow || this.#bytesSincePoll >= this.#pollBytes) {
      this.#isNewGroup = false;
      const now = performance.now();
      if (now - this.#polledAt >= POLL_MS || this.#bytesSincePoll >= this.#pollBytes) {
        this.#polledAt = now;
        this.#poll(liveBytes);
      }
    }
    const enough = this.#isLow ? this.#reserveBytes * LOW_WATERMARK_FACTOR : this.#reserveBytes;
    this.#isLow = this.#bytesFree < enough;
    return this.#isLow;
  }

  /**
   * True: a commit of so many bytes might not find its place. It must not be tried then: LMDB 0.9 as bound by lmdb 3.5.6
   * writes beyond a buffer of its own when a page cannot be written, which can end the process.
   */
  lacks(commitBytes: number, liveBytes: number): boolean {
    if (this.#bytesFree - this.#bytesSincePoll > NEAR_BYTES) return false;
    this.#poll(liveBytes);
    return this.#bytesFree < commitBytes * COMMIT_FACTOR + COMMIT_SLACK_BYTES;
  }

  #poll(liveBytes: number): void {
    this.#bytesSincePoll = 0;
    this.#bytesFree = this.#backing.bytesFree(liveBytes);
  }
}
