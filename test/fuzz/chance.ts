import { SeededRandom } from "../../src/lib/random.ts";

/** Decisions from a seed. */
export class Chance {
  readonly #random: SeededRandom;

  /** @param seed 0..2^32-1 */
  constructor(seed: number) {
    this.#random = new SeededRandom(seed);
  }

  /** A whole number from 0, below `limit`. */
  below(limit: number): number {
    return Math.floor(this.#random.next() * limit);
  }

  /** A whole number from `low` to `high`. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  /** True one time in `n`. */
  oneIn(n: number): boolean {
    return this.below(n) === 0;
  }

  pick<T>(values: readonly T[]): T {
    const value = values[this.below(values.length)];
    if (value === undefined) throw new RangeError("nothing to pick from");
    return value;
  }

  bytes(count: number): Buffer {
    return Buffer.from(Array.from({ length: count }, () => this.below(256)));
  }

  /** A seed for something else that wants chance of its own. */
  seed(): number {
    return this.below(2 ** 32);
  }
}
