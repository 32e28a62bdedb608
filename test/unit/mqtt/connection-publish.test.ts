import assert from "node:assert/strict";
import { test } from "node:test";
import type { QoS } from "../../../src/broker/message.ts";
import { PacketType, ProtocolVersion } from "../../../src/mqtt/packet.ts";
import { publishPacket, type VirtualClient } from "../../support/virtual-client.ts";
import { VirtualNode } from "../../support/virtual-node.ts";

const { v311 } = ProtocolVersion;
const { pubrel, pubrec, pubcomp, puback } = PacketType;
const LASTING = { cleanStart: false, properties: { sessionExpirySeconds: 3_600 } };

/** A durable session whose client is gone: what it has subscribed to must be stored. */
function withDurableSubscriber(node: VirtualNode, qos: QoS = 2, topicFilter = "#"): void {
  const subscriber = node.connect("durable", LASTING);
  node.flushAll();
  subscriber.subscribe(topicFilter, { qos });
  subscriber.lose();
  node.flushAll();
}

function connected(node: VirtualNode, clientId: string, fields = {}): VirtualClient {
  const client = node.connect(clientId, fields);
  node.flushAll();
  client.take();
  return client;
}

test("PUBACK and PUBREC of a stored message leave after the flush, in the order of the messages. [MQTT-4.6.0-2]", () => {
  const node = new VirtualNode({ flushes: "manual" });
  withDurableSubscriber(node);
  const client = connected(node, "p");
  client.publish("a", "1", { qos: 1, packetId: 1 });
  node.store.seal();
  client.publish("a", "2", { qos: 2, packetId: 2 });
  client.publish("$not-stored", "3", { qos: 1, packetId: 3 });
  client.publish("a", "4", { qos: 1, packetId: 4 });
  assert.deepEqual(client.takeText(), []);
  node.flush();
  assert.deepEqual(client.takeText(), ["puback 1"]);
  node.flush();
  assert.deepEqual(client.takeText(), ["pubrec 2", "puback 3 0x90", "puback 4"]);
});

test("A QoS 1 message that nobody keeps is acknowledged at once, with 0x10 when nobody gets it.", () => {
  const node = new VirtualNode({ flushes: "manual" });
  const client = connected(node, "p");
  client.publish("a", "1", { qos: 1, packetId: 1 });
  assert.deepEqual(client.takeText(), ["puback 1 0x10"]);
  const subscriber = connected(node, "s");
  subscriber.subscribe("a", { qos: 1 });
  client.publish("a", "2", { qos: 1, packetId: 2 });
  assert.deepEqual(client.takeText(), ["puback 2"]);
  assert.deepEqual(subscriber.takeText(), ["suback 1 0x01", "publish a q1 #1: 2"]);
});

test("A repeat of a QoS 2 message joins the commit of the first and is not delivered again. [MQTT-4.3.3-10]", () => {
  const node = new VirtualNode({ flushes: "manual" });
  const client = connected(node, "p", LASTING);
  const subscriber = connected(node, "s");
  subscriber.subscribe("a", { qos: 2 });
  subscriber.take();
  client.publish("a", "x", { qos: 2, packetId: 5 });
  client.publish("a", "x", { qos: 2, packetId: 5, dup: true });
  assert.deepEqual(client.takeText(), []);
  node.flush();
  assert.deepEqual(client.takeText(), ["pubrec 5", "pubrec 5"]);
  assert.deepEqual(subscriber.takeText(), ["publish a q2 #1: x"]);
  client.publish("a", "x", { qos: 2, packetId: 5, dup: true });
  assert.deepEqual(client.takeText(), ["pubrec 5"]);
  client.ack(pubrel, 5);
  assert.deepEqual(client.takeText(), []);
  node.flush();
  assert.deepEqual(client.takeText(), ["pubcomp 5"]);
  client.publish("a", "y", { qos: 2, packetId: 5 });
  node.flush();
  assert.deepEqual(subscriber.takeText(), ["publish a q2 #2: y"]);
});

