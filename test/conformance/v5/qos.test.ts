import assert from "node:assert/strict";
import { test } from "node:test";
import { type ConnectPacket, PacketType } from "../../../src/mqtt/packet.ts";
import { VirtualNode } from "../../support/virtual-node.ts";
import { publishPacket } from "../../support/wire-client.ts";
import { edgeForFile } from "../edge.ts";
import { StrictClient } from "../strict-client.ts";

const edge = edgeForFile();

const join = (clientId: string, fields: Partial<ConnectPacket> = {}): Promise<StrictClient> =>
  StrictClient.join(edge.broker.port, clientId, fields);

const LASTING = { cleanStart: false, properties: { sessionExpirySeconds: 3_600 } };

/** A subscriber with QoS 2 and a publisher; the topic is the name. */
async function pair(name: string, fields: Partial<ConnectPacket> = {}) {
  const subscriber = await join(name, fields);
  await subscriber.subscribe(name, { qos: 2 });
  return { subscriber, publisher: await join(`${name}-publisher`) };
}

test("QoS 1: a message stays in flight until its PUBACK, and then its packet identifier is free. [MQTT-4.3.2-3, MQTT-4.3.2-1, MQTT-2.2.1-4]", async () => {
  const one = { properties: { ...LASTING.properties, receiveMaximum: 1 }, cleanStart: false };
  const { subscriber, publisher } = await pair("until-puback", one);
  for (const payload of ["1", "2", "3"])
    await publisher.publish("until-puback", payload, { qos: 1 });
  await subscriber.gets("publish until-puback q1 #1: 1");
  await subscriber.getsNothing();
  // Neither another packet identifier nor another packet acknowledges it.
  subscriber.ack("puback", 2);
  subscriber.ack("pubcomp", 1);
  await subscriber.getsNothing();
  subscriber.ack("puback", 1);
  const { packet } = await subscriber.takeArrival();
  assert.ok(packet.type === PacketType.publish && Buffer.from(packet.payload).toString() === "2");
  subscriber.ack("puback", packet.packetId);
  const next = await subscriber.take();
  assert.ok(next.type === PacketType.publish && Buffer.from(next.payload).toString() === "3");
  await subscriber.lose();
  const again = await join("until-puback", one);
  await again.gets(`publish until-puback q1 #${next.packetId} dup: 3`);
  again.ack("puback", next.packetId);
  await again.getsNothing();
  await again.lose();
  await (await join("until-puback", one)).getsNothing();
});

test("QoS 1: after PUBACK the same packet identifier is a new message, also with DUP. [MQTT-4.3.2-5, MQTT-4.3.2-4]", async () => {
  const { subscriber, publisher } = await pair("reused");
  for (const [dup, payload] of [
    [false, "1"],
    [false, "2"],
    [true, "2"],
  ] as const) {
    publisher.send(publishPacket("reused", payload, { qos: 1, packetId: 5, dup }));
    await publisher.gets("puback 5");
  }
  await subscriber.gets(
    "publish reused q1 #1: 1",
    "publish reused q1 #2: 2",
    "publish reused q1 #3: 2",
  );
  await subscriber.getsNothing();
});

test("QoS 2: PUBREL follows PUBREC with the same packet identifier, and nothing is sent twice. [MQTT-4.3.3-3, MQTT-4.3.3-4, MQTT-4.3.3-5, MQTT-2.2.1-5]", async () => {
  for (const [name, fields] of [
    ["four", {}],
    ["four-lasting", LASTING],
  ] as const) {
    const { subscriber, publisher } = await pair(name, fields);
    await publisher.publish(name, "x", { qos: 2 });
    await subscriber.gets(`publish ${name} q2 #1: x`);
    await subscriber.getsNothing();
    subscriber.ack("pubrec", 1);
    await subscriber.gets("pubrel 1");
    await subscriber.getsNothing();
    subscriber.ack("pubcomp", 1);
    await subscriber.getsNothing();
    // It is over: the same again is not known.
    subscriber.ack("pubrec", 1);
    await subscriber.gets("pubrel 1 0x92");
  }
});

