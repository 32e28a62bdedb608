import assert from "node:assert/strict";
import { test } from "node:test";
import { type ConnectPacket, PacketType, ProtocolVersion } from "../../../src/mqtt/packet.ts";
import { VirtualNode } from "../../support/virtual-node.ts";
import { publishPacket } from "../../support/wire-client.ts";
import { connectOf, field, framed, properties } from "../bytes.ts";
import { edgeForFile } from "../edge.ts";
import { StrictClient } from "../strict-client.ts";

const edge = edgeForFile();

const dial = (): Promise<StrictClient> => StrictClient.dial(edge.broker.port);
const join = (clientId: string, fields: Partial<ConnectPacket> = {}): Promise<StrictClient> =>
  StrictClient.join(edge.broker.port, clientId, fields);

/** CONNECT with everything: will, user name, password; the Client Identifier is "full". */
const WILL = `00 ${field("'will/full'")} ${field("'gone'")}`;
const FULL = ["00", field("'full'"), WILL, field("'ann'"), field("'secret'")];

test("What comes before CONNECT ends the connection without an answer. [MQTT-3.1.0-1, MQTT-3.2.0-1, MQTT-3.14.0-1]", async () => {
  const rows = [
    "30 05 0001 61 00 78",
    "32 06 0001 61 0001 00",
    "40 02 0001",
    "50 02 0001",
    "62 02 0001",
    "70 02 0001",
    "82 07 0001 00 0001 61 00",
    "a2 06 0001 00 0001 61",
    "c0 00",
    "e0 00",
    "f0 00",
    "20 03 00 00 00",
    "00 00",
  ];
  for (const bytes of rows) {
    const client = await dial();
    client.sendWire(`${bytes} ${connectOf("02", "00", field("'late'"))}`);
    assert.deepEqual(await client.rest(), [], bytes);
  }
});

test("A second CONNECT is a protocol error: DISCONNECT 0x82. [MQTT-3.1.0-2, MQTT-3.2.0-2]", async () => {
  for (const clientId of ["twice", "another"]) {
    const client = await join("twice");
    client.connect(clientId);
    await client.ends("disconnect 0x82");
  }
});

test("Another protocol name than MQTT is refused, in the form that 3.1.1 has for it. [MQTT-3.1.2-1]", async () => {
  for (const name of ["'MQT'", "'mqtt'", "'MQTTT'", "'MQIsdp'", "", "'HTTP'"]) {
    const client = await StrictClient.dial(edge.broker.port, ProtocolVersion.v311);
    client.sendWire(`${framed("10", field(name), "05 02 0000 00", field("'n'"))} c000`);
    assert.equal((await client.takeArrival()).hex, "20020001", name);
    await client.ends();
  }
});

test("A protocol version that is none is answered with 0x84 or its 3.1.1 form, and closed. [MQTT-3.1.2-2]", async () => {
  for (const level of ["00", "01", "02", "03", "06", "7f", "84", "ff"]) {
    const client = await StrictClient.dial(edge.broker.port, ProtocolVersion.v311);
    client.sendWire(framed("10", field("'MQTT'"), level, "02 0000 00", field("'n'")));
    const { hex } = await client.takeArrival();
    assert.equal(hex, "20020001", level);
    await client.ends();
  }
});

test("The reserved connect flag must be 0. [MQTT-3.1.2-3, MQTT-3.1.4-1]", async () => {
  const client = await dial();
  client.sendWire(connectOf("03", "00", field("'reserved'")));
  await client.ends();
});

test("Will QoS, will retain and will QoS 3 are looked at also where there is no will. [MQTT-3.1.2-11, MQTT-3.1.2-12, MQTT-3.1.2-13, MQTT-3.1.4-1]", async () => {
  for (const flags of ["0a", "12", "1a", "22", "2a"]) {
    const client = await dial();
    client.sendWire(connectOf(flags, "00", field("'no-will'")));
    assert.deepEqual(await client.rest(), [], flags);
  }
  for (const flags of ["1e", "3e"]) {
    const client = await dial();
    client.sendWire(connectOf(flags, "00", field("'will-3'"), WILL));
    assert.deepEqual(await client.rest(), [], flags);
  }
  for (const flags of ["06", "0e", "16", "26", "2e", "36"]) {
    const client = await dial();
    client.sendWire(connectOf(flags, "00", field("'will-ok'"), WILL));
    assert.match((await client.takeArrival()).text, /^connack /, flags);
    await client.leave();
  }
});

