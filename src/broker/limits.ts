import type { DuplicateLimits } from "./duplicate-windows.ts";
import type { QueueLimits } from "./queues.ts";
import type { RequestLimits } from "./requests.ts";
import type { RetainedLimits } from "./retained-messages.ts";

/** The bounds of one session's deliveries. */
export interface OutboundLimits {
  /** Our own limit of unacknowledged messages per session, 1..65535. */
  readonly inflightMax: number;
  /** Bytes that a session without expiry may have waiting in memory. */
  readonly memoryBacklogBytesMax: number;
  /** Messages that may wait in a durable session. */
  readonly backlogMessagesMax: number;
  /** Bytes of them, about. */
  readonly backlogBytesMax: number;
  /** Messages that wait for longer are dropped; undefined: none for its age. */
  readonly backlogAgeMaxMs: number | undefined;
  /** At one of the two maxima: refuse the publish, or drop what waits longest. */
  readonly backlogWhenFull: "reject" | "drop-oldest";
}

/** The bounds of streams, consumers and queues that are made while the broker runs. */
export interface PatternLimits extends QueueLimits {
  /** Streams in all, those of the configuration among them. */
  readonly streamsMax: number;
  /** Durable consumers of all streams. */
  readonly consumersMax: number;
  readonly requests: RequestLimits;
  readonly duplicates: DuplicateLimits;
}

/** The bounds of the broker, each with its default in the configuration. */
export interface BrokerLimits {
  /** What sessions may keep logs from letting go of; beyond it what they need is copied, see `spill-plan.ts`. In bytes. */
  readonly pinBytesMax: number;
  readonly outbound: OutboundLimits;
  readonly retained: RetainedLimits;
  readonly patterns: PatternLimits;
  /** Sessions in all, attached or not. */
  readonly sessionsMax: number;
  readonly subscriptionsPerSessionMax: number;
  /** Longest session expiry that is granted, in milliseconds; Infinity: no limit. */
  readonly sessionExpiryMaxMs: number;
}
