import assert from "node:assert/strict";
import { test } from "node:test";
import { type OutgoingPublish, PacketType, ProtocolVersion } from "../../../src/mqtt/packet.ts";
import { publishPacket, type VirtualClient } from "../../support/virtual-client.ts";
import { VirtualNode } from "../../support/virtual-node.ts";

const { v311 } = ProtocolVersion;
const { puback, pubrec, pubcomp } = PacketType;
const LASTING = { cleanStart: false, properties: { sessionExpirySeconds: 3_600 } };

function connected(node: VirtualNode, clientId: string, fields = {}): VirtualClient {
  const client = node.connect(clientId, fields);
  node.flushAll();
  client.take();
  return client;
}

/** What `takeText` gives of messages, whatever else came. */
const messagesOf = (client: VirtualClient): string[] =>
  client.takeText().filter((line) => line.startsWith("publish "));

/** A client with a session that lasts, subscribed to "#" with QoS 2. */
function subscribed(node: VirtualNode, clientId = "s", fields: object = LASTING): VirtualClient {
  const client = connected(node, clientId, fields);
  client.subscribe("#", { qos: 2 });
  node.flushAll();
  client.take();
  return client;
}

test("SUBACK and UNSUBACK of a session that lasts wait for the flush.", () => {
  const node = new VirtualNode({ flushes: "manual" });
  const client = connected(node, "s", LASTING);
  client.subscribe("a", { qos: 1 });
  assert.deepEqual(client.takeText(), []);
  node.flush();
  assert.deepEqual(client.takeText(), ["suback 1 0x01"]);
  client.unsubscribe("a", "b");
  assert.deepEqual(client.takeText(), []);
  node.flush();
  assert.deepEqual(client.takeText(), ["unsuback 2 0x00 0x11"]);
});

test("Filters are granted and refused one by one.", () => {
  const node = new VirtualNode({ limits: { subscriptionsPerSessionMax: 2 } });
  const client = connected(node, "s");
  const filters = ["a", "a/#/b", "$share/+/a", "b", "a", "c"];
  const options = { qos: 1, noLocal: false, retainAsPublished: false, retainHandling: 0 } as const;
  const subscriptions = filters.map((topicFilter) => ({ topicFilter, ...options }));
  client.send({ type: PacketType.subscribe, packetId: 1, subscriptions, properties: {} });
  assert.deepEqual(client.takeText(), ["suback 1 0x01 0x8f 0x8f 0x01 0x01 0x97"]);
});

test("QoS 2 goes through all four packets, each state on disk before the next packet.", () => {
  const node = new VirtualNode({ flushes: "manual" });
  const client = subscribed(node);
  node.connect("p").publish("a", "x", { qos: 2, packetId: 1 });
  assert.deepEqual(client.takeText(), []);
  node.flush();
  assert.deepEqual(client.takeText(), ["publish a q2 #1: x"]);
  client.ack(pubrec, 1);
  assert.deepEqual(client.takeText(), []);
  node.flush();
  assert.deepEqual(client.takeText(), ["pubrel 1"]);
  client.ack(pubcomp, 1);
  node.flushAll();
  assert.deepEqual(node.metaKeys(0x20, 0x28), []);
});

test("What a client missed comes after it is back, in order.", () => {
  const node = new VirtualNode();
  subscribed(node).lose();
  const publisher = node.connect("p");
  for (let i = 1; i <= 600; i++) publisher.publish("a", String(i), { qos: 1, packetId: 1 });
  publisher.publish("a", "not kept");
  node.crash();
  const client = node.connect("s", LASTING);
  const [connack, ...messages] = client.takeText();
  assert.equal(connack, "connack present");
  assert.deepEqual(
    messages,
    Array.from({ length: 600 }, (_, i) => `publish a q1 #${i + 1}: ${i + 1}`),
  );
});

test("What is not acknowledged comes again with DUP and its packet identifier, then what is new. [MQTT-4.4.0-1]", () => {
  const node = new VirtualNode();
  const client = subscribed(node);
  const publisher = node.connect("p");
  for (const qos of [1, 2, 1, 2] as const) publisher.publish("a", "x", { qos, packetId: 1 + qos });
  publisher.ack(PacketType.pubrel, 3);
  publisher.publish("a", "y", { qos: 2, packetId: 3 });
  assert.equal(client.take().length, 4);
  client.ack(puback, 1);
  client.ack(pubrec, 2);
  client.lose();
  publisher.publish("a", "z", { qos: 1, packetId: 9 });
  const again = node.connect("s", LASTING);
  assert.deepEqual(again.takeText(), [
    "connack present",
    "pubrel 2",
    "publish a q1 #3 dup: x",
    "publish a q2 #4 dup: y",
    "publish a q1 #5: z",
  ]);
});

