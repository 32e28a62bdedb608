import assert from "node:assert/strict";
import { test } from "node:test";
import { PacketType } from "../../../src/mqtt/packet.ts";
import type { StreamRecord } from "../../../src/native/frame.ts";
import { type NativeClient, textOf } from "../../support/native-client.ts";
import type { Received } from "../../support/virtual-client.ts";
import { VirtualNode } from "../../support/virtual-node.ts";

const bytes = (text: string): Uint8Array => Buffer.from(text);
const messages = (...texts: string[]): { payload: Uint8Array }[] =>
  texts.map((text) => ({ payload: bytes(text) }));
const textsOf = (records: readonly StreamRecord[]): string[] =>
  records.map(({ payload }) => textOf(payload));
const gotBy = (client: NativeClient): string[] =>
  client.takeAll("records").flatMap(({ records }) => textsOf(records));

function withStream(options: ConstructorParameters<typeof VirtualNode>[0] = {}): {
  node: VirtualNode;
  client: NativeClient;
} {
  const node = new VirtualNode(options);
  const client = node.native("c");
  client.begin({ op: "stream.create", stream: "s", filters: ["s/#"] });
  node.flushAll();
  return { node, client };
}

test("Appends are answered with their sequences once they are on disk, and read from wherever one wants.", () => {
  const { node, client } = withStream({ flushes: "manual" });
  const id = client.begin({ op: "append", stream: "s", messages: messages("a", "b") });
  assert.equal(client.answerTo(id), undefined);
  node.flushAll();
  assert.deepEqual(client.answerTo(id)?.["sequences"], [1, 2]);
  node.advance(10_000);
  client.begin({ op: "append", stream: "s", messages: messages("c", "d") });
  node.flushAll();
  const read = (from: object, more: object = {}): string[] => {
    const answer = client.ok({ op: "read", stream: "s", from, ...more });
    return textsOf(answer["records"] as StreamRecord[]);
  };
  assert.deepEqual(read({ at: "first" }), ["a", "b", "c", "d"]);
  assert.deepEqual(read({ at: "last" }), ["d"]);
  assert.deepEqual(read({ at: "new" }), []);
  assert.deepEqual(read({ sequence: 2 }, { max: 2 }), ["b", "c"]);
  assert.deepEqual(read({ agoMs: 5_000 }), ["c", "d"]);
  assert.deepEqual(read({ timeAt: node.wallMs - 5_000 }), ["c", "d"]);
  const page = client.ok({ op: "read", stream: "s", from: { at: "first" }, maxBytes: 1 });
  assert.equal(page["next"], 2);
});

test("An append with another expected sequence is refused with the one there is, and a known identifier is not appended again.", () => {
  const { client } = withStream();
  const once = { op: "append", stream: "s", messages: [{ messageId: "m", payload: bytes("x") }] };
  assert.deepEqual(client.ok({ ...once, expectedSequence: 1 })["sequences"], [1]);
  const repeated = client.ok({ ...once, expectedSequence: 1 });
  assert.deepEqual([repeated["sequences"], repeated["duplicates"]], [[1], 1]);
  const other = { ...once, messages: [{ messageId: "n" }] };
  const wrong = client.ask({ ...other, expectedSequence: 1 });
  assert.deepEqual([wrong["code"], wrong["nextSequence"]], ["wrong-sequence", 2]);
  const again = client.ok(once);
  assert.deepEqual([again["sequences"], again["duplicates"]], [[1], 1]);
});

test("An ephemeral consumer gets what is on disk within its credit, then what comes, and what MQTT devices publish.", () => {
  const { node, client } = withStream({ flushes: "manual" });
  client.begin({ op: "append", stream: "s", messages: messages("a", "b", "c") });
  node.flushAll();
  const { sub } = client.ok({ op: "consume", stream: "s", from: { at: "first" }, credit: 2 });
  assert.deepEqual(gotBy(client), ["a", "b"]);
  client.send({ op: "credit", sub, add: 3 });
  assert.deepEqual(gotBy(client), ["c"]);
  const device = node.connect("device");
  node.flushAll();
  device.publish("s/1", "d", { qos: 1, packetId: 1 });
  assert.deepEqual(gotBy(client), [], "not before it is on disk");
  node.flushAll();
  assert.deepEqual(gotBy(client), ["d"]);
});

test("A durable consumer hands out again what is not acknowledged in time, also after a crash, and nothing that was.", () => {
  const { node, client } = withStream();
  client.ok({ op: "append", stream: "s", messages: messages("a", "b", "c") });
  const consume = {
    op: "consume",
    stream: "s",
    consumer: "d",
    from: { at: "first" },
    credit: 10,
    ackWaitMs: 1_000,
  };
  const { sub } = client.ok(consume);
  assert.deepEqual(gotBy(client), ["a", "b", "c"]);
  client.ok({ op: "ack", sub, sequences: [2] });
  node.advance(1_000);
  const [again] = client.takeAll("records");
  assert.deepEqual(
    again?.records.map(({ sequence, deliveryCount }) => [sequence, deliveryCount]),
    [
      [1, 2],
      [3, 2],
    ],
  );
  client.ok({ op: "ack", sub, upTo: 1 });
  node.crash();
  const after = node.native("c");
  after.ok(consume);
  node.advance(2_000);
  assert.deepEqual([...new Set(gotBy(after))], ["c"]);
});

