/** A run of whole numbers, both ends included. */
export interface Interval {
  readonly from: number;
  readonly to: number;
}

/**
 * A set of whole numbers kept as disjoint, non-adjacent runs in order. Costs memory per run, not per
 * number: made for sets that are dense but for a window (which records of a lane are done).
 */
export class IntervalSet {
  /** Run `i` is `[#from[i], #to[i]]`; runs ascend and never touch each other. */
  readonly #from: number[] = [];
  readonly #to: number[] = [];
  #size = 0;

  /** How many numbers are in the set. */
  get size(): number {
    return this.#size;
  }

  /** How many runs they form. */
  get runCount(): number {
    return this.#from.length;
  }

  has(value: number): boolean {
    const run = this.#runAtOrAfter(value);
    return run < this.#from.length && (this.#from[run] ?? 0) <= value;
  }

  /** Adds all of `[from, to]` (`from <= to`). Returns how many of them were not there before. */
  add(from: number, to: number = from): number {
    // The first run that touches [from, to] ends at from - 1 or later; the last one starts at to + 1 or before.
    const first = this.#runAtOrAfter(from - 1);
    let last = first;
    let mergedFrom = from;
    let mergedTo = to;
    let covered = 0;
    while (last < this.#from.length) {
      const runFrom = this.#from[last] ?? 0;
      const runTo = this.#to[last] ?? 0;
      if (runFrom > to + 1) break;
      covered += runTo - runFrom + 1;
      mergedFrom = Math.min(mergedFrom, runFrom);
      mergedTo = Math.max(mergedTo, runTo);
      last++;
    }
    if (last === first + 1) {
      this.#from[first] = mergedFrom;
      this.#to[first] = mergedTo;
    } else {
      this.#from.splice(first, last - first, mergedFrom);
      this.#to.splice(first, last - first, mergedTo);
    }
    const added = mergedTo - mergedFrom + 1 - covered;
    this.#size += added;
    return added;
  }

  /** Removes all numbers below `end`. */
  removeBelow(end: number): void {
    const run = this.#runAtOrAfter(end);
    for (let i = 0; i < run; i++) this.#size -= (this.#to[i] ?? 0) - (this.#from[i] ?? 0) + 1;
    this.#from.splice(0, run);
    this.#to.splice(0, run);
    const from = this.#from[0];
    if (from === undefined || from >= end) return;
    this.#size -= end - from;
    this.#from[0] = end;
  }

  /** The smallest number at or after the given one that is not in the set. */
  firstMissing(from: number): number {
    const run = this.#runAtOrAfter(from);
    if (run >= this.#from.length || (this.#from[run] ?? 0) > from) return from;
    return (this.#to[run] ?? 0) + 1;
  }

  /** What of `[from, to]` is not in the set, in order. */
  missing(from: number, to: number): Interval[] {
    const found: Interval[] = [];
    let at = from;
    for (let run = this.#runAtOrAfter(from); at <= to; run++) {
      const runFrom = this.#from[run] ?? Number.POSITIVE_INFINITY;
      if (runFrom > at) found.push({ from: at, to: Math.min(to, runFrom - 1) });
      at = (this.#to[run] ?? Number.POSITIVE_INFINITY) + 1;
    }
    return found;
  }

  /** The runs, in order. */
  runs(): Interval[] {
    return this.#from.map((from, run) => ({ from, to: this.#to[run] ?? from }));
  }

  /** The first run that ends at or after `value`; `runCount` when there is none. */
  #runAtOrAfter(value: number): number {
    let low = 0;
    let high = this.#to.length;
    // Mostly asked about the end, where the work is.
    if (high > 0 && (this.#to[high - 1] ?? 0) < value) return high;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#to[middle] ?? 0) < value) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
