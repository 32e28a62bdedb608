import type { Instant } from "../lib/clock.ts";
import type { Deadline, DeadlineHeap } from "../lib/deadline-heap.ts";
import type { Due } from "./due.ts";

/** One deadline for each of many things: the earliest that it asked for. Returns how to ask. */
export function dueSchedule<Thing extends object>(
  deadlines: DeadlineHeap<Due>,
  onDue: (thing: Thing, now: Instant) => void,
): (thing: Thing, at: Instant) => void {
  const scheduled = new WeakMap<Thing, Deadline<Due>>();
  return (thing, at) => {
    const before = scheduled.get(thing);
    if (before !== undefined && !before.isCancelled && before.at <= at) return;
    deadlines.cancel(before);
    const deadline = deadlines.add(at, { onDue: (now) => onDue(thing, now) });
    scheduled.set(thing, deadline);
  };
}
