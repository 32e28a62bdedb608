import assert from "node:assert/strict";
import { test } from "node:test";
import { type ConnectPacket, PacketType } from "../../../src/mqtt/packet.ts";
import { VirtualNode } from "../../support/virtual-node.ts";
import { field, framed, properties } from "../bytes.ts";
import { edgeForFile } from "../edge.ts";
import { StrictClient } from "../strict-client.ts";

const edge = edgeForFile();

const join = (clientId: string, fields: Partial<ConnectPacket> = {}): Promise<StrictClient> =>
  StrictClient.join(edge.broker.port, clientId, fields);

const LASTING = { cleanStart: false, properties: { sessionExpirySeconds: 3_600 } };

test("UNSUBSCRIBE is answered with one UNSUBACK: its packet identifier, and a reason code for each topic filter in their order. [MQTT-3.10.4-4, MQTT-3.10.4-5, MQTT-3.10.4-6, MQTT-3.11.3-1, MQTT-3.11.3-2]", async () => {
  const client = await join("unsuback");
  await client.subscribe(["a", "b/+", "c/#"]);
  const filters = ["x", "a", "b/+", "a", "b/c", "c/#"];
  const fields = filters.map((filter) => field(`'${filter}'`));
  client.sendWire(framed("a2", "ffff 00", ...fields));
  assert.equal((await client.takeArrival()).hex, "b009ffff00110000111100");
  // Nothing is left, and there is an answer all the same.
  client.sendWire(framed("a2", "0001 00", field("'a'")));
  assert.equal((await client.takeArrival()).hex, "b00400010011");
  await client.getsNothing();
});

test("Topic filters are compared character by character: only the same one ends its subscription. [MQTT-3.10.4-1]", async () => {
  const filter = "Unsub/+/é/#";
  const others = [
    "unsub/+/é/#",
    "Unsub/+/é",
    "Unsub/#",
    "Unsub/x/é/#",
    "Unsub/+/e\u0301/#",
    "/Unsub/+/é/#",
    "Unsub/+/é/+",
    "#",
    "+",
  ];
  const client = await join("compare");
  await client.subscribe(filter);
  assert.deepEqual(
    await client.unsubscribe(...others),
    others.map(() => 0x11),
  );
  const publisher = await join("compare-publisher");
  await publisher.publish("Unsub/a/é/b", "x");
  await client.gets("publish Unsub/a/é/b q0: x");
  assert.deepEqual(await client.unsubscribe(filter), [0]);
  await publisher.publish("Unsub/a/é/b", "x");
  await client.getsNothing();
});

test("After UNSUBACK nothing more is added for the client, and other subscriptions stay. [MQTT-3.10.4-2, MQTT-3.10.4-1]", async () => {
  for (const [name, fields] of [
    ["stop", {}],
    ["stop-lasting", LASTING],
  ] as const) {
    const client = await join(name, fields);
    const other = await join(`${name}-other`);
    await client.subscribe([`${name}/a`, `${name}/+`], { qos: 2 });
    await other.subscribe(`${name}/a`, { qos: 0 });
    const publisher = await join(`${name}-publisher`);
    assert.deepEqual(await client.unsubscribe(`${name}/+`), [0]);
    await publisher.publish(`${name}/a`, "1", { qos: 1 });
    await client.gets(`publish ${name}/a q1 #1: 1`);
    assert.deepEqual(await client.unsubscribe(`${name}/a`), [0]);
    for (const qos of [0, 1, 2] as const) await publisher.publish(`${name}/a`, "2", { qos });
    await client.getsNothing();
    await other.gets(
      `publish ${name}/a q0: 1`,
      `publish ${name}/a q0: 2`,
      `publish ${name}/a q0: 2`,
      `publish ${name}/a q0: 2`,
    );
  }
});

