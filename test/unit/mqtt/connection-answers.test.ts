import assert from "node:assert/strict";
import { test } from "node:test";
import { PacketType, ProtocolVersion } from "../../../src/mqtt/packet.ts";
import type { Properties } from "../../../src/mqtt/properties.ts";
import { type FromBroker, textOf, type VirtualClient } from "../../support/virtual-client.ts";
import { VirtualNode } from "../../support/virtual-node.ts";

const { v31, v311 } = ProtocolVersion;
const DENIED = { rules: [], users: undefined };

function propertiesOf(packet: FromBroker): Properties {
  return ("properties" in packet ? packet.properties : undefined) ?? {};
}

/** Each packet, and behind those with a reason string a `!`. */
const toldOf = (client: VirtualClient): string[] =>
  client.take().map((packet) => {
    const { reasonString = "" } = propertiesOf(packet);
    return reasonString === "" ? textOf(packet) : `${textOf(packet)} !`;
  });

/** A client that is refused a publish and a subscription, and then breaks the protocol. */
function refused(properties: Properties): VirtualClient {
  const node = new VirtualNode();
  node.setPolicy(DENIED);
  const client = node.connect("c", { properties });
  client.publish("t", "x", { qos: 1, packetId: 1 });
  client.subscribe("t");
  client.ack(PacketType.pubrel, 7);
  client.connect();
  return client;
}

test("Refusals say why, in words.", () => {
  assert.deepEqual(toldOf(refused({})), [
    "connack",
    "puback 1 0x87 !",
    "suback 1 0x87 !",
    "pubcomp 7 0x92 !",
    "disconnect 0x82 !",
  ]);
  const node = new VirtualNode();
  const unknown = node.connect("c", { properties: { authenticationMethod: "x" } });
  assert.deepEqual(toldOf(unknown), ["connack 0x8c !"]);
});

test("Without problem information only CONNACK and DISCONNECT have words. [MQTT-3.1.2-29]", () => {
  assert.deepEqual(toldOf(refused({ requestProblemInformation: false })), [
    "connack",
    "puback 1 0x87",
    "suback 1 0x87",
    "pubcomp 7 0x92",
    "disconnect 0x82 !",
  ]);
});

test("Words are left out where the packet would be larger than the client takes. [MQTT-3.4.2-2, 3.9.2-1, 3.7.2-2, 3.14.2-3]", () => {
  assert.deepEqual(toldOf(refused({ maximumPacketBytes: 25 })), [
    "connack",
    "puback 1 0x87",
    "suback 1 0x87",
    "pubcomp 7 0x92",
    "disconnect 0x82 !",
  ]);
});

test("3.x has no words.", () => {
  const node = new VirtualNode();
  node.setPolicy(DENIED);
  const client = node.connect("c", { version: v311 });
  client.subscribe("t");
  client.ack(PacketType.pubrel, 7);
  assert.deepEqual(client.takeText(), ["connack", "suback 1 0x80", "pubcomp 7"]);
});

test("A client that takes no CONNACK as large as it has to be is refused and leaves nothing. [MQTT-3.1.2-24]", () => {
  const node = new VirtualNode();
  const lasting = { sessionExpirySeconds: 60 };
  const client = node.connect("c", { properties: { ...lasting, maximumPacketBytes: 10 } });
  assert.deepEqual(client.takeText(), ["connack 0x95"]);
  assert.equal(client.isClosed, true);
  const deaf = node.connect("c", { properties: { ...lasting, maximumPacketBytes: 1 } });
  assert.deepEqual(deaf.takeText(), []);
  assert.equal(deaf.isClosed, true);
  assert.equal(node.broker.sessions.size, 0);
  // Exactly large enough.
  const connack = node.connect("d").link.take();
  const fits = (maximumPacketBytes: number): boolean => {
    const one = node.connect("e", { properties: { maximumPacketBytes } });
    return one.takeText().join() === "connack";
  };
  assert.equal(fits(connack.length), true);
  assert.equal(fits(connack.length - 1), false);
});

test("An answer that the client does not take for its size ends the connection with 0x95. [MQTT-3.1.2-24]", () => {
  const node = new VirtualNode();
  const client = node.connect("c", { properties: { maximumPacketBytes: 40 } });
  const options = { qos: 0, noLocal: false, retainAsPublished: false, retainHandling: 0 } as const;
  const subscriptions = Array.from({ length: 50 }, (_, i) => ({ topicFilter: `${i}`, ...options }));
  client.send({ type: PacketType.subscribe, packetId: 1, subscriptions });
  assert.deepEqual(client.takeText(), ["connack", "disconnect 0x95"]);
  assert.equal(client.isClosed, true);
});

test("A keep alive of 2 s is over after exactly 3 s of silence. [MQTT-3.1.2-22]", () => {
  const node = new VirtualNode();
  const client = node.connect("c", { keepAliveSeconds: 2 });
  client.take();
  node.advance(1_500);
  client.send({ type: PacketType.pingreq });
  node.advance(2_999);
  assert.deepEqual(client.takeText(), ["pingresp"]);
  assert.equal(client.isClosed, false);
  node.advance(1);
  assert.deepEqual(client.takeText(), ["disconnect 0x8d"]);
});

