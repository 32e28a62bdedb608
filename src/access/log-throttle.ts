/** Lets a few entries per second through and counts the rest: a flood of them tells no more than the first. */
export class LogThrottle {
  readonly #perSecond: number;
  readonly #now: () => number;
  #secondStartedAt = Number.NEGATIVE_INFINITY;
  #inSecond = 0;
  #suppressed = 0;

  /** `now` gives milliseconds that only grow. */
  constructor(perSecond: number, now: () => number) {
    this.#perSecond = perSecond;
    this.#now = now;
  }

  /** How many were held back since the last one that was let through; undefined: hold this one back, too. */
  admit(): number | undefined {
    const now = this.#now();
    if (now - this.#secondStartedAt >= 1_000) {
      this.#secondStartedAt = now;
      this.#inSecond = 0;
    }
    if (this.#inSecond >= this.#perSecond) {
      this.#suppressed++;
      return undefined;
    }
    this.#inSecond++;
    const suppressed = this.#suppressed;
    this.#suppressed = 0;
    return suppressed;
  }
}
