import assert from "node:assert/strict";
import { test } from "node:test";
import { PacketType, ProtocolVersion } from "../../../src/mqtt/packet.ts";
import { publishPacket, type WireClient } from "../../support/wire-client.ts";
import { edgeForFile, expectLines, textOf } from "../edge.ts";
import { field, packet, RawClient } from "../raw-client.ts";

const V311 = ProtocolVersion.v311;
const CONNECT_HEAD = `${field("MQTT")} 04`;
const edge = edgeForFile();

test("A PUBLISH of QoS 0 has no packet identifier, from a client and to one [MQTT-2.3.1-5, MQTT-4.3.1-1]", async (t) => {
  const client = await RawClient.open(t, edge.broker.port);
  client.send(packet(0x10, `${CONNECT_HEAD} 02 0000 ${field("zero")}`));
  await client.expect("20 02 0000");
  client.send(packet(0x82, `0001 ${field("zero/a")} 02`));
  await client.expect("90 03 0001 02");
  // What looks like a packet identifier is payload.
  client.send(packet(0x30, `${field("zero/a")} 0007 'x'`));
  await client.expect(`30 0b ${field("zero/a")} 0007 'x'`);
  // QoS 0 is answered with nothing.
  client.send("c000");
  await client.expect("d000");
});

test("A PUBLISH without payload is a message [MQTT-3.3.2-1]", async (t) => {
  const client = await RawClient.open(t, edge.broker.port);
  client.send(packet(0x10, `${CONNECT_HEAD} 02 0000 ${field("empty")}`));
  await client.expect("20 02 0000");
  client.send(packet(0x82, `0001 ${field("empty/a")} 00`));
  await client.expect("90 03 0001 00");
  client.send(packet(0x30, field("empty/a")));
  await client.expect(`30 09 ${field("empty/a")}`);
});

test("PUBLISH is answered with nothing, PUBACK and PUBREC by its QoS, with its packet identifier [MQTT-3.3.4-1, MQTT-2.3.1-6, MQTT-4.3.2-2, MQTT-4.3.3-2]", async (t) => {
  const client = await RawClient.open(t, edge.broker.port);
  client.send(packet(0x10, `${CONNECT_HEAD} 02 0000 ${field("answered")}`));
  await client.expect("20 02 0000");
  client.send(packet(0x30, `${field("answered")} 'x'`), "c000");
  await client.expect("d000");
  for (const id of ["0001", "00ff", "ff00", "ffff"]) {
    client.send(packet(0x32, `${field("answered")} ${id} 'x'`));
    await client.expect(`40 02 ${id}`);
    client.send(packet(0x34, `${field("answered")} ${id} 'x'`));
    await client.expect(`50 02 ${id}`);
    client.send(packet(0x62, id));
    await client.expect(`70 02 ${id}`);
  }
});

test("PUBREL of a packet identifier that is not known is answered with PUBCOMP [MQTT-4.3.3-2, MQTT-2.3.1-6]", async (t) => {
  const client = await edge.connect(t, V311, "releasing");
  client.send({ type: PacketType.pubrel, packetId: 77, reasonCode: 0 });
  const { packet: pubcomp } = await client.takeType(PacketType.pubcomp, 77);
  assert.equal(pubcomp.packetId, 77);
});

for (const qos of [1, 2] as const) {
  test(`DUP of a PUBLISH of QoS ${qos} that comes in is not passed on [MQTT-3.3.1-3]`, async (t) => {
    const subscriber = await edge.connect(t, V311, `dup-${qos}`);
    await subscriber.subscribe(1, `dup/${qos}`, qos);
    const client = await edge.connect(t, V311, `dup-publisher-${qos}`);
    client.send(publishPacket(`dup/${qos}`, "x", { qos, packetId: 9, dup: true }));
    const { packet: got } = await subscriber.takeType(PacketType.publish);
    assert.equal(textOf(got), `publish dup/${qos} q${qos} #1: x`);
  });
}

