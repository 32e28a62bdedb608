import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { type OutgoingPacket, PacketType, ProtocolVersion } from "../../../src/mqtt/packet.ts";
import { publishPacket, type WireClient } from "../../support/wire-client.ts";
import { arrivals, edgeForFile, expectLines, publishSafely, settled } from "../edge.ts";
import { field, packet, RawClient } from "../raw-client.ts";

const V311 = ProtocolVersion.v311;
const edge = edgeForFile();

async function connected(t: TestContext, clientId: string): Promise<RawClient> {
  const client = await RawClient.open(t, edge.broker.port);
  client.send(packet(0x10, `${field("MQTT")} 04 02 0000 ${field(clientId)}`));
  await client.expect("20 02 0000");
  return client;
}

/** SUBSCRIBE to several filters at once. */
const subscribeTo = (
  packetId: number,
  ...filters: readonly (readonly [string, 0 | 1 | 2])[]
): OutgoingPacket => ({
  type: PacketType.subscribe,
  packetId,
  subscriptions: filters.map(([topicFilter, qos]) => ({
    topicFilter,
    qos,
    noLocal: false,
    retainAsPublished: false,
    retainHandling: 0,
  })),
});

async function unsubscribe(client: WireClient, ...topicFilters: string[]): Promise<void> {
  client.send({ type: PacketType.unsubscribe, packetId: 99, topicFilters });
  await client.takeType(PacketType.unsuback, 99);
}

for (const id of ["0001", "0100", "ffff"]) {
  test(`SUBSCRIBE and UNSUBSCRIBE with packet identifier 0x${id} are answered with it [MQTT-2.3.1-7, MQTT-3.8.4-1, MQTT-3.8.4-2, MQTT-3.10.4-4]`, async (t) => {
    const client = await connected(t, "answered");
    client.send(packet(0x82, `${id} ${field("a/b")} 01`));
    await client.expect(`90 03 ${id} 01`);
    client.send(packet(0xa2, `${id} ${field("a/b")}`));
    await client.expect(`b0 02 ${id}`);
  });
}

test("UNSUBSCRIBE from what was not subscribed to is answered too [MQTT-3.10.4-5]", async (t) => {
  const client = await connected(t, "stranger");
  client.send(packet(0xa2, `0007 ${field("never/#")} ${field("not/this")}`));
  await client.expect("b0 02 0007");
});

test("SUBACK has one code for each filter, in their order: the QoS, or 0x80 for what is refused [MQTT-3.8.4-5, MQTT-3.9.3-1, MQTT-3.9.3-2]", async (t) => {
  const client = await connected(t, "codes");
  const pairs = [
    `${field("codes/2")} 02`,
    `${field("codes/#/no")} 01`,
    `${field("codes/0")} 00`,
    `${field("codes/no+")} 02`,
    `${field("codes/1")} 01`,
  ];
  client.send(packet(0x82, `0009 ${pairs.join(" ")}`));
  await client.expect("90 07 0009 02 80 00 80 01");
});

test("What is refused in a SUBSCRIBE is not subscribed to, the rest is [MQTT-3.9.3-1, MQTT-3.8.4-4]", async (t) => {
  const client = await edge.connect(t, V311, "partly");
  client.send(subscribeTo(1, ["partly/a", 1], ["partly/#/x", 1], ["partly/b", 0]));
  await client.takeType(PacketType.suback, 1);
  const publisher = await edge.connect(t, V311, "publisher");
  for (const name of ["a", "b", "x"]) await publishSafely(publisher, `partly/${name}`, name);
  await expectLines(client, ["publish partly/a q1 #1: a", "publish partly/b q0: b"]);
});

test("SUBACK of the broker has no code but 0, 1, 2 and 0x80, whatever is asked for [MQTT-3.9.3-2]", async (t) => {
  const client = await connected(t, "any");
  const deep = Array.from({ length: 300 }, () => "a").join("/");
  for (const [filter, code] of [
    ["a/+/b/#", "02"],
    ["", "80"],
    ["a#", "80"],
    ["#/a", "80"],
    ["+a", "80"],
    [deep, "80"],
  ] as const) {
    client.send(packet(0x82, `0003 ${field(filter)} 02`));
    await client.expect(`90 03 0003 ${code}`);
  }
});

test("Wildcards are supported in filters, in all their places [MQTT-3.8.3-2, MQTT-4.7.1-1]", async (t) => {
  const client = await connected(t, "wild");
  for (const filter of ["#", "+", "+/+", "/+", "a/+/#", "+/a/+", "/#"]) {
    client.send(packet(0x82, `0003 ${field(filter)} 00`));
    await client.expect("90 03 0003 00");
  }
});