test("A QoS 2 packet identifier survives a restart of the broker until it is released.", () => {
  const node = new VirtualNode();
  withDurableSubscriber(node);
  connected(node, "p", LASTING).publish("a", "x", { qos: 2, packetId: 5 });
  node.crash();
  const again = node.connect("p", LASTING);
  again.publish("a", "x", { qos: 2, packetId: 5, dup: true });
  again.ack(pubrel, 5);
  assert.deepEqual(again.takeText(), ["connack present", "pubrec 5", "pubcomp 5"]);
  const subscriber = node.connect("durable", LASTING);
  assert.deepEqual(subscriber.takeText(), ["connack present", "publish a q2 #1: x"]);
});

test("PUBREL of an unknown packet identifier is answered with 0x92.", () => {
  const client = connected(new VirtualNode(), "p");
  client.ack(pubrel, 9);
  assert.deepEqual(client.takeText(), ["pubcomp 9 0x92"]);
  const old = connected(new VirtualNode(), "p", { version: v311 });
  old.ack(pubrel, 9);
  assert.deepEqual(old.takeText(), ["pubcomp 9"]);
});

test("PUBREC of an unknown packet identifier is answered with PUBREL 0x92, a refusing one with nothing.", () => {
  const client = connected(new VirtualNode(), "p");
  client.ack(pubrec, 9);
  client.ack(pubrec, 8, 0x80);
  client.ack(puback, 7);
  client.ack(pubcomp, 6);
  assert.deepEqual(client.takeText(), ["pubrel 9 0x92"]);
});

test("More unanswered messages than the receive maximum end the connection. [MQTT-3.3.4-7]", () => {
  const node = new VirtualNode({ flushes: "manual", connection: { receiveMaximum: 2 } });
  withDurableSubscriber(node);
  const client = connected(node, "p");
  for (const packetId of [1, 2]) client.publish("a", "x", { qos: 1, packetId });
  node.flushAll();
  for (const packetId of [3, 4]) client.publish("a", "x", { qos: 2, packetId });
  node.flushAll();
  assert.deepEqual(client.takeText(), ["puback 1", "puback 2", "pubrec 3", "pubrec 4"]);
  client.publish("a", "x", { qos: 1, packetId: 5 });
  assert.deepEqual(client.takeText(), ["disconnect 0x93"]);
});

test("A new connection starts with the whole receive maximum. [MQTT 5.0 section 4.9]", () => {
  const node = new VirtualNode({ connection: { receiveMaximum: 2 } });
  const client = connected(node, "p", LASTING);
  for (const packetId of [1, 2]) client.publish("a", "x", { qos: 2, packetId });
  client.lose();
  const again = connected(node, "p", LASTING);
  for (const packetId of [3, 4]) again.publish("a", "x", { qos: 2, packetId });
  assert.deepEqual(again.takeText(), ["pubrec 3 0x10", "pubrec 4 0x10"]);
  for (const packetId of [1, 2]) again.ack(pubrel, packetId);
  assert.deepEqual(again.takeText(), ["pubcomp 1", "pubcomp 2"]);
});

test("A packet beyond the maximum size ends the connection. [MQTT-3.1.2-24]", () => {
  const node = new VirtualNode({ connection: { packetBytesMax: 100 } });
  const client = connected(node, "p");
  client.publish("a", "x".repeat(100));
  assert.deepEqual(client.takeText(), ["disconnect 0x95"]);
});

test("A topic alias stands for its topic, on its own connection only. [MQTT-3.3.2-7]", () => {
  const node = new VirtualNode();
  const subscriber = connected(node, "s");
  subscriber.subscribe("#");
  subscriber.take();
  const client = connected(node, "p");
  client.publish("a/b", "1", { properties: { topicAlias: 3 } });
  client.publish("", "2", { properties: { topicAlias: 3 } });
  client.publish("c", "3", { properties: { topicAlias: 3 } });
  client.publish("", "4", { properties: { topicAlias: 3 } });
  assert.deepEqual(subscriber.takeText(), [
    "publish a/b q0: 1",
    "publish a/b q0: 2",
    "publish c q0: 3",
    "publish c q0: 4",
  ]);
  const other = connected(node, "other");
  other.publish("", "5", { properties: { topicAlias: 3 } });
  assert.deepEqual(other.takeText(), ["disconnect 0x82"]);
});

