/** SUBSCRIBE and UNSUBSCRIBE: the tree, the session's own table, its record on disk, and retained messages. */
import type { Clock } from "../lib/clock.ts";
import type { BrokerLimits } from "./limits.ts";
import { isPatternFilter } from "./pattern-topics.ts";
import type { RetainedMessages } from "./retained-messages.ts";
import { type ReplaySource, RetainedReplay } from "./retained-replay.ts";
import type { Session, SessionSubscription } from "./session.ts";
import { isShared } from "./shared-filter.ts";
import { type CommitNumber, NO_COMMIT, type Store } from "./store.ts";
import type { SubscriptionIndex } from "./subscription-index.ts";
import type { SubscriptionOptions } from "./subscription-tree.ts";
import { filterMatches } from "./topic.ts";

/** Topics of a replay that are looked up at a time. */
const PAGE_TOPICS = 512;

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
    const replayed: string[] = [];
    for (const { topicFilter, options } of request.filters) {
      const isNew = !session.subscriptions.has(topicFilter);
      if (isNew && session.subscriptions.size >= this.#limits.subscriptionsPerSessionMax) {
        request.results.push(false);
        continue;
      }
      const before = session.subscriptions.get(topicFilter);
      // What the subscription before it had still to send goes on, unless it begins anew.
      const { isReplaying = false, replayAfter, streamPosition } = before ?? {};
      // [MQTT 5.0 section 4.8.2]: none when a shared subscription is first made, nor later.
      const replays =
        !isShared(topicFilter) &&
        !isPatternFilter(topicFilter) &&
        (options.retainHandling === 0 || (options.retainHandling === 1 && isNew));
      const { qos, noLocal, retainAsPublished, retainHandling, subscriptionId } = options;
      // Written out: what is spread gets a shape of its own here, half a kilobyte of it.
      session.subscriptions.set(topicFilter, {
        qos,
        noLocal,
        retainAsPublished,
        retainHandling,
        subscriptionId,
        topicFilter,
        isReplaying: replays || isReplaying,
        replayAfter: replays ? undefined : replayAfter,
        streamPosition,
      });
      session.persistSubscription(topicFilter);
      this.#index.add(session, topicFilter, options);
      request.results.push(true);
      if (replays) replayed.push(topicFilter);
    }
    for (const topicFilter of replayed) {
      const subscription = session.subscriptions.get(topicFilter);
      if (subscription !== undefined) this.replay(session, subscription);
    }
    return this.#commitOf(session, request.results);
  }

  /** Removes subscriptions; `results` gets true for each that there was. Returns the commit that UNSUBACK waits for. */
  unsubscribe(session: Session, topicFilters: readonly string[], results: boolean[]): CommitNumber {
    for (const topicFilter of topicFilters) {
      // [MQTT-3.10.4-2]
      session.outbound.cancelReplay(topicFilter);
      const existed = session.subscriptions.delete(topicFilter);
      results.push(existed);
      if (!existed) continue;
      this.#index.remove(session, topicFilter);
      session.persistSubscription(topicFilter);
    }
    return this.#commitOf(session, results);
  }

  /** Sends the session the retained messages that a subscription matches, at its pace; goes on where the last run was. */
  replay(session: Session, subscription: SessionSubscription): void {
    const { topicFilter, noLocal, replayAfter } = subscription;
    const source: ReplaySource = {
      page: (after) => this.#retained.page(topicFilter, after, PAGE_TOPICS, this.#clock),
      lookUp: (topic) => {
        const message = this.#retained.get(topic);
        // [MQTT-3.8.3-3]
        return noLocal && message?.publisherId === session.clientId ? undefined : message;
      },
      matches: (topic) => filterMatches(topicFilter, topic),
      stagePosition: (position) => this.#noteReplay(session, topicFilter, true, position),
      onDone: () => this.#noteReplay(session, topicFilter, false, undefined),
    };
    session.outbound.replay(new RetainedReplay(subscription, source, replayAfter));
  }

  #noteReplay(
    session: Session,
    topicFilter: string,
    isReplaying: boolean,
    replayAfter: string | undefined,
  ): void {
    const subscription = session.subscriptions.get(topicFilter);
    if (subscription === undefined) return;
    subscription.isReplaying = isReplaying;
    subscription.replayAfter = replayAfter;
    session.persistSubscription(topicFilter);
  }

  /** Where nothing was changed there is nothing to wait for, and a commit may never come. */
  #commitOf(session: Session, results: readonly boolean[]): CommitNumber {
    const isStaged = session.isDurable && results.includes(true);
    return isStaged ? this.#store.openCommit : NO_COMMIT;
  }
}
