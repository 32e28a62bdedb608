/** The port through which a session reaches its client, whatever protocol it speaks. */
import type { Message, QoS } from "./message.ts";
import type { CommitNumber } from "./store.ts";

/** Why the broker ends a connection; the protocol's side turns it into its own code. */
export type EndReason =
  | "session-taken-over"
  | "keep-alive-timeout"
  | "server-shutting-down"
  | "quota-exceeded"
  | "receive-maximum-exceeded"
  | "administrative-action"
  | "store-failed";

export interface Subscriber {
  /** False while more output waits than the client's write budget: hand over nothing but what cannot wait. */
  readonly hasRoom: boolean;
  /** How many messages with QoS 1 and 2 may be unacknowledged at a time, 1..65535 [MQTT 5.0 section 3.1.2.11.3]. */
  readonly receiveMaximum: number;
  /**
   * Sends a message. Hot path: per message and subscriber. The message's bytes are only valid during the call.
   * `packetId` is 0 for QoS 0.
   */
  deliver(
    message: Message,
    qos: QoS,
    packetId: number,
    isDuplicate: boolean,
    retain: boolean,
    subscriptionIds: readonly number[] | undefined,
  ): void;
  /**
   * How many requests (see requests.ts) it takes now through these subscriptions: 0 for none just now, below 0 when it answers none.
   * `isByConvention`: also who has no response topics can answer. Absent: it never answers any.
   */
  requestRoom?(subscriptionIds: readonly number[] | undefined, isByConvention: boolean): number;
  /** False: these subscriptions have no credit left, another member of the group is to be asked. Absent: credit is not a matter. */
  hasCredit?(subscriptionIds: readonly number[] | undefined): boolean;
  /** A QoS 0 message of these subscriptions found no room. */
  missed?(subscriptionIds: readonly number[] | undefined): void;
  /** The rules have changed, and what they do not allow of its subscriptions is gone. */
  onRulesChanged?(): void;
  /** Sends PUBREL once the commit is flushed. */
  release(packetId: number, commit: CommitNumber): void;
  /** Says why, as far as the protocol can, and closes the network connection. */
  end(reason: EndReason): void;
}
