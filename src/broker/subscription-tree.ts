/**
 * The subscriptions of all sessions by topic filter, one node per level. Matching is iterative (a topic may have
 * thousands of levels) and its result, the route, is cached on the topic until any subscription changes.
 *
 * There may be more subscriptions than fit in a processor's caches: nodes have no table for a single child and none for wildcards, and a
 * subscription is the target of the topics that it alone matches, so that looking for one that is not cached makes no object.
 */
import type { QoS } from "./message.ts";
import { MISSES_PER_PLACE, STEP, type Topic, takeSlot } from "./topic.ts";

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
  readonly qos: QoS;
  /** The same without subscriptions with No Local: for the subscriber's own messages; -1: none [MQTT-3.8.3-3]. */
  readonly ownQos: QoS | -1;
  readonly retainAsPublished: boolean;
  /** All subscription identifiers [MQTT-3.3.4-4]; undefined when there are none. */
  readonly subscriptionIds: readonly number[] | undefined;
  /** The same without subscriptions with No Local, where there are both kinds: for the subscriber's own messages. */
  readonly own: RouteTarget<S> | undefined;
}

export type Route<S> = readonly RouteTarget<S>[];

/** A subscription as the tree keeps it, or several of one subscriber put together. */
class Target<S> implements RouteTarget<S> {
  readonly subscriber: S;
  qos: QoS;
  ownQos: QoS | -1;
  retainAsPublished: boolean;
  subscriptionIds: readonly number[] | undefined;
  own: Target<S> | undefined = undefined;
  /** The route of topics that it alone matches; made for the first of them. */
  alone: Route<S> | undefined = undefined;

  constructor(
    subscriber: S,
    qos: QoS,
    ownQos: QoS | -1,
    retainAsPublished: boolean,
    subscriptionIds: readonly number[] | undefined,
  ) {
    this.subscriber = subscriber;
    this.qos = qos;
    this.ownQos = ownQos;
    this.retainAsPublished = retainAsPublished;
    this.subscriptionIds = subscriptionIds;
  }
}

/** Subscriptions to one topic filter, by subscriber where there are several. */
type Subscribed<S> = Target<S> | Map<S, Target<S>>;

class Node<S> {
  readonly level: string;
  /** The child of a node that has one, wildcards apart. */
  child: Node<S> | undefined = undefined;
  /** The children of a node that has or had several, by level; then it has no `child`. */
  children: Map<string, Node<S>> | undefined = undefined;
  /** The child `+`. */
  single: Node<S> | undefined = undefined;
  /** Subscriptions whose filter ends here. */
  here: Subscribed<S> | undefined = undefined;
  /** Subscriptions whose filter goes on with `#`, and so ends. */
  rest: Subscribed<S> | undefined = undefined;

  constructor(level: string) {
    this.level = level;
  }

  get isEmpty(): boolean {
    const isLeaf = this.child === undefined && this.children === undefined;
    return (
      isLeaf && this.single === undefined && this.here === undefined && this.rest === undefined
    );
  }

  /** The child of this level of a topic name. */
  exact(level: string): Node<S> | undefined {
    const { child } = this;
    if (child !== undefined) return child.level === level ? child : undefined;
    return this.children?.get(level);
  }

  /** The child of this level of a topic filter, but for `#`. */
  get(level: string): Node<S> | undefined {
    return level === "+" ? this.single : this.exact(level);
  }

  /** The same; made when it is not there. */
  open(level: string): Node<S> {
    const known = this.get(level);
    if (known !== undefined) return known;
    const node = new Node<S>(level);
    if (level === "+") {
      this.single = node;
    } else if (this.children !== undefined) {
      this.children.set(level, node);
    } else if (this.child === undefined) {
      this.child = node;
    } else {
      this.children = new Map([[this.child.level, this.child]]);
      this.children.set(level, node);
      this.child = undefined;
    }
    return node;
  }

  drop(node: Node<S>): void {
    if (this.single === node) this.single = undefined;
    else if (this.child === node) this.child = undefined;
    else if (this.children?.delete(node.level) && this.children.size === 0) {
      this.children = undefined;
    }
  }
}

