import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { PacketType, ProtocolVersion } from "../../../src/mqtt/packet.ts";
import { publishPacket, type WireClient } from "../../support/wire-client.ts";
import { arrivals, edgeForFile, expectLines, leave, publishSafely, settled } from "../edge.ts";

const V311 = ProtocolVersion.v311;
const edge = edgeForFile();

const durable = (t: TestContext, clientId: string): Promise<WireClient> =>
  edge.connect(t, V311, clientId, { cleanStart: false });
const clean = (t: TestContext, clientId: string): Promise<WireClient> =>
  edge.connect(t, V311, clientId);

/** Publishes with QoS 2, all of it. */
async function publishOnce(client: WireClient, topic: string, payload: string): Promise<void> {
  client.send(publishPacket(topic, payload, { qos: 2, packetId: 900 }));
  await client.takeType(PacketType.pubrec, 900);
  client.send({ type: PacketType.pubrel, packetId: 900, reasonCode: 0 });
  await client.takeType(PacketType.pubcomp, 900);
}

test("A session that is not clean is resumed with its subscriptions, after DISCONNECT and after a loss [MQTT-3.1.2-4, MQTT-4.1.0-1]", async (t) => {
  const publisher = await clean(t, "publisher");
  const first = await durable(t, "resumed");
  await first.subscribe(1, "resumed/a", 0);
  await leave(first);
  const second = await durable(t, "resumed");
  await publishSafely(publisher, "resumed/a", "x");
  await expectLines(second, ["publish resumed/a q0: x"]);
  await second.drop();
  const third = await durable(t, "resumed");
  await publishSafely(publisher, "resumed/a", "y");
  await expectLines(third, ["publish resumed/a q0: y"]);
});

test("Sessions belong to their client identifiers [MQTT-3.1.3-2]", async (t) => {
  const publisher = await clean(t, "publisher");
  const first = await durable(t, "owner-1");
  await first.subscribe(1, "owner/1", 1);
  const second = await durable(t, "owner-2");
  await second.subscribe(1, "owner/2", 1);
  for (const client of [first, second]) await leave(client);
  for (const name of ["1", "2"]) await publishSafely(publisher, `owner/${name}`, name);
  await expectLines(await durable(t, "owner-2"), ["publish owner/2 q1 #1: 2"]);
  await expectLines(await durable(t, "owner-1"), ["publish owner/1 q1 #1: 1"]);
});

test("While its client is away a session stores what comes with QoS 1 and 2 for its subscriptions [MQTT-3.1.2-5, MQTT-4.5.0-1]", async (t) => {
  const publisher = await clean(t, "publisher");
  const client = await durable(t, "away");
  await client.subscribe(1, "away/#", 2);
  await leave(client);
  await publishSafely(publisher, "away/1", "one");
  await publishOnce(publisher, "away/2", "two");
  await publishSafely(publisher, "elsewhere", "not for it");
  const again = await durable(t, "away");
  const expected = ["publish away/1 q1 #1: one", "publish away/2 q2 #2: two"];
  await expectLines(again, expected);
});

test("What a session stored is there after the broker was killed [MQTT-3.1.2-5, MQTT-4.1.0-1, MQTT-4.5.0-1]", async (t) => {
  const client = await durable(t, "killed");
  await client.subscribe(1, "killed/#", 1);
  await client.drop();
  await publishSafely(await clean(t, "publisher"), "killed/a", "x");
  await edge.crash();
  await expectLines(await durable(t, "killed"), ["publish killed/a q1 #1: x"]);
});

test("A message goes to the session of every client with a matching subscription, and to no other [MQTT-4.5.0-1]", async (t) => {
  const clients: WireClient[] = [];
  for (const [name, filter] of [
    ["every-1", "every/a"],
    ["every-2", "every/+"],
    ["every-3", "every/b"],
  ] as const) {
    const client = await durable(t, name);
    await client.subscribe(1, filter, 1);
    clients.push(client);
  }
  await publishSafely(await clean(t, "publisher"), "every/a", "x");
  const got = await Promise.all(clients.map(settled));
  assert.deepEqual(got, [["publish every/a q1 #1: x"], ["publish every/a q1 #1: x"], []]);
});

