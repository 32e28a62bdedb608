import assert from "node:assert/strict";
import { test } from "node:test";
import { SubscriptionTree } from "../../../src/broker/subscription-tree.ts";
import { Topic } from "../../../src/broker/topic.ts";

const OPTIONS = {
  qos: 0,
  noLocal: false,
  retainAsPublished: false,
  retainHandling: 0,
  subscriptionId: undefined,
} as const;
const MIB = 1_048_576;

test("Cached routes keep few bytes of names alive, however long these are.", () => {
  const tree = new SubscriptionTree<string>();
  const topics = Array.from({ length: 4_000 }, (_, i) => new Topic(`${"t".repeat(4_000)}/${i}`));
  for (const topic of topics) tree.route(topic);
  // What comes often finds room.
  for (let i = 0; i < 16; i++) tree.route(topics.at(-1) as Topic);
  const kept = topics.filter(({ route }) => route !== undefined);
  assert.ok(kept.includes(topics.at(-1) as Topic));
  const bytes = kept.reduce((sum, topic) => sum + topic.bytes.length, 0);
  assert.ok(bytes < 8 * MIB, `${bytes} bytes`);
});

test("Cached routes have few targets in all, however many subscribers each message goes to.", () => {
  const tree = new SubscriptionTree<string>();
  for (let i = 0; i < 500; i++) tree.add({ ...OPTIONS, subscriber: `s${i}`, topicFilter: "#" });
  const topics = Array.from({ length: 1_000 }, (_, i) => new Topic(`t/${i}`));
  let targets = 0;
  for (const topic of topics) assert.equal(tree.route(topic).length, 500);
  for (const { route } of topics) targets += (route as unknown[] | undefined)?.length ?? 0;
  assert.ok(targets > 0 && targets <= 131_072, `${targets} targets`);
});
