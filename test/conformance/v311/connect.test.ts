import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { PacketType, ProtocolVersion } from "../../../src/mqtt/packet.ts";
import { publishPacket } from "../../support/wire-client.ts";
import { edgeForFile, lastWords, settled, textOf } from "../edge.ts";
import { field, packet, RawClient } from "../raw-client.ts";

const V311 = ProtocolVersion.v311;
const HEAD = `${field("MQTT")} 04`;
const CLEAN = "02";
const DURABLE = "00";
const FRESH = "20 02 0000";
const PRESENT = "20 02 0100";
const edge = edgeForFile();

/** CONNECT without a keep alive. */
const connectBytes = (clientId: string, flags = CLEAN, rest = ""): Buffer =>
  packet(0x10, `${HEAD} ${flags} 0000 ${field(clientId)} ${rest}`);

/** Sends CONNECT and expects these bytes. */
async function dial(t: TestContext, bytes: Uint8Array, answer: string): Promise<RawClient> {
  const client = await RawClient.open(t, edge.broker.port);
  client.send(bytes);
  await client.expect(answer);
  return client;
}

test("CONNACK with code 0 is the first packet, also for a client that sends more at once [MQTT-3.1.4-4, MQTT-3.2.0-1]", async (t) => {
  const client = await RawClient.open(t, edge.broker.port);
  const subscribe = packet(0x82, `0001 ${field("first/#")} 01`);
  client.send(connectBytes("hasty"), subscribe, packet(0x32, `${field("first/a")} 0002 'x'`));
  await client.expect(FRESH);
});

test("CONNACK comes before what a session has waiting [MQTT-3.2.0-1]", async (t) => {
  const subscriber = await dial(t, connectBytes("waiting", DURABLE), FRESH);
  subscriber.send(packet(0x82, `0001 ${field("waiting/#")} 01`));
  await subscriber.expect("90 03 0001 01");
  subscriber.send("e000");
  await subscriber.ended();
  const publisher = await edge.connect(t, V311, "publisher");
  publisher.send(publishPacket("waiting/a", "x", { qos: 1, packetId: 1 }));
  await publisher.takeType(PacketType.puback, 1);
  const again = await dial(t, connectBytes("waiting", DURABLE), PRESENT);
  await again.expect(`32 0e ${field("waiting/a")} 0001 'x'`);
});

for (const [name, bytes] of [
  ["mqtt", packet(0x10, `${field("mqtt")} 04 02 0000 ${field("c")}`)],
  ["MQTX", packet(0x10, `${field("MQTX")} 04 02 0000 ${field("c")}`)],
  ["MQIsdp with level 4", packet(0x10, `${field("MQIsdp")} 04 02 0000 ${field("c")}`)],
  ["none", packet(0x10, `0000 04 02 0000 ${field("c")}`)],
] as const) {
  test(`The protocol name ${name} is not served as 3.1.1 [MQTT-3.1.2-1]`, async (t) => {
    const client = await RawClient.open(t, edge.broker.port);
    client.send(bytes, "c000");
    // At most a refusal, and never the answer to the PINGREQ.
    assert.ok(["", "20020001"].includes(await client.ended()));
  });
}

for (const level of ["00", "01", "02", "06", "7f", "ff"]) {
  test(`Protocol level 0x${level} is refused with code 1 and the connection ended [MQTT-3.1.2-2, MQTT-3.2.2-4, MQTT-3.2.2-5]`, async (t) => {
    const bytes = packet(0x10, `${field("MQTT")} ${level} 02 0000 ${field("c")}`);
    const client = await dial(t, bytes, "20 02 0001");
    assert.equal(await client.ended(), "");
  });
}

test("Every field of CONNECT is in its place: client identifier, will topic, will message, user name, password [MQTT-3.1.3-1, MQTT-3.1.3-3, MQTT-3.1.2-9, MQTT-3.1.2-19, MQTT-3.1.2-21]", async (t) => {
  const watcher = await edge.connect(t, V311, "watcher");
  await watcher.subscribe(1, "ordered/will", 0);
  const fields = `${field("ordered/will")} ${field("farewell")} ${field("user")} ${field("secret")}`;
  const client = await dial(t, connectBytes("ordered", "c6", fields), FRESH);
  // The same client identifier takes it over: it was the first field, and the will the next two.
  await edge.connect(t, V311, "ordered");
  assert.equal(await client.ended(), "");
  const { packet: will } = await watcher.takeType(PacketType.publish);
  assert.equal(textOf(will), "publish ordered/will q0: farewell");
});

test("CONNECT without will, user name and password is accepted with a client identifier alone [MQTT-3.1.2-11, MQTT-3.1.2-18, MQTT-3.1.2-20]", async (t) => {
  await dial(t, connectBytes("alone"), FRESH);
});

for (const [what, clientId] of [
  ["1 character", "a"],
  ["all digits and small letters", "0123456789abcdefghijklm"],
  ["the rest of the small letters", "nopqrstuvwxyz"],
  ["capital letters", "ABCDEFGHIJKLMNOPQRSTUVW"],
  ["the rest of the capital letters", "XYZ"],
] as const) {
  test(`A client identifier of ${what} is allowed [MQTT-3.1.3-5]`, async (t) => {
    await dial(t, connectBytes(clientId), FRESH);
  });
}

test("A client identifier in many scripts is UTF-8 and is allowed [MQTT-3.1.3-4]", async (t) => {
  await dial(t, connectBytes("Gerät-7-温度-😀"), FRESH);
});

