import assert from "node:assert/strict";
import { test } from "node:test";
import { type ConnectPacket, PacketType } from "../../../src/mqtt/packet.ts";
import { eventually } from "../../support/json-process.ts";
import { publishPacket } from "../../support/wire-client.ts";
import { edgeForFile } from "../edge.ts";
import { StrictClient } from "../strict-client.ts";

const edge = edgeForFile();

const join = (clientId: string, fields: Partial<ConnectPacket> = {}): Promise<StrictClient> =>
  StrictClient.join(edge.broker.port, clientId, fields);

const LASTING = { cleanStart: false, properties: { sessionExpirySeconds: 3_600 } };

/** Members of a group on this topic, by name. */
async function members(
  topic: string,
  names: readonly string[],
  qos: 0 | 1 | 2,
  fields: Partial<ConnectPacket> = {},
): Promise<StrictClient[]> {
  const clients: StrictClient[] = [];
  for (const name of names) {
    const client = await join(`${topic}-${name}`, fields);
    assert.deepEqual(await client.subscribe(`$share/g/${topic}`, { qos }), [qos]);
    clients.push(client);
  }
  return clients;
}

/** What came to each of them by now, as payloads; nothing is acknowledged. */
async function payloadsOf(clients: readonly StrictClient[]): Promise<string[][]> {
  const all: string[][] = [];
  for (const client of clients) {
    const payloads: string[] = [];
    client.send({ type: PacketType.pingreq });
    for (let packet = await client.take(); packet.type !== PacketType.pingresp; ) {
      assert.ok(packet.type === PacketType.publish);
      payloads.push(Buffer.from(packet.payload).toString());
      packet = await client.take();
    }
    all.push(payloads);
  }
  return all;
}

test("CONNACK does not say that there are no shared subscriptions. [MQTT-4.8.2-1]", async () => {
  const client = await join("available");
  assert.notEqual(client.connack?.properties.isSharedSubscriptionAvailable, false);
});

test("A shared subscription has a share name of at least one character and a topic filter behind it; what has not is refused with 0x8F. [MQTT-4.8.2-1, MQTT-4.8.2-2]", async () => {
  const client = await join("names");
  const wrong = [
    "$share/",
    "$share//",
    "$share//a",
    "$share/g",
    "$share/g/",
    "$share/+/a",
    "$share/#/a",
    "$share/g+/a",
    "$share/g#/a",
    "$share/#",
    "$share/+",
    "$share/g/a/#/b",
    "$share/g/a+",
  ];
  assert.deepEqual(
    await client.subscribe(wrong, { qos: 1 }),
    wrong.map(() => 0x8f),
  );
  const right = [
    "$share/g/a",
    "$share/g/#",
    "$share/g/+",
    "$share/g//",
    "$share/$g/a",
    "$share/g h/a/+/#",
  ];
  assert.deepEqual(
    await client.subscribe(right, { qos: 1 }),
    right.map(() => 1),
  );
  assert.deepEqual(
    await client.unsubscribe(...right),
    right.map(() => 0),
  );
});

test("$share without anything behind it, and other case, are plain topic filters. [MQTT-4.8.2-1]", async () => {
  const client = await join("plain");
  assert.deepEqual(await client.subscribe(["$share", "$SHARE/g/a", "$shared/g/a"]), [0, 0, 0]);
  const publisher = await join("plain-publisher");
  await publisher.publish("a", "x");
  await client.getsNothing();
});

