import type { Clock, Instant } from "../../src/lib/clock.ts";

/** A clock that is right: what `nowMs` says is the time of the log and of the wall. */
export const plainClock = (nowMs: () => number): Clock => ({
  now: () => nowMs() as Instant,
  since: (stamp) => nowMs() - stamp,
  wallOf: (stamp) => stamp,
});
