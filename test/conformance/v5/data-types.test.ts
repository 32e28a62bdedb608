import assert from "node:assert/strict";
import { test } from "node:test";
import { PacketType } from "../../../src/mqtt/packet.ts";
import { publishPacket } from "../../support/wire-client.ts";
import { connectOf, field, framed, properties } from "../bytes.ts";
import { edgeForFile } from "../edge.ts";
import { StrictClient } from "../strict-client.ts";

const edge = edgeForFile();

/** Where a client sends a UTF-8 encoded string, each with this string in it. */
const AFTER_CONNECT: readonly [what: string, bytes: (text: string) => string][] = [
  ["PUBLISH topic", (text) => framed("32", field(text), "0001 00")],
  ["content type", (text) => framed("32", "0001 61 0001", properties("03", field(text)))],
  ["response topic", (text) => framed("32", "0001 61 0001", properties("08", field(text)))],
  ["SUBSCRIBE topic filter", (text) => framed("82", "0001 00", field(text), "00")],
  ["UNSUBSCRIBE topic filter", (text) => framed("a2", "0001 00", field(text))],
  ["PUBACK reason string", (text) => framed("40", "0001 00", properties("1f", field(text)))],
  ["PUBREC reason string", (text) => framed("50", "0001 00", properties("1f", field(text)))],
  ["PUBREL reason string", (text) => framed("62", "0001 00", properties("1f", field(text)))],
  ["PUBCOMP reason string", (text) => framed("70", "0001 00", properties("1f", field(text)))],
  ["DISCONNECT reason string", (text) => framed("e0", "04", properties("1f", field(text)))],
];

/** User properties, by name and by value, in every packet that a client sends after CONNECT. */
const USER_PROPERTIES: readonly [what: string, bytes: (text: string) => string][] = (
  [
    ["PUBLISH", (pair) => framed("32", "0001 61 0001", pair)],
    ["PUBACK", (pair) => framed("40", "0001 00", pair)],
    ["PUBREC", (pair) => framed("50", "0001 00", pair)],
    ["PUBREL", (pair) => framed("62", "0001 00", pair)],
    ["PUBCOMP", (pair) => framed("70", "0001 00", pair)],
    ["SUBSCRIBE", (pair) => framed("82", "0001", pair, field("61"), "00")],
    ["UNSUBSCRIBE", (pair) => framed("a2", "0001", pair, field("61"))],
    ["DISCONNECT", (pair) => framed("e0", "04", pair)],
  ] satisfies [string, (pair: string) => string][]
).flatMap(([what, bytes]) => [
  [`name in ${what}`, (text: string) => bytes(properties("26", field(text), field("61")))],
  [`value in ${what}`, (text: string) => bytes(properties("26", field("61"), field(text)))],
]);

/** CONNECT with this string in one field; the others are well-formed. */
const CONNECTS: readonly [what: string, bytes: (text: string) => string][] = [
  ["Client Identifier", (text) => connectOf("02", "00", field(text))],
  ["Will Topic", (text) => connectOf("06", "00", "0000 00", field(text), "0000")],
  ["User Name", (text) => connectOf("82", "00", "0000", field(text))],
  ["user property", (text) => connectOf("02", properties("26", field("61"), field(text)), "0000")],
  ["authentication method", (text) => connectOf("02", properties("15", field(text)), "0000")],
  [
    "content type of the will",
    (text) => connectOf("06", "00", "0000", properties("03", field(text)), "0001 61 0000"),
  ],
  [
    "response topic of the will",
    (text) => connectOf("06", "00", "0000", properties("08", field(text)), "0001 61 0000"),
  ],
  [
    "user property of the will",
    (text) =>
      connectOf("06", "00", "0000", properties("26", field(text), field("61")), "0001 61 0000"),
  ],
];

test("The same packets with a well-formed string are taken. [MQTT-1.5.4-1, MQTT-1.5.7-1]", async () => {
  for (const [where, bytes] of CONNECTS) {
    const client = await StrictClient.dial(edge.broker.port);
    client.sendWire(bytes("c3a9"));
    const answer = where === "authentication method" ? "connack 0x8c" : "connack";
    assert.ok((await client.takeArrival()).text.startsWith(answer), where);
  }
  for (const [where, bytes] of [...AFTER_CONNECT, ...USER_PROPERTIES]) {
    const client = await StrictClient.join(edge.broker.port, "well-formed");
    client.sendWire(bytes("c3a9"));
    client.sendWire("c0 00 e0 00");
    const lines = await client.rest();
    assert.ok(!lines.some((line) => line.startsWith("disconnect")), where);
    assert.equal(lines.includes("pingresp"), !where.includes("DISCONNECT"), where);
  }
});