test("Who takes an exclusive consumer over ends the one before, and a group shares it.", () => {
  const { node, client } = withStream();
  const consume = { op: "consume", stream: "s", consumer: "d", from: { at: "first" }, credit: 1 };
  client.ok(consume);
  const other = node.native("other");
  other.ok({ ...consume, isGroup: true });
  assert.equal(client.takeAll("ended")[0]?.code, "consumer-taken");
  client.ok({ ...consume, isGroup: true });
  assert.deepEqual(other.takeAll("ended"), []);
  client.ok({ op: "append", stream: "s", messages: messages("a", "b") });
  assert.deepEqual([...gotBy(client), ...gotBy(other)].sort(), ["a", "b"]);
});

test("What a member of a group that leaves had is with the others at once.", () => {
  const { node, client } = withStream();
  const consume = { op: "consume", stream: "s", consumer: "d", credit: 10, isGroup: true };
  client.ok(consume);
  client.ok({ op: "append", stream: "s", messages: messages("a") });
  assert.deepEqual(gotBy(client), ["a"]);
  const other = node.native("other");
  other.ok(consume);
  client.drop();
  assert.deepEqual(gotBy(other), ["a"]);
});

test("What a connection that ends had is not handed to another sub of it, where nobody would see it.", () => {
  const { node, client } = withStream();
  const consume = { op: "consume", stream: "s", consumer: "d", credit: 10, isGroup: true };
  client.ok(consume);
  client.ok(consume);
  client.ok({ op: "append", stream: "s", messages: messages("a") });
  const other = node.native("other");
  other.ok(consume);
  client.drop();
  const [frame] = other.takeAll("records");
  assert.equal(frame?.records[0]?.deliveryCount, 2);
});

test("What was purged or dropped before it was read is told as lost.", () => {
  const { client } = withStream();
  client.ok({ op: "append", stream: "s", messages: messages("a", "b", "c") });
  assert.equal(client.ok({ op: "stream.purge", stream: "s", before: 3 })["count"], 2);
  client.ok({ op: "consume", stream: "s", from: { sequence: 1 }, credit: 10 });
  const [frame] = client.takeAll("records");
  assert.deepEqual([frame?.lost, textsOf(frame?.records ?? [])], [[[1, 2]], ["c"]]);
  const read = client.ok({ op: "read", stream: "s", from: { sequence: 2 } });
  assert.deepEqual(read["lost"], [[2, 2]]);
});

test("A stream that is deleted ends its subs and consumers, and one of its name begins empty, in the same turn.", () => {
  const { node, client } = withStream();
  client.ok({ op: "append", stream: "s", messages: messages("a") });
  client.ok({ op: "consume", stream: "s", credit: 10 });
  client.ok({ op: "consume", stream: "s", consumer: "d", credit: 10 });
  const late = { op: "append", id: 900, stream: "s", messages: messages("late") };
  client.send(
    late,
    { op: "stream.delete", id: 901, stream: "s" },
    { op: "stream.create", id: 902, stream: "s" },
  );
  node.flushAll();
  assert.equal(client.answerTo(902)?.op, "ok");
  assert.deepEqual(
    client.takeAll("ended").map(({ code }) => code),
    ["not-found", "not-found"],
  );
  const { records } = client.ok({ op: "read", stream: "s", from: { at: "first" } });
  assert.deepEqual(records, []);
  assert.deepEqual(client.ok({ op: "consumer.list", stream: "s" })["consumers"], []);
  node.crash();
  const after = node.native("c");
  assert.deepEqual(after.ok({ op: "read", stream: "s", from: { at: "first" } })["records"], []);
});

test("Streams are listed by pages, looked at and changed; those of the configuration are changed there.", () => {
  const node = new VirtualNode({
    streams: [{ name: "fixed", filters: ["f/#"], bytesMax: 1_000_000, whenFull: "reject" }],
  });
  const client = node.native("c");
  for (const stream of ["a", "b"]) client.ok({ op: "stream.create", stream });
  assert.equal(client.refused({ op: "stream.create", stream: "a" }), "exists");
  const page = client.ok({ op: "stream.list", after: "a", max: 1 });
  assert.deepEqual(
    [page["streams"], page["more"]],
    [[{ stream: "b", messages: 0, bytes: 0 }], true],
  );
  client.ok({ op: "stream.update", stream: "a", maxMessages: 1 });
  client.ok({ op: "append", stream: "a", messages: messages("x") });
  assert.equal(client.refused({ op: "append", stream: "a", messages: messages("y") }), "full");
  const info = client.ok({ op: "stream.info", stream: "a" });
  assert.deepEqual([info["messages"], info["nextSequence"]], [1, 2]);
  assert.equal(client.refused({ op: "stream.delete", stream: "fixed" }), "not-authorized");
  assert.equal(client.refused({ op: "stream.info", stream: "none" }), "not-found");
});

