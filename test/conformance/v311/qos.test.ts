import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { PacketType, ProtocolVersion } from "../../../src/mqtt/packet.ts";
import { publishPacket, type WireClient } from "../../support/wire-client.ts";
import { arrivals, edgeForFile, expectLines, publishSafely, settled, textOf } from "../edge.ts";

const V311 = ProtocolVersion.v311;
/** Fewer than the window of a client that acknowledges nothing. */
const MESSAGES = 80;
const edge = edgeForFile();

const numbers = Array.from({ length: MESSAGES }, (_, i) => i + 1);

async function subscriberOf(
  t: TestContext,
  topicFilter: string,
  qos: 0 | 1 | 2,
  cleanStart = true,
): Promise<WireClient> {
  const client = await edge.connect(t, V311, `subscriber of ${topicFilter}`, { cleanStart });
  await client.subscribe(1, topicFilter, qos);
  return client;
}

/** Takes so many messages, without acknowledging one. */
async function takeMessages(client: WireClient, count: number): Promise<string[]> {
  const lines: string[] = [];
  for (let i = 0; i < count; i++) {
    lines.push(textOf((await client.takeType(PacketType.publish)).packet));
  }
  return lines;
}

const payloadOf = (line: string): string => line.slice(line.indexOf(": ") + 2);

test("QoS 0 is sent once with QoS 0, without DUP, and nothing is answered [MQTT-4.3.1-1, MQTT-3.3.1-2]", async (t) => {
  const client = await subscriberOf(t, "zero", 2, false);
  client.send(publishPacket("zero", "x"));
  await expectLines(client, ["publish zero q0: x"]);
  await client.drop();
  const again = await edge.connect(t, V311, "subscriber of zero", { cleanStart: false });
  assert.deepEqual(await settled(again), []);
});

