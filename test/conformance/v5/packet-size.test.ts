import assert from "node:assert/strict";
import { test } from "node:test";
import { type ConnectPacket, type OutgoingPacket, PacketType } from "../../../src/mqtt/packet.ts";
import type { Properties } from "../../../src/mqtt/properties.ts";
import { publishPacket } from "../../support/wire-client.ts";
import { framed } from "../bytes.ts";
import { edgeForFile } from "../edge.ts";
import { StrictClient } from "../strict-client.ts";

const edge = edgeForFile({ config: { mqtt: { maxPacketBytes: 1_000 } } });

const join = (clientId: string, fields: Partial<ConnectPacket> = {}): Promise<StrictClient> =>
  StrictClient.join(edge.broker.port, clientId, fields);

const sized = (maximumPacketBytes: number, fields: Properties = {}): Partial<ConnectPacket> => ({
  cleanStart: false,
  properties: { maximumPacketBytes, ...fields },
});

test("A PUBLISH of exactly the client's maximum packet size comes, one byte more does not. [MQTT-3.1.2-24]", async () => {
  const publisher = await join("exact-publisher");
  for (const [name, lasting] of [
    ["exact", {}],
    ["exact-lasting", { sessionExpirySeconds: 60 }],
  ] as const) {
    const client = await join(name, sized(64, lasting));
    await client.subscribe("exact", { qos: 2 });
    for (const qos of [0, 1, 2] as const) {
      // Header 2, topic 7, Property Length 1, packet identifier.
      const room = 64 - 10 - (qos === 0 ? 0 : 2);
      await publisher.publish("exact", Buffer.alloc(room + 1, "y"), { qos });
      await publisher.publish("exact", Buffer.alloc(room, "x"), { qos });
      const { hex, packet } = await client.takeArrival();
      assert.ok(packet.type === PacketType.publish && packet.qos === qos);
      assert.equal(hex.length / 2, 64);
      assert.equal(Buffer.from(packet.payload).toString(), "x".repeat(room));
      await client.getsNothing();
    }
  }
});

test("What is too large counts as sent: it is not sent later, takes no place in the window, and others get it. [MQTT-3.1.2-25]", async () => {
  const publisher = await join("dropped-publisher");
  const other = await join("dropped-other");
  await other.subscribe("dropped", { qos: 0 });
  const lasting = { sessionExpirySeconds: 60, receiveMaximum: 1 };
  const client = await join("dropped", sized(60, lasting));
  await client.subscribe("dropped", { qos: 2 });
  for (const qos of [1, 2, 1, 2] as const) {
    assert.equal(await publisher.publish("dropped", Buffer.alloc(100, "y"), { qos }), 0);
    await other.gets(`publish dropped q0: ${"y".repeat(100)}`);
  }
  await publisher.publish("dropped", "small", { qos: 1 });
  const packet = await client.take();
  assert.ok(packet.type === PacketType.publish);
  assert.equal(Buffer.from(packet.payload).toString(), "small");
  client.ack("puback", packet.packetId);
  await client.getsNothing();
  await client.lose();
  // Nor to a connection that would take it.
  await (await join("dropped", sized(10_000, lasting))).getsNothing();
});

