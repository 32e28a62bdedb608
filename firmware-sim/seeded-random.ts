/** Chance that can be repeated: the same seed gives the same run of numbers on every machine. */
export class SeededRandom {
  #state: number;

  /** `seed` may be any integer; only its low 32 bits count. */
  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** A number in [0, 1) (the mulberry32 generator: good enough for simulated sensors, not for secrets). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  }

  /** An integer in [low, high]. */
  integer(low: number, high: number): number {
    return low + Math.floor(this.next() * (high - low + 1));
  }

  /** An independent generator for one device, so that devices do not take numbers from each other. */
  fork(): SeededRandom {
    return new SeededRandom(this.integer(0, 0xffff_ffff));
  }
}
