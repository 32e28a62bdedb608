/** Topics and topic filters of queues, streams and replies, well formed and not, each with the reason code that is due. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { PacketType, ProtocolVersion } from "../../../src/mqtt/packet.ts";
import { VirtualNode } from "../../support/virtual-node.ts";

const SUCCESS = 0x00;
const NO_SUBSCRIBERS = 0x10;
const SPECIFIC = 0x83;
const FILTER_INVALID = 0x8f;
const TOPIC_INVALID = 0x90;

const BAD_NAMES = [
  "",
  "a/b",
  "$x",
  "a*b",
  "a>b",
  "a;b",
  "a:b",
  "a\u0007b",
  "/",
  "a/",
  "x".repeat(257),
];

const PUBLISHED: readonly (readonly [topic: string, reasonCode: number])[] = [
  ["$queue/q", SUCCESS],
  ["$queue/ü", SUCCESS],
  [`$queue/${"x".repeat(256)}`, SUCCESS],
  ["$stream/s", SUCCESS],
  ["$stream/none", TOPIC_INVALID],
  ["$stream/s/first", TOPIC_INVALID],
  ["$queue", TOPIC_INVALID],
  ["$stream", TOPIC_INVALID],
  ["$Queue/q", TOPIC_INVALID],
  ["$share/g/$queue/q", TOPIC_INVALID],
  ...BAD_NAMES.flatMap((name) => [
    [`$queue/${name}`, TOPIC_INVALID] as const,
    [`$stream/${name}`, TOPIC_INVALID] as const,
  ]),
  ["$reply/nobody-waits", NO_SUBSCRIBERS],
  ["$reply/a/b", NO_SUBSCRIBERS],
  ["$reply/", NO_SUBSCRIBERS],
  ["$reply", TOPIC_INVALID],
  ["$SYS/reply", TOPIC_INVALID],
];

const SUBSCRIBED: readonly (readonly [topicFilter: string, reasonCode: number])[] = [
  ["$queue/q", 1],
  ["$share/g/$queue/q", 1],
  ["$share/any/$queue/other", 1],
  ["$queue/+", FILTER_INVALID],
  ["$queue/#", FILTER_INVALID],
  ["$share/g/$queue/+", FILTER_INVALID],
  ["$share/g/$queue/", FILTER_INVALID],
  ["$share/g/$stream/s/first", FILTER_INVALID],
  ...["first", "last", "new", "seq/0", "seq/7", "ago/0", "ago/60", "time/0"].map(
    (start) => [`$stream/s/${start}`, 1] as const,
  ),
  ["$stream/s/time/2023-11-14T22:13:20Z", 1],
  ["$stream/s/first/line/+/#", 1],
  ["$stream/s/seq/7/#", 1],
  ...["", "middle", "First", "seq", "seq/", "seq/x", "seq/-1", "seq/1.5", "seq/1e3", "seq/0x1"]
    .concat("seq/9999999999999999", "ago", "ago/", "ago/1.5", "ago/-1", "time", "time/", "time/now")
    .concat("+", "#", "first/#/a", "first/a+", "seq/+", "seq/7/a#")
    .map((start) => [`$stream/s/${start}`, FILTER_INVALID] as const),
  ["$stream/s", FILTER_INVALID],
  ["$stream/none/first", FILTER_INVALID],
  ["$stream/+/first", FILTER_INVALID],
  ["$stream//first", FILTER_INVALID],
  ...BAD_NAMES.map((name) => [`$queue/${name}`, FILTER_INVALID] as const),
];

const STREAM = { name: "s", filters: [], bytesMax: 1e6, whenFull: "reject" } as const;
const open = (): VirtualNode =>
  new VirtualNode({ streams: [STREAM], connection: { allowsPatternTopics: true } });

test("PUBLISH to each of these topics is answered with the reason code that is due, and goes nowhere else.", () => {
  for (const [topic, reasonCode] of PUBLISHED) {
    const node = open();
    const watcher = node.connect("watcher");
    for (const filter of ["#", "+/#", "$reply/#"]) watcher.subscribe(filter);
    watcher.take();
    const client = node.connect("c");
    client.take();
    client.publish(topic, "x", { qos: 1, packetId: 9 });
    const [answer] = client.take();
    assert.equal(answer?.type, PacketType.puback, topic);
    assert.equal(answer.reasonCode, reasonCode, topic);
    assert.deepEqual(watcher.take(), [], topic);
    const stored = reasonCode === SUCCESS ? 1 : 0;
    const { queues, streams } = node.broker;
    const inQueues = [...queues.all()].reduce((sum, { messages }) => sum + messages, 0);
    const stream = streams.get("s");
    assert.ok(stream !== undefined);
    const inStream = node.store.stats(stream.log).nextSequence - 1;
    assert.equal(inQueues + inStream, stored, topic);
    assert.equal(client.isClosed, false, topic);
  }
});

test("A 3.1.1 client that publishes where it cannot is closed, also with QoS 0.", () => {
  for (const [topic, reasonCode] of PUBLISHED) {
    for (const qos of [0, 1] as const) {
      const node = open();
      const client = node.connect("c", { version: ProtocolVersion.v311 });
      client.publish(topic, "x", { qos, packetId: qos * 9 });
      assert.equal(client.isClosed, reasonCode !== SUCCESS, `${topic} with QoS ${qos}`);
    }
  }
});

test("SUBSCRIBE to each of these topic filters is answered with the reason code that is due.", () => {
  for (const [topicFilter, reasonCode] of SUBSCRIBED) {
    const node = open();
    const client = node.connect("c");
    client.take();
    client.subscribe(topicFilter, { qos: 2 });
    const answer = client.take().find(({ type }) => type === PacketType.suback);
    assert.ok(answer !== undefined && "reasonCodes" in answer, topicFilter);
    assert.deepEqual(answer.reasonCodes, [reasonCode], topicFilter);
    assert.equal(node.broker.subscriptionCount, reasonCode < 0x80 ? 1 : 0, topicFilter);
    assert.equal(client.isClosed, false, topicFilter);
  }
  const node = open();
  const client = node.connect("c");
  client.take();
  client.subscribe("$queue/q", { qos: 0 });
  const [answer] = client.take();
  assert.ok(answer !== undefined && "reasonCodes" in answer);
  assert.deepEqual(answer.reasonCodes, [SPECIFIC], "nothing could be settled");
});
