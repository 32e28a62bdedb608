import { performance } from "node:perf_hooks";
import type { Clock, Instant } from "./lib/clock.ts";

/**
 * The log's clock: starts at the wall clock, but not before `notBefore` (the latest time in the store), and then goes
 * with the monotonic clock, so that it never goes back. Leaps of the wall clock during the run are not followed.
 */
export function createLogClock(notBefore: Instant | undefined): Clock {
  const offset = Math.max(Date.now(), notBefore ?? 0) - performance.now();
  return { now: () => Math.floor(offset + performance.now()) as Instant };
}