test("QoS 2: what is not acknowledged with PUBREC is sent again as PUBLISH, what is as PUBREL. [MQTT-4.4.0-1, MQTT-4.3.3-3, MQTT-4.3.3-5, MQTT-4.3.3-6]", async () => {
  const { subscriber, publisher } = await pair("resent", LASTING);
  for (const payload of ["1", "2", "3"]) await publisher.publish("resent", payload, { qos: 2 });
  await subscriber.gets(
    "publish resent q2 #1: 1",
    "publish resent q2 #2: 2",
    "publish resent q2 #3: 3",
  );
  subscriber.ack("pubrec", 1);
  subscriber.ack("pubrec", 2);
  await subscriber.gets("pubrel 1", "pubrel 2");
  subscriber.ack("pubcomp", 2);
  await subscriber.getsNothing();
  await subscriber.lose();
  const again = await join("resent", LASTING);
  await again.getsInAnyOrder("pubrel 1", "publish resent q2 #3 dup: 3");
  await again.getsNothing();
  again.ack("pubcomp", 1);
  again.ack("pubrec", 3);
  await again.gets("pubrel 3");
  again.ack("pubcomp", 3);
  await again.getsNothing();
  await again.lose();
  await (await join("resent", LASTING)).getsNothing();
});

test("Nothing is sent again while a connection stands, however long. [MQTT-4.4.0-1]", () => {
  for (const fields of [{}, LASTING]) {
    const node = new VirtualNode();
    const subscriber = node.connect("s", fields);
    subscriber.subscribe("#", { qos: 2 });
    const publisher = node.connect("p");
    publisher.publish("a", "1", { qos: 1, packetId: 1 });
    publisher.publish("a", "2", { qos: 2, packetId: 2 });
    publisher.publish("a", "3", { qos: 2, packetId: 3 });
    subscriber.take();
    subscriber.ack(PacketType.pubrec, 3);
    assert.deepEqual(subscriber.takeText(), ["pubrel 3"]);
    node.advance(3_600_000);
    assert.deepEqual(subscriber.takeText(), []);
  }
});

test("QoS 2: until PUBREL the same packet identifier is the same message, and is delivered once. [MQTT-4.3.3-10, MQTT-4.3.3-8]", async () => {
  const { subscriber, publisher } = await pair("once");
  for (const dup of [false, true, false]) {
    publisher.send(publishPacket("once", "x", { qos: 2, packetId: 5, dup }));
    await publisher.gets("pubrec 5");
  }
  // Also another message under it.
  publisher.send(publishPacket("once", "y", { qos: 2, packetId: 5 }));
  await publisher.gets("pubrec 5");
  await subscriber.gets("publish once q2 #1: x");
  await subscriber.getsNothing();
});

test("QoS 2: a repeat after a reconnect is no new message, nor after a crash of the broker. [MQTT-4.3.3-10]", async () => {
  const { subscriber } = await pair("reconnect", LASTING);
  const publish = publishPacket("reconnect", "x", { qos: 2, packetId: 5 });
  const first = await join("reconnect-publisher-2", LASTING);
  first.send(publish);
  await first.gets("pubrec 5");
  await subscriber.gets("publish reconnect q2 #1: x");
  await first.lose();
  const second = await join("reconnect-publisher-2", LASTING);
  second.send({ ...publish, dup: true });
  await second.gets("pubrec 5");
  await subscriber.getsNothing();
  subscriber.ack("pubrec", 1);
  await subscriber.gets("pubrel 1");
  subscriber.ack("pubcomp", 1);
  await subscriber.getsNothing();
  await subscriber.leave();
  await edge.crash();
  const third = await join("reconnect-publisher-2", LASTING);
  third.send({ ...publish, dup: true });
  await third.gets("pubrec 5");
  third.ack("pubrel", 5);
  await third.gets("pubcomp 5");
  // PUBCOMP has no answer: a crash may forget that it came, and then PUBREL comes again, but never PUBLISH.
  const back = await join("reconnect", LASTING);
  back.send({ type: PacketType.pingreq });
  const lines = [(await back.takeArrival()).text];
  while (!lines.includes("pingresp")) lines.push((await back.takeArrival()).text);
  assert.ok(lines.every((line) => line === "pubrel 1" || line === "pingresp"));
});

test("QoS 2: PUBREL is answered with PUBCOMP, and then the packet identifier is a new message. [MQTT-4.3.3-11, MQTT-4.3.3-12]", async () => {
  const { subscriber, publisher } = await pair("released");
  for (const [index, dup] of [false, false, true].entries()) {
    publisher.send(publishPacket("released", String(index), { qos: 2, packetId: 5, dup }));
    await publisher.gets("pubrec 5");
    publisher.ack("pubrel", 5);
    await publisher.gets("pubcomp 5");
    await subscriber.gets(`publish released q2 #${index + 1}: ${index}`);
  }
  await subscriber.getsNothing();
});

test("QoS 2: a PUBREL whose packet identifier is not known is answered with PUBCOMP 0x92, a second one too. [MQTT-4.3.3-11, MQTT-3.7.2-1]", async () => {
  const { publisher } = await pair("unknown");
  publisher.ack("pubrel", 9);
  await publisher.gets("pubcomp 9 0x92");
  await publisher.publish("unknown", "x", { qos: 2, packetId: 9 });
  publisher.ack("pubrel", 9);
  await publisher.gets("pubcomp 9 0x92");
});

