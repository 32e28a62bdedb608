/** SUBSCRIBE and UNSUBSCRIBE: the tree, the session's own table, its record on disk, and retained messages. */
import type { Clock } from "../lib/clock.ts";
import type { BrokerLimits } from "./limits.ts";
import type { Message } from "./message.ts";
import type { RetainedMessages } from "./retained-messages.ts";
import { RetainedReplay } from "./retained-replay.ts";
import type { Session, SessionSubscription } from "./session.ts";
import { isShared } from "./shared-filter.ts";
import { type CommitNumber, NO_COMMIT, type Store } from "./store.ts";
import type { SubscriptionIndex } from "./subscription-index.ts";
import type { SubscriptionOptions } from "./subscription-tree.ts";
import type { Topic } from "./topic.ts";

/** One SUBSCRIBE: filters that were found valid. `results` gets true for each that was granted, in order. */
export interface SubscribeRequest {
  readonly filters: readonly {
    readonly topicFilter: string;
    readonly options: SubscriptionOptions;
  }[];
  readonly results: boolean[];
}

export class Subscriptions {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #limits: BrokerLimits;
  readonly #index: SubscriptionIndex;
  readonly #retained: RetainedMessages;

  constructor(
    store: Store,
    clock: Clock,
    limits: BrokerLimits,
    index: SubscriptionIndex,
    retained: RetainedMessages,
  ) {
    this.#store = store;
    this.#clock = clock;
    this.#limits = limits;
    this.#index = index;
    this.#retained = retained;
  }

  /** Adds or replaces subscriptions; returns the commit that SUBACK waits for. */
  subscribe(session: Session, request: SubscribeRequest): CommitNumber {
    const replays: SessionSubscription[] = [];
    for (const { topicFilter, options } of request.filters) {
      const isNew = !session.subscriptions.has(topicFilter);
      if (isNew && session.subscriptions.size >= this.#limits.subscriptionsPerSessionMax) {
        request.results.push(false);
        continue;
      }
      const subscription: SessionSubscription = { ...options, topicFilter, isReplaying: false };
      session.subscriptions.set(topicFilter, subscription);
      this.#index.add(session, topicFilter, options);
      request.results.push(true);
      // [MQTT 5.0 section 4.8.2]: none when a shared subscription is first made, nor later.
      if (isShared(topicFilter)) continue;
      if (options.retainHandling === 0 || (options.retainHandling === 1 && isNew)) {
        subscription.isReplaying = true;
        replays.push(subscription);
      }
    }
    for (const subscription of replays) this.replay(session, subscription);
    return this.#persist(session);
  }

  /** Removes subscriptions; `results` gets true for each that there was. Returns the commit that UNSUBACK waits for. */
  unsubscribe(session: Session, topicFilters: readonly string[], results: boolean[]): CommitNumber {
    for (const topicFilter of topicFilters) {
      const existed = session.subscriptions.delete(topicFilter);
      if (existed) this.#index.remove(session, topicFilter);
      results.push(existed);
    }
    return this.#persist(session);
  }

  /** Sends the session the retained messages that a subscription matches, at its pace. */
  replay(session: Session, subscription: SessionSubscription): void {
    const { topicFilter, qos, noLocal, subscriptionId } = subscription;
    const topics = this.#retained.match(topicFilter, this.#clock);
    if (topics.length === 0) {
      subscription.isReplaying = false;
      return;
    }
    const ids = subscriptionId === undefined ? undefined : [subscriptionId];
    const onDone = (): void => {
      subscription.isReplaying = false;
      session.persist();
    };
    const lookUp = (topic: Topic): Message | undefined => {
      // [MQTT-3.10.4-2]
      if (!session.subscriptions.has(topicFilter)) return undefined;
      const message = this.#retained.get(topic);
      // [MQTT-3.8.3-3]
      return noLocal && message?.publisherId === session.clientId ? undefined : message;
    };
    session.outbound.replay(new RetainedReplay(topics, qos, ids, lookUp, onDone));
  }

  #persist(session: Session): CommitNumber {
    if (!session.isDurable) return NO_COMMIT;
    session.persist();
    return this.#store.openCommit;
  }
}
