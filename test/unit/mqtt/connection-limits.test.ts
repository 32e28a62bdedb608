import assert from "node:assert/strict";
import { test } from "node:test";
import type { ConnectionOptions } from "../../../src/mqtt/connection-options.ts";
import { PacketType, ProtocolVersion } from "../../../src/mqtt/packet.ts";
import type { VirtualClient } from "../../support/virtual-client.ts";
import { VirtualNode } from "../../support/virtual-node.ts";

const LONG = "x".repeat(65);
const DEEP = "/".repeat(8);
const LIMITS = { topicBytesMax: 64, topicLevelsMax: 8 };
const { v31, v311, v5 } = ProtocolVersion;

const will = (topic: string) => ({
  topic,
  payload: Buffer.from("gone"),
  qos: 0 as const,
  retain: false,
  properties: {},
});

function nodeWith(connection: Partial<ConnectionOptions>): VirtualNode {
  return new VirtualNode({ connection });
}

/** A client whose CONNACK was taken. */
function connected(node: VirtualNode, version: ProtocolVersion, clientId = "c"): VirtualClient {
  const client = node.connect(clientId, { version });
  client.take();
  return client;
}

for (const [what, topic] of [
  ["long", LONG],
  ["deep", DEEP],
] as const) {
  test(`A topic that is too ${what} is refused in PUBLISH, with 0x90 where version 5 acknowledges it.`, () => {
    const node = nodeWith(LIMITS);
    const client = connected(node, v5);
    client.publish(topic, "p", { qos: 1, packetId: 1 });
    client.publish(topic, "p", { qos: 2, packetId: 2 });
    assert.deepEqual(client.takeText(), ["puback 1 0x90", "pubrec 2 0x90"]);
    client.publish(topic, "p");
    assert.deepEqual(client.takeText(), ["disconnect 0x90"]);
    for (const version of [v31, v311]) {
      const older = connected(node, version);
      older.publish(topic, "p", { qos: 1, packetId: 1 });
      assert.deepEqual(older.takeText(), []);
      assert.equal(older.isClosed, true);
    }
    assert.equal(node.broker.counters.limitTopic, 5);
  });

  test(`A filter that is too ${what} is refused in SUBSCRIBE with 0x97, in 3.1.1 with 0x80.`, () => {
    const node = nodeWith(LIMITS);
    const client = connected(node, v5);
    client.subscribe(`${topic}/#`);
    assert.deepEqual(client.takeText(), ["suback 1 0x97"]);
    const older = connected(node, v311, "older");
    older.subscribe(`${topic}/#`);
    assert.deepEqual(older.takeText(), ["suback 1 0x80"]);
    assert.equal(node.broker.subscriptionCount, 0);
  });

  test(`A filter that is too ${what} is refused in UNSUBSCRIBE with 0x8f; the others of the packet are done.`, () => {
    const node = nodeWith(LIMITS);
    const client = connected(node, v5);
    client.subscribe("a");
    client.take();
    client.unsubscribe("b", `${topic}/#`, "a");
    assert.deepEqual(client.takeText(), ["unsuback 2 0x11 0x8f 0x00"]);
    const older = connected(node, v311, "older");
    older.unsubscribe(`${topic}/#`);
    assert.deepEqual(older.takeText(), ["unsuback 2"]);
    assert.equal(node.broker.counters.limitTopic, 2);
  });

  test(`A will whose topic is too ${what} refuses the CONNECT with 0x90.`, () => {
    const node = nodeWith(LIMITS);
    const client = node.connect("c", { will: will(topic) });
    assert.deepEqual(client.takeText(), ["connack 0x90"]);
    const older = node.connect("c", { will: will(topic), version: v311 });
    older.take();
    assert.equal(older.isClosed, true);
    assert.equal(node.broker.sessions.size, 0);
  });
}

test("A topic is as long as its UTF-8, and one of exactly the limits is taken.", () => {
  const node = nodeWith(LIMITS);
  const client = connected(node, v5);
  client.publish("ä".repeat(32), "p", { qos: 1, packetId: 1 });
  client.publish("ä".repeat(33), "p", { qos: 1, packetId: 2 });
  client.publish("/".repeat(7), "p", { qos: 1, packetId: 3 });
  assert.deepEqual(client.takeText(), ["puback 1 0x10", "puback 2 0x90", "puback 3 0x10"]);
});

