/** Requests of one connection that wait for somebody else: long polls, and requests without reply yet. Bounded; they hold nothing else back. */
import type { Counters } from "../broker/counters.ts";
import { Refusal } from "./refusal.ts";

/** One of them. */
export interface Wait {
  /** The rules have changed: it ends where they do not allow it any more. */
  recheck(): void;
  /** The connection is gone: nobody waits any more. */
  close(): void;
}

export class Waits {
  readonly #max: number;
  readonly #waits = new Set<Wait>();

  readonly #counters: Counters;

  constructor(max: number, counters: Counters) {
    this.#max = max;
    this.#counters = counters;
  }

  get size(): number {
    return this.#waits.size;
  }

  /** @throws Refusal when there are too many */
  checkRoom(): void {
    if (this.#waits.size >= this.#max) {
      this.#counters.limitWaits++;
      throw new Refusal("limit-exceeded", `more than ${this.#max} requests that wait`);
    }
  }

  add(wait: Wait): void {
    this.#waits.add(wait);
  }

  delete(wait: Wait): void {
    this.#waits.delete(wait);
  }

  onRulesChanged(): void {
    for (const wait of [...this.#waits]) wait.recheck();
  }

  close(): void {
    const waits = [...this.#waits];
    this.#waits.clear();
    for (const wait of waits) wait.close();
  }
}
