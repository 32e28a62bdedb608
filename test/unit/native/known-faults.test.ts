/** Each of KubeMQ's known faults (docs/patterns.md, "Beside KubeMQ"), by name: that it is not here. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Delivery, StreamRecord } from "../../../src/native/frame.ts";
import { type NativeClient, textOf } from "../../support/native-client.ts";
import { VirtualNode, type VirtualNodeOptions } from "../../support/virtual-node.ts";

const HOUR = 3_600_000;
const payload = (text: string): Uint8Array => Buffer.from(text);
const messages = (...texts: string[]) => texts.map((text) => ({ payload: payload(text) }));

function start(options: VirtualNodeOptions = {}): { node: VirtualNode; client: NativeClient } {
  const node = new VirtualNode(options);
  const client = node.native("c");
  client.begin({ op: "stream.create", stream: "s" });
  client.begin({ op: "queue.create", queue: "q", deliveriesMax: 2, deadLetterQueue: "dead" });
  node.flushAll();
  return { node, client };
}

const receive = (client: NativeClient, more: object = {}): readonly Delivery[] =>
  client.ok({ op: "receive", queue: "q", max: 10, ...more })["deliveries"] as Delivery[];
const textsOf = (all: readonly { readonly payload?: Uint8Array }[]): string[] =>
  all.map((one) => textOf(one.payload));

test("Events store acknowledged before it is stored: not here, the answer comes after the flush.", () => {
  const { node, client } = start({ flushes: "manual" });
  const id = client.begin({ op: "append", stream: "s", messages: messages("a") });
  assert.equal(client.answerTo(id), undefined);
  node.flushAll();
  assert.deepEqual(client.answerTo(id)?.["sequences"], [1]);
});

test("Stored events dropped for a subscriber that is slow for 2 s: not here, it gets them when it has credit.", () => {
  const { node, client } = start();
  const { sub } = client.ok({ op: "consume", stream: "s", from: { at: "first" }, credit: 1 });
  client.ok({ op: "append", stream: "s", messages: messages("a", "b", "c") });
  node.advance(10_000);
  client.send({ op: "credit", sub, add: 10 });
  const records = client
    .takeAll("records")
    .flatMap((frame): readonly StreamRecord[] => frame.records);
  assert.deepEqual(textsOf(records), ["a", "b", "c"]);
});

test("A pull acknowledged before its reply is sent: not here, only the consumer settles.", () => {
  const { node, client } = start();
  client.ok({ op: "send", queue: "q", messages: messages("a") });
  client.begin({ op: "receive", queue: "q", max: 1 });
  client.drop();
  assert.deepEqual(textsOf(receive(node.native("other"))), ["a"]);
});

test("The end of visibility acknowledges first and then sends again: not here, no crash loses the message.", () => {
  for (let commits = 0; commits < 4; commits++) {
    const { node, client } = start({ flushes: "manual" });
    client.begin({ op: "send", queue: "q", messages: messages("a") });
    node.flushAll();
    receive(client, { visibilityMs: 1_000 });
    node.flushAll();
    node.advance(1_000);
    for (let i = 0; i < commits; i++) node.flush();
    node.crash();
    node.flushAll();
    assert.deepEqual(textsOf(receive(node.native("other"))), ["a"]);
  }
});

test("Reject moves the message to the tail: not here, it goes into its place.", () => {
  const { client } = start();
  client.ok({ op: "send", queue: "q", messages: messages("a", "b") });
  const [first] = receive(client, { max: 1 });
  client.ok({ op: "settle", queue: "q", how: "reject", deliveries: [first?.delivery] });
  assert.deepEqual(textsOf(receive(client)), ["a", "b"]);
});

test("A consumer that dies does not raise the count, so that poison never dead-letters: here it does.", () => {
  const { node, client } = start();
  client.ok({ op: "send", queue: "q", messages: messages("poison") });
  for (const name of ["one", "two"]) {
    const victim = node.native(name);
    assert.deepEqual(textsOf(receive(victim)), ["poison"]);
    victim.drop();
  }
  assert.deepEqual(receive(client), []);
  assert.deepEqual(textsOf(receive(client, { queue: "dead" })), ["poison"]);
});

test("Delayed messages collide by identifier in one map: not here, in two queues they are two.", () => {
  const { node, client } = start();
  for (const queue of ["q", "other"]) {
    const message = { payload: payload(queue), messageId: "same", delayMs: 1_000 };
    client.ok({ op: "send", queue, messages: [message] });
  }
  node.advance(1_000);
  assert.deepEqual(textsOf(receive(client)), ["q"]);
  assert.deepEqual(textsOf(receive(client, { queue: "other" })), ["other"]);
});

test("Wait 0 blocks a second: not here, the answer comes at once.", () => {
  const { client } = start();
  assert.deepEqual(receive(client, { waitMs: 0 }), []);
});

test("Peek hides messages from others: not here.", () => {
  const { node, client } = start();
  client.ok({ op: "send", queue: "q", messages: messages("a") });
  const peeked = client.ok({ op: "peek", queue: "q", max: 10 })["messages"] as unknown[];
  assert.equal(peeked.length, 1);
  const [got] = receive(node.native("other"));
  assert.deepEqual([textOf(got?.payload), got?.deliveryCount], ["a", 1]);
});

test("Channels purged after 24 h with what is in them: not here.", () => {
  const { node, client } = start();
  client.ok({ op: "send", queue: "q", messages: messages("a") });
  client.ok({ op: "append", stream: "s", messages: messages("b") });
  client.drop();
  node.off(48 * HOUR);
  node.advance(5_000);
  const other = node.native("other");
  assert.deepEqual(textsOf(receive(other)), ["a"]);
  const read = other.ok({ op: "read", stream: "s", from: { at: "first" } });
  assert.deepEqual(textsOf(read["records"] as StreamRecord[]), ["b"]);
});
