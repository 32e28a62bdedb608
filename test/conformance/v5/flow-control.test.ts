import assert from "node:assert/strict";
import { test } from "node:test";
import { type ConnectPacket, PacketType } from "../../../src/mqtt/packet.ts";
import { VirtualNode } from "../../support/virtual-node.ts";
import { publishPacket } from "../../support/wire-client.ts";
import { edgeForFile } from "../edge.ts";
import { entryOf, StrictClient } from "../strict-client.ts";

const edge = edgeForFile({ config: { mqtt: { receiveMaximum: 5 } } });

const join = (clientId: string, fields: Partial<ConnectPacket> = {}): Promise<StrictClient> =>
  StrictClient.join(edge.broker.port, clientId, fields);

/** A client that takes so many messages at a time. */
const taking = (receiveMaximum: number, isLasting: boolean): Partial<ConnectPacket> => ({
  cleanStart: false,
  properties: { receiveMaximum, sessionExpirySeconds: isLasting ? 3_600 : 0 },
});

/** A subscriber with QoS 2 to whom ten messages were published, 1, 2, 1, 2 …: its first three are on their way. */
async function tenFor(name: string, isLasting: boolean): Promise<StrictClient> {
  const subscriber = await join(name, taking(3, isLasting));
  await subscriber.subscribe(name, { qos: 2 });
  const publisher = await join(`${name}-publisher`);
  for (let i = 1; i <= 10; i++) {
    await publisher.publish(name, String(i), { qos: i % 2 === 0 ? 2 : 1 });
  }
  await subscriber.gets(
    `publish ${name} q1 #1: 1`,
    `publish ${name} q2 #2: 2`,
    `publish ${name} q1 #3: 3`,
  );
  await subscriber.getsNothing();
  return subscriber;
}

async function takesOne(client: StrictClient): Promise<void> {
  assert.equal((await client.take()).type, PacketType.publish);
}

/** The next PUBLISH, by payload; its packet identifier. */
async function takesNext(client: StrictClient, payload: string): Promise<number> {
  const packet = await client.take();
  assert.ok(packet.type === PacketType.publish);
  assert.equal(Buffer.from(packet.payload).toString(), payload);
  return packet.packetId;
}

for (const isLasting of [false, true]) {
  const kind = isLasting ? "lasting" : "passing";

  test(`Never more messages are on their way than the client's receive maximum, in a ${kind} session. [MQTT-3.3.4-9, MQTT-4.9.0-1, MQTT-4.9.0-2]`, async () => {
    const client = await tenFor(`window-${kind}`, isLasting);
    // PUBACK makes room for one.
    client.ack("puback", 1);
    const fourth = await takesNext(client, "4");
    await client.getsNothing();
    // PUBREC does not, PUBCOMP does.
    client.ack("pubrec", 2);
    await client.gets("pubrel 2");
    await client.getsNothing();
    client.ack("pubcomp", 2);
    await takesNext(client, "5");
    await client.getsNothing();
    // PUBREC with an error does.
    client.ack("pubrec", fourth, 0x80);
    // Messages of different QoS may overtake one another.
    await takesOne(client);
    await client.getsNothing();
    // PUBACK with an error does.
    client.ack("puback", 3, 0x97);
    await takesOne(client);
    await client.getsNothing();
  });

  test(`Acknowledgements of what is not on its way make no room, in a ${kind} session. [MQTT-4.9.0-2, MQTT-4.3.2-3]`, async () => {
    const client = await tenFor(`no-room-${kind}`, isLasting);
    client.ack("puback", 9);
    // Of the wrong kind for the QoS.
    client.ack("puback", 2);
    client.ack("pubcomp", 1);
    client.ack("pubcomp", 2);
    await client.getsNothing();
    client.ack("puback", 1);
    await takesNext(client, "4");
    client.ack("puback", 1);
    await client.getsNothing();
  });

  test(`With a full window the broker goes on with everything but PUBLISH above QoS 0, in a ${kind} session. [MQTT-3.3.4-10, MQTT-4.9.0-3]`, async () => {
    const name = `full-${kind}`;
    const client = await tenFor(name, isLasting);
    assert.deepEqual(await client.subscribe(`${name}/other`), [0]);
    assert.deepEqual(await client.unsubscribe(`${name}/other`), [0]);
    assert.equal(await client.publish(`${name}/nobody`, "x", { qos: 1, packetId: 77 }), 0x10);
    assert.equal(await client.publish(`${name}/nobody`, "x", { qos: 2, packetId: 78 }), 0x10);
    await client.getsNothing();
    await (await join(`${name}-q0`)).publish(name, "at once");
    await client.gets(`publish ${name} q0: at once`);
  });
}

