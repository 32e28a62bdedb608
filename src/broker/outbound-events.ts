/** What the deliveries of a session tell the broker, and how the broker counts it. */
import type { Clock } from "../lib/clock.ts";
import type { Counters } from "./counters.ts";
import type { QoS } from "./message.ts";
import type { Outbound } from "./outbound.ts";

/** Messages that were owed and could not be delivered, by reason: for the counters. */
export type DropReason =
  | "expired"
  | "lost"
  | "too-large"
  | "not-authorized"
  | "too-old"
  | "slow-subscriber"
  | "no-member";

/** Told by every session's deliveries. */
export interface OutboundEvents {
  readonly clock: Clock;
  onDelivered(qos: QoS): void;
  onDropped(reason: DropReason, count: number): void;
  /** A backlog exceeded its limits: the oldest messages or those that were too old are gone. */
  onBacklogDropped(clientId: string, count: number): void;
  /** False: enough was read from the store's file in this turn; tell `onCut` and come back in the next. */
  mayRead(): boolean;
  /** It has something to send and may not read it in this turn: it is pumped in the next. */
  onCut(pumped: { pump(): void }): void;
  /** It has something to send that waits for a flush of its own: pump it after the next one. */
  onWaiting(outbound: Outbound): void;
  /** Its client falls behind: publishers are to wait for it a little (see congestion.ts). */
  onCongested(outbound: Outbound): void;
  /** It has caught up, or its client is gone. */
  onRelieved(outbound: Outbound): void;
  /** Something goes with the next group: `sealMarked` it then. */
  onMarked(outbound: Outbound): void;
}

/** The events of all sessions of one broker: counted; `onWaiting` goes to the broker. */
export function outboundEventsOf(
  clock: Clock,
  counters: Counters,
  onWaiting: OutboundEvents["onWaiting"],
  onBacklogDropped: OutboundEvents["onBacklogDropped"],
  flow: Pick<OutboundEvents, "mayRead" | "onCut" | "onCongested" | "onRelieved" | "onMarked">,
): OutboundEvents {
  return {
    ...flow,
    onWaiting,
    clock,
    onBacklogDropped(clientId, count) {
      counters.droppedOldest += count;
      onBacklogDropped(clientId, count);
    },
    onDelivered(qos) {
      if (qos === 1) counters.messagesDeliveredQos1++;
      else if (qos === 2) counters.messagesDeliveredQos2++;
      else counters.messagesDeliveredQos0++;
    },
    onDropped(reason, count) {
      if (reason === "expired") counters.droppedExpired += count;
      else if (reason === "too-large") counters.droppedTooLarge += count;
      else if (reason === "too-old") counters.droppedOldest += count;
      else if (reason === "not-authorized") counters.droppedNotAuthorized += count;
      else if (reason === "slow-subscriber") counters.droppedSlowSubscriber += count;
      else if (reason === "no-member") counters.droppedNoMember += count;
      else counters.droppedLost += count;
    },
  };
}