test("What was unsubscribed stays so in a session that goes on, also after a crash of the broker. [MQTT-3.10.4-1, MQTT-3.10.4-2]", async () => {
  const client = await join("forgotten", LASTING);
  await client.subscribe(["forgotten/a", "forgotten/b"], { qos: 1 });
  await client.unsubscribe("forgotten/a");
  await client.lose();
  await edge.crash();
  const publisher = await join("forgotten-publisher");
  assert.equal(await publisher.publish("forgotten/a", "x", { qos: 1 }), 0x10);
  await publisher.publish("forgotten/b", "x", { qos: 1 });
  await (await join("forgotten", LASTING)).gets("publish forgotten/b q1 #1: x");
});

test("Deliveries that have begun are completed after UNSUBSCRIBE, also across a reconnect. [MQTT-3.10.4-3]", async () => {
  const client = await join("complete", LASTING);
  await client.subscribe("complete", { qos: 2 });
  const publisher = await join("complete-publisher");
  await publisher.publish("complete", "1", { qos: 1 });
  await publisher.publish("complete", "2", { qos: 2 });
  await publisher.publish("complete", "3", { qos: 2 });
  await client.gets(
    "publish complete q1 #1: 1",
    "publish complete q2 #2: 2",
    "publish complete q2 #3: 3",
  );
  assert.deepEqual(await client.unsubscribe("complete"), [0]);
  client.ack("pubrec", 2);
  await client.gets("pubrel 2");
  client.ack("pubcomp", 2);
  await client.getsNothing();
  await client.lose();
  const again = await join("complete", LASTING);
  await again.gets("publish complete q1 #1 dup: 1", "publish complete q2 #3 dup: 3");
  again.ack("puback", 1);
  again.ack("pubrec", 3);
  await again.gets("pubrel 3");
  again.ack("pubcomp", 3);
  await again.getsNothing();
});

test("Retained messages that have not been sent yet stop with their subscription. [MQTT-3.10.4-2]", () => {
  const node = new VirtualNode();
  const publisher = node.connect("p");
  for (let i = 1; i <= 5; i++)
    publisher.publish(`r/${i}`, "x", { qos: 1, packetId: i, retain: true });
  const client = node.connect("c", { properties: { receiveMaximum: 1 } });
  client.take();
  client.subscribe("r/#", { qos: 1 });
  assert.equal(client.take().length, 2);
  client.unsubscribe("r/#");
  assert.deepEqual(client.takeText(), ["unsuback 2 0x00"]);
  client.ack(PacketType.puback, 1);
  assert.deepEqual(client.takeText(), []);
});

test("UNSUBSCRIBE without a topic filter is a protocol error, one that ends within a field is malformed. [MQTT-3.10.3-2, MQTT-4.13.1-1]", async () => {
  const rows: readonly [string, string][] = [
    ["a2 03 0001 00", "0x82"],
    ["a2 04 0001 00 00", "0x81"],
    ["a2 06 0001 00 0002 61", "0x81"],
    ["a2 02 0001", "0x81"],
    ["a2 00", "0x81"],
    [framed("a2", "0001", properties("0b 01"), field("'a'")), "0x81"],
    [framed("a2", "0001", properties("1f 0000"), field("'a'")), "0x81"],
  ];
  for (const [bytes, code] of rows) {
    const client = await join("no-filter");
    client.sendWire(bytes);
    assert.deepEqual(await client.rest(), [`disconnect ${code}`], bytes);
  }
});

test("Flags of UNSUBSCRIBE other than 0010 are malformed, and nothing is unsubscribed. [MQTT-3.10.1-1]", async () => {
  for (const first of ["a0", "a1", "a3", "a4", "a6", "aa", "af"]) {
    const client = await join("flags", LASTING);
    await client.subscribe("f", { qos: 1 });
    client.sendWire(`${first} 06 0001 00 0001 66`);
    await client.ends("disconnect 0x81");
    const again = await join("flags", LASTING);
    assert.deepEqual(await again.unsubscribe("f"), [0]);
    await again.leave();
  }
});