test("A record that has expired is handed to nobody: reads, cursors and MQTT subscriptions skip it, and others say how long they are good.", () => {
  const { node, client } = withStream({ connection: { allowsPatternTopics: true } });
  client.ok({
    op: "append",
    stream: "s",
    messages: [
      { payload: bytes("old"), expiryMs: 1_000 },
      { payload: bytes("good"), expiryMs: 60_000 },
      { payload: bytes("for ever") },
      { payload: bytes("late"), expiryMs: 1_500 },
    ],
  });
  const begin = { op: "consume", stream: "s", from: { at: "first" }, credit: 10 };
  client.ok(begin);
  assert.deepEqual(gotBy(client), ["old", "good", "for ever", "late"]);
  node.advance(2_000);
  const answer = client.ok({ op: "read", stream: "s", from: { at: "first" }, max: 10 });
  const records = answer["records"] as StreamRecord[];
  assert.deepEqual(textsOf(records), ["good", "for ever"]);
  assert.deepEqual([records[0]?.expiryMs, answer["next"], answer["lost"]], [58_000, 5, undefined]);
  client.ok(begin);
  assert.deepEqual(gotBy(client), ["good", "for ever"]);
  assert.deepEqual(client.takeAll("records"), [], "nothing is told as lost");
  const device = node.connect("device");
  device.take();
  device.subscribe("$stream/s/first", { qos: 1 });
  const published = device
    .take()
    .filter((packet): packet is Received => packet.type === PacketType.publish);
  assert.deepEqual(
    published.map(({ payload, properties }) => [payload, properties.messageExpirySeconds]),
    [
      ["good", 58],
      ["for ever", undefined],
    ],
  );
});

test("A cursor passes over many records that have expired in several turns, and goes on to what has not.", () => {
  const { node, client } = withStream();
  const old = Array.from({ length: 1_000 }, () => ({ payload: bytes("x"), expiryMs: 1_000 }));
  for (let i = 0; i < 40; i++) client.ok({ op: "append", stream: "s", messages: old });
  client.ok({ op: "append", stream: "s", messages: messages("good") });
  node.advance(1_000);
  client.ok({ op: "consume", stream: "s", from: { at: "first" }, credit: 10 });
  assert.deepEqual(gotBy(client), [], "others are served in between");
  node.advance(10);
  assert.deepEqual(gotBy(client), ["good"]);
});

test("Who takes a consumer over from a group gets what its members had once more: they do not hand it to each other on their way out.", () => {
  const { node, client } = withStream();
  const consume = { op: "consume", stream: "s", consumer: "d", credit: 10, deliveriesMax: 3 };
  const members = ["m1", "m2", "m3"].map((name) => node.native(name));
  for (const member of members) member.ok({ ...consume, isGroup: true });
  client.ok({ op: "append", stream: "s", messages: messages("a", "b", "c") });
  for (const member of members) assert.equal(gotBy(member).length, 1);
  client.ok(consume);
  const [frame] = client.takeAll("records");
  assert.deepEqual(
    frame?.records.map(({ deliveryCount }) => deliveryCount),
    [2, 2, 2],
  );
  for (const member of members) assert.deepEqual(gotBy(member), []);
});

test("What is purged in the commit with which somebody takes a consumer is told as lost, and not given up as undeliverable.", () => {
  const { node, client } = withStream({ flushes: "manual" });
  const consume = { op: "consume", stream: "s", consumer: "d", from: { at: "first" }, credit: 10 };
  client.begin({ ...consume, credit: 0 });
  client.begin({ op: "append", stream: "s", messages: messages("a", "b", "c") });
  node.flushAll();
  client.begin({ op: "stream.purge", stream: "s", before: 3 });
  const other = node.native("other");
  other.begin({ ...consume, ackWaitMs: 1_000 });
  node.flushAll();
  const frames = other.takeAll("records");
  assert.deepEqual(
    frames.map(({ lost, records }) => [lost, textsOf(records)]),
    [
      [[[1, 2]], []],
      [undefined, ["c"]],
    ],
  );
  assert.deepEqual(node.consumerLosses, ["d 1..2"]);
  assert.deepEqual(node.givenUp, []);
});

test("A consumer that begins with what does not exist yet has nothing unsettled.", () => {
  const { client } = withStream();
  const consume = { op: "consume", stream: "s", consumer: "d", from: { sequence: 5 }, credit: 10 };
  client.ok(consume);
  client.ok({ op: "append", stream: "s", messages: messages("a", "b", "c", "d", "e", "f") });
  assert.deepEqual(gotBy(client), ["e", "f"]);
  const later = { ...consume, consumer: "later", from: { sequence: 100 } };
  client.ok(later);
  const info = { op: "consumer.info", stream: "s", consumer: "later" };
  assert.equal(client.ok(info)["unsettled"], 0);
});