test("Client identifiers that differ in a byte order mark are two clients [MQTT-1.5.3-3, MQTT-3.1.3-2]", async (t) => {
  const plain = await dial(t, connectBytes("marked"), FRESH);
  await dial(t, packet(0x10, `${HEAD} 02 0000 ${field("\ufeffmarked")}`), FRESH);
  plain.send("c000");
  await plain.expect("d000");
});

test("Client identifiers that differ in case are two clients [MQTT-3.1.3-2]", async (t) => {
  const small = await dial(t, connectBytes("case"), FRESH);
  await dial(t, connectBytes("CASE"), FRESH);
  small.send("c000");
  await small.expect("d000");
});

test("A clean session without client identifier is accepted, and two of them are two clients [MQTT-3.1.3-6]", async (t) => {
  const first = await dial(t, connectBytes(""), FRESH);
  const second = await dial(t, connectBytes(""), FRESH);
  for (const client of [first, second]) {
    client.send(packet(0x82, `0001 ${field("nameless")} 00`));
    await client.expect("90 03 0001 00");
  }
  first.send(packet(0x30, `${field("nameless")} 'x'`));
  for (const client of [first, second]) await client.expect(`30 0b ${field("nameless")} 'x'`);
});

test("No client identifier without a clean session is refused with code 2 and the connection ended [MQTT-3.1.3-7, MQTT-3.1.3-8, MQTT-3.1.3-9, MQTT-3.2.2-4, MQTT-3.2.2-5]", async (t) => {
  const client = await dial(t, connectBytes("", DURABLE), "20 02 0002");
  assert.equal(await client.ended(), "");
});

test("Nothing behind a CONNECT that is refused is looked at [MQTT-3.1.4-5]", async (t) => {
  const watcher = await edge.connect(t, V311, "watcher-of-refused");
  await watcher.subscribe(1, "refused/#", 0);
  const client = await RawClient.open(t, edge.broker.port);
  const publish = packet(0x31, `${field("refused/a")} 'x'`);
  client.send(connectBytes("", DURABLE), publish, "c000");
  assert.equal(await client.ended(), "20020002");
  assert.deepEqual(await settled(watcher), []);
  const late = await edge.connect(t, V311, "late-watcher");
  await late.subscribe(1, "refused/#", 0);
  assert.deepEqual(await settled(late), []);
});

test("A malformed CONNECT gets no return code, because none says so [MQTT-3.2.2-6, MQTT-3.1.4-1]", async (t) => {
  const client = await RawClient.open(t, edge.broker.port);
  client.send(packet(0x10, `${HEAD} 02 0000 0009 'short'`));
  assert.equal(await client.ended(), "");
});

test("Another client with the same identifier ends the older connection, and is served [MQTT-3.1.4-2]", async (t) => {
  const older = await dial(t, connectBytes("taken"), FRESH);
  const newer = await dial(t, connectBytes("taken"), FRESH);
  assert.equal(await older.ended(), "");
  newer.send("c000");
  await newer.expect("d000");
});

test("Another client identifier ends nobody's connection [MQTT-3.1.4-2]", async (t) => {
  const one = await dial(t, connectBytes("one-of-two"), FRESH);
  await dial(t, connectBytes("two-of-two"), FRESH);
  one.send("c000");
  await one.expect("d000");
});

test("Session present: 0 for a clean session, 0 for a new one, 1 for one that is resumed [MQTT-3.2.2-1, MQTT-3.2.2-2, MQTT-3.2.2-3, MQTT-3.1.4-3]", async (t) => {
  const steps = [
    [DURABLE, FRESH],
    [DURABLE, PRESENT],
    [CLEAN, FRESH],
    // The clean session took the older one with it, and left none.
    [DURABLE, FRESH],
    [DURABLE, PRESENT],
  ] as const;
  for (const [flags, answer] of steps) {
    const client = await dial(t, connectBytes("present", flags), answer);
    client.send("e000");
    assert.equal(await client.ended(), "");
  }
});

test("A second CONNECT is not answered, and ends the connection [MQTT-3.1.0-2]", async (t) => {
  const client = await edge.connect(t, V311, "twice");
  const again = await RawClient.open(t, edge.broker.port);
  again.send(connectBytes("again"), connectBytes("again"));
  await again.expect(FRESH);
  assert.equal(await again.ended(), "");
  assert.deepEqual(await settled(client), []);
  client.sendBytes(connectBytes("thrice"));
  assert.deepEqual(await lastWords(client), []);
});

test("Each PINGREQ is answered with one PINGRESP [MQTT-3.12.4-1]", async (t) => {
  const client = await dial(t, connectBytes("pinging"), FRESH);
  client.send("c000");
  await client.expect("d000");
  client.send("c000 c000");
  await client.expect("d000 d000");
  client.send("e000");
  assert.equal(await client.ended(), "");
});

test("A client that says nothing but CONNECT is served [MQTT-3.1.0-1]", async (t) => {
  const client = await dial(t, connectBytes("quiet"), FRESH);
  client.send("c000");
  await client.expect("d000");
});

test("Keep alive: the broker ends a connection that is silent for one and a half times of it, and sends the will [MQTT-3.1.2-24, MQTT-3.1.2-8]", async (t) => {
  const watcher = await edge.connect(t, V311, "keep-alive-watcher");
  await watcher.subscribe(1, "silent/will", 0);
  const client = await RawClient.open(t, edge.broker.port);
  const startedAt = performance.now();
  const will = `${field("silent/will")} ${field("gone")}`;
  client.send(packet(0x10, `${HEAD} 06 0001 ${field("silent")} ${will}`));
  await client.expect(FRESH);
  assert.equal(await client.ended(), "");
  const tookMs = performance.now() - startedAt;
  assert.ok(tookMs >= 1_450 && tookMs < 3_000, `${tookMs} ms`);
  await watcher.takeType(PacketType.publish);
});
