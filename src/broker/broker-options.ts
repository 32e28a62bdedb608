/** What a broker is made with: its ports, its limits, and whom it tells what happened. */
import type { Clock } from "../lib/clock.ts";
import type { Authorizer } from "./authorization.ts";
import type { Consumer } from "./consumer.ts";
import type { GiveUpReason } from "./deliveries-context.ts";
import type { BrokerLimits } from "./limits.ts";
import type { QueueSettings } from "./queue-records.ts";
import type { RoutingSettings } from "./routing.ts";
import type { Session } from "./session.ts";
import type { LogId, Sequence, SequenceRange, Store } from "./store.ts";
import type { StreamLoss, StreamSettings } from "./stream.ts";
import type { SystemOptions } from "./sys-topics.ts";

/** All of it holds for the broker's whole life. */
export interface BrokerOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly limits: BrokerLimits;
  /** Who may publish and subscribe to what; tell `onPolicyChanged` when its answers change. */
  readonly authorizer: Authorizer;
  readonly streams: readonly StreamSettings[];
  readonly queues: readonly QueueSettings[];
  /** Where messages go besides. */
  readonly routing: RoutingSettings;
  /** 128 random bits as text without `/`, for reply topics. */
  readonly newToken: () => string;
  /** What it tells under `$SYS`; undefined: nothing. */
  readonly system: SystemOptions | undefined;
  /** Below which sequence all uplinks have delivered a stream; undefined: none reads it. */
  readonly deliveredBefore: (log: LogId) => Sequence | undefined;
  /** A commit is about to be sealed and has all that the broker stages. */
  readonly onSealing: () => void;
  /** There is more to send than may be read in one turn: `endTurn` is to be called once more, after others had theirs. */
  readonly onTurnCut: () => void;
  /** After each flush, when everything inside is done. */
  readonly onFlushed: () => void;
  readonly onLoss: (loss: StreamLoss) => void;
  /** A session's backlog exceeded its limits, and so many messages of it are gone. */
  readonly onBacklogDropped: (clientId: string, count: number) => void;
  /** A queue or consumer gave up a message after too many deliveries, too late, or because it is damaged. */
  readonly onGivenUp: (from: string, reason: GiveUpReason, to: string | undefined) => void;
  /** A stream gave up records that this consumer had not settled. */
  readonly onConsumerLoss: (consumer: Consumer, range: SequenceRange) => void;
  /** A session lost a subscription that the rules do not allow any more. */
  readonly onSubscriptionRevoked: (session: Session, topicFilter: string) => void;
  /** The store failed: the broker is of no use any more and has ended all its subscribers. */
  readonly onFailed: (error: Error) => void;
}