const ILL_FORMED: readonly [what: string, hex: string][] = [
  ["a surrogate U+D800", "eda080"],
  ["a surrogate U+DFFF", "edbfbf"],
  ["a pair of surrogates", "eda081edb080"],
  ["an overlong slash", "c0af"],
  ["an overlong NUL", "c080"],
  ["a continuation byte alone", "80"],
  ["a sequence that is cut off", "61e282"],
  ["a character above U+10FFFF", "f4908080"],
  ["a byte that never occurs", "61ff62"],
];

for (const [what, hex] of ILL_FORMED) {
  test(`A string with ${what} is malformed wherever it stands. [MQTT-1.5.4-1, MQTT-1.5.7-1, MQTT-3.1.3-4, MQTT-3.1.3-11, MQTT-3.1.3-12, MQTT-3.3.2-1, MQTT-3.3.2-13, MQTT-3.3.2-19, MQTT-3.8.3-1, MQTT-3.10.3-1]`, async () => {
    for (const [, bytes] of CONNECTS) {
      const client = await StrictClient.dial(edge.broker.port);
      client.sendWire(bytes(hex));
      await client.ends();
    }
    for (const [where, bytes] of [...AFTER_CONNECT, ...USER_PROPERTIES]) {
      const client = await StrictClient.join(edge.broker.port, "ill-formed");
      client.sendWire(bytes(hex));
      assert.deepEqual(await client.rest(), ["disconnect 0x81"], where);
    }
  });
}

test("A string with U+0000 is malformed wherever it stands. [MQTT-1.5.4-2, MQTT-4.7.3-2, MQTT-1.5.7-1]", async () => {
  for (const hex of ["00", "610062"]) {
    for (const [, bytes] of CONNECTS) {
      const client = await StrictClient.dial(edge.broker.port);
      client.sendWire(bytes(hex));
      await client.ends();
    }
    for (const [where, bytes] of [...AFTER_CONNECT, ...USER_PROPERTIES]) {
      const client = await StrictClient.join(edge.broker.port, "with-nul");
      client.sendWire(bytes(hex));
      assert.deepEqual(await client.rest(), ["disconnect 0x81"], where);
    }
  }
});

test("Well-formed characters of every length pass unchanged, the last ones of Unicode included. [MQTT-1.5.4-1]", async () => {
  const topic = "a/é/€/𝄞/\u{10ffff}/\u{fffd}/\u0001";
  const client = await StrictClient.join(edge.broker.port, "é€𝄞");
  await client.subscribe(topic);
  client.send(
    publishPacket(topic, "x", {
      properties: { contentType: topic, userProperties: [[topic, topic]] },
    }),
  );
  const pair = JSON.stringify([[topic, topic]]);
  await client.gets(
    `publish ${topic} q0: x contentType=${JSON.stringify(topic)} userProperties=${pair}`,
  );
});

test("A byte order mark is a character of its topic and is not stripped. [MQTT-1.5.4-3]", async () => {
  const client = await StrictClient.join(edge.broker.port, "bom");
  assert.deepEqual(await client.subscribe("\ufeffa"), [0]);
  client.sendWire("30 07 0004 efbbbf61 00");
  assert.equal((await client.takeArrival()).hex, "30070004efbbbf6100");
  // Nobody asked for the topic without it.
  client.sendWire("30 04 0001 61 00");
  await client.getsNothing();
  client.sendWire(framed("30", field("efbbbf61"), properties("03", field("efbbbf62"))));
  assert.equal((await client.takeArrival()).hex, "300e0004efbbbf6107030004efbbbf62");
});

