import assert from "node:assert/strict";
import { test } from "node:test";
import { ruleTopicOf } from "../../../src/broker/pattern-topics.ts";
import { PacketType, ProtocolVersion } from "../../../src/mqtt/packet.ts";
import type { Received, VirtualClient } from "../../support/virtual-client.ts";
import { VirtualNode, type VirtualNodeOptions } from "../../support/virtual-node.ts";

const STREAM = { name: "s", filters: ["in/#"], bytesMax: 1e6, whenFull: "reject" } as const;
const LASTING = { properties: { sessionExpirySeconds: 600 } };

function nodeWith(options: VirtualNodeOptions = {}): VirtualNode {
  return new VirtualNode({
    streams: [STREAM],
    queues: [{ name: "q", filters: ["jobs/#"], deliveriesMax: 3, deadLetterQueue: "dead" }],
    connection: { allowsPatternTopics: true },
    ...options,
  });
}

function publisherOf(node: VirtualNode): (topic: string, ...texts: string[]) => void {
  const client = node.connect("publisher");
  let packetId = 0;
  return (topic, ...texts) => {
    for (const text of texts) {
      client.publish(topic, text, { qos: 1, packetId: ++packetId });
      assert.ok(client.takeText().includes(`puback ${packetId}`));
    }
  };
}

function consumerOf(
  node: VirtualNode,
  name: string,
  filter: string,
  fields: Parameters<VirtualNode["connect"]>[1] = {},
): VirtualClient {
  const client = node.connect(name, fields);
  client.take();
  client.subscribe(filter, { qos: 1 });
  return client;
}

/** The messages among what came. */
const messagesOf = (client: VirtualClient): Received[] =>
  client.take().filter((packet): packet is Received => packet.type === PacketType.publish);

const textsOf = (client: VirtualClient): string[] =>
  messagesOf(client).map(({ payload }) => payload);

const property = ({ properties }: Received, name: string): string | undefined =>
  properties.userProperties?.find(([key]) => key === name)?.[1];

test("A queue's messages go to one of its MQTT consumers each, and PUBACK settles them for good.", () => {
  const node = nodeWith();
  const send = publisherOf(node);
  const one = consumerOf(node, "one", "$share/any/$queue/q");
  const two = consumerOf(node, "two", "$queue/q");
  one.take();
  two.take();
  send("jobs/1", "a", "b", "c", "d");
  const [first, second] = [messagesOf(one), messagesOf(two)];
  assert.deepEqual(
    first.map(({ payload }) => payload),
    ["a", "c"],
  );
  assert.deepEqual(
    second.map(({ payload }) => payload),
    ["b", "d"],
  );
  assert.deepEqual([first[0]?.topic, first[0]?.qos], ["jobs/1", 1]);
  for (const { packetId } of first) one.ack(PacketType.puback, packetId);
  for (const { packetId } of second) two.ack(PacketType.puback, packetId);
  node.crash();
  const queue = node.broker.queues.get("q");
  assert.equal(queue?.messages, 0);
});

test("Receive Maximum is the window of a consumer of a queue.", () => {
  const node = nodeWith();
  publisherOf(node)("jobs/1", "a", "b", "c", "d");
  const client = consumerOf(node, "one", "$queue/q", { properties: { receiveMaximum: 2 } });
  const [first] = messagesOf(client);
  assert.equal(node.broker.queues.get("q")?.deliveries.inHands, 2);
  client.ack(PacketType.puback, first?.packetId ?? 0);
  assert.deepEqual(textsOf(client), ["c"]);
});

test("What a consumer that goes has not acknowledged is the next one's at once, in its place, with its count.", () => {
  const node = nodeWith();
  publisherOf(node)("jobs/1", "a", "b", "c");
  const one = consumerOf(node, "one", "$queue/q", { properties: { receiveMaximum: 2 } });
  one.take();
  const two = consumerOf(node, "two", "$queue/q");
  assert.deepEqual(textsOf(two), ["c"]);
  one.lose();
  const again = messagesOf(two);
  assert.deepEqual(
    again.map((message) => [message.payload, property(message, "rill-delivery-count")]),
    [
      ["a", "2"],
      ["b", "2"],
    ],
  );
});