/** Most topics with a cached route, and most bytes of their names and routes, about; beyond it one takes the place of another now and then. */
const ROUTED_MAX = 65_536;
const ROUTED_BYTES_MAX = 6_291_456;
/** What one target of a route takes, about. */
const TARGET_BYTES = 64;

/** What one subscription alone matches shares its route. */
const keptBytes = (topic: Topic, { length }: Route<unknown>): number =>
  topic.bytes.length + (length > 1 ? length * TARGET_BYTES : 0);

export class SubscriptionTree<S> {
  readonly #root = new Node<S>("");
  #version = 0;
  #size = 0;
  /** Topics with a cached route, all of one version. */
  readonly #routed: Topic[] = [];
  #routedBytes = 0;
  #routedVersion = 0;
  /** Matches that found no room, and who gave way last. */
  #misses = 0;
  #next = 0;
  /** What the match under way has found. */
  readonly #found: Target<S>[] = [];

  /** Number of subscriptions. */
  get size(): number {
    return this.#size;
  }

  /** True when a topic filter begins with this level, which is no wildcard. */
  hasFirstLevel(level: string): boolean {
    return this.#root.exact(level) !== undefined;
  }

  /** Adds a subscription or replaces the one of the same subscriber and filter [MQTT-3.8.4-3]. */
  add(subscription: Subscription<S>): void {
    const { subscriber, topicFilter, qos, noLocal, retainAsPublished } = subscription;
    const { subscriptionId } = subscription;
    let node = this.#root;
    for (const level of topicFilter.split("/")) if (level !== "#") node = node.open(level);
    const isRest = endsWithRest(topicFilter);
    const before = isRest ? node.rest : node.here;
    if (targetOf(before, subscriber) === undefined) this.#size++;
    const ids = subscriptionId === undefined ? undefined : [subscriptionId];
    const target = new Target(subscriber, qos, noLocal ? -1 : qos, retainAsPublished, ids);
    const after = withTarget(before, target);
    if (isRest) node.rest = after;
    else node.here = after;
    this.#version++;
  }