test("After a restart QoS 2 goes on where it was, with the same packet identifiers.", () => {
  const node = new VirtualNode();
  const client = subscribed(node);
  const publisher = node.connect("p");
  for (const packetId of [1, 2, 3]) publisher.publish("a", String(packetId), { qos: 2, packetId });
  client.take();
  client.ack(pubrec, 1);
  client.ack(pubrec, 2);
  client.ack(pubcomp, 2);
  node.crash();
  const again = node.connect("s", LASTING);
  assert.deepEqual(again.takeText(), ["connack present", "pubrel 1", "publish a q2 #3 dup: 3"]);
});

test("After a restart no other message gets the packet identifier of a QoS 2 message under way. [v5 MQTT-2.2.1-4]", () => {
  const node = new VirtualNode({ flushes: "manual" });
  const client = subscribed(node);
  const publisher = connected(node, "p");
  publisher.publish("a", "one", { qos: 1, packetId: 1 });
  publisher.publish("a", "two", { qos: 2, packetId: 2 });
  node.flushAll();
  // With QoS 2 it is in the commit of the message, so that what came before it has a higher one.
  assert.deepEqual(client.takeText(), ["publish a q1 #2: one", "publish a q2 #1: two"]);
  node.crash();
  const again = node.connect("s", LASTING);
  node.flushAll();
  assert.deepEqual(again.takeText(), [
    "connack present",
    "publish a q1 #2: one",
    "publish a q2 #1 dup: two",
  ]);
});

test("What is sent again comes in the order of its first sending, not in that of its packet identifiers. [v5 MQTT-4.6.0-1]", () => {
  const node = new VirtualNode({ flushes: "manual" });
  const client = subscribed(node);
  const publisher = connected(node, "p");
  publisher.publish("a", "one", { qos: 1, packetId: 1 });
  publisher.publish("a", "two", { qos: 2, packetId: 2 });
  node.flushAll();
  assert.deepEqual(client.takeText(), ["publish a q1 #2: one", "publish a q2 #1: two"]);
  client.lose();
  const again = node.connect("s", LASTING);
  node.flushAll();
  const expected = ["connack present", "publish a q1 #2 dup: one", "publish a q2 #1 dup: two"];
  assert.deepEqual(again.takeText(), expected);
});

test("Of one commit's QoS 2 messages only those come again after a crash that are not done. [v5 MQTT-4.3.3-6]", () => {
  const node = new VirtualNode({ flushes: "manual" });
  const client = subscribed(node);
  const publisher = connected(node, "p");
  for (const packetId of [1, 2, 3]) publisher.publish("a", String(packetId), { qos: 2, packetId });
  node.flushAll();
  assert.equal(client.take().length, 3);
  client.ack(pubrec, 2);
  node.flushAll();
  client.ack(pubcomp, 2);
  node.flushAll();
  assert.deepEqual(client.takeText(), ["pubrel 2"]);
  node.crash();
  const again = node.connect("s", LASTING);
  node.flushAll();
  assert.deepEqual(again.takeText(), [
    "connack present",
    "publish a q2 #1 dup: 1",
    "publish a q2 #3 dup: 3",
  ]);
});

test("A QoS 2 message from the backlog waits until its packet identifier is on disk, whatever happens meanwhile. [v5 MQTT-4.3.3-3]", () => {
  const node = new VirtualNode({ flushes: "manual" });
  subscribed(node).lose();
  const publisher = connected(node, "p");
  publisher.publish("a", "one", { qos: 1, packetId: 1 });
  publisher.publish("a", "two", { qos: 2, packetId: 2 });
  node.flushAll();
  const client = node.connect("s", LASTING);
  node.flush();
  assert.deepEqual(client.takeText(), ["connack present", "publish a q1 #1: one"]);
  client.ack(puback, 1);
  assert.deepEqual(client.takeText(), []);
  node.flushAll();
  assert.deepEqual(client.takeText(), ["publish a q2 #2: two"]);
});

