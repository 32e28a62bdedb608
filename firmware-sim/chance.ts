import { type Random, SeededRandom } from "../src/lib/random.ts";

/** An integer in [low, high]. */
export const integer = (random: Random, low: number, high: number): number =>
  low + Math.floor(random.next() * (high - low + 1));

/** An independent generator for one device, so that devices do not take numbers from each other. */
export const fork = (random: Random): Random => new SeededRandom(integer(random, 0, 0xffff_ffff));
