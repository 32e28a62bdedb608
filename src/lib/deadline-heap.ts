import type { Instant } from "./clock.ts";

/** One thing that becomes due. Made by `DeadlineHeap.add`; cancelled in place. */
export interface Deadline<T> {
  readonly at: Instant;
  readonly item: T;
  isCancelled: boolean;
}

/**
 * Deadlines by time: a binary heap. Cancelled ones stay until they come to the top, so cancelling is free; they are
 * swept when they are more than half of the heap.
 */
export class DeadlineHeap<T> {
  #heap: Deadline<T>[] = [];
  #cancelled = 0;

  /** Number of live deadlines. */
  get size(): number {
    return this.#heap.length - this.#cancelled;
  }

  add(at: Instant, item: T): Deadline<T> {
    const deadline: Deadline<T> = { at, item, isCancelled: false };
    this.#heap.push(deadline);
    this.#up(this.#heap.length - 1);
    return deadline;
  }

  cancel(deadline: Deadline<T> | undefined): void {
    if (deadline === undefined || deadline.isCancelled) return;
    deadline.isCancelled = true;
    this.#cancelled++;
    if (this.#cancelled > 64 && this.#cancelled * 2 > this.#heap.length) this.#sweep();
  }

  /** When the next live deadline is due. */
  next(): Instant | undefined {
    this.#dropCancelledTop();
    return this.#heap[0]?.at;
  }

  /** Removes and returns the item of the earliest deadline that is due at `now`; undefined when none is. */
  takeDue(now: Instant): T | undefined {
    this.#dropCancelledTop();
    const top = this.#heap[0];
    if (top === undefined || top.at > now) return undefined;
    this.#removeTop();
    top.isCancelled = true;
    return top.item;
  }

  #dropCancelledTop(): void {
    while (this.#heap[0]?.isCancelled === true) {
      this.#removeTop();
      this.#cancelled--;
    }
  }

  #sweep(): void {
    this.#heap = this.#heap.filter((d) => !d.isCancelled).sort((a, b) => a.at - b.at);
    this.#cancelled = 0;
  }

  #removeTop(): void {
    const last = this.#heap.pop();
    if (last === undefined || this.#heap.length === 0) return;
    this.#heap[0] = last;
    this.#down(0);
  }

  #up(start: number): void {
    const heap = this.#heap;
    let i = start;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      const a = heap[i];
      const b = heap[parent];
      if (a === undefined || b === undefined || b.at <= a.at) return;
      heap[i] = b;
      heap[parent] = a;
      i = parent;
    }
  }

  #down(start: number): void {
    const heap = this.#heap;
    let i = start;
    for (;;) {
      let least = i;
      for (let child = 2 * i + 1; child <= 2 * i + 2; child++) {
        const candidate = heap[child];
        const current = heap[least];
        if (candidate !== undefined && current !== undefined && candidate.at < current.at) {
          least = child;
        }
      }
      const a = heap[i];
      const b = heap[least];
      if (least === i || a === undefined || b === undefined) return;
      heap[i] = b;
      heap[least] = a;
      i = least;
    }
  }
}