test("QoS 2: after a PUBREC with an error the same packet identifier is a new message. [MQTT-4.3.3-9]", async () => {
  const { subscriber, publisher } = await pair("refused");
  assert.equal(await publisher.publish("refused/#", "x", { qos: 2, packetId: 5 }), 0x90);
  publisher.send(publishPacket("refused", "y", { qos: 2, packetId: 5 }));
  await publisher.gets("pubrec 5");
  await subscriber.gets("publish refused q2 #1: y");
  publisher.ack("pubrel", 5);
  await publisher.gets("pubcomp 5");
});

test("A message whose PUBLISH went out does not expire in flight: it is sent again, with no time left over. [MQTT-4.3.3-7]", () => {
  for (const qos of [1, 2] as const) {
    const node = new VirtualNode();
    const subscriber = node.connect("s", LASTING);
    subscriber.subscribe("a", { qos: 2 });
    subscriber.take();
    const properties = { messageExpirySeconds: 10 };
    node.connect("p").publish("a", "x", { qos, packetId: 1, properties });
    assert.deepEqual(subscriber.takeText(), [`publish a q${qos} #1: x`]);
    subscriber.lose();
    node.advance(60_000);
    const again = node.connect("s", LASTING);
    assert.deepEqual(again.takeText(), ["connack present", `publish a q${qos} #1 dup: x`]);
  }
});

test("The four packets of QoS 2 go to their end though the message has expired meanwhile. [MQTT-4.3.3-13, MQTT-4.3.3-7]", () => {
  const node = new VirtualNode();
  const subscriber = node.connect("s", LASTING);
  subscriber.subscribe("a", { qos: 2 });
  subscriber.take();
  const publisher = node.connect("p", LASTING);
  publisher.take();
  const properties = { messageExpirySeconds: 10 };
  publisher.publish("a", "x", { qos: 2, packetId: 1, properties });
  assert.deepEqual(publisher.takeText(), ["pubrec 1"]);
  node.advance(60_000);
  publisher.ack(PacketType.pubrel, 1);
  assert.deepEqual(publisher.takeText(), ["pubcomp 1"]);
  assert.deepEqual(subscriber.takeText(), ["publish a q2 #1: x"]);
  subscriber.ack(PacketType.pubrec, 1);
  assert.deepEqual(subscriber.takeText(), ["pubrel 1"]);
  node.advance(60_000);
  subscriber.ack(PacketType.pubcomp, 1);
  subscriber.lose();
  assert.deepEqual(node.connect("s", LASTING).takeText(), ["connack present"]);
});

test("What a subscriber refuses with PUBACK or PUBREC 0x80 and above is not sent again. [MQTT-4.4.0-2, MQTT-4.3.3-4]", async () => {
  for (const code of [0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99]) {
    const { subscriber, publisher } = await pair(`no-${code}`, LASTING);
    await publisher.publish(`no-${code}`, "1", { qos: 1 });
    await publisher.publish(`no-${code}`, "2", { qos: 2 });
    await subscriber.gets(`publish no-${code} q1 #1: 1`, `publish no-${code} q2 #2: 2`);
    subscriber.ack("puback", 1, code);
    subscriber.ack("pubrec", 2, code);
    await subscriber.getsNothing();
    await subscriber.lose();
    await (await join(`no-${code}`, LASTING)).getsNothing();
  }
});

test("A PUBREC below 0x80 is a success, also 0x10. [MQTT-4.3.3-4]", async () => {
  const { subscriber, publisher } = await pair("rec-0x10", LASTING);
  await publisher.publish("rec-0x10", "x", { qos: 2 });
  await subscriber.gets("publish rec-0x10 q2 #1: x");
  subscriber.ack("pubrec", 1, 0x10);
  await subscriber.gets("pubrel 1");
});

