/** How long to wait before the next attempt: doubles, and is shortened by up to a half by chance. */
export class Backoff {
  readonly #minMs: number;
  readonly #maxMs: number;
  readonly #random: () => number;
  #attempts = 0;

  /** @param random numbers in [0, 1) */
  constructor(minMs: number, maxMs: number, random: () => number = Math.random) {
    this.#minMs = minMs;
    this.#maxMs = maxMs;
    this.#random = random;
  }

  /** Attempts since it went well. */
  get attempts(): number {
    return this.#attempts;
  }

  /** In milliseconds. */
  next(): number {
    const fullMs = Math.min(this.#maxMs, this.#minMs * 2 ** Math.min(this.#attempts, 30));
    this.#attempts++;
    return fullMs * (1 - this.#random() / 2);
  }

  reset(): void {
    this.#attempts = 0;
  }
}