test("The fields of the payload are there exactly as the flags say, in their order. [MQTT-3.1.2-9, MQTT-3.1.2-16, MQTT-3.1.2-17, MQTT-3.1.2-18, MQTT-3.1.2-19, MQTT-3.1.3-1]", async () => {
  const [none = "", clientId = "", will = "", name = "", password = ""] = FULL;
  const rows: readonly [flags: string, parts: readonly string[], isRight: boolean][] = [
    ["c6", [none, clientId, will, name, password], true],
    ["86", [none, clientId, will, name], true],
    ["46", [none, clientId, will, password], true],
    ["c2", [none, clientId, name, password], true],
    ["82", [none, clientId, name], true],
    ["42", [none, clientId, password], true],
    ["02", [none, clientId], true],
    // A flag without its field.
    ["c6", [none, clientId, will, name], false],
    ["c6", [none, clientId, name, password], false],
    ["86", [none, clientId, will], false],
    ["46", [none, clientId, will], false],
    ["82", [none, clientId], false],
    ["42", [none, clientId], false],
    ["06", [none, clientId], false],
    ["06", [none, clientId, "00", field("'will/full'")], false],
    // A field without its flag.
    ["06", [none, clientId, will, name], false],
    ["82", [none, clientId, name, password], false],
    ["42", [none, clientId, name, password], false],
    ["02", [none, clientId, name], false],
    ["02", [none, clientId, will], false],
  ];
  for (const [flags, parts, isRight] of rows) {
    const client = await dial();
    client.sendWire(connectOf(flags, ...parts));
    const what = `${flags} ${parts.join(" ")}`;
    if (isRight) assert.match((await client.takeArrival()).text, /^connack /, what);
    else assert.deepEqual(await client.rest(), [], what);
    await client.lose();
  }
});

test("The order of the payload decides what is what: the will's topic and payload are those behind the Client Identifier. [MQTT-3.1.3-1, MQTT-3.1.3-3]", async () => {
  const watcher = await join("order-watcher");
  await watcher.subscribe("will/#");
  const client = await dial();
  client.sendWire(connectOf("c6", ...FULL));
  assert.match((await client.takeArrival()).text, /^connack /);
  await client.lose();
  await watcher.gets("publish will/full q0: gone");
  await watcher.getsNothing();
});

test("CONNECT without a Client Identifier, or cut off anywhere, is closed without an answer. [MQTT-3.1.3-3, MQTT-3.1.4-1]", async () => {
  const body = `${field("'MQTT'")} 05 c6 0000 ${FULL.join(" ")}`.replace(/'[^']*'/g, (text) =>
    Buffer.from(text.slice(1, -1)).toString("hex"),
  );
  const hex = body.replace(/ /g, "");
  for (let length = 0; length < hex.length; length += 2) {
    const client = await dial();
    client.sendWire(framed("10", hex.slice(0, length)));
    const lines = await client.rest();
    assert.deepEqual(lines, [], `cut at ${length / 2}`);
  }
});

test("Bytes behind CONNECT's last field are malformed. [MQTT-3.1.4-1]", async () => {
  const client = await dial();
  client.sendWire(connectOf("02", "00", field("'more'"), "00"));
  await client.ends();
});

