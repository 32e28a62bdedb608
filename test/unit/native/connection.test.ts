import assert from "node:assert/strict";
import { test } from "node:test";
import type { Delivery } from "../../../src/native/frame.ts";
import { textOf } from "../../support/native-client.ts";
import { VirtualNode } from "../../support/virtual-node.ts";

const bytes = (text: string): Uint8Array => Buffer.from(text);

test("Nothing but hello is taken first, and only in time.", () => {
  const node = new VirtualNode();
  const hasty = node.dialNative();
  hasty.send({ op: "ping", id: 1 });
  const [told] = hasty.takeAll("error");
  assert.equal(told?.code, "not-authenticated");
  assert.ok(hasty.isClosed);
  const silent = node.dialNative();
  node.advance(10_000);
  assert.ok(silent.isClosed);
  const old = node.dialNative();
  assert.equal(old.refused({ op: "hello", versions: [7] }), "unsupported-version");
  assert.ok(old.isClosed);
});

for (const subprotocol of ["rill.v1+json", "rill.v1+msgpack"] as const) {
  test(`${subprotocol}: hello is answered with who the client is and what it may do, and then all is served.`, () => {
    const node = new VirtualNode();
    const client = node.dialNative(subprotocol);
    const welcome = client.ok({ op: "hello", versions: [1, 2] });
    assert.deepEqual(
      [welcome.op, welcome["clientId"], welcome["version"]],
      ["welcome", "assigned-1", 1],
    );
    const { sub } = client.ok({ op: "subscribe", filter: "a/+", credit: 10 });
    client.ok({ op: "publish", topic: "a/b", payload: bytes("hi"), properties: [["k", "v"]] });
    const [event] = client.takeAll("event");
    assert.deepEqual([event?.sub, event?.topic, textOf(event?.payload)], [sub, "a/b", "hi"]);
    assert.deepEqual(event?.properties, [["k", "v"]]);
    client.ok({ op: "send", queue: "q", messages: [{ payload: bytes("one") }] });
    const received = client.ok({ op: "receive", queue: "q" });
    const [delivery] = received["deliveries"] as Delivery[];
    assert.equal(textOf(delivery?.payload), "one");
    client.ok({ op: "settle", queue: "q", how: "ack", deliveries: [delivery?.delivery] });
    assert.deepEqual(client.ok({ op: "receive", queue: "q" })["deliveries"], []);
  });
}

test("What means on disk is answered after the flush, the rest at once, and requests may be pipelined.", () => {
  const node = new VirtualNode({ flushes: "manual" });
  const client = node.native("c");
  client.send(
    { op: "send", id: 11, queue: "q", messages: [{}, {}] },
    { op: "ping", id: 12 },
    { op: "send", id: 13, queue: "q", messages: [{}] },
  );
  assert.equal(client.answerTo(11), undefined);
  assert.equal(client.answerTo(12)?.op, "pong");
  node.flushAll();
  assert.deepEqual(client.answerTo(11)?.["results"], [{ sequence: 1 }, { sequence: 2 }]);
  assert.equal(client.answerTo(13)?.op, "ok");
});
