/**
 * A point in time by the log's clock, in milliseconds. It is near the wall clock's time since 1970-01-01T00:00:00Z where that was
 * right when the log began; it never goes back and never leaps, whatever the wall clock does.
 */
export type Instant = number & { readonly __brand: "Instant" };

/** Where the core gets its time from. */
export interface Clock {
  now(): Instant;
  /** How old a stamp is, in milliseconds, time spent off included as far as it is known. */
  since(stamp: Instant): number;
  /** When that was by the wall clock, in milliseconds since 1970, as far as it is known. */
  wallOf(stamp: Instant): number;
}

/** How much earlier than it was thought what was set at `stamp` is due: time spent off that the log's time does not have. */
export const missedSince = (clock: Clock, stamp: Instant): number =>
  clock.since(stamp) - (clock.now() - stamp);

/** Adds `ms` milliseconds to an instant. */
export const after = (instant: Instant, ms: number): Instant => (instant + ms) as Instant;
