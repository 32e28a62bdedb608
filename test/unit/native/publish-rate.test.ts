import assert from "node:assert/strict";
import { test } from "node:test";
import type { NativeOptions } from "../../../src/native/native-options.ts";
import { VirtualNode } from "../../support/virtual-node.ts";

const nodeWith = (native: Partial<NativeOptions>): VirtualNode => new VirtualNode({ native });

const received = (node: VirtualNode): number =>
  node.broker.counters.messagesReceivedQos0 + node.broker.counters.messagesReceivedQos1;

test("A native client that publishes faster than it may is not read until it is within its rate again.", () => {
  const node = nodeWith({ publishRateMax: 10 });
  const client = node.native("fast");
  const watcher = node.native("watcher");
  watcher.ok({ op: "subscribe", filter: "#", credit: 100 });
  for (let i = 0; i < 25; i++) client.send({ op: "publish", topic: "a" });
  client.send({ op: "ping", id: 99 });
  assert.equal(received(node), 11, "a second's worth, and one that overdraws");
  assert.ok(client.link.isPaused);
  assert.equal(client.answerTo(99), undefined, "what is behind it waits");
  assert.equal(node.broker.counters.limitPublishRate, 1);
  watcher.ok({ op: "publish", topic: "b" });
  node.advance(99);
  assert.equal(received(node), 12);
  node.advance(1);
  assert.equal(received(node), 13);
  node.advance(1_400);
  assert.equal(received(node), 26);
  assert.equal(client.answerTo(99)?.op, "pong");
  assert.equal(client.link.isPaused, false);
  assert.equal(watcher.takeAll("event").length, 26, "none is lost");
});

test("Every message of a batch counts, refused ones as well, and so do requests, replies and routes.", () => {
  const frames = [
    { op: "append", stream: "none", messages: Array(30).fill({}) },
    { op: "send", queue: "q", messages: Array(30).fill({}) },
    ...Array(30).fill({ op: "publish", topic: "$not" }),
    ...Array(30).fill({ op: "request", topic: "nobody", timeoutMs: 1_000 }),
    ...Array(30).fill({ op: "reply", request: 1 }),
    ...Array(30).fill({ op: "route", to: "event:a" }),
  ].map((frame, index) => ({ ...frame, id: index + 100 }));
  const node = nodeWith({ publishRateMax: 10 });
  const client = node.native("c");
  client.send(...frames, { op: "ping", id: 999 });
  // 180 messages, of which a second's worth is free.
  node.advance(16_900);
  assert.equal(client.answerTo(999), undefined);
  node.advance(100);
  assert.equal(client.answerTo(999)?.op, "pong");
  for (const { id } of frames) assert.ok(client.answerTo(id) !== undefined, String(id));
});

test("Bytes count as they came, and a message larger than a second's worth comes through.", () => {
  const node = nodeWith({ publishBytesPerSecondMax: 1_000 });
  const client = node.native("c");
  client.ok({ op: "publish", topic: "a", payload: new Uint8Array(5_000) });
  client.send({ op: "publish", topic: "a" });
  assert.equal(received(node), 1);
  node.advance(4_000);
  assert.equal(received(node), 1);
  node.advance(100);
  assert.equal(received(node), 2);
});

test("Settling, credit and long polls are not published: they cost nothing.", () => {
  const node = nodeWith({ publishRateMax: 1 });
  const client = node.native("c");
  const { sub } = client.ok({ op: "queue.subscribe", queue: "q", credit: 1 });
  for (let i = 0; i < 50; i++) {
    client.send({ op: "credit", sub, add: 1 }, { op: "pong" });
    client.ok({ op: "receive", queue: "q" });
  }
  assert.equal(node.broker.counters.limitPublishRate, 0);
});

test("Who is not read for its rate is neither silent nor held, and what it had under way ends with it.", () => {
  const node = nodeWith({ publishRateMax: 1 });
  const client = node.native("c");
  client.send({ op: "send", id: 50, queue: "q", messages: Array(100).fill({}) });
  assert.equal(client.answerTo(50)?.op, "ok");
  node.advance(98_900);
  assert.deepEqual(client.takeAll("ping"), [], "nobody asks whether it is there");
  assert.equal(client.isClosed, false);
  assert.ok(client.link.isPaused);
  node.advance(200);
  assert.equal(client.link.isPaused, false);
  node.advance(60_000);
  assert.equal(client.takeAll("ping").length, 1, "from then on its silence counts");
  assert.ok(client.isClosed);
  const other = node.native("c2");
  other.send({ op: "send", id: 51, queue: "q", messages: Array(100).fill({}) });
  other.drop();
  node.advance(200_000);
  assert.equal(node.broker.sessions.size, 0);
});