for (const filter of ["a#", "#/a", "a/#/b", "a/b#", "##", "a/##", "#/"]) {
  test(`The filter ${filter} is refused: # stands alone and last [MQTT-4.7.1-2]`, async (t) => {
    const client = await connected(t, "hash");
    client.send(packet(0x82, `0003 ${field(filter)} 00`));
    await client.expect("90 03 0003 80");
  });
}

for (const filter of ["a+", "+a", "a/b+/c", "++", "a/+#", "+#"]) {
  test(`The filter ${filter} is refused: + takes a whole level [MQTT-4.7.1-3]`, async (t) => {
    const client = await connected(t, "plus");
    client.send(packet(0x82, `0003 ${field(filter)} 00`));
    await client.expect("90 03 0003 80");
  });
}

test("The same filter again replaces the subscription: one message, with the new QoS [MQTT-3.8.4-3]", async (t) => {
  const client = await edge.connect(t, V311, "again");
  const publisher = await edge.connect(t, V311, "publisher");
  await client.subscribe(1, "again/a", 2);
  await client.subscribe(2, "again/a", 0);
  await publishSafely(publisher, "again/a", "x");
  await expectLines(client, ["publish again/a q0: x"]);
  await client.subscribe(3, "again/a", 1);
  await publishSafely(publisher, "again/a", "y");
  await expectLines(client, ["publish again/a q1 #1: y"]);
});

test("The same filter again sends retained messages again and interrupts nothing [MQTT-3.8.4-3]", async (t) => {
  const client = await edge.connect(t, V311, "resent");
  const publisher = await edge.connect(t, V311, "publisher");
  await publishSafely(publisher, "resent/kept", "kept", { retain: true });
  await client.subscribe(1, "resent/#", 0);
  await client.takeType(PacketType.publish);
  // The stream of publications goes on around it: none is missing and none is twice.
  for (let i = 0; i < 50; i++) publisher.send(publishPacket("resent/flow", `${i}`));
  client.send(subscribeTo(2, ["resent/#", 0]));
  for (let i = 50; i < 100; i++) publisher.send(publishPacket("resent/flow", `${i}`));
  await client.takeType(PacketType.suback, 2);
  await settled(publisher);
  const lines = await arrivals(client, 101);
  const kept = lines.filter((line) => line.includes("resent/kept"));
  assert.deepEqual(kept, ["publish resent/kept q0 retain: kept"]);
  const flow = lines.filter((line) => line.includes("resent/flow"));
  assert.deepEqual(
    flow,
    Array.from({ length: 100 }, (_, i) => `publish resent/flow q0: ${i}`),
  );
});

test("Another filter that matches the same topics is another subscription [MQTT-3.8.4-3]", async (t) => {
  const client = await edge.connect(t, V311, "two-filters");
  await client.subscribe(1, "two/+", 0);
  await client.subscribe(2, "two/#", 0);
  await unsubscribe(client, "two/+");
  await publishSafely(await edge.connect(t, V311, "publisher"), "two/a", "x");
  await expectLines(client, ["publish two/a q0: x"]);
});

test("Several filters in one SUBSCRIBE are as many SUBSCRIBEs with one answer [MQTT-3.8.4-4]", async (t) => {
  const client = await edge.connect(t, V311, "several");
  const publisher = await edge.connect(t, V311, "publisher");
  await publishSafely(publisher, "several/kept", "kept", { retain: true });
  client.send(subscribeTo(5, ["several/a", 1], ["several/b/#", 2], ["several/kept", 0]));
  const { packet: suback } = await client.takeType(PacketType.suback, 5);
  assert.deepEqual(suback.reasonCodes, [1, 2, 0]);
  for (const topic of ["several/a", "several/b/c", "several/c"]) {
    await publishSafely(publisher, topic, "x");
  }
  assert.deepEqual((await arrivals(client, 3)).sort(), [
    "publish several/a q1 #1: x",
    "publish several/b/c q1 #2: x",
    "publish several/kept q0 retain: kept",
  ]);
});

test("The same filter twice in one SUBSCRIBE: the second replaces the first [MQTT-3.8.4-4]", async (t) => {
  const client = await edge.connect(t, V311, "doubled");
  client.send(subscribeTo(5, ["doubled/a", 2], ["doubled/a", 0]));
  const { packet: suback } = await client.takeType(PacketType.suback, 5);
  assert.deepEqual(suback.reasonCodes, [2, 0]);
  await publishSafely(await edge.connect(t, V311, "publisher"), "doubled/a", "x");
  await expectLines(client, ["publish doubled/a q0: x"]);
});

