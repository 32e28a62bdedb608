import type { Instant } from "../lib/clock.ts";

/** Something that waits for a deadline; one heap at the broker holds them all and one timer at the rim serves it. */
export interface Due {
  onDue(now: Instant): void;
}