for (const qos of [0, 1, 2] as const) {
  for (const [kind, fields] of [
    ["passing", {}],
    ["lasting", LASTING],
  ] as const) {
    test(`Each message with QoS ${qos} goes to exactly one of the ${kind} members, and all get some. [MQTT-4.8.2-3]`, async () => {
      const topic = `one-${qos}-${kind}`;
      const clients = await members(topic, ["a", "b", "c"], qos, fields);
      const plain = await join(`${topic}-plain`);
      await plain.subscribe(topic);
      const publisher = await join(`${topic}-publisher`);
      const sent = Array.from({ length: 12 }, (_, i) => `${i}`);
      for (const text of sent) await publisher.publish(topic, text, { qos });
      const got: string[][] = clients.map(() => []);
      // A message may wait for a flush of its own before it is sent.
      const isAllThere = async (): Promise<boolean> => {
        for (const [i, more] of (await payloadsOf(clients)).entries()) got[i]?.push(...more);
        return got.flat().length >= sent.length;
      };
      await eventually("all messages came", isAllThere, 5_000);
      for (const client of clients) await client.getsNothing();
      assert.ok(got.every(({ length }) => length > 0));
      assert.deepEqual(got.flat().sort(), sent.toSorted());
      // Those without a group get all.
      await plain.gets(...sent.map((text) => `publish ${topic} q0: ${text}`));
      await plain.getsNothing();
    });
  }
}

test("Groups with different names, or on different topic filters, get each their own copy. [MQTT-4.8.2-2]", async () => {
  const clients: StrictClient[] = [];
  for (const filter of ["$share/g/groups", "$share/h/groups", "$share/G/groups", "$share/g/+"]) {
    const client = await join(`groups ${filter}`);
    await client.subscribe(filter);
    clients.push(client);
  }
  await (await join("groups-publisher")).publish("groups", "x");
  for (const client of clients) await client.gets("publish groups q0: x");
  for (const client of clients) await client.getsNothing();
});

test("A message to a member has the lower of its QoS and the one granted to that member. [MQTT-4.8.2-3, MQTT-3.8.4-8]", async () => {
  for (const granted of [0, 1, 2] as const) {
    for (const published of [0, 1, 2] as const) {
      const topic = `granted-${granted}-${published}`;
      const [client] = await members(topic, ["only"], granted);
      await (await join(`${topic}-publisher`)).publish(topic, "x", { qos: published });
      const qos = Math.min(granted, published);
      await client?.gets(`publish ${topic} q${qos}${qos === 0 ? "" : " #1"}: x`);
      await client?.getsNothing();
    }
  }
});

