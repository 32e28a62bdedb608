import assert from "node:assert/strict";
import { test } from "node:test";
import type { ConnectPacket } from "../../../src/mqtt/packet.ts";
import type { Properties } from "../../../src/mqtt/properties.ts";
import { edgeForFile } from "../edge.ts";
import { StrictClient } from "../strict-client.ts";

const edge = edgeForFile({
  config: {
    mqtt: { receiveMaximum: 7, topicAliasMax: 5, maxPacketBytes: 65_536, keepAliveMaxSeconds: 600 },
  },
});

const LASTING = { cleanStart: false, properties: { sessionExpirySeconds: 60 } };

const dial = (): Promise<StrictClient> => StrictClient.dial(edge.broker.port);
const join = (clientId: string, fields: Partial<ConnectPacket> = {}): Promise<StrictClient> =>
  StrictClient.join(edge.broker.port, clientId, fields);

/** Flags and reason code of the CONNACK that this CONNECT gets. */
async function connackBytes(clientId: string, fields: Partial<ConnectPacket>): Promise<string> {
  const client = await dial();
  client.connect(clientId, fields);
  const { hex } = await client.takeArrival();
  assert.equal(hex.slice(0, 2), "20");
  await client.lose();
  return hex.slice(4, 8);
}

test("The flags of CONNACK are 0 or 1, by whether there was a session. [MQTT-3.2.2-1, MQTT-3.2.2-2, MQTT-3.2.2-3, MQTT-3.1.2-6]", async () => {
  assert.equal(await connackBytes("flags", LASTING), "0000");
  assert.equal(await connackBytes("flags", LASTING), "0100");
  assert.equal(await connackBytes("flags", { ...LASTING, cleanStart: true }), "0000");
  assert.equal(await connackBytes("flags", LASTING), "0100");
  assert.equal(await connackBytes("flags", { cleanStart: true }), "0000");
  assert.equal(await connackBytes("flags", LASTING), "0000");
});

test("A refusal never says session present, also where there is a session, and closes. [MQTT-3.2.2-6, MQTT-3.2.2-7, MQTT-4.13.2-1]", async () => {
  const first = await join("refused-session", LASTING);
  await first.leave(0, {});
  const client = await dial();
  client.connect("refused-session", {
    ...LASTING,
    properties: { sessionExpirySeconds: 60, authenticationMethod: "none" },
  });
  const { hex } = await client.takeArrival();
  assert.equal(hex.slice(4, 8), "008c");
  await client.ends();
  const again = await join("refused-session", LASTING);
  assert.equal(again.connack?.sessionPresent, true);
});

test("Each refusal has the reason code of its cause. [MQTT-3.2.2-8, MQTT-3.2.2-7]", async () => {
  const will = { payload: Buffer.alloc(0), qos: 0, retain: false, properties: {} } as const;
  const rows: readonly [clientId: string, fields: Partial<ConnectPacket>, answer: string][] = [
    ["x".repeat(1_025), {}, "connack 0x85"],
    ["a", { properties: { authenticationMethod: "none" } }, "connack 0x8c"],
    ["a", { will: { ...will, topic: "a/#" } }, "connack 0x90"],
  ];
  for (const [clientId, fields, answer] of rows) {
    const client = await dial();
    client.connect(clientId, fields);
    await client.ends(answer);
  }
});

test("CONNACK says what the broker takes, and nothing of it twice. [MQTT-3.2.2-8]", async () => {
  const client = await join("told", { keepAliveSeconds: 60 });
  const properties: Properties = client.connack?.properties ?? {};
  assert.equal(properties.receiveMaximum, 7);
  assert.equal(properties.topicAliasMaximum, 5);
  assert.equal(properties.maximumPacketBytes, 65_536);
  // All QoS, retained messages, wildcards and subscription identifiers: their absence says yes.
  assert.equal(properties.maximumQos, undefined);
  assert.notEqual(properties.isRetainAvailable, false);
  assert.notEqual(properties.isWildcardSubscriptionAvailable, false);
  assert.notEqual(properties.areSubscriptionIdentifiersAvailable, false);
  assert.equal(properties.sessionExpirySeconds, undefined);
  assert.equal(properties.serverKeepAliveSeconds, undefined);
});

test("A session expiry interval beyond the broker's maximum is told as what it is. [MQTT-3.1.2-23]", async () => {
  const client = await join("expiry", { properties: { sessionExpirySeconds: 0xffff_ffff } });
  assert.equal(client.connack?.properties.sessionExpirySeconds, 7 * 24 * 3_600);
  const within = await join("expiry", { properties: { sessionExpirySeconds: 3_600 } });
  assert.equal(within.connack?.properties.sessionExpirySeconds, undefined);
});

test("A keep alive beyond the broker's maximum, and none at all, is given the maximum. [MQTT-3.2.2-21]", async () => {
  for (const [asked, told] of [
    [0, 600],
    [601, 600],
    [65_535, 600],
    [600, undefined],
    [5, undefined],
  ] as const) {
    const client = await join("keep-alive", { keepAliveSeconds: asked });
    assert.equal(client.connack?.properties.serverKeepAliveSeconds, told, String(asked));
  }
});

test("Response information is not given to who does not ask for it, or says no. [MQTT-3.1.2-28]", async () => {
  for (const requestResponseInformation of [undefined, false]) {
    const client = await join("response", { properties: { requestResponseInformation } });
    assert.equal(client.connack?.properties.responseInformation, undefined);
  }
});

test("A client without authentication method gets none in CONNACK. [MQTT-4.12.0-6]", async () => {
  const client = await join("no-method");
  assert.equal(client.connack?.properties.authenticationMethod, undefined);
  assert.equal(client.connack?.properties.authenticationData, undefined);
});

test("Wills of every QoS and retained wills are taken. [MQTT-3.1.2-12]", async () => {
  for (const qos of [0, 1, 2] as const) {
    for (const retain of [false, true]) {
      const will = { topic: "w", payload: Buffer.alloc(0), qos, retain, properties: {} };
      await (await join("any-will", { will })).leave();
    }
  }
});

test("Subscriptions of every QoS are granted as they are asked for. [MQTT-3.8.4-7]", async () => {
  const client = await join("any-qos");
  for (const qos of [0, 1, 2] as const) {
    assert.deepEqual(await client.subscribe(`any/${qos}`, { qos }), [qos]);
  }
});