test("Properties of CONNECT that stand twice, in the wrong packet or out of range are refused. [MQTT-3.1.4-1, MQTT-4.13.1-1]", async () => {
  const twice: readonly string[] = [
    "11 00000001",
    "21 0001",
    "27 00000100",
    "22 0001",
    "19 00",
    "17 00",
    `15 ${field("'m'")}`,
    `15 ${field("'m'")} 16 ${field("00")}`,
  ];
  const rows = [
    ...twice.map((property) => properties(property, property)),
    // Data without a method.
    properties("16", field("00")),
    // Zero where it is not allowed, and neither 0 nor 1.
    properties("21 0000"),
    properties("27 00000000"),
    properties("19 02"),
    properties("17 02"),
    // Of other packets, and of none.
    properties("01 00"),
    properties("12", field("'x'")),
    properties("13 0001"),
    properties("18 00000001"),
    properties("1f", field("'x'")),
    properties("23 0001"),
    properties("24 01"),
    properties("25 01"),
    properties("2a 01"),
    properties("00"),
    properties("7f 00"),
    // Longer than the packet.
    "7f",
  ];
  for (const text of rows) {
    const client = await dial();
    client.sendWire(connectOf("02", text, field("'properties'")));
    assert.deepEqual(await client.rest(), [], text);
  }
});

test("Properties of the will that stand twice, in the wrong place or out of range are refused. [MQTT-3.1.4-1, MQTT-4.13.1-1]", async () => {
  const rows = [
    properties("18 00000001 18 00000001"),
    properties("01 00 01 00"),
    properties("01 02"),
    properties("02 00000001 02 00000001"),
    properties("03", field("'x'"), "03", field("'x'")),
    properties("08", field("'x'"), "08", field("'x'")),
    properties("08", field("'x/#'")),
    properties("08", field("'+'")),
    properties("09", field("00"), "09", field("00")),
    properties("23 0001"),
    properties("0b 01"),
    properties("11 00000001"),
  ];
  for (const text of rows) {
    const client = await dial();
    const will = `${text} ${field("'w'")} ${field("")}`;
    client.sendWire(connectOf("06", "00", field("'will-properties'"), will));
    assert.deepEqual(await client.rest(), [], text);
  }
});

test("A will topic that is no topic name, or the broker's own, is refused with 0x90. [MQTT-3.1.4-2, MQTT-4.7.0-1, MQTT-4.7.3-1]", async () => {
  for (const topic of ["", "a/#", "a/+/b", "#", "+", "a#", "$SYS/x"]) {
    const client = await dial();
    client.connect("will-topic", {
      will: { topic, payload: Buffer.alloc(0), qos: 0, retain: false, properties: {} },
    });
    assert.deepEqual(await client.rest(), ["connack 0x90"], topic);
  }
});

test("Client Identifiers of 1 to 23 digits and letters are taken, and longer ones with other characters. [MQTT-3.1.3-5, MQTT-3.1.3-4]", async () => {
  const alphabet = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  const names = [...alphabet];
  for (let i = 0; i + 23 <= alphabet.length; i += 13) names.push(alphabet.slice(i, i + 23));
  names.push("ü€/#+$ ", "x".repeat(1_024));
  for (const name of names) await (await join(name)).leave();
});

test("A Client Identifier that is too long is refused with 0x85. [MQTT-3.1.3-8, MQTT-3.2.2-7]", async () => {
  const client = await dial();
  client.connect("x".repeat(1_025));
  await client.ends("connack 0x85");
});

test("An empty Client Identifier gets a new one each time, and CONNACK says which. [MQTT-3.1.3-6, MQTT-3.1.3-7, MQTT-3.2.2-16]", async () => {
  const seen = new Set<string>();
  for (const cleanStart of [true, false, true, false]) {
    const client = await join("", { cleanStart });
    assert.equal(client.connack?.sessionPresent, false);
    const assigned = client.connack?.properties.assignedClientId ?? "";
    assert.notEqual(assigned, "");
    seen.add(assigned);
  }
  assert.equal(seen.size, 4);
  const named = await join("named");
  assert.equal(named.connack?.properties.assignedClientId, undefined);
});

test("The assigned Client Identifier is as good as one of the client's own: it resumes the session and takes over. [MQTT-3.1.3-7, MQTT-3.1.3-2]", async () => {
  const lasting = { cleanStart: false, properties: { sessionExpirySeconds: 60 } };
  const first = await join("", lasting);
  const assigned = first.connack?.properties.assignedClientId ?? "";
  await first.subscribe("assigned/a", { qos: 1 });
  const second = await join(assigned, lasting);
  assert.equal(second.connack?.sessionPresent, true);
  assert.equal(second.connack?.properties.assignedClientId, undefined);
  await first.ends("disconnect 0x8e");
  const publisher = await join("assigned-publisher");
  await publisher.publish("assigned/a", "x", { qos: 1 });
  await second.gets("publish assigned/a q1 #1: x");
});

