import assert from "node:assert/strict";
import { test } from "node:test";
import { type ConnectPacket, PacketType } from "../../../src/mqtt/packet.ts";
import { publishPacket } from "../../support/wire-client.ts";
import { field, framed, properties } from "../bytes.ts";
import { edgeForFile } from "../edge.ts";
import { entryOf, StrictClient } from "../strict-client.ts";

const edge = edgeForFile();

const join = (clientId: string, fields: Partial<ConnectPacket> = {}): Promise<StrictClient> =>
  StrictClient.join(edge.broker.port, clientId, fields);

const LASTING = { cleanStart: false, properties: { sessionExpirySeconds: 3_600 } };

test("SUBSCRIBE is answered with one SUBACK that has its packet identifier and a reason code for each topic filter, in their order. [MQTT-3.8.4-1, MQTT-3.8.4-2, MQTT-3.8.4-6, MQTT-3.8.4-7, MQTT-3.9.3-1, MQTT-3.9.3-2]", async () => {
  const client = await join("suback");
  const filters: readonly [string, 0 | 1 | 2, string][] = [
    ["a", 2, "0x02"],
    ["a/#/b", 1, "0x8f"],
    ["b", 0, "0x00"],
    ["c+", 2, "0x8f"],
    ["a", 1, "0x01"],
    ["#", 0, "0x00"],
  ];
  const payload = filters.map(([filter, qos]) => `${field(`'${filter}'`)} 0${qos}`);
  for (const [id, decimal] of [
    ["0001", 1],
    ["ffff", 65_535],
  ] as const) {
    client.sendWire(framed("82", id, "00", ...payload));
    await client.gets(`suback ${decimal} ${filters.map(([, , code]) => code).join(" ")}`);
  }
  await client.getsNothing();
});

test("Each SUBSCRIBE is answered on its own, in order, those of one piece too. [MQTT-3.8.4-1]", async () => {
  const client = await join("several", LASTING);
  client.send(
    ...[5, 2, 9].map((packetId) => ({
      type: PacketType.subscribe,
      packetId,
      subscriptions: [entryOf(`several/${packetId}`, { qos: 1 })],
    })),
  );
  await client.gets("suback 5 0x01", "suback 2 0x01", "suback 9 0x01");
});

test("Reserved bits of the subscription options are malformed; QoS 3 and retain handling 3 are a protocol error. [MQTT-3.8.3-5, MQTT-4.13.1-1]", async () => {
  for (let options = 0; options < 256; options++) {
    const isReserved = (options & 0xc0) !== 0;
    const isWrong = (options & 0x03) === 3 || (options & 0x30) === 0x30;
    // Every bit alone and with others, not all 256.
    if (!isReserved && !isWrong) continue;
    if (isReserved && options % 7 !== 0 && ![0x40, 0x80, 0xc0].includes(options)) continue;
    const client = await join("options");
    client.sendWire(framed("82", "0001 00", field("'a'"), options.toString(16).padStart(2, "0")));
    const answer = `disconnect ${isReserved ? "0x81" : "0x82"}`;
    assert.deepEqual(await client.rest(), [answer], options.toString(16));
  }
  for (const options of [0x00, 0x06, 0x09, 0x14, 0x2e]) {
    const client = await join("options");
    client.sendWire(framed("82", "0001 00", field("'a'"), options.toString(16).padStart(2, "0")));
    await client.gets(`suback 1 0x0${options & 3}`);
  }
});

test("One entry with reserved bits makes the whole packet malformed: nothing of it is subscribed. [MQTT-3.8.3-5]", async () => {
  const client = await join("whole", LASTING);
  client.sendWire(framed("82", "0001 00", field("'whole/1'"), "01", field("'whole/2'"), "80"));
  await client.ends("disconnect 0x81");
  const again = await join("whole", LASTING);
  assert.deepEqual(await again.unsubscribe("whole/1", "whole/2"), [0x11, 0x11]);
});

test("SUBSCRIBE without a topic filter is a protocol error, one that ends within a field is malformed. [MQTT-3.8.3-2, MQTT-4.13.1-1]", async () => {
  const rows: readonly [string, string][] = [
    ["82 03 0001 00", "0x82"],
    ["82 06 0001 00 0001 61", "0x81"],
    ["82 05 0001 00 0001", "0x81"],
    ["82 07 0001 00 0002 61 00", "0x81"],
    ["82 01 00", "0x81"],
    ["82 00", "0x81"],
  ];
  for (const [bytes, code] of rows) {
    const client = await join("no-filter");
    client.sendWire(bytes);
    assert.deepEqual(await client.rest(), [`disconnect ${code}`], bytes);
  }
});

test("Flags of SUBSCRIBE other than 0010 are malformed, and nothing is subscribed. [MQTT-3.8.1-1]", async () => {
  for (const first of ["80", "81", "83", "84", "86", "8a", "8f"]) {
    const client = await join("flags", LASTING);
    client.sendWire(`${first} 07 0001 00 0001 66 01`);
    await client.ends("disconnect 0x81");
    const again = await join("flags", LASTING);
    assert.deepEqual(await again.unsubscribe("f"), [0x11]);
    await again.leave();
  }
});

