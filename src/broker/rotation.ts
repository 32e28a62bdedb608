/** Candidates that are compared for one message: bounds what a message costs, however many there are. */
const COMPARED_MAX = 16;

/**
 * Takes turns: the least loaded of those that are ready, and among equals the one whose turn it is. When many are ready
 * the first sixteen from there on are compared.
 */
export class Rotation<T> {
  readonly #items: T[] = [];
  /** Where the next turn starts. */
  #next = 0;

  get size(): number {
    return this.#items.length;
  }

  /** Adds an item that is not there yet. */
  add(item: T): void {
    if (!this.#items.includes(item)) this.#items.push(item);
  }

  remove(item: T): void {
    const index = this.#items.indexOf(item);
    if (index < 0) return;
    this.#items.splice(index, 1);
    if (index < this.#next) this.#next--;
  }

  /** The one to be served now; undefined when none is ready. `loadOf`: below 0 for one that is not ready. Hot path. */
  choose(loadOf: (item: T) => number): T | undefined {
    const items = this.#items;
    const count = items.length;
    let chosen: T | undefined;
    let chosenAt = 0;
    let least = Number.POSITIVE_INFINITY;
    let compared = 0;
    for (let i = 0; i < count && compared < COMPARED_MAX; i++) {
      const at = (this.#next + i) % count;
      const item = items[at];
      if (item === undefined) continue;
      const load = loadOf(item);
      if (load < 0) continue;
      compared++;
      if (load >= least) continue;
      least = load;
      chosen = item;
      chosenAt = at;
    }
    if (chosen !== undefined) this.#next = (chosenAt + 1) % count;
    return chosen;
  }
}