test("A second connection of a client ends the first with 0x8E, whatever it asks for. [MQTT-3.1.4-3, MQTT-3.1.3-2, MQTT-4.13.2-1]", async () => {
  for (const cleanStart of [true, false]) {
    const first = await join("taken-over");
    const other = await join("not-taken-over");
    const second = await join("taken-over", { cleanStart });
    await first.ends("disconnect 0x8e");
    await second.getsNothing();
    await other.getsNothing();
    await second.leave();
  }
});

test("Client Identifiers are told apart to the last byte. [MQTT-3.1.3-2]", async () => {
  const names = ["same", "Same", "same ", "same/", "sam", "s\u00e4me", "sa\u0308me"];
  const clients = [];
  for (const name of names) clients.push(await join(name));
  for (const client of clients) await client.getsNothing();
});

test("Nothing overtakes CONNACK: neither PINGRESP nor what waited in the session. [MQTT-3.1.4-5, MQTT-3.2.0-1, MQTT-3.2.0-2]", () => {
  const node = new VirtualNode({ flushes: "manual" });
  const lasting = { cleanStart: false, properties: { sessionExpirySeconds: 60 } };
  const first = node.connect("early", lasting);
  node.flushAll();
  first.subscribe("early", { qos: 1 });
  node.flushAll();
  first.lose();
  node.connect("publisher").publish("early", "waits", { qos: 1, packetId: 1 });
  node.flushAll();
  const client = node.connect("early", lasting);
  client.send({ type: PacketType.pingreq });
  client.publish("nobody", "x", { qos: 1, packetId: 7 });
  assert.deepEqual(client.takeText(), []);
  node.flushAll();
  const lines = client.takeText();
  assert.equal(lines[0], "connack present");
  assert.deepEqual(lines.slice(1).sort(), [
    "pingresp",
    "puback 7 0x10",
    "publish early q1 #1: waits",
  ]);
});

test("A client that does not know yet that it is accepted is told nothing when it is closed. [MQTT-3.14.0-1, MQTT-3.2.0-1]", () => {
  const node = new VirtualNode({ flushes: "manual" });
  const lasting = { cleanStart: false, properties: { sessionExpirySeconds: 60 } };
  const faulty = node.connect("faulty", lasting);
  faulty.sendBytes(Uint8Array.of(0, 0));
  node.flushAll();
  assert.deepEqual([faulty.takeText(), faulty.isClosed], [[], true]);
  const overtaken = node.connect("overtaken", lasting);
  node.connect("overtaken", lasting);
  node.flushAll();
  assert.deepEqual([overtaken.takeText(), overtaken.isClosed], [[], true]);
});

test("Nothing behind a refused CONNECT is processed. [MQTT-3.1.4-6]", async () => {
  const watcher = await join("refused-watcher");
  await watcher.subscribe("refused/#");
  const client = await dial();
  client.sendWire(
    `${connectOf("02", properties("15", field("'no-such-method'")), field("'refused'"))} ${framed("30", field("'refused/a'"), "00", "'x'")} c000`,
  );
  await client.ends("connack 0x8c");
  const malformed = await dial();
  malformed.sendWire(
    `${connectOf("03", "00", field("'refused'"))} ${framed("30", field("'refused/b'"), "00", "'x'")}`,
  );
  await malformed.ends();
  await watcher.getsNothing();
});

test("PUBLISH that comes in one piece with CONNECT is processed once CONNECT is accepted. [MQTT-3.1.4-5]", async () => {
  const client = await dial();
  client.send(
    {
      type: PacketType.connect,
      protocolVersion: ProtocolVersion.v5,
      cleanStart: true,
      keepAliveSeconds: 0,
      clientId: "in-one-piece",
      properties: {},
    },
    publishPacket("nobody", "x", { qos: 1, packetId: 9 }),
  );
  assert.match((await client.takeArrival()).text, /^connack /);
  await client.gets("puback 9 0x10");
});
