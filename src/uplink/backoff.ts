import type { Random } from "../lib/random.ts";

/** Bounds of a backoff, in milliseconds. */
export interface BackoffLimits {
  readonly backoffMinMs: number;
  readonly backoffMaxMs: number;
}

/**
 * How long to wait before the next try: decorrelated jitter. Each delay is drawn between the minimum and three
 * times the one before, so that many edges that lost the same remote spread out, and stay spread out.
 */
export class Backoff {
  readonly #limits: BackoffLimits;
  readonly #random: Random;
  #lastMs: number;

  constructor(limits: BackoffLimits, random: Random) {
    this.#limits = limits;
    this.#random = random;
    this.#lastMs = limits.backoffMinMs;
  }

  /** The next delay in milliseconds, within the limits. */
  nextMs(): number {
    const { backoffMinMs, backoffMaxMs } = this.#limits;
    const spread = Math.max(0, this.#lastMs * 3 - backoffMinMs);
    this.#lastMs = Math.min(backoffMaxMs, backoffMinMs + this.#random.next() * spread);
    return this.#lastMs;
  }

  /** The remote was there and stable: start from the minimum again. */
  reset(): void {
    this.#lastMs = this.#limits.backoffMinMs;
  }
}