test("A clean session starts with nothing of an older one: no subscription, no message [MQTT-3.1.2-6, MQTT-3.1.4-3]", async (t) => {
  const publisher = await clean(t, "publisher");
  const older = await durable(t, "cleaned");
  await older.subscribe(1, "cleaned/#", 1);
  await leave(older);
  await publishSafely(publisher, "cleaned/a", "stored");
  const client = await clean(t, "cleaned");
  await publishSafely(publisher, "cleaned/a", "later");
  assert.deepEqual(await settled(client), []);
});

test("Nothing of a clean session is used in a later one [MQTT-3.1.2-6]", async (t) => {
  const publisher = await clean(t, "publisher");
  const passing = await clean(t, "passing");
  await passing.subscribe(1, "passing/#", 1);
  await publishSafely(publisher, "passing/a", "not acknowledged");
  await passing.takeType(PacketType.publish);
  await passing.drop();
  await publishSafely(publisher, "passing/a", "stored?");
  const next = await durable(t, "passing");
  await publishSafely(publisher, "passing/a", "later");
  assert.deepEqual(await settled(next), []);
});

test("A session lasts as long as its network connection, also a clean one [MQTT-4.1.0-2]", async (t) => {
  const publisher = await clean(t, "publisher");
  const client = await clean(t, "lasting");
  await client.subscribe(1, "lasting/#", 1);
  for (let i = 1; i <= 20; i++) {
    await publishSafely(publisher, "lasting/a", `${i}`);
    await expectLines(client, [`publish lasting/a q1 #${i}: ${i}`]);
  }
});

test("A resumed session sends again what was not acknowledged: PUBLISH with its packet identifier and DUP, PUBREL with its [MQTT-4.4.0-1, MQTT-3.3.1-1, MQTT-2.3.1-4, MQTT-2.3.1-6]", async (t) => {
  const publisher = await clean(t, "publisher");
  const client = await durable(t, "again");
  await client.subscribe(1, "again/#", 2);
  await publishSafely(publisher, "again/1", "one");
  await publishOnce(publisher, "again/2", "two");
  await publishOnce(publisher, "again/3", "three");
  await publishSafely(publisher, "again/4", "four");
  assert.equal((await arrivals(client, 4)).length, 4);
  client.send({ type: PacketType.puback, packetId: 1, reasonCode: 0 });
  client.send({ type: PacketType.pubrec, packetId: 2, reasonCode: 0 });
  await client.takeType(PacketType.pubrel, 2);
  await client.drop();
  const resumed = await durable(t, "again");
  const lines = await arrivals(resumed, 3);
  assert.deepEqual([...lines].sort(), [
    "publish again/3 q2 #3 dup: three",
    "publish again/4 q1 #4 dup: four",
    "pubrel 2",
  ]);
});

test("What was acknowledged is not sent again [MQTT-4.4.0-1, MQTT-3.3.1-1]", async (t) => {
  const publisher = await clean(t, "publisher");
  const client = await durable(t, "done");
  await client.subscribe(1, "done/#", 2);
  await publishSafely(publisher, "done/1", "one");
  await publishOnce(publisher, "done/2", "two");
  await arrivals(client, 2);
  client.send({ type: PacketType.puback, packetId: 1, reasonCode: 0 });
  client.send({ type: PacketType.pubrec, packetId: 2, reasonCode: 0 });
  await client.takeType(PacketType.pubrel, 2);
  client.send({ type: PacketType.pubcomp, packetId: 2, reasonCode: 0 });
  await settled(client);
  await client.drop();
  assert.deepEqual(await settled(await durable(t, "done")), []);
});

test("The first delivery has no DUP, each repetition has it [MQTT-3.3.1-1, MQTT-3.3.1-3]", async (t) => {
  const publisher = await clean(t, "publisher");
  let client = await durable(t, "repeated");
  await client.subscribe(1, "repeated", 1);
  await publishSafely(publisher, "repeated", "x");
  await expectLines(client, ["publish repeated q1 #1: x"]);
  for (let i = 0; i < 3; i++) {
    await client.drop();
    client = await durable(t, "repeated");
    await expectLines(client, ["publish repeated q1 #1 dup: x"]);
  }
});

test("What waited and was never sent comes without DUP [MQTT-3.3.1-1]", async (t) => {
  const client = await durable(t, "unsent");
  await client.subscribe(1, "unsent", 1);
  await leave(client);
  await publishSafely(await clean(t, "publisher"), "unsent", "x");
  await expectLines(await durable(t, "unsent"), ["publish unsent q1 #1: x"]);
});