test("Nobody is taken for silent while so much output waits that the network is not read.", () => {
  const node = new VirtualNode();
  const client = node.connect("c", { keepAliveSeconds: 2 });
  client.take();
  client.link.isFlooded = true;
  node.advance(60_000);
  assert.equal(client.isClosed, false);
  client.link.isFlooded = false;
  node.advance(6_000);
  assert.deepEqual(client.takeText(), ["disconnect 0x8d"]);
});

test("Acknowledgements and pings go out although there is no room for messages.", () => {
  const node = new VirtualNode();
  const client = node.connect("c");
  client.subscribe("t", { qos: 1 });
  client.take();
  client.setRoom(false);
  client.publish("t", "own", { qos: 1, packetId: 1 });
  client.publish("u", "x", { qos: 2, packetId: 2 });
  client.ack(PacketType.pubrel, 2);
  client.send({ type: PacketType.pingreq });
  client.unsubscribe("u");
  const answers = ["puback 1", "pubrec 2 0x10", "pubcomp 2", "pingresp", "unsuback 2 0x11"];
  assert.deepEqual(client.takeText(), answers);
  client.setRoom(true);
  assert.deepEqual(client.takeText(), ["publish t q1 #1: own"]);
});

test("3.1 takes identifiers of 1 to 23 characters, and no others.", () => {
  const node = new VirtualNode();
  const answer = (clientId: string): string =>
    node.connect(clientId, { version: v31 }).takeText().join();
  assert.equal(answer("x".repeat(23)), "connack");
  assert.equal(answer("x".repeat(24)), "connack 0x85");
  assert.equal(answer(""), "connack 0x85");
});

test("What CONNECT asked for decides whether DISCONNECT may name an expiry, not what was granted. [MQTT 5.0 section 3.14.2.2.2]", () => {
  const node = new VirtualNode({ connection: { sessionExpiryMaxMs: 0 } });
  const client = node.connect("c", { properties: { sessionExpirySeconds: 100 } });
  const [connack] = client.take();
  assert.equal(propertiesOf(connack as FromBroker).sessionExpirySeconds, 0);
  client.disconnect(0, { sessionExpirySeconds: 50 });
  assert.deepEqual(client.takeText(), []);
  assert.equal(node.broker.sessions.size, 0);
});

test("A message without time left is not kept, and goes to who is there with nothing left. [MQTT-3.3.2-5, 3.3.2-6]", () => {
  const node = new VirtualNode();
  const properties = { sessionExpirySeconds: 60 };
  const away = node.connect("away", { properties });
  away.subscribe("t", { qos: 1 });
  away.lose();
  const here = node.connect("here");
  here.subscribe("t");
  here.take();
  const expired = { messageExpirySeconds: 0 };
  node.connect("p").publish("t", "x", { qos: 1, packetId: 1, properties: expired });
  assert.deepEqual(
    here.takeMessages().map((message) => message.properties.messageExpirySeconds),
    [0],
  );
  const back = node.connect("away", { cleanStart: false, properties });
  assert.deepEqual(back.takeText(), ["connack present"]);
});

test("User properties of a message stay in their order, names that repeat among them. [MQTT-3.3.2-17, 3.3.2-18]", () => {
  const node = new VirtualNode();
  const client = node.connect("s", { properties: { sessionExpirySeconds: 60 } });
  client.subscribe("t", { qos: 1 });
  client.take();
  const properties: Properties = {
    isPayloadUtf8: true,
    contentType: "text",
    responseTopic: "replies",
    correlationData: Buffer.of(1, 2),
    userProperties: [
      ["b", "1"],
      ["a", "2"],
      ["b", "3"],
    ],
  };
  for (const qos of [0, 1] as const) {
    node.connect("p").publish("t", "x", { qos, packetId: qos, properties });
    const [message] = client.takeMessages();
    assert.deepEqual(message?.properties.userProperties, properties.userProperties);
    assert.equal(message?.properties.responseTopic, "replies");
    assert.equal(message?.properties.contentType, "text");
    assert.equal(message?.properties.isPayloadUtf8, true);
    assert.deepEqual(Buffer.from(message?.properties.correlationData ?? []), Buffer.of(1, 2));
  }
});

test("PUBREC with an error frees its place in the client's receive maximum. [MQTT 5.0 section 4.9]", () => {
  const node = new VirtualNode();
  const client = node.connect("s", { properties: { receiveMaximum: 1 } });
  client.subscribe("t", { qos: 2 });
  client.take();
  const publisher = node.connect("p");
  for (const packetId of [1, 2]) {
    publisher.publish("t", String(packetId), { qos: 2, packetId });
    publisher.ack(PacketType.pubrel, packetId);
  }
  assert.deepEqual(client.takeText(), ["publish t q2 #1: 1"]);
  client.ack(PacketType.pubrec, 1, 0x97);
  assert.deepEqual(client.takeText(), ["publish t q2 #2: 2"]);
});

test("Subscribing again without No Local lets own messages come, and with it keeps them away. [MQTT-3.8.4-3]", () => {
  const node = new VirtualNode();
  const client = node.connect("c");
  for (const noLocal of [true, false, true]) {
    client.subscribe("t", { noLocal });
    client.take();
    client.publish("t", "own");
    assert.deepEqual(client.takeText(), noLocal ? [] : ["publish t q0: own"]);
  }
});