test("A message comes with the topic name it was published to, which matches the filter [MQTT-3.3.2-3]", async (t) => {
  const client = await edge.connect(t, V311, "matching");
  await client.subscribe(1, "matching/+/a/#", 0);
  const matching = ["matching/1/a", "matching//a/", "matching/2/a/b/c"];
  const others = ["matching/1/b", "matching/a", "matching/1/2/a", "Matching/1/a"];
  for (const topic of [...matching, ...others]) client.send(publishPacket(topic, "x"));
  const expected = matching.map((topic) => `publish ${topic} q0: x`);
  await expectLines(client, expected);
});

const KINDS = [
  ["clean", true],
  ["durable", false],
] as const;

/** Publishes with this QoS, all of it. */
async function publishWhole(client: WireClient, topic: string, qos: 0 | 1 | 2): Promise<void> {
  client.send(publishPacket(topic, "x", { qos, packetId: qos === 0 ? 0 : 5 }));
  if (qos === 1) await client.takeType(PacketType.puback, 5);
  if (qos !== 2) return;
  client.send({ type: PacketType.pubrel, packetId: 5, reasonCode: 0 });
  await client.takeType(PacketType.pubcomp, 5);
}

for (const [kind, cleanStart] of KINDS) {
  for (const [filters, qos] of [
    [{ "overlap/#": 0, "overlap/+": 2, "overlap/a": 1 }, 2],
    [{ "overlap/a": 2, "overlap/#": 0 }, 2],
    [{ "overlap/+": 1, "overlap/a": 0 }, 1],
  ] as const) {
    const text = Object.entries(filters).map(([filter, max]) => `${filter} ${max}`);
    test(`With ${text.join(", ")} in a ${kind} session a message comes with QoS ${qos} [MQTT-3.3.5-1]`, async (t) => {
      const clientId = `overlapping ${kind} ${text}`;
      const client = await edge.connect(t, V311, clientId, { cleanStart });
      for (const [filter, max] of Object.entries(filters)) await client.subscribe(1, filter, max);
      await publishWhole(await edge.connect(t, V311, "overlapped"), "overlap/a", 2);
      // The standard would also have it come once for each of them.
      await expectLines(client, [`publish overlap/a q${qos} #1: x`]);
    });
  }
}

for (const [kind, cleanStart] of KINDS) {
  for (const published of [0, 1, 2] as const) {
    for (const granted of [0, 1, 2] as const) {
      const delivered = Math.min(published, granted);
      test(`Published with QoS ${published} and granted ${granted} in a ${kind} session, a message comes once with QoS ${delivered} [MQTT-3.8.4-6]`, async (t) => {
        const clientId = `granted ${kind} ${published} ${granted}`;
        const subscriber = await edge.connect(t, V311, clientId, { cleanStart });
        const topic = `grant/${kind}/${published}/${granted}`;
        assert.deepEqual((await subscriber.subscribe(1, topic, granted)).reasonCodes, [granted]);
        await publishWhole(await edge.connect(t, V311, "granting"), topic, published);
        const id = delivered === 0 ? "" : " #1";
        await expectLines(subscriber, [`publish ${topic} q${delivered}${id}: x`]);
      });
    }
  }
}

test("Payloads of any bytes come through unchanged, also large ones [MQTT-3.3.2-1]", async (t) => {
  const client = await edge.connect(t, V311, "bytes");
  await client.subscribe(1, "bytes/a", 0);
  for (const length of [0, 1, 127, 128, 16_383, 16_384, 200_000]) {
    const payload = Buffer.from(Array.from({ length }, (_, i) => (i * 31) % 256));
    client.send(publishPacket("bytes/a", payload));
    const { packet: got } = await client.takeType(PacketType.publish);
    assert.ok(payload.equals(got.payload), `${length} bytes`);
  }
});
