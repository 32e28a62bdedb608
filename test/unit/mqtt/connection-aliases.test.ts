import assert from "node:assert/strict";
import { test } from "node:test";
import { PacketType, ProtocolVersion } from "../../../src/mqtt/packet.ts";
import type { Properties } from "../../../src/mqtt/properties.ts";
import type { VirtualClient } from "../../support/virtual-client.ts";
import { VirtualNode, type VirtualNodeOptions } from "../../support/virtual-node.ts";

/** A client that takes aliases, subscribed to everything with QoS 1, and one that publishes. */
function fixture(properties: Properties, options: VirtualNodeOptions = {}) {
  const node = new VirtualNode(options);
  const client = node.connect("s", { properties });
  client.subscribe("#", { qos: 1 });
  client.take();
  return { node, client, publisher: node.connect("p") };
}

/** `topic alias: payload` of each message; a topic that was not sent is `-`. */
function aliased(client: VirtualClient): string[] {
  return client.takeMessages().map(({ topic, payload, properties: { topicAlias = 0 } }) => {
    return `${topic === "" ? "-" : topic} ${topicAlias}: ${payload}`;
  });
}

test("A topic is sent once and then by its alias, to a client that takes aliases. [MQTT-3.1.2-26]", () => {
  const { client, publisher } = fixture({ topicAliasMaximum: 10 });
  publisher.publish("plant/1", "a");
  publisher.publish("plant/1", "b");
  publisher.publish("plant/2", "c", { qos: 1, packetId: 1 });
  publisher.publish("plant/2", "d", { properties: { contentType: "text" } });
  assert.deepEqual(aliased(client), ["plant/1 1: a", "- 1: b", "plant/2 2: c", "- 2: d"]);
});

test("A client that does not take aliases gets none, and no version but 5 does. [MQTT-3.1.2-27]", () => {
  for (const properties of [{}, { topicAliasMaximum: 0 }]) {
    const { client, publisher } = fixture(properties);
    for (const payload of ["a", "b"]) publisher.publish("plant/1", payload);
    assert.deepEqual(aliased(client), ["plant/1 0: a", "plant/1 0: b"]);
  }
  const { node, publisher } = fixture({});
  const old = node.connect("old", { version: ProtocolVersion.v311 });
  old.subscribe("#");
  old.take();
  for (const payload of ["a", "b"]) publisher.publish("plant/1", payload);
  assert.deepEqual(aliased(old), ["plant/1 0: a", "plant/1 0: b"]);
});

test("No alias is above what the client takes, nor above our own limit, and 0 switches them off.", () => {
  const highest = (asked: number, topicAliasOutMax: number): number => {
    const { client, publisher } = fixture(
      { topicAliasMaximum: asked },
      { connection: { topicAliasOutMax } },
    );
    for (let i = 0; i < 40; i++) publisher.publish(`plant/${i % 20}`, "x");
    const aliases = client.takeMessages().map(({ properties }) => properties.topicAlias ?? 0);
    return Math.max(...aliases);
  };
  assert.equal(highest(3, 32), 3);
  assert.equal(highest(65_535, 4), 4);
  assert.equal(highest(10, 0), 0);
});

test("Aliases stay with the topics that are used most, and others' are set anew.", () => {
  const { client, publisher } = fixture({ topicAliasMaximum: 1 });
  for (const topic of ["often", "often", "seldom", "often", "other", "other", "other", "other"]) {
    publisher.publish(topic, "x");
  }
  assert.deepEqual(aliased(client), [
    "often 1: x",
    "- 1: x",
    "seldom 0: x",
    "- 1: x",
    "other 0: x",
    "other 0: x",
    "other 1: x",
    "- 1: x",
  ]);
});

test("A receiver that resolves aliases gets every topic right, whatever is published.", () => {
  const { client, publisher } = fixture({ topicAliasMaximum: 5 });
  const sent: string[] = [];
  let state = 12_345;
  for (let i = 0; i < 2_000; i++) {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    const topic = `plant/${Math.floor((state / 2_147_483_648) ** 3 * 40)}`;
    sent.push(`${topic} ${i}`);
    publisher.publish(topic, String(i));
  }
  const known = new Map<number, string>();
  const got = client.takeMessages().map(({ topic, payload, properties: { topicAlias = 0 } }) => {
    if (topic !== "") known.set(topicAlias, topic);
    return `${topic === "" ? known.get(topicAlias) : topic} ${payload}`;
  });
  assert.deepEqual(got, sent);
});

test("An alias whose PUBLISH was too large for the client is not taken for known. [MQTT-3.1.2-24]", () => {
  const { client, publisher } = fixture({ topicAliasMaximum: 5, maximumPacketBytes: 30 });
  publisher.publish("plant/1", "x".repeat(40));
  publisher.publish("plant/1", "small");
  publisher.publish("plant/1", "small");
  assert.deepEqual(aliased(client), ["plant/1 1: small", "- 1: small"]);
});

test("Where there is no room for setting an alias, the message goes without it.", () => {
  // 2 fixed header, 2 + 7 topic, 1 properties, 10 payload; an alias takes 3 more.
  const { client, publisher } = fixture({ topicAliasMaximum: 5, maximumPacketBytes: 22 });
  publisher.publish("plant/1", "0123456789");
  publisher.publish("plant/1", "small");
  publisher.publish("plant/1", "0123456789");
  assert.deepEqual(aliased(client), [
    "plant/1 0: 0123456789",
    "plant/1 1: small",
    "- 1: 0123456789",
  ]);
});

test("Aliases end with the network connection: what is sent again has its whole topic. [MQTT-3.3.2-7]", () => {
  const properties = { topicAliasMaximum: 5, sessionExpirySeconds: 60 };
  const { node, client, publisher } = fixture(properties);
  publisher.publish("plant/1", "a", { qos: 1, packetId: 1 });
  publisher.publish("plant/1", "b", { qos: 1, packetId: 2 });
  assert.deepEqual(aliased(client), ["plant/1 1: a", "- 1: b"]);
  client.lose();
  const again = node.connect("s", { cleanStart: false, properties });
  const [connack, ...messages] = again.take();
  assert.equal(connack?.type, PacketType.connack);
  const topics = messages.map((packet) => packet.type === PacketType.publish && packet.topic);
  assert.deepEqual(topics, ["plant/1", ""]);
  const plain = node.connect("s", { cleanStart: false, properties: { sessionExpirySeconds: 60 } });
  const [, ...full] = plain.take();
  for (const packet of full) assert.ok(packet.type === PacketType.publish && packet.topic !== "");
});

test("A slow client's dropped messages set no alias.", () => {
  const { client, publisher } = fixture({ topicAliasMaximum: 5 });
  client.setRoom(false);
  publisher.publish("plant/1", "dropped");
  client.setRoom(true);
  publisher.publish("plant/1", "a");
  assert.deepEqual(aliased(client), ["plant/1 1: a"]);
});