test("Properties of SUBSCRIBE: one subscription identifier from 1, user properties, and nothing else. [MQTT-4.13.1-1]", async () => {
  const rows: readonly [text: string, code: string][] = [
    [properties("0b 00"), "disconnect 0x82"],
    [properties("0b 01 0b 02"), "disconnect 0x82"],
    [properties("0b ffffffff01"), "disconnect 0x81"],
    [properties("01 00"), "disconnect 0x81"],
    [properties("1f 0000"), "disconnect 0x81"],
    [properties("23 0001"), "disconnect 0x81"],
    ["7f", "disconnect 0x81"],
  ];
  for (const [text, answer] of rows) {
    const client = await join("subscribe-properties");
    client.sendWire(framed("82", "0001", text, field("'a'"), "00"));
    assert.deepEqual(await client.rest(), [answer], text);
  }
  const client = await join("subscribe-properties");
  for (const text of [properties("0b ffffff7f"), properties("26 0000 0000 26 0000 0000")]) {
    client.sendWire(framed("82", "0001", text, field("'a'"), "00"));
    await client.gets("suback 1 0x00");
  }
});

test("A topic filter that is none is refused with 0x8F. [MQTT-4.7.1-1, MQTT-4.7.1-2, MQTT-4.7.3-1]", async () => {
  const client = await join("filters");
  const wrong = [
    "",
    "a#",
    "#a",
    "a/#/b",
    "#/",
    "a/#b",
    "a/b#",
    "##",
    "a+",
    "+a",
    "a/+b",
    "a/b+/c",
    "++",
    "+/a+",
  ];
  assert.deepEqual(
    await client.subscribe(wrong, { qos: 1 }),
    wrong.map(() => 0x8f),
  );
  const right = [
    "#",
    "+",
    "/",
    "//",
    "+/+",
    "/+",
    "+/",
    "a/#",
    "+/#",
    "/#",
    "a/+/#",
    "a/+/b",
    "a/+",
    "$a/#",
    " ",
    "a b",
  ];
  assert.deepEqual(
    await client.subscribe(right, { qos: 1 }),
    right.map(() => 1),
  );
});

test("The same topic filter again replaces the subscription: options, QoS and identifier, and one copy comes. [MQTT-3.8.4-3]", async () => {
  for (const [name, fields] of [
    ["replace", {}],
    ["replace-lasting", LASTING],
  ] as const) {
    const client = await join(name, fields);
    await client.subscribe(name, { qos: 2, noLocal: true }, { subscriptionIdentifiers: [1] });
    await client.subscribe(
      name,
      { qos: 1, retainAsPublished: true },
      { subscriptionIdentifiers: [2] },
    );
    const publisher = await join(`${name}-publisher`);
    await publisher.publish(name, "x", { qos: 2, retain: true });
    await client.gets(`publish ${name} q1 #1 retain: x subscriptionIdentifiers=[2]`);
    await client.getsNothing();
    // Without identifier it has none any more; No Local is gone too.
    await client.subscribe(name, { retainHandling: 2 });
    client.send(publishPacket(name, "own"));
    await client.gets(`publish ${name} q0: own`);
    await client.subscribe(name, { noLocal: true, retainHandling: 2 });
    await client.publish(name, "own");
    await client.getsNothing();
    assert.deepEqual(await client.unsubscribe(name), [0]);
    assert.deepEqual(await client.unsubscribe(name), [0x11]);
  }
});

test("Replacing a subscription loses no message: neither those that wait nor those that come meanwhile. [MQTT-3.8.4-4]", async () => {
  const one = { cleanStart: false, properties: { sessionExpirySeconds: 60, receiveMaximum: 1 } };
  const client = await join("no-loss", one);
  const publisher = await join("no-loss-publisher");
  await client.subscribe("no-loss", { qos: 1 });
  for (let i = 0; i < 30; i++) {
    await publisher.publish("no-loss", String(i), { qos: 1 });
    if (i % 10 === 5) {
      const packetId = client.nextPacketId();
      const subscriptions = [entryOf("no-loss", { qos: i === 15 ? 2 : 1 })];
      client.send({ type: PacketType.subscribe, packetId, subscriptions });
    }
  }
  const seen: string[] = [];
  while (seen.length < 30) {
    const packet = await client.take();
    if (packet.type === PacketType.suback) continue;
    assert.ok(packet.type === PacketType.publish);
    seen.push(Buffer.from(packet.payload).toString());
    client.ack("puback", packet.packetId);
  }
  assert.deepEqual(
    seen,
    Array.from({ length: 30 }, (_, i) => String(i)),
  );
});