test("User properties are limited in number and in bytes: beyond either the client is told 0x97.", () => {
  const node = nodeWith({ userPropertiesMax: 3, userPropertyBytesMax: 100 });
  const pairs = (count: number, value: string) =>
    Array.from({ length: count }, (): [string, string] => ["n", value]);
  const publish = (userProperties: [string, string][]): string[] => {
    const client = connected(node, v5);
    client.publish("t", "p", { qos: 1, packetId: 1, properties: { userProperties } });
    return client.takeText();
  };
  assert.deepEqual(publish(pairs(3, "v")), ["puback 1 0x10"]);
  assert.deepEqual(publish(pairs(4, "v")), ["disconnect 0x97"]);
  assert.deepEqual(publish(pairs(1, "v".repeat(94))), ["puback 1 0x10"]);
  assert.deepEqual(publish(pairs(1, "v".repeat(95))), ["disconnect 0x97"]);
  assert.equal(node.broker.counters.limitProperties, 2);
  const atConnect = node.connect("c", { properties: { userProperties: pairs(4, "v") } });
  assert.deepEqual(atConnect.takeText(), ["connack 0x97"]);
  const inWill = node.connect("c", {
    will: { ...will("t"), properties: { userProperties: pairs(4, "v") } },
  });
  assert.deepEqual(inWill.takeText(), ["connack 0x97"]);
});

test("A packet over the limit ends the connection with 0x95, before CONNECT is accepted at another limit.", () => {
  const node = nodeWith({ packetBytesMax: 1_000, connectPacketBytesMax: 200 });
  const big = node.connect("c", { username: "u".repeat(300) });
  assert.deepEqual([big.isClosed, big.takeText()], [true, []]);
  const client = connected(node, v5);
  client.publish("t", "p".repeat(900), { qos: 1, packetId: 1 });
  assert.deepEqual(client.takeText(), ["puback 1 0x10"]);
  client.publish("t", "p".repeat(1_000), { qos: 1, packetId: 2 });
  assert.deepEqual(client.takeText(), ["disconnect 0x95"]);
  assert.equal(node.broker.counters.limitPacketBytes, 2);
});

test("A version 5 client is given a keep alive within the limits and told; one of 3.1.1 keeps its own.", () => {
  const node = nodeWith({ keepAliveMinSeconds: 10, keepAliveMaxSeconds: 60 });
  const told = (keepAliveSeconds: number): number | undefined => {
    const [connack] = node.connect("c", { keepAliveSeconds }).take();
    assert.ok(connack?.type === PacketType.connack);
    return connack.properties.serverKeepAliveSeconds;
  };
  assert.deepEqual([1, 9, 10, 30, 60, 61, 0].map(told), [
    10,
    10,
    undefined,
    undefined,
    undefined,
    60,
    60,
  ]);
  const given = node.connect("given", { keepAliveSeconds: 1 });
  const own = node.connect("own", { keepAliveSeconds: 1, version: v311 });
  const none = node.connect("none", { keepAliveSeconds: 0, version: v311 });
  node.advance(1_500);
  assert.deepEqual([given.isClosed, own.isClosed], [false, true]);
  node.advance(13_500);
  assert.equal(given.isClosed, true);
  node.advance(1_000_000);
  assert.equal(none.isClosed, false);
});

test("Without limits on the keep alive what a client asks for holds, 0 included.", () => {
  const node = nodeWith({});
  for (const keepAliveSeconds of [0, 1, 65_535]) {
    const [connack] = node.connect("c", { keepAliveSeconds }).take();
    assert.ok(connack?.type === PacketType.connack);
    assert.equal(connack.properties.serverKeepAliveSeconds, undefined);
  }
});

test("Subscriptions beyond the limit of a session are refused with 0x97, replacing one is not.", () => {
  const node = new VirtualNode({ limits: { subscriptionsPerSessionMax: 2 } });
  const client = connected(node, v5);
  for (const filter of ["a", "b", "c", "a"]) client.subscribe(filter);
  const expected = ["suback 1 0x00", "suback 1 0x00", "suback 1 0x97", "suback 1 0x00"];
  assert.deepEqual(client.takeText(), expected);
  assert.equal(node.broker.counters.limitSubscriptions, 1);
});