test("A message that kills its consumers becomes a dead letter.", () => {
  const node = nodeWith();
  publisherOf(node)("jobs/1", "poison");
  for (let i = 0; i < 3; i++) {
    const client = consumerOf(node, `victim-${i}`, "$queue/q");
    assert.deepEqual(textsOf(client), ["poison"]);
    client.lose();
  }
  const client = consumerOf(node, "next", "$queue/q");
  assert.deepEqual(textsOf(client), []);
  assert.deepEqual(textsOf(consumerOf(node, "undertaker", "$queue/dead")), ["poison"]);
  assert.deepEqual(node.givenUp, ["q deliveries dead"]);
});

test("After a crash of the broker what MQTT clients had in hands is free at once, and counted when that was on disk.", () => {
  const node = nodeWith();
  publisherOf(node)("jobs/1", "a");
  const one = consumerOf(node, "one", "$queue/q", LASTING);
  one.take();
  node.crash();
  const again = node.connect("one", { cleanStart: false, ...LASTING });
  const [message] = messagesOf(again);
  assert.equal(message?.payload, "a");
  assert.equal(message && property(message, "rill-delivery-count"), "2");
  again.ack(PacketType.puback, message?.packetId ?? 0);
  node.crash();
  assert.equal(node.broker.queues.get("q")?.messages, 0);
});

test("A message too large for its consumer stays in the queue for others, and comes not at once again.", () => {
  const node = nodeWith();
  publisherOf(node)("jobs/1", "x".repeat(500));
  const small = consumerOf(node, "small", "$queue/q", { properties: { maximumPacketBytes: 200 } });
  assert.deepEqual(textsOf(small), []);
  small.lose();
  const other = consumerOf(node, "other", "$queue/q");
  assert.deepEqual(textsOf(other), []);
  node.advance(30_000);
  assert.equal(textsOf(other).length, 1);
});

test("A queue is subscribed to with QoS 1: 0 is refused, 2 is granted as 1, as for streams.", () => {
  const node = nodeWith();
  const client = node.connect("client");
  client.take();
  client.subscribe("$queue/q", { qos: 0 });
  client.subscribe("$queue/q", { qos: 2 });
  client.subscribe("$stream/s/first", { qos: 2 });
  client.subscribe("$stream/s/last", { qos: 0 });
  assert.deepEqual(client.takeText(), [
    "suback 1 0x83",
    "suback 1 0x01",
    "suback 1 0x01",
    "suback 1 0x00",
  ]);
});

const WRONG = [
  "$queue/",
  "$queue/a/b",
  "$queue/+",
  "$queue/#",
  "$stream/s",
  "$stream/none/first",
  "$stream/s/seq",
  "$stream/s/seq/x",
  "$stream/s/ago/-1",
  "$stream/s/time/never",
  "$stream/s/middle",
  "$stream/+/first",
  "$share/g/$stream/s/first",
];
for (const topicFilter of WRONG) {
  test(`${topicFilter} is no subscription.`, () => {
    const node = nodeWith();
    const client = node.connect("client");
    client.take();
    client.subscribe(topicFilter, { qos: 1 });
    assert.deepEqual(client.takeText(), ["suback 1 0x8f"]);
  });
}

test("After UNSUBSCRIBE nothing more comes, and what was sent can still be acknowledged.", () => {
  const node = nodeWith();
  const send = publisherOf(node);
  const client = consumerOf(node, "client", "$queue/q");
  client.take();
  send("jobs/1", "a");
  const [message] = messagesOf(client);
  client.unsubscribe("$queue/q");
  send("jobs/1", "b");
  assert.deepEqual(client.takeText(), ["unsuback 2 0x00"]);
  client.ack(PacketType.puback, message?.packetId ?? 0);
  client.lose();
  assert.deepEqual(textsOf(consumerOf(node, "other", "$queue/q")), ["b"]);
});

