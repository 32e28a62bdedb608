import type { SeededRandom } from "../../../src/lib/random.ts";
import type { Step } from "./kill-point.ts";

/** What the clients of one run have in common. */
export interface Station {
  readonly random: SeededRandom;
  /** A step was taken: the broker may die of it. */
  readonly note: (step: Step) => void;
  /** What must not be. */
  readonly fault: (what: string) => void;
}

/** One of `0` to `end - 1`. */
export const below = ({ random }: Station, end: number): number => Math.floor(random.next() * end);

export const chance = ({ random }: Station, share: number): boolean => random.next() < share;

/** Bytes of a message that names itself. */
export const payloadOf = (name: string): Uint8Array => Buffer.from(name.padEnd(64, "."));

export const nameOf = (payload: Uint8Array | undefined): string =>
  Buffer.from(payload ?? new Uint8Array(0))
    .toString()
    .replace(/\.+$/, "");
