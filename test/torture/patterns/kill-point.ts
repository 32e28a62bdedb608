import type { SeededRandom } from "../../../src/lib/random.ts";

/** Where a broker is killed: a client has just seen or done this. */
export const STEPS = [
  "send",
  "send answered",
  "delayed send answered",
  "delivered",
  "held",
  "ack",
  "ack answered",
  "reject",
  "reject answered",
  "requeue",
  "requeue answered",
  "extend",
  "extend answered",
  "last reject",
  "dead letter delivered",
  "append",
  "append answered",
  "records delivered",
  "record ack",
  "record ack answered",
  "record reject answered",
] as const;
export type Step = (typeof STEPS)[number];

/** The one of so many occurrences that kills. */
const OCCURRENCES = 50;
/** Of those that take a while to come. */
const RARE_OCCURRENCES = 6;
const RARE: ReadonlySet<Step> = new Set<Step>([
  "delayed send answered",
  "extend answered",
  "last reject",
  "dead letter delivered",
  "record reject answered",
]);
/** Half of the kills come at once, the others within so many milliseconds: while the disk is written, and behind that. */
const DELAY_MS_MAX = 5;

/** One kill: which step, which occurrence of it, how long behind it. */
export class KillPoint {
  readonly step: Step;
  readonly #delayMs: number;
  readonly #strike: () => void;
  #left: number;

  constructor(step: Step, random: SeededRandom, strike: () => void) {
    this.step = step;
    const occurrences = RARE.has(step) ? RARE_OCCURRENCES : OCCURRENCES;
    this.#left = 1 + Math.floor(random.next() * occurrences);
    this.#delayMs = Math.max(0, random.next() - 0.5) * 2 * DELAY_MS_MAX;
    this.#strike = strike;
  }

  /** A step was taken. */
  note(step: Step): void {
    if (step !== this.step || --this.#left !== 0) return;
    if (this.#delayMs === 0) this.#strike();
    else setTimeout(this.#strike, this.#delayMs);
  }
}