test("PUBLISH to $queue/NAME and $stream/NAME stores the message under the name, and acknowledges it on disk.", () => {
  const node = nodeWith({ flushes: "manual" });
  node.flushAll();
  const client = node.connect("client");
  node.flushAll();
  client.take();
  client.publish("$queue/new", "job", { qos: 1, packetId: 1, retain: true });
  client.publish("$stream/s", "fact", { qos: 1, packetId: 2 });
  assert.deepEqual(client.take(), []);
  node.flushAll();
  assert.deepEqual(client.takeText(), ["puback 1", "puback 2"]);
  client.publish("$stream/none", "x", { qos: 1, packetId: 3 });
  client.publish("$queue/a/b", "x", { qos: 1, packetId: 4 });
  node.flushAll();
  assert.deepEqual(client.takeText(), ["puback 3 0x90", "puback 4 0x90"]);
  client.subscribe("$queue/new", { qos: 1 });
  client.subscribe("$stream/s/first", { qos: 1 });
  node.flushAll();
  assert.deepEqual(
    messagesOf(client).map(({ topic, payload, retain }) => [topic, payload, retain]),
    [
      ["new", "job", false],
      ["s", "fact", false],
    ],
  );
});

test("Without rules these topics are for nobody unless they are allowed; with rules for whom these name.", () => {
  const node = nodeWith({ connection: { allowsPatternTopics: false } });
  const client = node.connect("client");
  client.take();
  client.publish("$queue/q", "x", { qos: 1, packetId: 1 });
  client.subscribe("$queue/q", { qos: 1 });
  client.subscribe("$stream/s/first", { qos: 1 });
  assert.deepEqual(client.takeText(), ["puback 1 0x87", "suback 1 0x87", "suback 1 0x87"]);
  const rule = {
    subject: { kind: "anonymous" } as const,
    publish: ["$queue/q"],
    subscribe: ["$stream/s", "#"],
  };
  node.setPolicy({ rules: [rule], users: undefined });
  client.publish("$queue/q", "x", { qos: 1, packetId: 2 });
  client.publish("$stream/s", "x", { qos: 1, packetId: 3 });
  client.subscribe("$queue/q", { qos: 1 });
  client.subscribe("$stream/s/seq/5/in/+", { qos: 1 });
  assert.deepEqual(client.takeText(), [
    "puback 2",
    "puback 3 0x87",
    "suback 1 0x87",
    "suback 1 0x01",
  ]);
  node.setPolicy({ rules: [{ ...rule, subscribe: ["#"] }], users: undefined });
  assert.deepEqual(node.revoked, ["client $stream/s/seq/5/in/+"]);
});

test("A stream is read from where the subscription says, with its own topics, and goes on with what comes.", () => {
  const node = nodeWith();
  const send = publisherOf(node);
  send("in/a", "1");
  node.advance(10_000);
  send("in/b", "2");
  node.advance(10_000);
  send("in/a", "3");
  const starts: [string, string[]][] = [
    ["first", ["1", "2", "3"]],
    ["last", ["3"]],
    ["new", []],
    ["ago/15", ["2", "3"]],
    [`time/${node.wallMs - 15_000}`, ["2", "3"]],
    [`time/${new Date(node.wallMs - 5_000).toISOString()}`, ["3"]],
    ["first/in/a", ["1", "3"]],
    ["first/#", ["1", "2", "3"]],
  ];
  const clients = starts.map(([start], i) => consumerOf(node, `c${i}`, `$stream/s/${start}`));
  assert.deepEqual(
    clients.map(textsOf),
    starts.map(([, texts]) => texts),
  );
  send("in/a", "4");
  assert.deepEqual(
    clients.map(textsOf),
    starts.map(() => ["4"]),
  );
  const reader = consumerOf(node, "reader", "$stream/s/first");
  const [record] = messagesOf(reader);
  assert.ok(record !== undefined);
  assert.equal(record.topic, "in/a");
  assert.equal(property(record, "rill-stream"), "s");
  const sequence = Number(property(record, "rill-sequence"));
  assert.ok(Math.abs(Number(property(record, "rill-time")) - (node.wallMs - 20_000)) < 10);
  const second = consumerOf(node, "second", `$stream/s/seq/${sequence + 1}`);
  assert.deepEqual(textsOf(second), ["2", "3", "4"]);
});