test("A variable byte integer in more bytes than needed is malformed, as Remaining Length, Property Length and value. [MQTT-1.5.5-1]", async () => {
  const rows: readonly [what: string, bytes: string][] = [
    ["Remaining Length of PINGREQ", "c0 8000"],
    ["Remaining Length of PUBLISH", "30 868000 0001 61 00 6869"],
    ["Remaining Length in four bytes", "c0 80808000"],
    ["Property Length of PUBLISH", "30 05 0001 61 8000"],
    ["Property Length of SUBSCRIBE", "82 08 0001 8000 0001 61 00"],
    ["subscription identifier", "82 0a 0001 03 0b 8100 0001 61 00"],
    ["property identifier", "30 08 0001 61 04 8100 00 00"],
    ["Remaining Length in five bytes", "c0 8080808000"],
  ];
  for (const [what, bytes] of rows) {
    const client = await StrictClient.join(edge.broker.port, "overlong");
    client.sendWire(bytes);
    assert.deepEqual(await client.rest(), ["disconnect 0x81"], what);
  }
  const early = await StrictClient.dial(edge.broker.port);
  early.sendWire("10 8d00 0004'MQTT' 05 02 0000 00 0000");
  await early.ends();
});

test("The broker writes lengths on both sides of every border in as few bytes as possible. [MQTT-1.5.5-1]", async () => {
  const client = await StrictClient.join(edge.broker.port, "lengths");
  await client.subscribe("l");
  // Remaining Length is 4 with an empty payload: topic, Property Length.
  for (const [remaining, hex] of [
    [127, "7f"],
    [128, "8001"],
    [16_383, "ff7f"],
    [16_384, "808001"],
  ] as const) {
    client.send(publishPacket("l", Buffer.alloc(remaining - 4, "x")));
    const { hex: got } = await client.takeArrival();
    assert.equal(got.slice(0, 2 + hex.length + 8), `30${hex}00016c00`);
    assert.equal(got.length / 2, 1 + hex.length / 2 + remaining);
  }
});

test("Reserved flags of a fixed header are malformed in every packet that a client sends. [MQTT-2.1.3-1]", async () => {
  const bodies: readonly [type: number, flags: number, body: string][] = [
    [4, 0, "02 0001"],
    [5, 0, "02 0001"],
    [6, 2, "02 0001"],
    [7, 0, "02 0001"],
    [8, 2, "07 0001 00 0001 61 00"],
    [10, 2, "06 0001 00 0001 61"],
    [12, 0, "00"],
    [14, 0, "00"],
    [15, 0, "00"],
  ];
  for (const [type, right, body] of bodies) {
    for (let flags = 0; flags < 16; flags++) {
      if (flags === right) continue;
      const client = await StrictClient.join(edge.broker.port, "reserved-flags");
      client.sendWire(`${type.toString(16)}${flags.toString(16)} ${body}`);
      assert.deepEqual(await client.rest(), ["disconnect 0x81"], `type ${type}, flags ${flags}`);
    }
  }
  for (let flags = 1; flags < 16; flags++) {
    const client = await StrictClient.dial(edge.broker.port);
    client.sendWire(`1${flags.toString(16)} 0d 0004'MQTT' 05 02 0000 00 0000`);
    await client.ends();
  }
});

test("No packet of the broker has reserved flags. [MQTT-2.1.3-1]", async () => {
  const client = await StrictClient.dial(edge.broker.port);
  client.sendWire("10 0d 0004'MQTT' 05 02 0000 00 0000");
  assert.match((await client.takeArrival()).hex, /^20/);
  client.sendWire("82 07 0001 00 0001 62 02");
  assert.equal((await client.takeArrival()).hex, "900400010002");
  client.sendWire("32 06 0001 61 0001 00");
  assert.match((await client.takeArrival()).hex, /^40/);
  client.sendWire("34 06 0001 62 0002 00");
  // PUBREC of what was published, and the message itself.
  const both = [(await client.takeArrival()).hex, (await client.takeArrival()).hex];
  assert.deepEqual(both.sort(), ["3406000162000100", "50020002"]);
  client.sendWire("62 02 0002");
  assert.equal((await client.takeArrival()).hex, "70020002");
  client.sendWire("50 02 0001");
  assert.equal((await client.takeArrival()).hex, "62020001");
  client.sendWire("70 02 0001");
  client.sendWire("a2 06 0002 00 0001 62");
  assert.equal((await client.takeArrival()).hex, "b00400020000");
  client.sendWire("c0 00");
  assert.equal((await client.takeArrival()).hex, "d000");
  client.sendWire("c1 00");
  assert.deepEqual((await client.takeArrival()).hex.slice(0, 2), "e0");
});

