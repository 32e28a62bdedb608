import type { OutboundLimits } from "./outbound.ts";
import type { RetainedLimits } from "./retained-messages.ts";

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
