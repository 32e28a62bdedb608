/**
 * The subscriptions of all sessions by topic filter, one node per level. Matching is iterative (a topic may have
 * thousands of levels) and its result, the route, is cached on the topic until any subscription changes.
 */
import type { QoS } from "./message.ts";
import type { Topic } from "./topic.ts";

/** Options of one subscription [MQTT 5.0 section 3.8.3.1]. */
export interface SubscriptionOptions {
  readonly qos: QoS;
  readonly noLocal: boolean;
  readonly retainAsPublished: boolean;
  readonly retainHandling: 0 | 1 | 2;
  /** Undefined when the client gave none. */
  readonly subscriptionId: number | undefined;
}

export interface Subscription<S> extends SubscriptionOptions {
  readonly subscriber: S;
  readonly topicFilter: string;
}

/** What all subscriptions of one subscriber that match a topic come to: it gets one copy [MQTT-3.3.4-2, 3.3.4-3]. */
export interface RouteTarget<S> {
  readonly subscriber: S;
  /** The highest granted QoS. */
  qos: QoS;
  /** The same without subscriptions with No Local: for the subscriber's own messages; -1: none [MQTT-3.8.3-3]. */
  ownQos: QoS | -1;
  retainAsPublished: boolean;
  /** All subscription identifiers [MQTT-3.3.4-4]; undefined when there are none. */
  subscriptionIds: number[] | undefined;
  /** The same without subscriptions with No Local, where there are both kinds: for the subscriber's own messages. */
  own: RouteTarget<S> | undefined;
}

export type Route<S> = readonly RouteTarget<S>[];

class Node<S> {
  /** Children by level, `+` and `#` among them; made when the first one comes. */
  children: Map<string, Node<S>> | undefined;
  /** Subscriptions whose filter ends here; made when the first one comes. */
  subscriptions: Map<S, Subscription<S>> | undefined;

  get isEmpty(): boolean {
    return this.children === undefined && this.subscriptions === undefined;
  }
}

/** Most topics with a cached route, and most bytes of their names and routes, about; beyond it all are matched anew. */
const ROUTED_MAX = 65_536;
const ROUTED_BYTES_MAX = 6_291_456;
/** What one target of a route takes, about. */
const TARGET_BYTES = 64;

export class SubscriptionTree<S> {
  readonly #root = new Node<S>();
  #version = 0;
  #size = 0;
  /** Topics with a cached route, all of one version. */
  readonly #routed: Topic[] = [];
  #routedBytes = 0;
  #routedVersion = 0;

  /** Number of subscriptions. */
  get size(): number {
    return this.#size;
  }

  /** True when a topic filter begins with this level. */
  hasFirstLevel(level: string): boolean {
    return this.#root.children?.has(level) === true;
  }

  /** Adds a subscription or replaces the one of the same subscriber and filter [MQTT-3.8.4-3]. */
  add(subscription: Subscription<S>): void {
    let node = this.#root;
    for (const level of subscription.topicFilter.split("/")) {
      node.children ??= new Map();
      let child = node.children.get(level);
      if (child === undefined) {
        child = new Node();
        node.children.set(level, child);
      }
      node = child;
    }
    node.subscriptions ??= new Map();
    if (!node.subscriptions.has(subscription.subscriber)) this.#size++;
    node.subscriptions.set(subscription.subscriber, subscription);
    this.#version++;
  }

  /** Removes a subscription; false when there was none. Empty branches go with it. */
  remove(subscriber: S, topicFilter: string): boolean {
    const levels = topicFilter.split("/");
    const path: Node<S>[] = [this.#root];
    for (const level of levels) {
      const child = path[path.length - 1]?.children?.get(level);
      if (child === undefined) return false;
      path.push(child);
    }
    const leaf = path[path.length - 1];
    if (leaf?.subscriptions?.delete(subscriber) !== true) return false;
    if (leaf.subscriptions.size === 0) leaf.subscriptions = undefined;
    this.#prune(path, levels);
    this.#size--;
    this.#version++;
    return true;
  }

  #prune(path: readonly Node<S>[], levels: readonly string[]): void {
    for (let i = path.length - 1; i > 0; i--) {
      const parent = path[i - 1];
      const level = levels[i - 1];
      if (path[i]?.isEmpty !== true || parent?.children === undefined || level === undefined)
        return;
      parent.children.delete(level);
      if (parent.children.size === 0) parent.children = undefined;
    }
  }