test("What waits for a session that ends with its connection is not overtaken by what comes as soon as there is room. [v5 MQTT-4.6.0-5]", () => {
  const node = new VirtualNode();
  const client = subscribed(node, "s", { properties: { receiveMaximum: 1 } });
  const publish = (packetId: number): OutgoingPublish =>
    publishPacket("a", String(packetId), { qos: 1, packetId });
  client.send(publish(1), publish(2), publish(3));
  assert.deepEqual(messagesOf(client), ["publish a q1 #1: 1"]);
  client.send({ type: puback, packetId: 1, reasonCode: 0 }, publish(4));
  const order = messagesOf(client);
  for (let packetId = 2; packetId < 4; packetId++) {
    client.ack(puback, packetId);
    order.push(...messagesOf(client));
  }
  assert.deepEqual(
    order,
    [2, 3, 4].map((i) => `publish a q1 #${i}: ${i}`),
  );
});

test("Never more is in flight than the client's receive maximum. [MQTT-3.3.4-9]", () => {
  const node = new VirtualNode();
  const properties = { receiveMaximum: 2 };
  for (const fields of [
    { properties },
    { ...LASTING, properties: { ...LASTING.properties, ...properties } },
  ]) {
    const client = subscribed(node, "s", fields);
    const publisher = node.connect("p");
    for (let i = 1; i <= 5; i++) publisher.publish("a", String(i), { qos: 1, packetId: i });
    assert.deepEqual(client.takeText(), ["publish a q1 #1: 1", "publish a q1 #2: 2"]);
    client.ack(puback, 2);
    assert.deepEqual(client.takeText(), ["publish a q1 #3: 3"]);
    client.ack(puback, 2);
    assert.deepEqual(client.takeText(), []);
    client.disconnect();
  }
});

test("The broker's own limit of messages in flight holds for 3.1.1 clients.", () => {
  const node = new VirtualNode({ outbound: { inflightMax: 3 } });
  const client = subscribed(node, "s", { version: v311, cleanStart: false });
  const publisher = node.connect("p");
  for (let i = 1; i <= 5; i++) publisher.publish("a", String(i), { qos: 2, packetId: i });
  assert.equal(client.take().length, 3);
});

test("A message too large for its subscriber is dropped and counted, and the others come. [MQTT-3.1.2-24]", () => {
  const node = new VirtualNode();
  const properties = { ...LASTING.properties, maximumPacketBytes: 100 };
  const client = subscribed(node, "s", { ...LASTING, properties });
  const publisher = node.connect("p");
  publisher.publish("a", "x".repeat(100), { qos: 0 });
  publisher.publish("a", "x".repeat(100), { qos: 1, packetId: 1 });
  publisher.publish("a", "x".repeat(100), { qos: 2, packetId: 2 });
  publisher.publish("a", "fits", { qos: 2, packetId: 3 });
  const messages = client.takeMessages();
  assert.deepEqual(
    messages.map(({ payload }) => payload),
    ["fits"],
  );
  assert.equal(node.broker.counters.droppedTooLarge, 3);
  client.ack(pubrec, messages[0]?.packetId ?? 0);
  client.ack(pubcomp, messages[0]?.packetId ?? 0);
  assert.deepEqual(node.metaKeys(0x20, 0x28), []);
});

test("What expires while it waits is dropped; what does not says how long it has left. [MQTT-3.3.2-5, 3.3.2-6]", () => {
  const node = new VirtualNode();
  subscribed(node).lose();
  const publisher = node.connect("p");
  const expiring = (seconds: number) => ({ properties: { messageExpirySeconds: seconds } });
  publisher.publish("a", "short", { qos: 1, packetId: 1, ...expiring(10) });
  publisher.publish("a", "short", { qos: 2, packetId: 2, ...expiring(10) });
  publisher.publish("a", "long", { qos: 1, packetId: 3, ...expiring(60) });
  node.advance(20_500);
  const messages = node
    .connect("s", LASTING)
    .take()
    .filter((packet) => packet.type === PacketType.publish);
  assert.deepEqual(
    messages.map(({ payload }) => payload),
    ["long"],
  );
  assert.equal(messages[0]?.properties.messageExpirySeconds, 40);
  assert.equal(node.broker.counters.droppedExpired, 2);
});

