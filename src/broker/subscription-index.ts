/** Where subscriptions of sessions are entered: plain ones in the tree, shared ones through their shared subscription. */
import type { Session } from "./session.ts";
import { isShared } from "./shared-filter.ts";
import type { SharedSubscriptions, TreeSubscriber } from "./shared-subscriptions.ts";
import type { SubscriptionOptions, SubscriptionTree } from "./subscription-tree.ts";

export class SubscriptionIndex {
  readonly shared: SharedSubscriptions;
  readonly #tree: SubscriptionTree<TreeSubscriber>;

  constructor(tree: SubscriptionTree<TreeSubscriber>, shared: SharedSubscriptions) {
    this.#tree = tree;
    this.shared = shared;
  }

  /** Subscriptions of all sessions; each member of a shared one counts. */
  get size(): number {
    return this.#tree.size - this.shared.size + this.shared.memberCount;
  }

  /** Adds a subscription or replaces the one of the same session and filter [MQTT-3.8.4-3]. */
  add(session: Session, topicFilter: string, options: SubscriptionOptions): void {
    if (isShared(topicFilter)) this.shared.join(topicFilter, session, options);
    else this.#tree.add({ ...options, topicFilter, subscriber: session });
  }

  /** Removes a subscription that there is. */
  remove(session: Session, topicFilter: string): void {
    if (isShared(topicFilter)) this.shared.leave(topicFilter, session);
    else this.#tree.remove(session, topicFilter);
  }
}