  /** Hot path: per message; a cache hit costs one comparison. */
  route(topic: Topic): Route<S> {
    if (topic.routeVersion === this.#version) return topic.route as Route<S>;
    if (this.#routedVersion !== this.#version || this.#isFull) this.#forget();
    const route = this.#match(topic.text);
    topic.route = route;
    topic.routeVersion = this.#version;
    this.#routed.push(topic);
    this.#routedBytes += topic.bytes.length + route.length * TARGET_BYTES;
    return route;
  }

  get #isFull(): boolean {
    return this.#routed.length >= ROUTED_MAX || this.#routedBytes >= ROUTED_BYTES_MAX;
  }

  /** Lets go of all cached routes: those that are out of date keep subscribers alive that are gone. */
  #forget(): void {
    for (const topic of this.#routed) {
      topic.route = undefined;
      topic.routeVersion = -1;
    }
    this.#routed.length = 0;
    this.#routedBytes = 0;
    this.#routedVersion = this.#version;
  }

  #match(topic: string): Route<S> {
    const targets = new Map<S, RouteTarget<S>>();
    let hasNoLocal = false;
    this.visit(topic, (subscription) => {
      hasNoLocal ||= subscription.noLocal;
      addToTarget(targets, subscription);
    });
    if (hasNoLocal) {
      const own = new Map<S, RouteTarget<S>>();
      this.visit(topic, (subscription) => {
        if (!subscription.noLocal) addToTarget(own, subscription);
      });
      for (const [subscriber, target] of own) {
        const all = targets.get(subscriber);
        if (all !== undefined) all.own = target;
      }
    }
    return [...targets.values()];
  }

  /** Calls `visit` for each subscription that matches the topic name; wildcards in front do not match `$` [MQTT-4.7.2-1]. */
  visit(topic: string, visit: (subscription: Subscription<S>) => void): void {
    const levels = topic.split("/");
    let nodes: Node<S>[] = [this.#root];
    for (let depth = 0; depth < levels.length; depth++) {
      const level = levels[depth] ?? "";
      const hidesWildcards = depth === 0 && topic.charCodeAt(0) === 0x24;
      const next: Node<S>[] = [];
      for (const { children } of nodes) {
        if (children === undefined) continue;
        const exact = children.get(level);
        if (exact !== undefined) next.push(exact);
        if (hidesWildcards) continue;
        visitAll(children.get("#"), visit);
        const single = children.get("+");
        if (single !== undefined) next.push(single);
      }
      if (next.length === 0) return;
      nodes = next;
    }
    for (const node of nodes) {
      visitAll(node, visit);
      // "sport/#" also matches "sport" [MQTT 5.0 section 4.7.1.2].
      visitAll(node.children?.get("#"), visit);
    }
  }
}

function visitAll<S>(node: Node<S> | undefined, visit: (s: Subscription<S>) => void): void {
  if (node?.subscriptions === undefined) return;
  for (const subscription of node.subscriptions.values()) visit(subscription);
}

function addToTarget<S>(targets: Map<S, RouteTarget<S>>, subscription: Subscription<S>): void {
  const { subscriber, qos, noLocal, retainAsPublished, subscriptionId } = subscription;
  let target = targets.get(subscriber);
  if (target === undefined) {
    target = {
      subscriber,
      qos,
      ownQos: noLocal ? -1 : qos,
      retainAsPublished,
      subscriptionIds: undefined,
      own: undefined,
    };
    targets.set(subscriber, target);
  } else {
    if (qos > target.qos) target.qos = qos;
    if (!noLocal && qos > target.ownQos) target.ownQos = qos;
    target.retainAsPublished ||= retainAsPublished;
  }
  if (subscriptionId !== undefined) {
    target.subscriptionIds ??= [];
    target.subscriptionIds.push(subscriptionId);
  }
}
