import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import {
  type ConnectPacket,
  PacketType,
  ProtocolVersion,
  type WillPacketPart,
} from "../../../src/mqtt/packet.ts";
import { publishPacket, type WireClient } from "../../support/wire-client.ts";
import { edgeForFile, leave, settled, textOf } from "../edge.ts";

const V311 = ProtocolVersion.v311;
const edge = edgeForFile();

const willTo = (topic: string, fields: Partial<WillPacketPart> = {}): WillPacketPart => ({
  topic,
  payload: Buffer.from("gone"),
  qos: 0,
  retain: false,
  properties: {},
  ...fields,
});

async function watch(t: TestContext, topicFilter: string): Promise<WireClient> {
  const watcher = await edge.connect(t, V311, `watcher of ${topicFilter}`);
  await watcher.subscribe(1, topicFilter, 2);
  return watcher;
}

const mortal = (
  t: TestContext,
  clientId: string,
  fields: Partial<ConnectPacket>,
): Promise<WireClient> => edge.connect(t, V311, clientId, fields);

const willSeen = async (watcher: WireClient): Promise<string> =>
  textOf((await watcher.takeType(PacketType.publish)).packet);

test("The will is published when the network connection is lost [MQTT-3.1.2-8]", async (t) => {
  const watcher = await watch(t, "lost/will");
  const client = await mortal(t, "lost", { will: willTo("lost/will") });
  assert.deepEqual(await settled(watcher), []);
  await client.drop();
  assert.equal(await willSeen(watcher), "publish lost/will q0: gone");
});

test("The will is published when the broker ends the connection for a violation [MQTT-3.1.2-8]", async (t) => {
  const watcher = await watch(t, "violent/will");
  const client = await mortal(t, "violent", { will: willTo("violent/will") });
  client.sendBytes(Buffer.from([0x60, 0x00]));
  await client.closed;
  assert.equal(await willSeen(watcher), "publish violent/will q0: gone");
});

test("The will is published when another connection takes the client identifier over [MQTT-3.1.2-8]", async (t) => {
  const watcher = await watch(t, "taken/will");
  await mortal(t, "taken", { will: willTo("taken/will") });
  await mortal(t, "taken", {});
  assert.equal(await willSeen(watcher), "publish taken/will q0: gone");
});

test("The will is stored: it is published after a crash of the broker too [MQTT-3.1.2-8]", async (t) => {
  const watcher = await edge.connect(t, V311, "crash-watcher", { cleanStart: false });
  await watcher.subscribe(1, "crash/will", 1);
  await mortal(t, "crash", { cleanStart: false, will: willTo("crash/will", { qos: 1 }) });
  await edge.crash();
  const again = await edge.connect(t, V311, "crash-watcher", { cleanStart: false });
  assert.equal(await willSeen(again), "publish crash/will q1 #1: gone");
});

test("The will is gone once it was published: a second loss says nothing [MQTT-3.1.2-10]", async (t) => {
  const watcher = await watch(t, "once/will");
  const client = await mortal(t, "once", { cleanStart: false, will: willTo("once/will") });
  await client.drop();
  await willSeen(watcher);
  const again = await mortal(t, "once", { cleanStart: false });
  await again.drop();
  // It has been noticed: the client identifier is free.
  await leave(await mortal(t, "once", { cleanStart: true }));
  assert.deepEqual(await settled(watcher), []);
});

test("DISCONNECT removes the will, and it is not published [MQTT-3.1.2-10, MQTT-3.14.4-3]", async (t) => {
  const watcher = await watch(t, "polite/will");
  await leave(await mortal(t, "polite", { cleanStart: false, will: willTo("polite/will") }));
  await leave(await mortal(t, "polite", { cleanStart: false }));
  assert.deepEqual(await settled(watcher), []);
});

test("DISCONNECT is the last thing the broker listens to, and it closes the connection [MQTT-3.14.4-3]", async (t) => {
  const watcher = await watch(t, "after/#");
  const client = await mortal(t, "after", { will: willTo("after/will") });
  client.send({ type: PacketType.disconnect, reasonCode: 0 });
  client.send(publishPacket("after/end", "x"));
  await client.closed;
  assert.deepEqual(await settled(watcher), []);
});

test("Without will flag nothing is published when the connection is lost [MQTT-3.1.2-12]", async (t) => {
  const watcher = await watch(t, "#");
  const client = await mortal(t, "without", {});
  await client.drop();
  await leave(await mortal(t, "without", {}));
  assert.deepEqual(await settled(watcher), []);
});

for (const qos of [0, 1, 2] as const) {
  test(`A will of QoS ${qos} is published with QoS ${qos} [MQTT-3.1.2-14]`, async (t) => {
    const watcher = await watch(t, `qos${qos}/will`);
    const will = willTo(`qos${qos}/will`, { qos });
    await (await mortal(t, `qos${qos}`, { will })).drop();
    const id = qos === 0 ? "" : " #1";
    assert.equal(await willSeen(watcher), `publish qos${qos}/will q${qos}${id}: gone`);
  });
}

test("A will without will retain is published, and not retained [MQTT-3.1.2-16]", async (t) => {
  const watcher = await watch(t, "passing/will");
  await (await mortal(t, "passing", { will: willTo("passing/will") })).drop();
  assert.equal(await willSeen(watcher), "publish passing/will q0: gone");
  const late = await edge.connect(t, V311, "late for passing");
  await late.subscribe(1, "passing/will", 2);
  assert.deepEqual(await settled(late), []);
});

test("A will with will retain is published and retained [MQTT-3.1.2-17]", async (t) => {
  const watcher = await watch(t, "kept/will");
  await (await mortal(t, "kept", { will: willTo("kept/will", { qos: 1, retain: true }) })).drop();
  assert.equal(await willSeen(watcher), "publish kept/will q1 #1: gone");
  const late = await edge.connect(t, V311, "late for kept");
  await late.subscribe(1, "kept/will", 2);
  assert.equal(await willSeen(late), "publish kept/will q1 #1 retain: gone");
});

test("A will's topic is UTF-8 in any script, and keeps its byte order mark [MQTT-3.1.3-10, MQTT-1.5.3-3]", async (t) => {
  const topic = "\ufeffwerk/温度/will";
  const watcher = await watch(t, topic);
  await (await mortal(t, "scripted", { will: willTo(topic) })).drop();
  assert.equal(await willSeen(watcher), `publish ${topic} q0: gone`);
});
