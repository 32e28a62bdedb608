import type { Timer } from "../../src/uplink/timer.ts";

interface Scheduled {
  readonly atMs: number;
  readonly number: number;
  readonly callback: () => void;
}

/** Time that passes only when the test says so; callbacks come in order of their time. */
export class VirtualTimer implements Timer {
  #nowMs = 0;
  #number = 0;
  readonly #scheduled = new Set<Scheduled>();

  nowMs(): number {
    return this.#nowMs;
  }

  schedule(delayMs: number, callback: () => void): () => void {
    const entry = { atMs: this.#nowMs + Math.max(0, delayMs), number: this.#number++, callback };
    this.#scheduled.add(entry);
    return () => this.#scheduled.delete(entry);
  }

  /** Lets `ms` pass. Fails when the callbacks go on for ever without time passing. */
  run(ms: number): void {
    const untilMs = this.#nowMs + ms;
    let sameTime = 0;
    for (;;) {
      const next = this.#next();
      if (next === undefined || next.atMs > untilMs) break;
      sameTime = next.atMs > this.#nowMs ? 0 : sameTime + 1;
      if (sameTime > 100_000) throw new Error(`busy loop at ${this.#nowMs} ms`);
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      this.#scheduled.delete(next);
      next.callback();
    }
    this.#nowMs = untilMs;
  }

  #next(): Scheduled | undefined {
    let first: Scheduled | undefined;
    for (const entry of this.#scheduled) {
      if (first === undefined || entry.atMs < first.atMs) first = entry;
      else if (entry.atMs === first.atMs && entry.number < first.number) first = entry;
    }
    return first;
  }
}
