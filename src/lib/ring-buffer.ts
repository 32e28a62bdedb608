/** First length of the array, a power of two. */
const LENGTH_MIN = 8;

/** What all that are empty from the beginning share: never written to, because it is full. Of the kind that grown ones are. */
const NOTHING: undefined[] = new Array<undefined>(1).fill(undefined);
NOTHING.length = 0;

/** A first-in first-out queue in a growing circular array: no allocation per item, constant time, nothing until the first one comes. */
export class RingBuffer<T> {
  #items: (T | undefined)[] = NOTHING;
  #head = 0;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  push(item: T): void {
    if (this.#size === this.#items.length) this.#grow();
    this.#items[(this.#head + this.#size) & (this.#items.length - 1)] = item;
    this.#size++;
  }

  /** The oldest item; undefined when there is none. */
  peek(): T | undefined {
    return this.#size === 0 ? undefined : this.#items[this.#head];
  }

  /** Removes and returns the oldest item; undefined when there is none. */
  shift(): T | undefined {
    if (this.#size === 0) return undefined;
    const item = this.#items[this.#head];
    this.#items[this.#head] = undefined;
    this.#head = (this.#head + 1) & (this.#items.length - 1);
    this.#size--;
    return item;
  }

  clear(): void {
    this.#items = NOTHING;
    this.#head = 0;
    this.#size = 0;
  }

  #grow(): void {
    const old = this.#items;
    const grown = new Array<T | undefined>(Math.max(LENGTH_MIN, old.length * 2)).fill(undefined);
    for (let i = 0; i < this.#size; i++) grown[i] = old[(this.#head + i) & (old.length - 1)];
    this.#items = grown;
    this.#head = 0;
  }
}
