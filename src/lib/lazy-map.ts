/** A map that is made when the first entry comes: what every connection and session has, and few of them use, costs next to nothing. */
export class LazyMap<K, V> {
  #map: Map<K, V> | undefined = undefined;

  get size(): number {
    return this.#map === undefined ? 0 : this.#map.size;
  }

  has(key: K): boolean {
    return this.#map?.has(key) === true;
  }

  get(key: K): V | undefined {
    return this.#map?.get(key);
  }

  set(key: K, value: V): void {
    this.#map ??= new Map();
    this.#map.set(key, value);
  }

  /** True when there was one. */
  delete(key: K): boolean {
    return this.#map?.delete(key) === true;
  }

  keys(): Iterable<K> {
    return this.#map === undefined ? NONE : this.#map.keys();
  }

  values(): Iterable<V> {
    return this.#map === undefined ? NONE : this.#map.values();
  }

  [Symbol.iterator](): Iterator<[K, V]> {
    return (this.#map ?? NONE)[Symbol.iterator]();
  }
}

const NONE: readonly never[] = [];