test("A topic alias above the maximum ends the connection. [MQTT-3.3.2-9]", () => {
  const client = connected(new VirtualNode({ connection: { topicAliasMaximum: 2 } }), "p");
  client.publish("a", "1", { properties: { topicAlias: 3 } });
  assert.deepEqual(client.takeText(), ["disconnect 0x94"]);
});

for (const topic of ["a/+", "#", "$SYS/x", "a\u0000"]) {
  test(`A message to ${JSON.stringify(topic)} is refused.`, () => {
    const client = connected(new VirtualNode(), "p");
    client.sendBytes(client.encode(publishPacket(topic, "x", { qos: 1, packetId: 1 })));
    const code = topic.includes("\u0000") ? "disconnect 0x81" : "puback 1 0x90";
    assert.deepEqual(client.takeText(), [code]);
    const old = connected(new VirtualNode(), "p", { version: v311 });
    old.sendBytes(old.encode(publishPacket(topic, "x", { qos: 1, packetId: 1 })));
    assert.equal(old.isClosed, true);
  });
}

test("Deleting a retained message that is not there is acknowledged without a flush.", () => {
  const node = new VirtualNode({ flushes: "manual" });
  const client = connected(node, "p");
  client.publish("a", "", { qos: 1, packetId: 1, retain: true });
  assert.deepEqual(client.takeText(), ["puback 1 0x10"]);
});

test("Deleting a retained message again waits until the first deletion is on disk.", () => {
  const node = new VirtualNode({ flushes: "manual" });
  const client = connected(node, "p");
  client.publish("a", "x", { qos: 1, packetId: 1, retain: true });
  node.flushAll();
  client.publish("a", "", { retain: true });
  client.publish("a", "", { qos: 1, packetId: 2, retain: true });
  assert.deepEqual(client.takeText(), ["puback 1 0x10"]);
  node.flush();
  assert.deepEqual(client.takeText(), ["puback 2 0x10"]);
  assert.deepEqual(node.disk.keys("retained"), []);
});

test("A publisher is held while the store has no room, and goes on in its order after the flush.", () => {
  const node = new VirtualNode({ flushes: "manual", pendingBytesMax: 300 });
  withDurableSubscriber(node);
  const client = connected(node, "p");
  const ids = Array.from({ length: 20 }, (_, i) => i + 1);
  for (const packetId of ids) client.publish("a", String(packetId), { qos: 1, packetId });
  client.send({ type: PacketType.pingreq });
  assert.deepEqual(client.takeText(), ["pingresp"]);
  const answers: string[] = [];
  for (let flushes = 0; node.flush(); flushes++) {
    answers.push(...client.takeText());
    assert.ok(flushes < 100);
  }
  assert.deepEqual(
    answers,
    ids.map((id) => `puback ${id}`),
  );
  assert.equal(client.link.isPaused, false);
  const subscriber = node.connect("durable", LASTING);
  node.flushAll();
  const payloads = subscriber
    .take()
    .flatMap((packet) => ("payload" in packet ? [packet.payload] : []));
  assert.deepEqual(payloads, ids.map(String));
});

test("What needs no room does not overtake a held PUBLISH, but for acknowledgements and pings.", () => {
  const node = new VirtualNode({ flushes: "manual", pendingBytesMax: 300 });
  withDurableSubscriber(node, 2, "stored/#");
  const subscriber = connected(node, "s");
  subscriber.subscribe("free");
  subscriber.take();
  const client = connected(node, "p");
  for (const packetId of [1, 2, 3]) {
    client.publish("stored/a", "x".repeat(99), { qos: 1, packetId });
  }
  client.publish("free", "x", { qos: 1, packetId: 4 });
  client.subscribe("other");
  client.send({ type: PacketType.pingreq });
  assert.deepEqual(client.takeText(), ["pingresp"]);
  assert.deepEqual(subscriber.takeText(), []);
  node.flushAll();
  const answers = ["puback 1", "puback 2", "puback 3", "puback 4", "suback 1 0x00"];
  assert.deepEqual(client.takeText(), answers);
  assert.deepEqual(subscriber.takeText(), ["publish free q0: x"]);
});