test("A session in a group that has plain subscriptions too gets a copy for each, with its own identifier. [MQTT-3.3.4-5, MQTT-3.3.4-3]", async () => {
  const client = await join("copies");
  await client.subscribe("copies", { qos: 1 }, { subscriptionIdentifiers: [1] });
  await client.subscribe("$share/g/copies", { qos: 2 }, { subscriptionIdentifiers: [2] });
  await client.subscribe("$share/h/copies", { qos: 0 });
  await (await join("copies-publisher")).publish("copies", "x", { qos: 1 });
  const texts: string[] = [];
  for (let i = 0; i < 3; i++) texts.push((await client.takeArrival()).text.replace(/ #\d+/, ""));
  assert.deepEqual(texts.sort(), [
    "publish copies q0: x",
    "publish copies q1: x subscriptionIdentifiers=[1]",
    "publish copies q1: x subscriptionIdentifiers=[2]",
  ]);
  await client.getsNothing();
});

test("A shared subscription brings no retained messages, whatever its retain handling. [MQTT 5.0 section 4.8.2]", async () => {
  const publisher = await join("retained-publisher");
  await publisher.publish("retained", "x", { qos: 1, retain: true });
  const client = await join("retained");
  for (const retainHandling of [0, 1, 2] as const) {
    await client.subscribe("$share/g/retained", { retainHandling });
    await client.getsNothing();
  }
  await publisher.publish("retained", "live", { qos: 1, retain: true });
  await client.gets("publish retained q0: live");
});

test("What a member has not acknowledged with QoS 1 goes to another when its session ends, once. [MQTT 5.0 section 4.8.2]", async () => {
  const [first, second] = await members("leaves", ["a", "b"], 1);
  assert.ok(first !== undefined && second !== undefined);
  const publisher = await join("leaves-publisher");
  for (let i = 0; i < 6; i++) await publisher.publish("leaves", String(i), { qos: 1 });
  const [mine = [], others = []] = await payloadsOf([first, second]);
  assert.ok(mine.length > 0 && mine.length + others.length === 6);
  await first.leave();
  const taken: string[] = [];
  while (taken.length < mine.length) {
    const packet = await second.take();
    assert.ok(packet.type === PacketType.publish);
    taken.push(Buffer.from(packet.payload).toString());
  }
  assert.deepEqual(taken.sort(), mine.toSorted());
  await second.getsNothing();
});

test("QoS 2 is completed with the member that has it, when it is back. [MQTT-4.8.2-4]", async () => {
  const [first] = await members("back", ["a"], 2, LASTING);
  assert.ok(first !== undefined);
  const publisher = await join("back-publisher");
  await publisher.publish("back", "1", { qos: 2 });
  await publisher.publish("back", "2", { qos: 2 });
  await first.gets("publish back q2 #1: 1", "publish back q2 #2: 2");
  first.ack("pubrec", 1);
  await first.gets("pubrel 1");
  const [second] = await members("back", ["b"], 2, LASTING);
  assert.ok(second !== undefined);
  await first.lose();
  await second.getsNothing();
  const again = await join("back-a", LASTING);
  await again.getsInAnyOrder("pubrel 1", "publish back q2 #2 dup: 2");
  again.ack("pubcomp", 1);
  again.ack("pubrec", 2);
  await again.gets("pubrel 2");
  again.ack("pubcomp", 2);
  await again.getsNothing();
  await second.getsNothing();
});

test("QoS 2 that was sent to a member goes to nobody else when its session ends. [MQTT-4.8.2-5]", async () => {
  for (const [kind, fields] of [
    ["passing", {}],
    ["lasting", LASTING],
  ] as const) {
    const topic = `ended-${kind}`;
    const [first] = await members(topic, ["a"], 2, fields);
    assert.ok(first !== undefined);
    await (await join(`${topic}-publisher`)).publish(topic, "x", { qos: 2 });
    await first.gets(`publish ${topic} q2 #1: x`);
    const [second] = await members(topic, ["b"], 2, fields);
    await first.leave(0, kind === "lasting" ? { sessionExpirySeconds: 0 } : {});
    // Its session is gone for certain.
    await (await join(`${topic}-a`)).getsNothing();
    await second?.getsNothing();
  }
});

test("What a member refuses with 0x80 or more goes to no other, and not to it again. [MQTT-4.8.2-6, MQTT-4.4.0-2]", async () => {
  const topic = "refused";
  const [first] = await members(topic, ["a"], 2, LASTING);
  assert.ok(first !== undefined);
  const publisher = await join("refused-publisher");
  await publisher.publish(topic, "1", { qos: 1 });
  await publisher.publish(topic, "2", { qos: 2 });
  await first.gets("publish refused q1 #1: 1", "publish refused q2 #2: 2");
  const [second] = await members(topic, ["b"], 2, LASTING);
  first.ack("puback", 1, 0x80);
  first.ack("pubrec", 2, 0x97);
  await first.getsNothing();
  await second?.getsNothing();
  await first.leave(0, { sessionExpirySeconds: 0 });
  await second?.getsNothing();
});

test("A member that unsubscribes gets no more, the others get all; the last one ends the group. [MQTT-3.10.4-2]", async () => {
  const [first, second] = await members("unsubscribed/x", ["a", "b"], 1);
  assert.ok(first !== undefined && second !== undefined);
  assert.deepEqual(await first.unsubscribe("unsubscribed/x"), [0x11]);
  assert.deepEqual(await first.unsubscribe("$share/g/unsubscribed/x"), [0]);
  const publisher = await join("unsubscribed-publisher");
  publisher.send(
    ...[1, 2, 3].map((i) => publishPacket("unsubscribed/x", `${i}`, { qos: 1, packetId: i })),
  );
  await publisher.gets("puback 1", "puback 2", "puback 3");
  await second.gets(...[1, 2, 3].map((i) => `publish unsubscribed/x q1 #${i}: ${i}`));
  await first.getsNothing();
  await second.unsubscribe("$share/g/unsubscribed/x");
  assert.equal(await publisher.publish("unsubscribed/x", "x", { qos: 1 }), 0x10);
});