test("Also what waited and retained messages keep to the maximum packet size. [MQTT-3.1.2-24, MQTT-3.1.2-25]", async () => {
  const publisher = await join("waited-publisher");
  const client = await join("waited", sized(10_000, { sessionExpirySeconds: 60 }));
  await client.subscribe("waited/#", { qos: 1 });
  await client.lose();
  await publisher.publish("waited/large", Buffer.alloc(200), { qos: 1, retain: true });
  await publisher.publish("waited/small", "x", { qos: 1, retain: true });
  const again = await join("waited", sized(60, { sessionExpirySeconds: 60 }));
  const { text } = await again.takeArrival();
  assert.match(text, /^publish waited\/small q1 #\d+: x$/);
  await again.getsNothing();
  const fresh = await join("waited-fresh", sized(60));
  await fresh.subscribe("waited/#", { qos: 0 });
  await fresh.gets("publish waited/small q0 retain: x");
  await fresh.getsNothing();
});

test("Properties count: with them a message may be too large that fits without. [MQTT-3.1.2-24]", async () => {
  const publisher = await join("counted-publisher");
  const client = await join("counted", sized(40));
  await client.subscribe("counted");
  const userProperties = [["name", "a value that is long"]] as const;
  await publisher.publish("counted", "x", { properties: { userProperties } });
  await client.getsNothing();
  await publisher.publish("counted", "x");
  await client.gets("publish counted q0: x");
});

/** The answers of the broker that have a reason string; each ends in the reason code 0x8x or 0x9x. */
const ANSWERS: readonly [what: string, ask: (client: StrictClient) => void, text: string][] = [
  [
    "PUBACK",
    (client) => client.send(publishPacket("$a", "", { qos: 1, packetId: 1 })),
    "puback 1 0x90",
  ],
  [
    "PUBREC",
    (client) => client.send(publishPacket("$a", "", { qos: 2, packetId: 1 })),
    "pubrec 1 0x90",
  ],
  ["PUBREL", (client) => client.ack("pubrec", 1), "pubrel 1 0x92"],
  ["PUBCOMP", (client) => client.ack("pubrel", 1), "pubcomp 1 0x92"],
  ["SUBACK", (client) => client.sendWire("82 08 0001 00 0002 612b 00"), "suback 1 0x8f"],
];

const reasonOf = (packet: OutgoingPacket): string | undefined =>
  "properties" in packet ? packet.properties?.reasonString : undefined;

test("A refusal says why, but not where that would make it too large for the client. [MQTT-3.4.2-2, MQTT-3.5.2-2, MQTT-3.6.2-2, MQTT-3.7.2-2, MQTT-3.9.2-1, MQTT-3.1.2-24]", async () => {
  for (const [what, ask, text] of ANSWERS) {
    const client = await join("reasons");
    ask(client);
    const full = await client.takeArrival();
    assert.equal(full.text, text);
    assert.notEqual(reasonOf(full.packet), undefined, what);
    const size = full.hex.length / 2;
    // One byte less, and it is left out; CONNACK has to fit too.
    const small = await join("reasons-small", sized(size - 1));
    ask(small);
    const short = await small.takeArrival();
    assert.deepEqual([short.text, reasonOf(short.packet)], [text, undefined], what);
    const exact = await join("reasons-exact", sized(size));
    ask(exact);
    assert.equal((await exact.takeArrival()).hex, full.hex);
  }
});

test("The broker puts no user properties into its answers, so that none makes one too large. [MQTT-3.2.2-20, MQTT-3.4.2-3, MQTT-3.5.2-3, MQTT-3.6.2-3, MQTT-3.7.2-3, MQTT-3.9.2-2, MQTT-3.11.2-2, MQTT-3.14.2-4]", async () => {
  const client = await join("no-user-properties");
  for (const [, ask] of ANSWERS) {
    ask(client);
    const { packet } = await client.takeArrival();
    assert.equal("properties" in packet && packet.properties?.userProperties, undefined);
  }
  client.sendWire("a2 06 0001 00 0001 61");
  const unsuback = await client.take();
  assert.equal("properties" in unsuback && unsuback.properties?.userProperties, undefined);
  client.sendWire("00 00");
  const disconnect = await client.take();
  assert.equal("properties" in disconnect && disconnect.properties?.userProperties, undefined);
  assert.equal(client.connack?.properties.userProperties, undefined);
});

test("UNSUBACK has no reason string: it is as large as its reason codes want. [MQTT-3.11.2-1]", async () => {
  const client = await join("unsuback", sized(30));
  client.sendWire(framed("a2", "0001 00", ...Array.from({ length: 25 }, () => "0001 61")));
  assert.equal((await client.takeArrival()).hex, `b01c000100${"11".repeat(25)}`);
});

test("CONNACK of a refusal and DISCONNECT leave their reason string out where it does not fit. [MQTT-3.2.2-19, MQTT-3.14.2-3]", async () => {
  const refused = async (maximumPacketBytes: number): Promise<OutgoingPacket> => {
    const client = await StrictClient.dial(edge.broker.port);
    const properties = { maximumPacketBytes, authenticationMethod: "none" };
    client.connect("connack", { properties });
    const { packet, hex, text } = await client.takeArrival();
    assert.equal(text, "connack 0x8c");
    assert.ok(hex.length / 2 <= maximumPacketBytes);
    await client.ends();
    return packet;
  };
  assert.equal(reasonOf(await refused(20)), undefined);
  assert.notEqual(reasonOf(await refused(200)), undefined);
  const takenOver = async (maximumPacketBytes: number): Promise<OutgoingPacket> => {
    const client = await join("taken-over", sized(maximumPacketBytes));
    await join("taken-over", sized(maximumPacketBytes));
    const { packet, hex, text } = await client.takeArrival();
    assert.equal(text, "disconnect 0x8e");
    assert.ok(hex.length / 2 <= maximumPacketBytes);
    return packet;
  };
  assert.equal(reasonOf(await takenOver(30)), undefined);
  assert.notEqual(reasonOf(await takenOver(200)), undefined);
});

test("A client that takes no CONNACK of success is closed with 0x95, or without a word where that is too large too. [MQTT-3.1.2-24, MQTT-3.2.0-1]", async () => {
  for (const [maximumPacketBytes, answer] of [
    [1, []],
    [4, []],
    [5, ["connack 0x95"]],
    [10, ["connack 0x95"]],
  ] as const) {
    const client = await StrictClient.dial(edge.broker.port);
    client.connect("tiny", { properties: { maximumPacketBytes } });
    client.send({ type: PacketType.pingreq });
    assert.deepEqual(await client.rest(), answer, String(maximumPacketBytes));
  }
});

test("Without problem information no packet but CONNACK and DISCONNECT has a reason string. [MQTT-3.1.2-29]", async () => {
  const client = await join("no-problem", { properties: { requestProblemInformation: false } });
  for (const [what, ask, text] of ANSWERS) {
    ask(client);
    const arrival = await client.takeArrival();
    assert.deepEqual([arrival.text, reasonOf(arrival.packet)], [text, undefined], what);
  }
  for (const requestProblemInformation of [true, undefined]) {
    const other = await join("problem", { properties: { requestProblemInformation } });
    for (const [what, ask] of ANSWERS) {
      ask(other);
      assert.notEqual(reasonOf(await other.take()), undefined, what);
    }
  }
});

test("Without problem information a PUBLISH has its user properties all the same. [MQTT-3.1.2-29, MQTT-3.3.2-17]", async () => {
  const client = await join("still", { properties: { requestProblemInformation: false } });
  await client.subscribe("still");
  const userProperties = [["a", "b"]] as const;
  await (await join("still-publisher")).publish("still", "x", { properties: { userProperties } });
  await client.gets('publish still q0: x userProperties=[["a","b"]]');
});

test("A packet of exactly the broker's maximum is taken, one of a byte more is answered with 0x95 before it is there. [MQTT-3.2.2-15, MQTT-4.13.1-1]", async () => {
  const client = await join("too-large");
  assert.equal(client.connack?.properties.maximumPacketBytes, 1_000);
  await client.subscribe("t");
  // Header 3, topic 3, Property Length 1.
  client.send(publishPacket("t", Buffer.alloc(993, "x")));
  await client.gets(`publish t q0: ${"x".repeat(993)}`);
  client.sendWire("30 e607");
  await client.ends("disconnect 0x95");
});

test("A maximum packet size of 0 is a protocol error. [MQTT-3.1.2-24]", async () => {
  const client = await StrictClient.dial(edge.broker.port);
  client.sendWire("10 12 0004'MQTT' 05 02 0000 05 2700000000 0000");
  await client.ends();
});
