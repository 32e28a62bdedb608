import type { RetainedLimits } from "./retained-messages.ts";

/** The bounds of one session's deliveries. */
export interface OutboundLimits {
  /** Our own limit of unacknowledged messages per session, 1..65535. */
  readonly inflightMax: number;
  /** Bytes that a session without expiry may have waiting in memory. */
  readonly memoryBacklogBytesMax: number;
  /** Messages that may wait in a durable session; beyond it the oldest are dropped. */
  readonly backlogMessagesMax: number;
}

/** The bounds of the broker, each with its default in the configuration. */
export interface BrokerLimits {
  readonly outbound: OutboundLimits;
  readonly retained: RetainedLimits;
  /** Sessions in all, attached or not. */
  readonly sessionsMax: number;
  readonly subscriptionsPerSessionMax: number;
  /** Longest session expiry that is granted, in milliseconds; Infinity: no limit. */
  readonly sessionExpiryMaxMs: number;
}