  /** Removes a subscription; false when there was none. Empty branches go with it. */
  remove(subscriber: S, topicFilter: string): boolean {
    const path: Node<S>[] = [this.#root];
    let node = this.#root;
    for (const level of topicFilter.split("/")) {
      if (level === "#") break;
      const child = node.get(level);
      if (child === undefined) return false;
      path.push(child);
      node = child;
    }
    const isRest = endsWithRest(topicFilter);
    const before = isRest ? node.rest : node.here;
    if (targetOf(before, subscriber) === undefined) return false;
    const after = withoutTarget(before, subscriber);
    if (isRest) node.rest = after;
    else node.here = after;
    for (let i = path.length - 1; i > 0 && path[i]?.isEmpty === true; i--) {
      path[i - 1]?.drop(path[i] as Node<S>);
    }
    this.#size--;
    this.#version++;
    return true;
  }

  /** Hot path: per message; a cache hit costs one comparison. */
  route(topic: Topic): Route<S> {
    if (topic.routeVersion === this.#version) return topic.route as Route<S>;
    if (this.#routedVersion !== this.#version) this.#forget();
    this.#match(topic.text);
    const route = routeOf(this.#found);
    this.#found.length = 0;
    this.#keep(topic, route);
    return route;
  }

  #keep(topic: Topic, route: Route<S>): void {
    const bytes = keptBytes(topic, route);
    if (this.#isFullWith(bytes)) {
      this.#misses++;
      if (this.#misses % MISSES_PER_PLACE !== 0) return;
      this.#dropOne();
      if (this.#isFullWith(bytes)) return;
    }
    topic.route = route;
    topic.routeVersion = this.#version;
    this.#routed.push(topic);
    this.#routedBytes += bytes;
  }

  #isFullWith(bytes: number): boolean {
    return this.#routed.length >= ROUTED_MAX || this.#routedBytes + bytes > ROUTED_BYTES_MAX;
  }

  #dropOne(): void {
    if (this.#routed.length === 0) return;
    this.#next = (this.#next + STEP) % this.#routed.length;
    const topic = takeSlot(this.#routed, this.#next);
    if (topic === undefined) return;
    this.#routedBytes -= keptBytes(topic, topic.route as Route<S>);
    topic.route = undefined;
    topic.routeVersion = -1;
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

  /** Finds the subscriptions that match the topic name; wildcards in front do not match `$` [MQTT-4.7.2-1]. */
  #match(topic: string): void {
    const found = this.#found;
    let isWild = topic.charCodeAt(0) !== 0x24;
    let nodes: Node<S>[] = [this.#root];
    for (let start = 0; ; ) {
      const slash = topic.indexOf("/", start);
      const level = slash < 0 ? topic.slice(start) : topic.slice(start, slash);
      const next: Node<S>[] = [];
      for (const node of nodes) {
        const exact = node.exact(level);
        if (exact !== undefined) next.push(exact);
        if (!isWild) continue;
        addTo(found, node.rest);
        if (node.single !== undefined) next.push(node.single);
      }
      if (next.length === 0) return;
      nodes = next;
      isWild = true;
      if (slash < 0) break;
      start = slash + 1;
    }
    for (const { here, rest } of nodes) {
      addTo(found, here);
      // "sport/#" also matches "sport" [MQTT 5.0 section 4.7.1.2].
      addTo(found, rest);
    }
  }
}

/** The only level that is a `#` is the last one. */
const endsWithRest = (topicFilter: string): boolean =>
  topicFilter.charCodeAt(topicFilter.length - 1) === 0x23;

function targetOf<S>(all: Subscribed<S> | undefined, subscriber: S): Target<S> | undefined {
  if (all instanceof Map) return all.get(subscriber);
  return all?.subscriber === subscriber ? all : undefined;
}

function withTarget<S>(all: Subscribed<S> | undefined, target: Target<S>): Subscribed<S> {
  if (all instanceof Map) return all.set(target.subscriber, target);
  if (all === undefined || all.subscriber === target.subscriber) return target;
  return new Map([
    [all.subscriber, all],
    [target.subscriber, target],
  ]);
}

function withoutTarget<S>(all: Subscribed<S> | undefined, gone: S): Subscribed<S> | undefined {
  if (!(all instanceof Map)) return undefined;
  all.delete(gone);
  return all.size === 0 ? undefined : all;
}

function addTo<S>(found: Target<S>[], all: Subscribed<S> | undefined): void {
  if (all === undefined) return;
  if (all instanceof Map) for (const target of all.values()) found.push(target);
  else found.push(all);
}

const NOWHERE: Route<never> = [];

/** Each subscriber once. */
function routeOf<S>(found: readonly Target<S>[]): Route<S> {
  const [first] = found;
  if (first === undefined) return NOWHERE;
  if (found.length === 1) {
    first.alone ??= [first];
    return first.alone;
  }
  const bySubscriber = new Map<S, Target<S> | Target<S>[]>();
  for (const target of found) {
    const known = bySubscriber.get(target.subscriber);
    if (known === undefined) bySubscriber.set(target.subscriber, target);
    else if (known instanceof Target) bySubscriber.set(target.subscriber, [known, target]);
    else known.push(target);
  }
  const route: Target<S>[] = [];
  for (const all of bySubscriber.values()) {
    route.push(all instanceof Target ? all : together(all));
  }
  return route;
}

/** What these subscriptions of one subscriber come to. */
function together<S>(all: readonly Target<S>[]): Target<S> {
  const target = sumOf(all);
  const local = all.filter(({ ownQos }) => ownQos !== -1);
  if (local.length > 0 && local.length < all.length) target.own = sumOf(local);
  return target;
}

function sumOf<S>([first, ...others]: readonly Target<S>[]): Target<S> {
  const { subscriber, qos, ownQos, retainAsPublished, subscriptionIds } = first as Target<S>;
  const ids = [...(subscriptionIds ?? [])];
  const sum = new Target(subscriber, qos, ownQos, retainAsPublished, undefined);
  for (const each of others) {
    if (each.qos > sum.qos) sum.qos = each.qos;
    if (each.ownQos > sum.ownQos) sum.ownQos = each.ownQos;
    sum.retainAsPublished ||= each.retainAsPublished;
    for (const id of each.subscriptionIds ?? []) ids.push(id);
  }
  if (ids.length > 0) sum.subscriptionIds = ids;
  return sum;
}
