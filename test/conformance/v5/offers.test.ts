/** What the broker does where it is set to offer less than the standard has. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ConnectPacket, WillPacketPart } from "../../../src/mqtt/packet.ts";
import { publishPacket } from "../../support/wire-client.ts";
import { edgeForFile } from "../edge.ts";
import { StrictClient } from "../strict-client.ts";

const edge = edgeForFile({
  config: { mqtt: { maximumQos: 1, retainAvailable: false, responseInformation: "answers/%c" } },
});

const dial = (): Promise<StrictClient> => StrictClient.dial(edge.broker.port);
const join = (clientId: string, fields: Partial<ConnectPacket> = {}): Promise<StrictClient> =>
  StrictClient.join(edge.broker.port, clientId, fields);

const willOf = (fields: Partial<WillPacketPart>): Partial<ConnectPacket> => ({
  will: { topic: "w", payload: Buffer.alloc(0), qos: 0, retain: false, properties: {}, ...fields },
});

test("A maximum QoS is told in CONNACK. [MQTT-3.2.2-9]", async () => {
  assert.equal((await join("told")).connack?.properties.maximumQos, 1);
});

test("Subscriptions above the maximum QoS are taken, granted with it and delivered with it. [MQTT-3.2.2-10, MQTT-3.8.4-7]", async () => {
  const client = await join("granted");
  assert.deepEqual(await client.subscribe("granted/0", { qos: 0 }), [0]);
  assert.deepEqual(await client.subscribe("granted/1", { qos: 1 }), [1]);
  assert.deepEqual(await client.subscribe("granted/2", { qos: 2 }), [1]);
  await (await join("granted-publisher")).publish("granted/2", "x", { qos: 1 });
  await client.gets("publish granted/2 q1 #1: x");
});

test("A PUBLISH above the maximum QoS is answered with 0x9B and reaches nobody. [MQTT-3.2.2-11, MQTT-4.13.1-1]", async () => {
  const watcher = await join("above-watcher");
  await watcher.subscribe("above", { qos: 2 });
  const client = await join("above");
  client.send(publishPacket("above", "x", { qos: 2, packetId: 1 }));
  await client.ends("disconnect 0x9b");
  await watcher.getsNothing();
});

test("A will above the maximum QoS is refused with 0x9B, one within it is taken. [MQTT-3.2.2-12, MQTT-3.2.2-7]", async () => {
  const client = await dial();
  client.connect("will-qos", willOf({ qos: 2 }));
  await client.ends("connack 0x9b");
  for (const qos of [0, 1] as const) await (await join("will-qos", willOf({ qos }))).leave();
});

test("A retained will is refused with 0x9A, one that is not is taken. [MQTT-3.2.2-13, MQTT-3.2.2-7]", async () => {
  const client = await dial();
  client.connect("will-retain", willOf({ retain: true }));
  await client.ends("connack 0x9a");
  await (await join("will-retain", willOf({ retain: false }))).leave();
});

test("Where there are no retained messages CONNACK says so, and a PUBLISH with RETAIN is answered with 0x9A. [MQTT-3.2.2-14, MQTT-4.13.1-1]", async () => {
  for (const qos of [0, 1] as const) {
    const client = await join("retain");
    assert.equal(client.connack?.properties.isRetainAvailable, false);
    client.send(publishPacket("retain", "x", { qos, packetId: 1, retain: true }));
    await client.ends("disconnect 0x9a");
  }
});

test("Response information comes to who asks for it, and to nobody else. [MQTT-3.1.2-28]", async () => {
  for (const [requestResponseInformation, told] of [
    [true, "answers/asker"],
    [false, undefined],
    [undefined, undefined],
  ] as const) {
    const client = await join("asker", { properties: { requestResponseInformation } });
    assert.equal(client.connack?.properties.responseInformation, told);
  }
});
