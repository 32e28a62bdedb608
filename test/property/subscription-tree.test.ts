import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { QoS } from "../../src/broker/message.ts";
import {
  type RouteTarget,
  type Subscription,
  SubscriptionTree,
} from "../../src/broker/subscription-tree.ts";
import { filterMatches, isTopicFilter, isTopicName, Topic } from "../../src/broker/topic.ts";

const SUBSCRIBERS = ["anna", "ben", "cleo"];

const level = fc.constantFrom("", "a", "b", "$", "$a", "ä", "a b", " ");
const topicName = fc
  .array(level, { minLength: 1, maxLength: 6 })
  .map((levels) => levels.join("/"))
  .filter(isTopicName);
const topicFilter = fc
  .tuple(
    fc.array(fc.oneof(level, fc.constant("+")), { maxLength: 6 }),
    fc.constantFrom<string[]>([], ["#"]),
  )
  .map(([levels, end]) => [...levels, ...end].join("/"))
  .filter(isTopicFilter);

const subscription: fc.Arbitrary<Subscription<string>> = fc.record({
  subscriber: fc.constantFrom(...SUBSCRIBERS),
  topicFilter,
  qos: fc.constantFrom<QoS>(0, 1, 2),
  noLocal: fc.boolean(),
  retainAsPublished: fc.boolean(),
  retainHandling: fc.constant<0>(0),
  subscriptionId: fc.option(fc.integer({ min: 1, max: 9 }), { nil: undefined }),
});

/** Adds, removes (what is there, or perhaps is not) and looks. */
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("add" as const), subscription }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("remove" as const), index: fc.nat(20) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("miss" as const), subscription }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("look" as const), topicName }) },
);

const keyOf = ({ subscriber, topicFilter: filter }: Subscription<string>): string =>
  `${subscriber} ${filter}`;

/** What a route says, from the specification's words and one subscription at a time. */
function naiveRoute(all: Iterable<Subscription<string>>, topic: string): unknown[] {
  const matching = [...all].filter((each) => filterMatches(each.topicFilter, topic));
  return SUBSCRIBERS.flatMap((subscriber) => {
    const own = matching.filter((each) => each.subscriber === subscriber);
    if (own.length === 0) return [];
    const others = own.filter((each) => !each.noLocal);
    const ownQos = Math.max(-1, ...others.map(({ qos }) => qos));
    return { ...sumOf(subscriber, own), ownQos, forOwn: sumOf(subscriber, others) };
  });
}

function sumOf(subscriber: string, all: readonly Subscription<string>[]): object | undefined {
  if (all.length === 0) return undefined;
  const ids = all.flatMap(({ subscriptionId: id }) => (id === undefined ? [] : [id])).sort();
  return {
    subscriber,
    qos: Math.max(...all.map(({ qos }) => qos)),
    retainAsPublished: all.some((each) => each.retainAsPublished),
    subscriptionIds: ids.length === 0 ? undefined : ids,
  };
}

function routeOf(tree: SubscriptionTree<string>, topic: Topic): unknown[] {
  const plain = ({
    subscriber,
    qos,
    retainAsPublished,
    subscriptionIds: ids,
  }: RouteTarget<string>) => ({
    subscriber,
    qos,
    retainAsPublished,
    subscriptionIds: ids && [...ids].sort(),
  });
  const route = tree.route(topic).map((target) => {
    const { ownQos, own } = target;
    return {
      ...plain(target),
      ownQos,
      // A subscriber's own messages: nothing, or what is without No Local.
      forOwn: ownQos === -1 ? undefined : plain(own ?? target),
    };
  });
  return route.sort((a, b) => (a.subscriber < b.subscriber ? -1 : 1));
}

test("A route is what all matching subscriptions come to, after any additions and removals, cached or not.", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60, size: "max" }), (steps) => {
      const tree = new SubscriptionTree<string>();
      const model = new Map<string, Subscription<string>>();
      const topics = new Map<string, Topic>();
      for (const each of steps) {
        if (each.kind === "add") {
          tree.add(each.subscription);
          model.set(keyOf(each.subscription), each.subscription);
        } else if (each.kind === "remove") {
          const chosen = [...model.values()][each.index];
          if (chosen === undefined) continue;
          assert.equal(tree.remove(chosen.subscriber, chosen.topicFilter), true);
          model.delete(keyOf(chosen));
        } else if (each.kind === "miss") {
          const { subscriber, topicFilter: filter } = each.subscription;
          const isThere = model.delete(keyOf(each.subscription));
          assert.equal(tree.remove(subscriber, filter), isThere);
        } else {
          const topic = topics.get(each.topicName) ?? new Topic(each.topicName);
          topics.set(each.topicName, topic);
          assert.deepEqual(routeOf(tree, topic), naiveRoute(model.values(), topic.text));
          assert.equal(tree.route(topic), tree.route(topic), "cached");
        }
        assert.equal(tree.size, model.size);
      }
    }),
    { numRuns: 1_000 },
  );
});

test("Every subscription of a large tree is found by every topic that it matches.", () => {
  const many = fc.array(subscription, { minLength: 100, maxLength: 200, size: "max" });
  fc.assert(
    fc.property(many, fc.array(topicName, { minLength: 20, maxLength: 20 }), (all, names) => {
      const tree = new SubscriptionTree<string>();
      const model = new Map<string, Subscription<string>>();
      for (const each of all) {
        tree.add(each);
        model.set(keyOf(each), each);
      }
      for (const name of names) {
        assert.deepEqual(routeOf(tree, new Topic(name)), naiveRoute(model.values(), name));
      }
      for (const { subscriber, topicFilter: filter } of model.values()) {
        assert.equal(tree.remove(subscriber, filter), true);
      }
      for (const name of names) assert.deepEqual(tree.route(new Topic(name)), []);
    }),
    { numRuns: 50 },
  );
});

test("Topics and filters of thousands of levels are matched without recursion.", () => {
  const tree = new SubscriptionTree<string>();
  const deep = Array.from({ length: 30_000 }, () => "a").join("/");
  const options = { qos: 1, noLocal: false, retainAsPublished: false, retainHandling: 0 } as const;
  for (const filter of [deep, `${deep}/#`, deep.replaceAll("a", "+"), "#"]) {
    tree.add({ ...options, subscriber: filter, topicFilter: filter, subscriptionId: undefined });
  }
  assert.equal(tree.route(new Topic(deep)).length, 4);
  assert.equal(tree.route(new Topic(`${deep}/a`)).length, 2);
  assert.equal(tree.remove(`${deep}/#`, `${deep}/#`), true);
  assert.equal(tree.route(new Topic(deep)).length, 3);
});

test("A route that is out of date does not keep a subscriber that is gone.", () => {
  const tree = new SubscriptionTree<string>();
  const options = { qos: 1, noLocal: false, retainAsPublished: false, retainHandling: 0 } as const;
  const topics = Array.from({ length: 3 }, (_, i) => new Topic(`a/${i}`));
  tree.add({ ...options, subscriber: "s", topicFilter: "#", subscriptionId: undefined });
  for (const topic of topics) assert.equal(tree.route(topic).length, 1);
  tree.remove("s", "#");
  assert.deepEqual(tree.route(new Topic("other")), []);
  for (const topic of topics) assert.equal(topic.route, undefined);
});
