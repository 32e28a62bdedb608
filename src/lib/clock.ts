/**
 * A point in time, in milliseconds since 1970-01-01T00:00:00Z by the log's clock.
 * Within one run it never goes back, whatever the wall clock does.
 */
export type Instant = number & { readonly __brand: "Instant" };

/** Where the core gets its time from. */
export interface Clock {
  now(): Instant;
}

/** Adds `ms` milliseconds to an instant. */
export const after = (instant: Instant, ms: number): Instant => (instant + ms) as Instant;