test("What is sent again comes in the order in which it was first sent, before anything new. [MQTT-4.6.0-1, MQTT-4.4.0-1]", async () => {
  const { subscriber, publisher } = await pair("resend-order", LASTING);
  for (let i = 1; i <= 6; i++) {
    await publisher.publish("resend-order", String(i), { qos: i % 2 === 0 ? 2 : 1 });
  }
  const lines = Array.from({ length: 6 }, (_, i) => i + 1).map(
    (i) => `publish resend-order q${i % 2 === 0 ? 2 : 1} #${i}: ${i}`,
  );
  await subscriber.gets(...lines);
  // Acknowledged in the middle: the rest keeps its order.
  subscriber.ack("puback", 3);
  await subscriber.getsNothing();
  await subscriber.lose();
  await publisher.publish("resend-order", "7", { qos: 1 });
  const again = await join("resend-order", LASTING);
  const resent = lines.filter((_, i) => i !== 2).map((line) => line.replace(":", " dup:"));
  await again.gets(...resent);
  const { text } = await again.takeArrival();
  assert.match(text, /^publish resend-order q1 #\d+: 7$/);
  await again.getsNothing();
});

test("PUBACK and PUBREC leave in the order in which the messages came. [MQTT-4.6.0-2, MQTT-4.6.0-3]", async () => {
  // With somebody whose session is on disk, so that some acknowledgements wait for a flush and others do not.
  const { publisher } = await pair("acks", LASTING);
  const order = [7, 3, 9, 1, 8, 2, 6, 4];
  publisher.send(
    ...order.map((packetId, i) => {
      const topic = i % 3 === 0 ? "nobody" : "acks";
      return publishPacket(topic, "x", { qos: i % 2 === 0 ? 1 : 2, packetId });
    }),
  );
  await publisher.gets(
    ...order.map((packetId, i) => {
      const code = i % 3 === 0 ? " 0x10" : "";
      return `${i % 2 === 0 ? "puback" : "pubrec"} ${packetId}${code}`;
    }),
  );
});

test("PUBREL leaves in the order in which PUBREC came. [MQTT-4.6.0-4]", async () => {
  for (const [name, fields] of [
    ["rels", {}],
    ["rels-lasting", LASTING],
  ] as const) {
    const { subscriber, publisher } = await pair(name, fields);
    for (let i = 0; i < 4; i++) await publisher.publish(name, "x", { qos: 2 });
    for (let i = 1; i <= 4; i++) await subscriber.gets(`publish ${name} q2 #${i}: x`);
    subscriber.send(
      ...[3, 1, 4, 2].map((packetId) => ({ type: PacketType.pubrec, packetId, reasonCode: 0 })),
    );
    await subscriber.gets("pubrel 3", "pubrel 1", "pubrel 4", "pubrel 2");
  }
});

/** Publishes 50 messages at once; the subscriber gets them in order, and all are acknowledged. */
async function fiftyInOrder(
  publisher: StrictClient,
  subscriber: StrictClient,
  topic: string,
  qos: 0 | 1 | 2,
): Promise<void> {
  const packetId = (i: number): number => (qos === 0 ? 0 : i + 1);
  const numbers = Array.from({ length: 50 }, (_, i) => i);
  publisher.send(
    ...numbers.map((i) => publishPacket(topic, `${i}`, { qos, packetId: packetId(i) })),
  );
  for (const i of numbers) {
    const packet = await subscriber.take();
    assert.ok(packet.type === PacketType.publish && packet.qos === qos);
    assert.equal(Buffer.from(packet.payload).toString(), String(i));
    if (qos === 1) subscriber.ack("puback", packet.packetId);
    if (qos === 2) subscriber.ack("pubrec", packet.packetId, 0x80);
  }
  if (qos === 1) await publisher.gets(...numbers.map((i) => `puback ${i + 1}`));
  if (qos !== 2) return;
  await publisher.gets(...numbers.map((i) => `pubrec ${i + 1}`));
  for (const i of numbers) publisher.ack("pubrel", i + 1);
  await publisher.gets(...numbers.map((i) => `pubcomp ${i + 1}`));
}

test("Messages of one publisher on one topic and QoS come in their order to every subscriber. [MQTT-4.6.0-5, MQTT-4.6.0-6]", async () => {
  const publisher = await join("order-publisher");
  for (const [name, fields] of [
    ["order", {}],
    ["order-lasting", LASTING],
  ] as const) {
    const subscriber = await join(name, fields);
    for (const qos of [0, 1, 2] as const) {
      await subscriber.subscribe(`${name}/${qos}`, { qos: 2 });
      await fiftyInOrder(publisher, subscriber, `${name}/${qos}`, qos);
    }
  }
});

test("Order holds across what was missed and what is live. [MQTT-4.6.0-5]", async () => {
  const { subscriber, publisher } = await pair("missed", LASTING);
  await subscriber.lose();
  for (let i = 0; i < 20; i++) await publisher.publish("missed", String(i), { qos: 1 });
  const again = await join("missed", LASTING);
  publisher.send(
    ...Array.from({ length: 20 }, (_, i) =>
      publishPacket("missed", String(20 + i), { qos: 1, packetId: 100 + i }),
    ),
  );
  for (let i = 0; i < 40; i++) {
    const packet = await again.take();
    assert.ok(packet.type === PacketType.publish);
    assert.equal(Buffer.from(packet.payload).toString(), String(i));
    again.ack("puback", packet.packetId);
  }
  await again.getsNothing();
});
