import { isWithin } from "./tree-walk.ts";

/** Ranges of keys that have been dealt with, in order and apart from each other. */
export class KeyCover {
  readonly #ranges: { low: Uint8Array; high: Uint8Array }[] = [];

  has(key: Uint8Array): boolean {
    const range = this.#ranges[this.#indexAfter(key) - 1];
    return range !== undefined && isWithin(key, range);
  }

  add({ low, high }: { readonly low: Uint8Array; readonly high: Uint8Array }): void {
    let start = this.#indexAfter(low);
    const before = this.#ranges[start - 1];
    if (before !== undefined && Buffer.compare(before.high, low) >= 0) start--;
    let end = start;
    const joined = { low, high };
    for (let range = this.#ranges[end]; range !== undefined; range = this.#ranges[++end]) {
      if (Buffer.compare(range.low, high) > 0) break;
      if (Buffer.compare(range.low, joined.low) < 0) joined.low = range.low;
      if (Buffer.compare(range.high, joined.high) > 0) joined.high = range.high;
    }
    this.#ranges.splice(start, end - start, joined);
  }

  /** Index of the first range that starts after `key`. */
  #indexAfter(key: Uint8Array): number {
    let low = 0;
    let high = this.#ranges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const range = this.#ranges[middle];
      if (range !== undefined && Buffer.compare(range.low, key) <= 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