test("QoS 1 is sent with a packet identifier that is free, without DUP, and is owed until PUBACK [MQTT-4.3.2-1, MQTT-2.3.1-4]", async (t) => {
  const client = await subscriberOf(t, "one", 1);
  const publisher = await edge.connect(t, V311, "publisher");
  for (const i of [1, 2, 3]) await publishSafely(publisher, "one", `${i}`);
  const first = ["publish one q1 #1: 1", "publish one q1 #2: 2", "publish one q1 #3: 3"];
  await expectLines(client, first);
  client.send({ type: PacketType.puback, packetId: 2, reasonCode: 0 });
  await publishSafely(publisher, "one", "4");
  const [line = ""] = await arrivals(client, 1);
  // 1 and 3 are still in use.
  assert.match(line, /^publish one q1 #(?:2|[4-9]): 4$/);
});

test("Packet identifiers in flight differ, many of them, and none is 0 [MQTT-2.3.1-4, MQTT-2.3.1-1]", async (t) => {
  const client = await subscriberOf(t, "many", 1);
  const publisher = await edge.connect(t, V311, "publisher");
  for (const i of numbers) {
    publisher.send(publishPacket("many", `${i}`, { qos: i % 2 === 0 ? 1 : 2, packetId: i }));
    if (i % 2 !== 0) publisher.send({ type: PacketType.pubrel, packetId: i, reasonCode: 0 });
  }
  const used = new Set<number>();
  for (const _ of numbers) used.add((await client.takeType(PacketType.publish)).packet.packetId);
  assert.equal(used.size, MESSAGES);
  assert.ok(!used.has(0));
});

test("After PUBACK the same packet identifier is a new message, with DUP or without [MQTT-4.3.2-2]", async (t) => {
  const client = await subscriberOf(t, "reused", 0);
  const publisher = await edge.connect(t, V311, "publisher");
  await publishSafely(publisher, "reused", "first", { packetId: 7 });
  await publishSafely(publisher, "reused", "second", { packetId: 7 });
  await publishSafely(publisher, "reused", "third", { packetId: 7, dup: true });
  const expected = ["first", "second", "third"].map((text) => `publish reused q0: ${text}`);
  await expectLines(client, expected);
});

test("QoS 2 from the broker: PUBLISH, and PUBREL after PUBREC with the same packet identifier, until PUBCOMP [MQTT-4.3.3-1, MQTT-2.3.1-6]", async (t) => {
  const client = await subscriberOf(t, "two", 2);
  const publisher = await edge.connect(t, V311, "publisher");
  publisher.send(publishPacket("two", "x", { qos: 2, packetId: 5 }));
  publisher.send({ type: PacketType.pubrel, packetId: 5, reasonCode: 0 });
  await publisher.takeType(PacketType.pubcomp, 5);
  await expectLines(client, ["publish two q2 #1: x"]);
  // No PUBREL before PUBREC.
  assert.deepEqual(await settled(client), []);
  client.send({ type: PacketType.pubrec, packetId: 1, reasonCode: 0 });
  await client.takeType(PacketType.pubrel, 1);
  client.send({ type: PacketType.pubcomp, packetId: 1, reasonCode: 0 });
  assert.deepEqual(await settled(client), []);
});

test("After PUBREC the PUBLISH is not sent again, only PUBREL, on each connection until PUBCOMP [MQTT-4.3.3-1, MQTT-4.4.0-1]", async (t) => {
  const publisher = await edge.connect(t, V311, "publisher");
  let client = await subscriberOf(t, "halfway", 2, false);
  publisher.send(publishPacket("halfway", "x", { qos: 2, packetId: 5 }));
  publisher.send({ type: PacketType.pubrel, packetId: 5, reasonCode: 0 });
  await publisher.takeType(PacketType.pubcomp, 5);
  await client.takeType(PacketType.publish);
  client.send({ type: PacketType.pubrec, packetId: 1, reasonCode: 0 });
  await client.takeType(PacketType.pubrel, 1);
  for (let i = 0; i < 2; i++) {
    await client.drop();
    client = await edge.connect(t, V311, "subscriber of halfway", { cleanStart: false });
    await expectLines(client, ["pubrel 1"]);
  }
  client.send({ type: PacketType.pubcomp, packetId: 1, reasonCode: 0 });
  await settled(client);
  await client.drop();
  client = await edge.connect(t, V311, "subscriber of halfway", { cleanStart: false });
  assert.deepEqual(await settled(client), []);
});

test("QoS 2 to the broker: a repetition before PUBREL is answered with PUBREC and is not a second message [MQTT-4.3.3-2]", async (t) => {
  const client = await subscriberOf(t, "repeated", 0);
  const publisher = await edge.connect(t, V311, "publisher");
  for (const dup of [false, true, true]) {
    publisher.send(publishPacket("repeated", "x", { qos: 2, packetId: 5, dup }));
    await publisher.takeType(PacketType.pubrec, 5);
  }
  publisher.send({ type: PacketType.pubrel, packetId: 5, reasonCode: 0 });
  await publisher.takeType(PacketType.pubcomp, 5);
  await expectLines(client, ["publish repeated q0: x"]);
  // PUBCOMP set the packet identifier free: now it is another message.
  publisher.send(publishPacket("repeated", "y", { qos: 2, packetId: 5 }));
  await publisher.takeType(PacketType.pubrec, 5);
  publisher.send({ type: PacketType.pubrel, packetId: 5, reasonCode: 0 });
  await publisher.takeType(PacketType.pubcomp, 5);
  await expectLines(client, ["publish repeated q0: y"]);
});

test("A repetition of QoS 2 on the next connection, or after a crash of the broker, is no second message [MQTT-4.3.3-2, MQTT-4.4.0-1]", async (t) => {
  let client = await subscriberOf(t, "carried", 2, false);
  const publish = publishPacket("carried", "x", { qos: 2, packetId: 5 });
  let publisher = await edge.connect(t, V311, "carrier", { cleanStart: false });
  publisher.send(publish);
  await publisher.takeType(PacketType.pubrec, 5);
  await publisher.drop();
  publisher = await edge.connect(t, V311, "carrier", { cleanStart: false });
  publisher.send({ ...publish, dup: true });
  await publisher.takeType(PacketType.pubrec, 5);
  await client.drop();
  await edge.crash();
  publisher = await edge.connect(t, V311, "carrier", { cleanStart: false });
  publisher.send({ ...publish, dup: true });
  await publisher.takeType(PacketType.pubrec, 5);
  publisher.send({ type: PacketType.pubrel, packetId: 5, reasonCode: 0 });
  await publisher.takeType(PacketType.pubcomp, 5);
  client = await edge.connect(t, V311, "subscriber of carried", { cleanStart: false });
  const lines = (await arrivals(client, 1)).map((line) => line.replace(" dup", ""));
  assert.deepEqual(lines, ["publish carried q2 #1: x"]);
});

test("PUBACK comes in the order of the PUBLISH packets [MQTT-4.6.0-2]", async (t) => {
  const client = await edge.connect(t, V311, "in order 1");
  for (const i of numbers) {
    const topic = `acks/1/${i % 7}`;
    client.send(publishPacket(topic, "x", { qos: 1, packetId: i, retain: i % 5 === 0 }));
  }
  const ids: number[] = [];
  for (const _ of numbers) ids.push((await client.takeType(PacketType.puback)).packet.packetId);
  assert.deepEqual(ids, numbers);
});

test("PUBREC comes in the order of the PUBLISH packets [MQTT-4.6.0-3]", async (t) => {
  const client = await edge.connect(t, V311, "in order 2");
  for (const i of numbers) {
    client.send(publishPacket(`acks/2/${i % 7}`, "x", { qos: 2, packetId: i }));
  }
  const ids: number[] = [];
  for (const _ of numbers) ids.push((await client.takeType(PacketType.pubrec)).packet.packetId);
  assert.deepEqual(ids, numbers);
});

test("PUBREL comes in the order of the PUBREC packets [MQTT-4.6.0-4]", async (t) => {
  const client = await subscriberOf(t, "order/3", 2);
  const publisher = await edge.connect(t, V311, "publisher");
  const few = numbers.slice(0, 50);
  for (const i of few) {
    publisher.send(publishPacket("order/3", `${i}`, { qos: 2, packetId: i }));
    publisher.send({ type: PacketType.pubrel, packetId: i, reasonCode: 0 });
  }
  const sent: number[] = [];
  for (const _ of few) sent.push((await client.takeType(PacketType.publish)).packet.packetId);
  // Another order than that of the messages: that of the PUBRECs counts.
  const mixed = [...sent].reverse();
  for (const packetId of mixed) client.send({ type: PacketType.pubrec, packetId, reasonCode: 0 });
  const released: number[] = [];
  for (const _ of few) released.push((await client.takeType(PacketType.pubrel)).packet.packetId);
  assert.deepEqual(released, mixed);
});

for (const qos of [0, 1, 2] as const) {
  test(`Messages of one publisher with QoS ${qos} come in their order to each subscriber, without any setting [MQTT-4.6.0-5, MQTT-4.6.0-6]`, async (t) => {
    const topic = `order/4/${qos}`;
    const clients = [
      await subscriberOf(t, topic, qos),
      await subscriberOf(t, `order/+/${qos}`, qos),
    ];
    const publisher = await edge.connect(t, V311, `publisher ${qos}`);
    for (const i of numbers) {
      publisher.send(publishPacket(topic, `${i}`, { qos, packetId: qos === 0 ? 0 : i }));
      if (qos === 2) publisher.send({ type: PacketType.pubrel, packetId: i, reasonCode: 0 });
    }
    for (const client of clients) {
      const lines = await takeMessages(client, MESSAGES);
      assert.deepEqual(lines.map(payloadOf), numbers.map(String));
    }
  });
}

test("What is sent again on the next connection comes in the order of the first time, before what is new [MQTT-4.6.0-1, MQTT-4.6.0-6]", async (t) => {
  const publisher = await edge.connect(t, V311, "publisher");
  const client = await subscriberOf(t, "order/5", 2, false);
  for (const i of numbers.slice(0, 20)) {
    const qos = i % 2 === 0 ? 1 : 2;
    publisher.send(publishPacket("order/5", `${i}`, { qos, packetId: i }));
    if (qos === 2) publisher.send({ type: PacketType.pubrel, packetId: i, reasonCode: 0 });
  }
  const sent = await takeMessages(client, 20);
  const acknowledged = [sent[3], sent[7]];
  for (const line of acknowledged) {
    const packetId = Number(/ q1 #(\d+)/.exec(line ?? "")?.[1]);
    client.send({ type: PacketType.puback, packetId, reasonCode: 0 });
  }
  await settled(client);
  await client.drop();
  await publishSafely(publisher, "order/5", "new");
  const again = await edge.connect(t, V311, "subscriber of order/5", { cleanStart: false });
  const expected = sent
    .filter((line) => !acknowledged.includes(line))
    .map((line) => line.replace(": ", " dup: "));
  const lines = await arrivals(again, 19);
  assert.deepEqual(lines.slice(0, 18), expected);
  assert.match(lines.slice(18).join(), /^publish order\/5 q1 #\d+: new$/);
});

test("A client that acknowledges nothing is still sent what there is, and what it owes is not lost [MQTT-4.5.0-1]", async (t) => {
  const client = await subscriberOf(t, "owing", 1);
  const publisher = await edge.connect(t, V311, "publisher");
  for (const i of [1, 2, 3]) await publishSafely(publisher, "owing", `${i}`);
  assert.deepEqual((await arrivals(client, 3)).map(payloadOf), ["1", "2", "3"]);
});
