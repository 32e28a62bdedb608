import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import mqtt from "mqtt";
import { PacketType, ProtocolVersion } from "../../src/mqtt/packet.ts";
import { BrokerHome } from "../support/broker-process.ts";
import { WireClient } from "../support/wire-client.ts";

const TOPICS = 12;
const MESSAGES = 240;

test("A broker that stops says so to every client before it goes. [MQTT-3.14.2-1]", async (t) => {
  const broker = await new BrokerHome(t).start({});
  const clients = await Promise.all(
    Array.from({ length: 20 }, async (_, i) => {
      const client = await WireClient.open(broker.port, ProtocolVersion.v5);
      await client.connect({ clientId: `c${i}` });
      return client;
    }),
  );
  const old = await WireClient.open(broker.port, ProtocolVersion.v311);
  await old.connect({ clientId: "old" });
  const ended = broker.stop();
  for (const client of clients) {
    const { packet } = await client.takeType(PacketType.disconnect);
    assert.equal(packet.reasonCode, 0x8b);
    assert.equal(packet.properties?.reasonString, "the broker stops");
  }
  await old.closed;
  assert.equal((await ended).exitCode, 0);
});

test("MQTT.js gets every message with its topic, although most come with an alias alone.", async (t) => {
  const broker = await new BrokerHome(t).start({});
  const client = mqtt.connect(`mqtt://127.0.0.1:${broker.port}`, {
    protocolVersion: 5,
    reconnectPeriod: 0,
    properties: { topicAliasMaximum: 4 },
  });
  await once(client as unknown as NodeJS.EventEmitter, "connect");
  await client.subscribeAsync("plant/#", { qos: 1 });
  const got: string[] = [];
  let aliased = 0;
  const isDone = new Promise<void>((resolve) => {
    client.on("message", (topic, payload, packet) => {
      got.push(`${topic} ${payload.toString()}`);
      if (packet.properties?.topicAlias !== undefined) aliased++;
      if (got.length === MESSAGES) resolve();
    });
  });
  const publisher = await mqtt.connectAsync(`mqtt://127.0.0.1:${broker.port}`, {
    protocolVersion: 5,
  });
  const sent: string[] = [];
  for (let i = 0; i < MESSAGES; i++) {
    // Some topics far more often than others.
    const topic = `plant/${i % 3 === 0 ? i % TOPICS : i % 2}`;
    sent.push(`${topic} ${i}`);
    await publisher.publishAsync(topic, String(i), { qos: i % 2 === 0 ? 0 : 1 });
  }
  await isDone;
  assert.deepEqual(got, sent);
  assert.ok(aliased > MESSAGES / 2, `${aliased} of ${MESSAGES} had an alias`);
  await Promise.all([client.endAsync(), publisher.endAsync()]);
});