test("Several topic filters in one SUBSCRIBE are like several SUBSCRIBEs with one: the last of the same filter counts. [MQTT-3.8.4-5]", async () => {
  const client = await join("several-filters");
  const subscriptions = [
    entryOf("several/a", { qos: 2 }),
    entryOf("several/b", { qos: 1 }),
    entryOf("several/a", { qos: 0 }),
  ];
  const identifier = { subscriptionIdentifiers: [9] };
  client.send({ type: PacketType.subscribe, packetId: 3, subscriptions, properties: identifier });
  await client.gets("suback 3 0x02 0x01 0x00");
  const publisher = await join("several-filters-publisher");
  await publisher.publish("several/a", "a", { qos: 2 });
  await publisher.publish("several/b", "b", { qos: 2 });
  await client.gets(
    "publish several/a q0: a subscriptionIdentifiers=[9]",
    "publish several/b q1 #1: b subscriptionIdentifiers=[9]",
  );
  await client.getsNothing();
});

test("Messages come with the lower of the QoS they were published with and the granted one. [MQTT-3.8.4-8, MQTT-3.8.4-7]", async () => {
  const publisher = await join("lower-publisher");
  for (const [prefix, fields] of [
    ["lower", {}],
    ["lower-lasting", LASTING],
  ] as const) {
    for (const granted of [0, 1, 2] as const) {
      for (const published of [0, 1, 2] as const) {
        const name = `${prefix}-${granted}-${published}`;
        const client = await join(name, fields);
        assert.deepEqual(await client.subscribe(name, { qos: granted }), [granted]);
        await publisher.publish(name, "x", { qos: published });
        const qos = Math.min(granted, published);
        await client.gets(`publish ${name} q${qos}${qos === 0 ? "" : " #1"}: x`);
        await client.getsNothing();
        await client.leave();
      }
    }
  }
});

test("Overlapping subscriptions deliver one copy with the highest QoS, and with the identifiers of all. [MQTT-3.3.4-2, MQTT-3.3.4-3, MQTT-3.3.4-4]", async () => {
  const publisher = await join("overlap-publisher");
  for (const [name, fields] of [
    ["overlap", {}],
    ["overlap-lasting", LASTING],
  ] as const) {
    const client = await join(name, fields);
    await client.subscribe(`${name}/#`, { qos: 1 }, { subscriptionIdentifiers: [1] });
    await client.subscribe(`${name}/+`, { qos: 2 }, { subscriptionIdentifiers: [300] });
    await client.subscribe(`${name}/a`, { qos: 0 });
    await client.subscribe(`+/a`, { qos: 0 }, { subscriptionIdentifiers: [1] });
    for (const qos of [0, 1, 2] as const) {
      await publisher.publish(`${name}/a`, "x", { qos });
      const packet = await client.take();
      assert.ok(packet.type === PacketType.publish);
      assert.equal(packet.qos, qos);
      const identifiers = [...(packet.properties?.subscriptionIdentifiers ?? [])].sort();
      assert.deepEqual([...new Set(identifiers)], [1, 300]);
      await client.getsNothing();
    }
  }
});

test("Without a subscription identifier there is none in the message, and others' identifiers are not in it. [MQTT-3.3.4-3]", async () => {
  const plain = await join("no-identifier");
  const other = await join("other-identifier");
  await plain.subscribe("identifier");
  await other.subscribe("identifier", {}, { subscriptionIdentifiers: [5] });
  await (await join("identifier-publisher")).publish("identifier", "x");
  await plain.gets("publish identifier q0: x");
  await other.gets("publish identifier q0: x subscriptionIdentifiers=[5]");
});

test("No Local keeps a client's own messages from it, and nobody else's, on every QoS. [MQTT-3.8.3-3]", async () => {
  for (const [name, fields] of [
    ["local", {}],
    ["local-lasting", LASTING],
  ] as const) {
    const client = await join(name, fields);
    const other = await join(`${name}-other`);
    await client.subscribe(`${name}/#`, { qos: 2, noLocal: true });
    for (const qos of [0, 1, 2] as const) {
      for (const retain of [false, true]) {
        await client.publish(`${name}/a`, "own", { qos, retain });
        await client.getsNothing();
        await other.publish(`${name}/a`, "other", { qos, retain });
        const { text } = await client.takeArrival();
        assert.match(text, new RegExp(`^publish ${name}/a q${qos}( #\\d+)?: other$`));
      }
    }
    // A plain subscription that overlaps brings them, with its own QoS.
    await client.subscribe(`${name}/a`, { qos: 1, retainHandling: 2 });
    client.send(publishPacket(`${name}/a`, "own"));
    await client.gets(`publish ${name}/a q0: own`);
    await client.getsNothing();
  }
});

test("No Local goes by the Client Identifier, also after a reconnect. [MQTT-3.8.3-3]", async () => {
  const first = await join("local-again", LASTING);
  await first.subscribe("local-again", { qos: 1, noLocal: true });
  await first.lose();
  const second = await join("local-again", LASTING);
  await second.publish("local-again", "own", { qos: 1 });
  await second.getsNothing();
});

test("No Local on a shared subscription is a protocol error. [MQTT-3.8.3-4]", async () => {
  const client = await join("local-shared");
  client.sendWire(framed("82", "0001 00", field("'$share/g/a'"), "05"));
  await client.ends("disconnect 0x82");
});
