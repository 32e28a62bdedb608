/** What became of the inputs. */

/** Counts by name. */
export class Tally {
  readonly #counts = new Map<string, number>();

  add(name: string, count = 1): void {
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + count);
  }

  get(name: string): number {
    return this.#counts.get(name) ?? 0;
  }

  /** Names and counts, the most frequent first. */
  get entries(): readonly (readonly [string, number])[] {
    return [...this.#counts].sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0]));
  }

  toJSON(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.entries);
  }
}
