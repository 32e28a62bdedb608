/** Where subscriptions of sessions are entered: plain ones in the tree, shared ones through their shared subscription. */
import type { PatternSubscriptions } from "./pattern-subscriptions.ts";
import { isPatternFilter } from "./pattern-topics.ts";
import type { Session } from "./session.ts";
import { isShared } from "./shared-filter.ts";
import type { SharedSubscriptions, TreeSubscriber } from "./shared-subscriptions.ts";
import type { Subscription, SubscriptionOptions, SubscriptionTree } from "./subscription-tree.ts";

export class SubscriptionIndex {
  readonly shared: SharedSubscriptions;
  readonly #tree: SubscriptionTree<TreeSubscriber>;

  readonly patterns: PatternSubscriptions;

  constructor(
    tree: SubscriptionTree<TreeSubscriber>,
    shared: SharedSubscriptions,
    patterns: PatternSubscriptions,
  ) {
    this.#tree = tree;
    this.shared = shared;
    this.patterns = patterns;
  }

  /** Subscriptions of all sessions; each member of a shared one counts. */
  get size(): number {
    return this.#tree.size - this.shared.size + this.shared.memberCount + this.patterns.size;
  }

  /** Adds a subscription or replaces the one of the same session and filter [MQTT-3.8.4-3]. */
  add(session: Session, topicFilter: string, options: SubscriptionOptions): void {
    if (isPatternFilter(topicFilter)) this.patterns.add(session, topicFilter, options);
    else if (isShared(topicFilter)) this.shared.join(topicFilter, session, options);
    else this.#tree.add(subscriptionOf(session, topicFilter, options));
  }

  /** Removes a subscription that there is. */
  remove(session: Session, topicFilter: string): void {
    if (isPatternFilter(topicFilter)) this.patterns.remove(session, topicFilter);
    else if (isShared(topicFilter)) this.shared.leave(topicFilter, session);
    else this.#tree.remove(session, topicFilter);
  }
}

/** Written out: what is spread gets a shape of its own here, half a kilobyte of it. */
function subscriptionOf(
  subscriber: Session,
  topicFilter: string,
  options: SubscriptionOptions,
): Subscription<TreeSubscriber> {
  const { qos, noLocal, retainAsPublished, retainHandling, subscriptionId } = options;
  return {
    subscriber,
    topicFilter,
    qos,
    noLocal,
    retainAsPublished,
    retainHandling,
    subscriptionId,
  };
}