for (const fields of [LASTING, {}]) {
  const kind = fields === LASTING ? "lasts" : "ends with its connection";
  test(`What expires behind a full window is dropped, in a session that ${kind}. [MQTT-3.3.2-5]`, () => {
    const node = new VirtualNode();
    const properties = { ...LASTING.properties, receiveMaximum: 1 };
    const client = subscribed(
      node,
      "s",
      fields === LASTING ? { ...LASTING, properties } : { properties: { receiveMaximum: 1 } },
    );
    const publisher = node.connect("p");
    publisher.publish("a", "first", { qos: 1, packetId: 1 });
    for (const qos of [1, 2] as const) {
      const expiring = { messageExpirySeconds: 10 };
      publisher.publish("a", "late", { qos, packetId: 1 + qos, properties: expiring });
    }
    publisher.publish("a", "last", { qos: 1, packetId: 4 });
    node.advance(10_000);
    client.ack(puback, 1);
    const payloads = client.takeMessages().map(({ payload }) => payload);
    assert.deepEqual(payloads, ["first", "last"]);
    assert.equal(node.broker.counters.droppedExpired, 2);
  });
}

test("A QoS 2 message with a packet identifier that expires before it is sent is dropped.", () => {
  const node = new VirtualNode();
  const properties = { ...LASTING.properties, receiveMaximum: 1 };
  const client = subscribed(node, "s", { ...LASTING, properties });
  const publisher = node.connect("p");
  publisher.publish("a", "first", { qos: 1, packetId: 1 });
  const expiring = { messageExpirySeconds: 10 };
  publisher.publish("a", "late", { qos: 2, packetId: 2, properties: expiring });
  node.advance(10_000);
  client.ack(puback, 1);
  assert.deepEqual(client.takeText(), ["publish a q1 #1: first"]);
  assert.equal(node.broker.counters.droppedExpired, 1);
  assert.deepEqual(node.metaKeys(0x20, 0x28), []);
});

test("A message carries the identifiers of all matching subscriptions and comes once. [MQTT-3.3.4-4]", () => {
  const node = new VirtualNode();
  const client = connected(node, "s");
  client.subscribe("a/#", { qos: 0 }, { subscriptionIdentifiers: [7] });
  client.subscribe("+/b", { qos: 1 }, { subscriptionIdentifiers: [9] });
  client.subscribe("#", { qos: 0 });
  client.take();
  node.connect("p").publish("a/b", "x", { qos: 2, packetId: 1 });
  const [message, ...more] = client.takeMessages();
  assert.equal(more.length, 0);
  assert.equal(message?.qos, 1);
  assert.deepEqual([...(message?.properties.subscriptionIdentifiers ?? [])].sort(), [7, 9]);
});

test("No Local keeps a client's own messages from it, also retained ones. [MQTT-3.8.3-3]", () => {
  const node = new VirtualNode();
  const client = connected(node, "c");
  client.publish("kept", "own", { retain: true });
  node.connect("other").publish("kept/other", "other", { retain: true });
  client.subscribe("#", { qos: 2, noLocal: true });
  client.publish("a", "own");
  client.publish("a", "own", { qos: 2, packetId: 1 });
  node.connect("p").publish("a", "other");
  const payloads = client.take().flatMap((packet) => ("payload" in packet ? [packet.payload] : []));
  assert.deepEqual(payloads, ["other", "other"]);
});

test("A subscription with No Local lends a client's own message neither its identifier nor its options. [MQTT-3.8.3-3]", () => {
  const node = new VirtualNode();
  const client = connected(node, "c");
  const silent = { qos: 2, noLocal: true, retainAsPublished: true } as const;
  client.subscribe("a/#", silent, { subscriptionIdentifiers: [8] });
  client.subscribe("#", { qos: 1 }, { subscriptionIdentifiers: [9] });
  client.take();
  client.publish("a/b", "own", { retain: true });
  node.connect("p").publish("a/b", "other", { retain: true });
  const seen = client.takeMessages().map(({ payload, retain, properties }) => {
    return [payload, retain, [...(properties.subscriptionIdentifiers ?? [])].sort()];
  });
  assert.deepEqual(seen, [
    ["own", false, [9]],
    ["other", true, [8, 9]],
  ]);
});

test("What changes no subscription of a session that lasts is answered without a flush. [MQTT-3.8.4-1, 3.10.4-4]", () => {
  const node = new VirtualNode({ flushes: "manual" });
  const client = node.connect("c", { properties: { sessionExpirySeconds: 60 } });
  node.flushAll();
  client.take();
  client.unsubscribe("never/made");
  assert.deepEqual(client.takeText(), ["unsuback 2 0x11"]);
  client.subscribe("a#");
  assert.deepEqual(client.takeText(), ["suback 1 0x8f"]);
});