test("Behind a held PUBLISH more than a bound is not read, and its order holds.", () => {
  const node = new VirtualNode({ flushes: "manual", pendingBytesMax: 20_000 });
  withDurableSubscriber(node);
  const client = connected(node, "p", { version: v311 });
  const ids = Array.from({ length: 60 }, (_, i) => i + 1);
  for (const packetId of ids) {
    client.publish("a", `${packetId} ${"x".repeat(4_000)}`, { qos: 1, packetId });
  }
  assert.equal(client.link.isPaused, true);
  const answers: string[] = [];
  for (let flushes = 0; node.flush(); flushes++) {
    answers.push(...client.takeText());
    assert.ok(flushes < 100);
  }
  assert.deepEqual(
    answers,
    ids.map((id) => `puback ${id}`),
  );
  assert.equal(client.link.isPaused, false);
});

test("PUBREL does not overtake a held repeat of its PUBLISH.", () => {
  const node = new VirtualNode({ flushes: "manual", pendingBytesMax: 400 });
  withDurableSubscriber(node);
  const client = connected(node, "p", { ...LASTING, version: v311 });
  client.publish("a", "1", { qos: 2, packetId: 1 });
  node.store.seal();
  client.publish("a", "2".repeat(600), { qos: 2, packetId: 2 });
  client.publish("a", "3", { qos: 2, packetId: 3 });
  client.publish("a", "1", { qos: 2, packetId: 1, dup: true });
  node.flush();
  client.ack(pubrel, 1);
  node.flushAll();
  client.lose();
  node.flushAll();
  const subscriber = node.connect("durable", LASTING);
  node.flushAll();
  const payloads = subscriber
    .take()
    .flatMap((packet) => ("payload" in packet ? [packet.payload[0]] : []));
  assert.deepEqual(payloads, ["1", "2", "3"]);
});

test("A publisher that is held too long is closed with 0x97.", () => {
  const node = new VirtualNode({ flushes: "manual", pendingBytesMax: 300 });
  withDurableSubscriber(node);
  const client = connected(node, "p", { keepAliveSeconds: 5 });
  for (const packetId of [1, 2, 3, 4]) client.publish("a", "x".repeat(99), { qos: 1, packetId });
  node.advance(29_999);
  assert.equal(client.isClosed, false, "its keep alive is suspended");
  node.advance(1);
  assert.deepEqual(client.takeText(), ["disconnect 0x97"]);
  assert.equal(client.isClosed, true);
});

test("A full stream refuses with 0x97; a 3.1.1 publisher is held and then closed.", () => {
  const node = new VirtualNode({
    streams: [{ name: "s", filters: ["s/#"], bytesMax: 1_000, whenFull: "reject" }],
  });
  const client = connected(node, "p");
  const old = connected(node, "old", { version: v311 });
  let packetId = 0;
  do client.publish("s/1", "x".repeat(100), { qos: 1, packetId: ++packetId });
  while (!client.takeText().includes(`puback ${packetId} 0x97`) && packetId < 100);
  assert.ok(packetId > 2 && packetId < 100, `refused at ${packetId}`);
  client.publish("s/1", "x", { qos: 2, packetId: 100 });
  client.publish("free", "x", { qos: 1, packetId: 101 });
  assert.deepEqual(client.takeText(), ["pubrec 100 0x97", "puback 101 0x10"]);
  assert.equal(node.broker.counters.refused, 2);
  old.publish("s/1", "x", { qos: 1, packetId: 1 });
  node.advance(29_999);
  assert.deepEqual(old.takeText(), []);
  assert.equal(old.isClosed, false);
  node.advance(1);
  assert.deepEqual(old.takeText(), []);
  assert.equal(old.isClosed, true);
});

test("A failed commit ends every connection and acknowledges nothing.", () => {
  const node = new VirtualNode({ flushes: "manual" });
  withDurableSubscriber(node);
  const client = connected(node, "p");
  client.publish("a", "x", { qos: 1, packetId: 1 });
  node.store.fail(new Error("the disk is gone"));
  assert.deepEqual(client.takeText(), ["disconnect 0x83"]);
  assert.equal(client.isClosed, true);
  assert.equal(node.failures.length, 1);
});
