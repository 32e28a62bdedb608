import type { Clock, Instant } from "../lib/clock.ts";
import type { Deliveries } from "./deliveries.ts";
import type { BlockKeys } from "./delivery-blocks.ts";
import type { PatternCounts } from "./pattern-counts.ts";
import type { LogId, LogRecord, Store } from "./store.ts";

/** Why a message was given up. */
export type GiveUpReason = "expired" | "deliveries" | "lost";

/** What belongs to whose records these are: a queue, a consumer. */
export interface DeliveriesContext {
  readonly store: Store;
  readonly log: LogId;
  readonly keys: BlockKeys;
  readonly clock: Clock;
  /** Those whose `onSealing` is to be called: it adds itself. */
  readonly changed: Set<Deliveries>;
  /** `onDue` is to be called then; replaces what was asked before. */
  readonly schedule: (at: Instant) => void;
  /** After so many deliveries a record is given up; 0: never. */
  readonly deliveriesMaxOf: (record: LogRecord) => number;
  /** False: the record is not meant, and settled without being handed out. */
  readonly isMeant: ((record: LogRecord) => boolean) | undefined;
  /**
   * A record is given up: whatever is to be kept of it is staged now. False: there is no room for it just now, it stays. Undefined: it
   * is damaged or gone.
   */
  readonly onGivenUp: (record: LogRecord | undefined, reason: GiveUpReason) => boolean;
  /** A record could not be given up for the first time. */
  readonly onHeld: () => void;
  /** All before the floor is settled. */
  readonly onFloor: () => void;
  /** Where it is counted what is handed out and settled. */
  readonly counts: PatternCounts;
}