test("Retain handling decides who gets retained messages. [MQTT-3.3.1-9, 3.3.1-10, 3.3.1-11]", () => {
  const node = new VirtualNode();
  node.connect("p").publish("a", "x", { retain: true });
  const client = connected(node, "s");
  const counts = [0, 0, 1, 1, 2].map((retainHandling, i) => {
    // Each but the first of a pair is a repetition.
    client.subscribe("a", { retainHandling: retainHandling as 0 | 1 | 2 });
    if (i === 3) client.unsubscribe("a");
    return client.take().filter(({ type }) => type === PacketType.publish).length;
  });
  assert.deepEqual(counts, [1, 1, 0, 0, 0]);
  client.unsubscribe("a");
  client.subscribe("a", { retainHandling: 1 });
  assert.deepEqual(client.takeText(), [
    "unsuback 2 0x00",
    "publish a q0 retain: x",
    "suback 1 0x00",
  ]);
});

test("Retain As Published keeps the flag of live messages. [MQTT-3.3.1-12, 3.3.1-13]", () => {
  const node = new VirtualNode();
  const client = connected(node, "s");
  client.subscribe("plain");
  client.subscribe("kept", { retainAsPublished: true });
  client.take();
  const publisher = node.connect("p");
  for (const topic of ["plain", "kept"]) publisher.publish(topic, "x", { retain: true });
  publisher.publish("kept", "y");
  assert.deepEqual(client.takeText(), [
    "publish plain q0: x",
    "publish kept q0 retain: x",
    "publish kept q0: y",
  ]);
});

test("Retained messages survive a restart, with QoS and expiry; an empty one deletes. [MQTT-3.3.1-6]", () => {
  const node = new VirtualNode();
  const publisher = node.connect("p");
  publisher.publish("a", "1", { qos: 1, packetId: 1, retain: true });
  publisher.publish("b", "2", { retain: true, properties: { messageExpirySeconds: 10 } });
  publisher.publish("c", "3", { retain: true, properties: { messageExpirySeconds: 100 } });
  publisher.publish("d", "4", { retain: true });
  publisher.publish("d", "", { retain: true });
  node.advance(20_000);
  node.crash();
  const client = connected(node, "s");
  client.subscribe("#", { qos: 2 });
  assert.deepEqual(client.takeText().sort(), [
    "publish a q1 #1 retain: 1",
    "publish c q0 retain: 3",
    "suback 1 0x02",
  ]);
});

test("A retained replay stops with its subscription. [MQTT-3.10.4-2]", () => {
  const node = new VirtualNode();
  const publisher = node.connect("p");
  for (const topic of ["a/1", "a/2", "a/3"]) {
    publisher.publish(topic, "x", { qos: 1, packetId: 1, retain: true });
  }
  const client = connected(node, "s", { properties: { receiveMaximum: 1 } });
  client.subscribe("a/+", { qos: 1 });
  assert.equal(client.take().length, 2);
  client.unsubscribe("a/+");
  client.ack(puback, 1);
  assert.deepEqual(client.takeText(), ["unsuback 2 0x00"]);
});

test("A slow client costs nobody else anything: its QoS 0 is dropped and counted, its QoS 1 waits.", () => {
  const node = new VirtualNode();
  const slow = subscribed(node, "slow");
  const fast = subscribed(node, "fast");
  slow.setRoom(false);
  const publisher = connected(node, "p");
  publisher.publish("a", "0");
  publisher.publish("a", "1", { qos: 1, packetId: 1 });
  publisher.publish("a", "2", { qos: 2, packetId: 2 });
  assert.deepEqual(publisher.takeText(), ["puback 1", "pubrec 2"]);
  assert.equal(fast.take().length, 3);
  assert.deepEqual(slow.takeText(), []);
  assert.equal(node.broker.counters.droppedSlowSubscriber, 1);
  slow.setRoom(true);
  assert.deepEqual(
    slow.takeText().map((text) => text.slice(0, 12)),
    ["publish a q1", "publish a q2"],
  );
});

test("A client that does not keep up and whose session ends with it is ended with 0x97 when its backlog is full.", () => {
  const node = new VirtualNode({ outbound: { memoryBacklogBytesMax: 1_000 } });
  const slow = subscribed(node, "slow", {});
  slow.setRoom(false);
  const publisher = connected(node, "p");
  for (let i = 0; i < 3; i++) publisher.publish("a", "x", { qos: 1, packetId: 1 });
  assert.equal(slow.isClosed, false);
  publisher.publish("a", "x", { qos: 1, packetId: 1 });
  node.advance(200);
  assert.deepEqual(slow.takeText(), ["disconnect 0x97"]);
  assert.equal(node.broker.sessions.get("slow"), undefined);
});

