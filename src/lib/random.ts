/** Where the core gets chance from. */
export interface Random {
  /** The next number of the sequence, in [0, 1). */
  next(): number;
}

/**
 * A small seeded generator (a 32-bit Weyl sequence through a mixing function). The same seed gives the same
 * sequence on every machine. Good for jitter, simulation and tests; not for secrets.
 */
export class SeededRandom implements Random {
  #state: number;

  /** @param seed any integer; only its low 32 bits count */
  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  next(): number {
    this.#state = (this.#state + 0x9e3779b9) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 4_294_967_296;
  }
}
