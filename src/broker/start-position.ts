/** Where reading a stream begins. */
import type { Clock, Instant } from "../lib/clock.ts";
import type { LogId, Sequence, Store } from "./store.ts";

export type StartPosition =
  | { readonly at: "first" | "last" | "new" }
  | { readonly sequence: number }
  /** By the wall clock, in milliseconds since 1970. */
  | { readonly timeAt: number }
  | { readonly agoMs: number };

/** The first sequence to be read. One that is gone gives the first that is there; one that is not there yet waits for it. */
export function startSequence(
  store: Store,
  log: LogId,
  start: StartPosition,
  clock: Clock,
): Sequence {
  const { firstSequence, nextSequence } = store.stats(log);
  if ("sequence" in start) return Math.max(start.sequence, firstSequence) as Sequence;
  if ("timeAt" in start) {
    return firstSequenceAfter(store, log, (at) => clock.wallOf(at) < start.timeAt);
  }
  if ("agoMs" in start)
    return firstSequenceAfter(store, log, (at) => clock.since(at) > start.agoMs);
  if (start.at === "first") return firstSequence;
  if (start.at === "last") return Math.max(firstSequence, nextSequence - 1) as Sequence;
  // What was accepted before is not new, although it may not be on disk yet.
  return store.nextSequence(log);
}

/** The first flushed record whose time is not before what is looked for; found by halving, because times in a log do not go back. */
export function firstSequenceAfter(
  store: Store,
  log: LogId,
  isBefore: (receivedAt: Instant) => boolean,
): Sequence {
  const { firstSequence, nextSequence } = store.stats(log);
  let low: number = firstSequence;
  let high: number = nextSequence;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const [record] = store.read(log, middle as Sequence, 1, 0).records;
    if (record === undefined || isBefore(record.receivedAt)) low = middle + 1;
    else high = middle;
  }
  return low as Sequence;
}