test("UNSUBSCRIBE compares filters character by character, wildcards as characters [MQTT-3.10.4-1]", async (t) => {
  const client = await edge.connect(t, V311, "exactly");
  const publisher = await edge.connect(t, V311, "publisher");
  await client.subscribe(1, "exactly/+", 0);
  await unsubscribe(client, "exactly/a", "exactly/#", "Exactly/+", "exactly/+/", "/exactly/+", "#");
  await publishSafely(publisher, "exactly/a", "x");
  await expectLines(client, ["publish exactly/a q0: x"]);
  await unsubscribe(client, "exactly/+");
  await publishSafely(publisher, "exactly/a", "y");
  assert.deepEqual(await settled(client), []);
});

test("After UNSUBACK no new message comes [MQTT-3.10.4-2]", async (t) => {
  const client = await edge.connect(t, V311, "stopped");
  const publisher = await edge.connect(t, V311, "publisher");
  await client.subscribe(1, "stopped/#", 1);
  await publishSafely(publisher, "stopped/a", "before");
  await expectLines(client, ["publish stopped/a q1 #1: before"]);
  await unsubscribe(client, "stopped/#");
  for (const topic of ["stopped", "stopped/a"]) {
    await publishSafely(publisher, topic, "after", { retain: true });
  }
  assert.deepEqual(await settled(client), []);
});

test("Deliveries that were started are completed after UNSUBSCRIBE, of QoS 1 and 2, also on the next connection [MQTT-3.10.4-3]", async (t) => {
  const client = await edge.connect(t, V311, "started", { cleanStart: false });
  const publisher = await edge.connect(t, V311, "publisher");
  await client.subscribe(1, "started/#", 2);
  await publishSafely(publisher, "started/1", "x");
  publisher.send(publishPacket("started/2", "y", { qos: 2, packetId: 2 }));
  publisher.send({ type: PacketType.pubrel, packetId: 2, reasonCode: 0 });
  await publisher.takeType(PacketType.pubcomp, 2);
  const before = ["publish started/1 q1 #1: x", "publish started/2 q2 #2: y"];
  await expectLines(client, before);
  await unsubscribe(client, "started/#");
  await client.drop();
  const again = await edge.connect(t, V311, "started", { cleanStart: false });
  const redelivered = ["publish started/1 q1 #1 dup: x", "publish started/2 q2 #2 dup: y"];
  await expectLines(again, redelivered);
  again.send({ type: PacketType.puback, packetId: 1, reasonCode: 0 });
  again.send({ type: PacketType.pubrec, packetId: 2, reasonCode: 0 });
  await again.takeType(PacketType.pubrel, 2);
});

test("Several filters in one UNSUBSCRIBE are as many UNSUBSCRIBEs with one answer [MQTT-3.10.4-6]", async (t) => {
  const client = await edge.connect(t, V311, "leaving");
  client.send(subscribeTo(1, ["leaving/a", 0], ["leaving/b", 0], ["leaving/c", 0]));
  await client.takeType(PacketType.suback, 1);
  await unsubscribe(client, "leaving/a", "leaving/unknown", "leaving/c");
  assert.equal(client.waiting(PacketType.unsuback), 0);
  const publisher = await edge.connect(t, V311, "publisher");
  for (const name of ["a", "b", "c"]) await publishSafely(publisher, `leaving/${name}`, "x");
  await expectLines(client, ["publish leaving/b q0: x"]);
});

test("Filters are UTF-8 in any script, and a byte order mark is part of them [MQTT-3.8.3-1, MQTT-3.10.3-1, MQTT-1.5.3-3]", async (t) => {
  const client = await edge.connect(t, V311, "scripts");
  const publisher = await edge.connect(t, V311, "publisher");
  await client.subscribe(1, "\ufeffwerk/温度/😀", 0);
  await publishSafely(publisher, "werk/温度/😀", "without");
  await publishSafely(publisher, "\ufeffwerk/温度/😀", "with");
  await expectLines(client, ["publish \ufeffwerk/温度/😀 q0: with"]);
  await unsubscribe(client, "\ufeffwerk/温度/😀");
  await publishSafely(publisher, "\ufeffwerk/温度/😀", "late");
  assert.deepEqual(await settled(client), []);
});