test("A replay is paced by the window, and nothing is lost between the past and what comes.", () => {
  const node = nodeWith();
  const send = publisherOf(node);
  const texts = Array.from({ length: 200 }, (_, i) => `${i}`);
  send("in/a", ...texts.slice(0, 150));
  const client = consumerOf(node, "client", "$stream/s/first", {
    properties: { receiveMaximum: 3 },
  });
  const got: string[] = [];
  send("in/a", ...texts.slice(150));
  for (let messages = messagesOf(client); messages.length > 0; messages = messagesOf(client)) {
    assert.ok(messages.length <= 3);
    for (const { packetId, payload } of messages) {
      got.push(payload);
      client.ack(PacketType.puback, packetId);
    }
  }
  assert.deepEqual(got, texts);
});

test("A session that is resumed goes on behind what it acknowledged, also after a crash, and SUBSCRIBE does not begin anew.", () => {
  const node = nodeWith();
  const send = publisherOf(node);
  send("in/a", "1", "2", "3", "4");
  const client = consumerOf(node, "client", "$stream/s/first", LASTING);
  const [one, two] = messagesOf(client);
  client.ack(PacketType.puback, one?.packetId ?? 0);
  client.ack(PacketType.puback, two?.packetId ?? 0);
  client.lose();
  const again = node.connect("client", { cleanStart: false, ...LASTING });
  assert.deepEqual(textsOf(again), ["3", "4"]);
  again.subscribe("$stream/s/first", { qos: 1 });
  assert.deepEqual(textsOf(again), []);
  node.crash();
  send.call(undefined, "in/a");
  const last = node.connect("client", { cleanStart: false, ...LASTING });
  assert.deepEqual(textsOf(last), ["3", "4"]);
});

test("A lasting subscription to what is new gets what came while it was away.", () => {
  const node = nodeWith();
  publisherOf(node)("in/a", "before");
  consumerOf(node, "client", "$stream/s/new", LASTING).lose();
  node.crash();
  publisherOf(node)("in/a", "after");
  assert.deepEqual(textsOf(node.connect("client", { cleanStart: false, ...LASTING })), ["after"]);
});

test("Records of QoS 0 come with QoS 0, and a 3.1.1 client reads and receives as well.", () => {
  const node = nodeWith();
  const publisher = node.connect("publisher");
  publisher.publish("in/a", "zero");
  publisher.publish("jobs/1", "job");
  const old = consumerOf(node, "old", "$stream/s/first", { version: ProtocolVersion.v311 });
  old.subscribe("$queue/q", { qos: 1 });
  assert.deepEqual(
    messagesOf(old).map(({ payload, qos }) => [payload, qos]),
    [
      ["zero", 0],
      ["job", 1],
    ],
  );
});

test("The end of a session ends what it subscribed to, and leaves nothing on disk.", () => {
  const node = nodeWith();
  const client = consumerOf(node, "client", "$stream/s/first", LASTING);
  client.subscribe("$queue/q", { qos: 1 });
  assert.equal(node.broker.patterns.size, 2);
  assert.equal(node.broker.subscriptionCount, 2);
  client.disconnect(0, { sessionExpirySeconds: 0 });
  node.turn();
  assert.equal(node.broker.patterns.size, 0);
  assert.equal(node.broker.queues.get("q")?.deliveries.receiverCount, 0);
});

test("Rules know a subscription by its queue or stream.", () => {
  assert.equal(ruleTopicOf("$share/g/$queue/q"), "$queue/q");
  assert.equal(ruleTopicOf("$stream/s/seq/5/a/b"), "$stream/s");
  assert.equal(ruleTopicOf("$share/g/a/+"), "a/+");
});