test("Packet types that are reserved or that only servers send end the connection. [MQTT-4.13.1-1]", async () => {
  const rows: readonly [bytes: string, answer: string][] = [
    ["00 00", "disconnect 0x81"],
    ["20 03 00 00 00", "disconnect 0x82"],
    ["90 04 0001 00 00", "disconnect 0x82"],
    ["b0 04 0001 00 00", "disconnect 0x82"],
    ["d0 00", "disconnect 0x82"],
  ];
  for (const [bytes, answer] of rows) {
    const client = await StrictClient.join(edge.broker.port, "wrong-type");
    client.sendWire(bytes);
    await client.ends(answer);
  }
});

test("A message with QoS 0 goes out without packet identifier: behind its topic stands its Property Length. [MQTT-2.2.1-2]", async () => {
  const client = await StrictClient.join(edge.broker.port, "no-id");
  await client.subscribe("q", { qos: 2 });
  client.sendWire("30 06 0001 71 00 6869");
  assert.equal((await client.takeArrival()).hex, "3006000171006869");
  // What a client puts there is read as Property Length, so that a packet identifier is malformed.
  client.sendWire("30 06 0001 71 0105 00");
  await client.ends("disconnect 0x81");
});

test("Packet identifier 0 is a protocol error in every packet that has one. [MQTT-2.2.1-3]", async () => {
  const rows = [
    "32 06 0001 61 0000 00",
    "34 06 0001 61 0000 00",
    "40 02 0000",
    "50 02 0000",
    "62 02 0000",
    "70 02 0000",
    "82 07 0000 00 0001 61 00",
    "a2 06 0000 00 0001 61",
  ];
  for (const bytes of rows) {
    const client = await StrictClient.join(edge.broker.port, "id-zero");
    client.sendWire(bytes);
    assert.deepEqual(await client.rest(), ["disconnect 0x82"], bytes);
  }
});

test("Unacknowledged messages of the broker have different packet identifiers, none of them 0. [MQTT-2.2.1-4, MQTT-4.3.2-1, MQTT-4.3.3-1]", async () => {
  const subscriber = await StrictClient.join(edge.broker.port, "ids");
  await subscriber.subscribe("ids/1", { qos: 1 });
  await subscriber.subscribe("ids/2", { qos: 2 });
  const publisher = await StrictClient.join(edge.broker.port, "ids-publisher");
  const ids = new Set<number>();
  for (let i = 0; i < 20; i++) {
    await publisher.publish("ids/1", "x", { qos: 1 });
    await publisher.publish("ids/2", "x", { qos: 2 });
  }
  for (let i = 0; i < 40; i++) {
    const packet = await subscriber.take();
    assert.ok(packet.type === PacketType.publish && packet.packetId > 0);
    assert.equal(packet.dup, false);
    ids.add(packet.packetId);
  }
  assert.equal(ids.size, 40);
  await subscriber.getsNothing();
});

test("Every acknowledgement has the packet identifier of what it answers. [MQTT-2.2.1-5, MQTT-2.2.1-6]", async () => {
  const client = await StrictClient.join(edge.broker.port, "same-id");
  for (const id of ["0001", "00ff", "0100", "ffff"]) {
    client.sendWire(`82 08 ${id} 00 0002 7a7a 00`);
    assert.equal((await client.takeArrival()).hex, `9004${id}0000`);
    client.sendWire(`32 06 0001 61 ${id} 00`);
    assert.equal((await client.takeArrival()).hex, `4003${id}10`);
    client.sendWire(`34 06 0001 61 ${id} 00`);
    assert.equal((await client.takeArrival()).hex, `5003${id}10`);
    client.sendWire(`62 02 ${id}`);
    assert.equal((await client.takeArrival()).hex, `7002${id}`);
    client.sendWire(`a2 07 ${id} 00 0002 7a7a`);
    assert.equal((await client.takeArrival()).hex, `b004${id}0000`);
  }
});

test("Without properties the broker writes a Property Length of 0. [MQTT-2.2.2-1]", async () => {
  const client = await StrictClient.join(edge.broker.port, "no-properties");
  await client.subscribe("p", { qos: 1 });
  client.sendWire("30 05 0001 70 00 78");
  assert.equal((await client.takeArrival()).hex, "30050001700078");
  client.sendWire("82 07 0007 00 0001 70 00");
  assert.equal((await client.takeArrival()).hex, "900400070000");
  client.sendWire("a2 06 0008 00 0001 70");
  assert.equal((await client.takeArrival()).hex, "b00400080000");
  // Left out where it must be there, it is malformed.
  client.sendWire("82 06 0001 0001 61 00");
  assert.deepEqual(await client.rest(), ["disconnect 0x81"]);
});