test("A receive maximum of 1 delivers one by one, in order; without one 65,535 holds. [MQTT-3.3.4-9, MQTT-4.9.0-1]", () => {
  const node = new VirtualNode({ outbound: { inflightMax: 65_535 } });
  const one = node.connect("one", { properties: { receiveMaximum: 1 } });
  const any = node.connect("any");
  for (const client of [one, any]) {
    client.subscribe("a", { qos: 1 });
    client.take();
  }
  const publisher = node.connect("p");
  for (let i = 1; i <= 200; i++) publisher.publish("a", `${i}`, { qos: 1, packetId: i });
  assert.equal(any.takeMessages().length, 200);
  for (let i = 1; i <= 200; i++) {
    const [message, ...more] = one.takeMessages();
    assert.deepEqual([message?.payload, more], [`${i}`, []]);
    one.ack(PacketType.puback, message?.packetId ?? 0);
  }
});

test("A new connection begins with its own receive maximum, and what is sent again counts. [MQTT-4.9.0-1, MQTT-3.3.4-9]", async () => {
  const first = await join("anew", taking(4, true));
  await first.subscribe("anew", { qos: 1 });
  const publisher = await join("anew-publisher");
  for (let i = 1; i <= 6; i++) await publisher.publish("anew", String(i), { qos: 1 });
  for (let i = 1; i <= 4; i++) await first.gets(`publish anew q1 #${i}: ${i}`);
  await first.lose();
  const second = await join("anew", taking(2, true));
  await second.gets("publish anew q1 #1 dup: 1", "publish anew q1 #2 dup: 2");
  await second.getsNothing();
  second.ack("puback", 1);
  await second.gets("publish anew q1 #3 dup: 3");
  await second.lose();
  const third = await join("anew", taking(10, true));
  await third.gets(
    "publish anew q1 #2 dup: 2",
    "publish anew q1 #3 dup: 3",
    "publish anew q1 #4 dup: 4",
  );
  await takesNext(third, "5");
  await takesNext(third, "6");
  await third.getsNothing();
});

test("A receive maximum of 0 is a protocol error. [MQTT-4.9.0-1]", async () => {
  const client = await StrictClient.dial(edge.broker.port);
  client.sendWire("10 10 0004'MQTT' 05 02 0000 03 210000 0000");
  await client.ends();
});

test("A client that has more messages on their way than the broker's receive maximum is closed with 0x93. [MQTT-3.3.4-7, MQTT-4.13.1-1]", () => {
  const node = new VirtualNode({ connection: { receiveMaximum: 5 } });
  const client = node.connect("c");
  for (let packetId = 1; packetId <= 5; packetId++) {
    client.publish("a", "x", { qos: 2, packetId });
  }
  assert.deepEqual(client.takeText(), [
    "connack",
    ...[1, 2, 3, 4, 5].map((packetId) => `pubrec ${packetId} 0x10`),
  ]);
  // PUBREC has been given, and they count until PUBREL.
  client.publish("a", "x", { qos: 1, packetId: 6 });
  assert.deepEqual([client.takeText(), client.isClosed], [["disconnect 0x93"], true]);
});

test("Every answer gives the client its place back: PUBACK, PUBCOMP, and PUBREC with an error. [MQTT-3.3.4-7, MQTT-4.9.0-1]", async () => {
  const client = await join("gives-back");
  for (let i = 0; i < 4; i++) client.send(publishPacket("a", "x", { qos: 2, packetId: 100 + i }));
  for (let i = 0; i < 4; i++) await client.gets(`pubrec ${100 + i} 0x10`);
  // One place is left.
  for (let i = 0; i < 10; i++) {
    assert.equal(await client.publish("a", "x", { qos: 1 }), 0x10);
    assert.equal(await client.publish("a", "x", { qos: 2 }), 0x10);
    assert.equal(await client.publish("a/#", "x", { qos: 1 }), 0x90);
    assert.equal(await client.publish("a/#", "x", { qos: 2 }), 0x90);
  }
  // QoS 0 and other packets need none.
  client.send(publishPacket("a", "x", { qos: 1, packetId: 200 }));
  await client.gets("puback 200 0x10");
  client.send(publishPacket("a", "x", { qos: 2, packetId: 201 }));
  await client.gets("pubrec 201 0x10");
  await client.publish("a", "x");
  client.send({ type: PacketType.subscribe, packetId: 9, subscriptions: [entryOf("b")] });
  await client.gets("suback 9 0x00");
});

test("A repeat of a QoS 2 message takes no second place. [MQTT-3.3.4-7, MQTT-4.3.3-10]", async () => {
  const client = await join("no-second-place");
  for (let i = 0; i < 12; i++) {
    client.send(publishPacket("a", "x", { qos: 2, packetId: 5, dup: i > 0 }));
    const { text } = await client.takeArrival();
    assert.match(text, /^pubrec 5( 0x10)?$/);
  }
  client.ack("pubrel", 5);
  await client.gets("pubcomp 5");
});