test("A durable session with a full backlog loses its oldest messages, and they are counted.", () => {
  const node = new VirtualNode({ outbound: { backlogMessagesMax: 5 } });
  subscribed(node).lose();
  const publisher = node.connect("p");
  for (let i = 1; i <= 12; i++) publisher.publish("a", String(i), { qos: 1, packetId: 1 });
  assert.equal(node.broker.counters.droppedOldest, 7);
  const [, ...messages] = node.connect("s", LASTING).takeText();
  assert.deepEqual(
    messages.map((text) => text.split(": ")[1]),
    ["8", "9", "10", "11", "12"],
  );
});

test("A backlog loses whole commits, and never the newest.", () => {
  const node = new VirtualNode({ flushes: "manual", outbound: { backlogMessagesMax: 5 } });
  subscribed(node).lose();
  node.flushAll();
  const publisher = connected(node, "p");
  for (let i = 1; i <= 12; i++) publisher.publish("a", String(i), { qos: 1, packetId: i });
  node.flushAll();
  assert.equal(node.broker.counters.droppedOldest, 0);
  for (let i = 13; i <= 18; i++) publisher.publish("a", String(i), { qos: 1, packetId: i });
  node.flushAll();
  assert.equal(node.broker.counters.droppedOldest, 12);
  const client = node.connect("s", LASTING);
  node.flushAll();
  const [, ...messages] = client.takeText();
  assert.deepEqual(
    messages.map((text) => text.split(": ")[1]),
    ["13", "14", "15", "16", "17", "18"],
  );
});

test("A commit of many messages that its client leaves behind comes once and in order.", () => {
  const node = new VirtualNode({ flushes: "manual" });
  const client = subscribed(node);
  const publisher = connected(node, "p", { version: v311 });
  for (let i = 1; i <= 300; i++) publisher.publish("a", `1-${i}`, { qos: 1, packetId: i });
  for (let i = 301; i <= 600; i++) publisher.publish("b", `2-${i}`, { qos: 2, packetId: i });
  node.store.seal();
  client.lose();
  node.flushAll();
  const again = node.connect("s", LASTING);
  node.flushAll();
  const payloads = again.take().flatMap((packet) => ("payload" in packet ? [packet.payload] : []));
  assert.equal(new Set(payloads).size, 600);
  assert.equal(payloads.length, 600, "each once");
});

test("A retained QoS 2 message goes through all four packets, each state on disk before the next packet.", () => {
  const node = new VirtualNode({ flushes: "manual" });
  node.connect("p").publish("a", "x", { qos: 2, packetId: 1, retain: true });
  node.flushAll();
  const client = connected(node, "s", LASTING);
  client.subscribe("#", { qos: 2 });
  assert.deepEqual(client.takeText(), []);
  node.flush();
  assert.deepEqual(client.takeText(), ["publish a q2 #1 retain: x", "suback 1 0x02"]);
  client.ack(pubrec, 1);
  assert.deepEqual(client.takeText(), []);
  node.flush();
  assert.deepEqual(client.takeText(), ["pubrel 1"]);
  client.ack(pubcomp, 1);
  node.flushAll();
  assert.deepEqual(node.metaKeys(0x28), []);
});

test("After a restart no other message gets the packet identifier of a retained QoS 2 message under way.", () => {
  const node = new VirtualNode();
  const publisher = node.connect("p");
  publisher.publish("kept", "retained", { qos: 2, packetId: 1, retain: true });
  const client = connected(node, "s", LASTING);
  client.subscribe("#", { qos: 2 });
  assert.deepEqual(client.takeText(), ["publish kept q2 #1 retain: retained", "suback 1 0x02"]);
  node.crash();
  // The client has seen identifier 1 and would take whatever came with it for a repeat.
  node.connect("p").publish("live", "new", { qos: 2, packetId: 2 });
  const again = node.connect("s", LASTING);
  assert.deepEqual(again.takeText(), [
    "connack present",
    "publish kept q2 #1 dup retain: retained",
    "publish live q2 #2: new",
  ]);
  for (const packetId of [1, 2]) again.ack(pubrec, packetId);
  for (const packetId of [1, 2]) again.ack(pubcomp, packetId);
  assert.deepEqual(node.metaKeys(0x20, 0x28), []);
  assert.equal(node.broker.sessions.get("s")?.outbound.inflightSize, 0);
});
