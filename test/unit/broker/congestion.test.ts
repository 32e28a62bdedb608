import assert from "node:assert/strict";
import { test } from "node:test";
import { PacketType } from "../../../src/mqtt/packet.ts";
import type { VirtualClient } from "../../support/virtual-client.ts";
import { VirtualNode } from "../../support/virtual-node.ts";

/** Room for 16 small messages behind the window. */
const SMALL = { outbound: { memoryBacklogBytesMax: 16 * 264, inflightMax: 2 } };
const LASTING = { cleanStart: false, properties: { sessionExpirySeconds: 3_600 } };

function subscribed(node: VirtualNode, clientId: string, fields = {}): VirtualClient {
  const client = node.connect(clientId, fields);
  client.subscribe("a", { qos: 1 });
  client.take();
  return client;
}

/** A subscriber with little room, and a publisher. */
function crowded(): { node: VirtualNode; subscriber: VirtualClient; publisher: VirtualClient } {
  const node = new VirtualNode(SMALL);
  const subscriber = subscribed(node, "s");
  const publisher = node.connect("p");
  publisher.take();
  return { node, subscriber, publisher };
}

function publishAll(client: VirtualClient, count: number): void {
  for (let packetId = 1; packetId <= count; packetId++) {
    client.publish("a", String(packetId), { qos: 1, packetId });
  }
}

/** Acknowledges what has come; returns the payloads. */
function readOn(client: VirtualClient): string[] {
  const payloads: string[] = [];
  for (const packet of client.take()) {
    if (packet.type !== PacketType.publish) continue;
    payloads.push(packet.payload);
    client.ack(PacketType.puback, packet.packetId);
  }
  return payloads;
}

const numbers = (to: number): string[] => Array.from({ length: to }, (_, i) => String(i + 1));

test("Publishers wait for a subscriber that reads and falls behind, and it gets everything.", () => {
  const { subscriber, publisher } = crowded();
  publishAll(publisher, 60);
  assert.equal(publisher.takeText().length, 2 + 9, "half of the backlog, and no more");
  const got: string[] = [];
  for (let round = 0; round < 40; round++) got.push(...readOn(subscriber));
  assert.deepEqual(got, numbers(60));
  assert.equal(publisher.takeText().length, 60 - 11);
  assert.equal(subscriber.isClosed, false);
});

test("A subscriber that does not read is waited for once, for 200 ms, and closed when its backlog is full.", () => {
  const { node, subscriber, publisher } = crowded();
  publishAll(publisher, 60);
  node.advance(199);
  assert.equal(publisher.takeText().length, 11);
  assert.equal(subscriber.isClosed, false);
  node.advance(1);
  assert.equal(publisher.takeText().length, 60 - 11);
  assert.equal(subscriber.isClosed, true);
});

test("Publishers wait on for a subscriber that goes on reading, and not for one that stops.", () => {
  const { node, subscriber, publisher } = crowded();
  publishAll(publisher, 60);
  publisher.take();
  node.advance(199);
  readOn(subscriber);
  node.advance(1);
  assert.deepEqual(publisher.takeText(), [], "it goes on");
  node.advance(199);
  assert.deepEqual(publisher.takeText(), []);
  node.advance(1);
  assert.equal(publisher.takeText().length, 60 - 11);
});

test("Who was waited for long enough is not again before its backlog is nearly empty.", () => {
  const { node, subscriber, publisher } = crowded();
  publishAll(publisher, 12);
  node.advance(200);
  assert.equal(publisher.takeText().length, 12);
  readOn(subscriber);
  publishAll(publisher, 2);
  assert.equal(publisher.takeText().length, 2, "not held: there is room, and it was waited for");
  for (let round = 0; round < 10; round++) readOn(subscriber);
  publishAll(publisher, 60);
  assert.equal(publisher.takeText().length, 11, "held again");
});

test("Publishers go on at once when the subscriber that they wait for is gone.", () => {
  const { subscriber, publisher } = crowded();
  publishAll(publisher, 60);
  publisher.take();
  subscriber.lose();
  assert.equal(publisher.takeText().length, 60 - 11);
});

test("Publishers on other topics, and with QoS 0, do not wait.", () => {
  const node = new VirtualNode(SMALL);
  subscribed(node, "s");
  const listener = node.connect("l");
  listener.subscribe("b");
  listener.take();
  const [publisher, other] = [node.connect("p"), node.connect("o")];
  publishAll(publisher, 60);
  other.take();
  other.publish("b", "x", { qos: 1, packetId: 1 });
  other.publish("a", "x");
  other.publish("b", "y");
  assert.deepEqual(other.takeText(), ["puback 1"]);
  assert.deepEqual(listener.takeText(), ["publish b q0: x", "publish b q0: y"]);
});

test("A durable session whose client reads loses nothing to a burst; one whose client is away does not hold anybody up.", () => {
  const node = new VirtualNode({ outbound: { backlogMessagesMax: 20, inflightMax: 2 } });
  const subscriber = subscribed(node, "s", LASTING);
  const publisher = node.connect("p");
  publisher.take();
  publishAll(publisher, 60);
  const got: string[] = [];
  for (let round = 0; round < 60; round++) got.push(...readOn(subscriber));
  assert.deepEqual(got, numbers(60));
  assert.equal(node.broker.counters.droppedOldest, 0);
  subscriber.lose();
  publisher.take();
  publishAll(publisher, 60);
  assert.equal(publisher.takeText().length, 60);
});
