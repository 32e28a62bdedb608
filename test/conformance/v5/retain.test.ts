import assert from "node:assert/strict";
import { test } from "node:test";
import { type ConnectPacket, PacketType } from "../../../src/mqtt/packet.ts";
import { edgeForFile } from "../edge.ts";
import { StrictClient } from "../strict-client.ts";

const edge = edgeForFile();

const join = (clientId: string, fields: Partial<ConnectPacket> = {}): Promise<StrictClient> =>
  StrictClient.join(edge.broker.port, clientId, fields);

const LASTING = { cleanStart: false, properties: { sessionExpirySeconds: 3_600 } };

/** What a new subscriber of this topic filter gets at once. */
async function retainedFor(topicFilter: string): Promise<string[]> {
  const client = await join("looker");
  await client.subscribe(topicFilter, { qos: 2 });
  client.send({ type: PacketType.disconnect, reasonCode: 0 });
  return (await client.rest()).sort();
}

test("A retained message replaces the one before, with its payload, QoS and properties. [MQTT-3.3.1-5]", async () => {
  const publisher = await join("replace");
  const properties = { contentType: "x" };
  await publisher.publish("replace", "1", { retain: true, qos: 2, properties });
  assert.deepEqual(await retainedFor("replace"), [
    'publish replace q2 #1 retain: 1 contentType="x"',
  ]);
  await publisher.publish("replace", "2", { retain: true, qos: 0 });
  assert.deepEqual(await retainedFor("replace"), ["publish replace q0 retain: 2"]);
  await publisher.publish("replace", "3", { retain: true, qos: 1 });
  assert.deepEqual(await retainedFor("replace"), ["publish replace q1 #1 retain: 3"]);
});

test("Retained messages are kept by topic, and survive the broker. [MQTT-3.3.1-5]", async () => {
  const publisher = await join("by-topic");
  for (const topic of ["by-topic", "by-topic/", "by-topic/a", "by-topic/A"]) {
    await publisher.publish(topic, topic, { retain: true, qos: 1 });
  }
  const all = ["by-topic", "by-topic/", "by-topic/A", "by-topic/a"];
  const texts = async (): Promise<string[]> =>
    (await retainedFor("by-topic/#")).map((line) => line.replace(/ #\d+/, ""));
  const lines = all.map((topic) => `publish ${topic} q1 retain: ${topic}`).sort();
  assert.deepEqual(await texts(), lines);
  await edge.crash();
  assert.deepEqual(await texts(), lines);
});

test("An empty retained message is delivered, deletes, and is not kept itself. [MQTT-3.3.1-6, MQTT-3.3.1-7]", async () => {
  for (const qos of [0, 1, 2] as const) {
    const publisher = await join("delete");
    const subscriber = await join("delete-subscriber");
    await publisher.publish("delete", "x", { retain: true, qos: 1 });
    await subscriber.subscribe("delete", { retainAsPublished: true, retainHandling: 2 });
    await publisher.publish("delete", "", { retain: true, qos });
    await subscriber.gets("publish delete q0 retain: ");
    await subscriber.getsNothing();
    assert.deepEqual(await retainedFor("delete"), []);
    // Where there was none, none is kept either.
    await publisher.publish("delete", "", { retain: true, qos });
    assert.deepEqual(await retainedFor("delete"), []);
    await subscriber.gets("publish delete q0 retain: ");
  }
});

test("A message without RETAIN is not kept, and neither replaces nor deletes the retained one. [MQTT-3.3.1-8]", async () => {
  const publisher = await join("plain");
  for (const qos of [0, 1, 2] as const) {
    await publisher.publish("plain/none", "x", { qos });
    assert.deepEqual(await retainedFor("plain/none"), []);
    await publisher.publish("plain/kept", "kept", { retain: true, qos: 1 });
    await publisher.publish("plain/kept", "other", { qos });
    await publisher.publish("plain/kept", "", { qos });
    assert.deepEqual(await retainedFor("plain/kept"), ["publish plain/kept q1 #1 retain: kept"]);
  }
});

test("Retain handling 0 sends retained messages with every SUBSCRIBE. [MQTT-3.3.1-9, MQTT-3.8.4-4]", async () => {
  const publisher = await join("handling-0-publisher");
  await publisher.publish("handling-0/a", "a", { retain: true, qos: 1 });
  await publisher.publish("handling-0/b", "b", { retain: true, qos: 1 });
  const subscriber = await join("handling-0");
  for (let i = 0; i < 2; i++) {
    await subscriber.subscribe("handling-0/+", { retainHandling: 0 });
    await subscriber.getsInAnyOrder(
      "publish handling-0/a q0 retain: a",
      "publish handling-0/b q0 retain: b",
    );
    await subscriber.getsNothing();
  }
});

test("Retain handling 1 sends them only where the subscription is new, also in a session that goes on. [MQTT-3.3.1-10]", async () => {
  const publisher = await join("handling-1-publisher");
  await publisher.publish("handling-1", "x", { retain: true, qos: 1 });
  const subscriber = await join("handling-1", LASTING);
  await subscriber.subscribe("handling-1", { retainHandling: 1 });
  await subscriber.gets("publish handling-1 q0 retain: x");
  await subscriber.subscribe("handling-1", { retainHandling: 1 });
  await subscriber.subscribe("handling-1", { retainHandling: 1, qos: 1 });
  await subscriber.getsNothing();
  await subscriber.leave(0, {});
  const again = await join("handling-1", LASTING);
  await again.subscribe("handling-1", { retainHandling: 1 });
  await again.getsNothing();
  // Deleted and made anew it is new.
  await again.unsubscribe("handling-1");
  await again.subscribe("handling-1", { retainHandling: 1 });
  await again.gets("publish handling-1 q0 retain: x");
  // Another topic filter is another subscription.
  await again.subscribe("handling-1/#", { retainHandling: 1 });
  await again.gets("publish handling-1 q0 retain: x");
  await again.getsNothing();
});

test("Retain handling 2 sends none. [MQTT-3.3.1-11]", async () => {
  const publisher = await join("handling-2-publisher");
  await publisher.publish("handling-2", "x", { retain: true, qos: 1 });
  const subscriber = await join("handling-2");
  for (let i = 0; i < 2; i++) {
    await subscriber.subscribe("handling-2", { retainHandling: 2 });
    await subscriber.getsNothing();
  }
  await publisher.publish("handling-2", "live", { retain: true, qos: 1 });
  await subscriber.gets("publish handling-2 q0: live");
});

test("Retain handling 3 is a protocol error. [MQTT-4.13.1-1]", async () => {
  const client = await join("handling-3");
  client.sendWire("82 07 0001 00 0001 61 30");
  await client.ends("disconnect 0x82");
});

test("Without Retain As Published live messages go out without RETAIN. [MQTT-3.3.1-12]", async () => {
  const publisher = await join("rap-0-publisher");
  for (const [name, fields] of [
    ["rap-0", {}],
    ["rap-0-lasting", LASTING],
  ] as const) {
    const subscriber = await join(name, fields);
    await subscriber.subscribe("rap-0", { qos: 2, retainHandling: 2 });
    for (const qos of [0, 1, 2] as const) {
      for (const retain of [false, true]) {
        await publisher.publish("rap-0", "x", { qos, retain });
        const { packet } = await subscriber.takeArrival();
        assert.ok("retain" in packet);
        assert.deepEqual([packet.qos, packet.retain], [qos, false]);
      }
    }
  }
});

test("With Retain As Published live messages go out with the RETAIN of their publisher. [MQTT-3.3.1-13]", async () => {
  const publisher = await join("rap-1-publisher");
  for (const [name, fields] of [
    ["rap-1", {}],
    ["rap-1-lasting", LASTING],
  ] as const) {
    const subscriber = await join(name, fields);
    await subscriber.subscribe("rap-1", { qos: 2, retainHandling: 2, retainAsPublished: true });
    for (const qos of [0, 1, 2] as const) {
      for (const retain of [false, true]) {
        await publisher.publish("rap-1", "x", { qos, retain });
        const { packet } = await subscriber.takeArrival();
        assert.ok("retain" in packet);
        assert.deepEqual([packet.qos, packet.retain], [qos, retain]);
      }
    }
  }
});

test("Retained messages that a SUBSCRIBE brings have RETAIN, whatever Retain As Published says. [MQTT-3.3.1-9]", async () => {
  const publisher = await join("flag-publisher");
  await publisher.publish("flag", "x", { retain: true, qos: 1 });
  const subscriber = await join("flag");
  for (const retainAsPublished of [false, true]) {
    await subscriber.subscribe("flag", { retainAsPublished });
    await subscriber.gets("publish flag q0 retain: x");
  }
});

test("Retained messages come with the lower of their QoS and the granted one. [MQTT-3.8.4-8, MQTT-3.3.1-5]", async () => {
  const publisher = await join("min-publisher");
  for (const published of [0, 1, 2] as const) {
    await publisher.publish(`min/${published}`, "x", { retain: true, qos: published });
    for (const granted of [0, 1, 2] as const) {
      const subscriber = await join("min");
      await subscriber.subscribe(`min/${published}`, { qos: granted });
      const qos = Math.min(published, granted);
      const id = qos === 0 ? "" : " #1";
      await subscriber.gets(`publish min/${published} q${qos}${id} retain: x`);
      await subscriber.getsNothing();
    }
  }
});

test("Retained messages have the subscription identifier of the SUBSCRIBE that brought them. [MQTT-3.3.4-3]", async () => {
  const publisher = await join("id-publisher");
  await publisher.publish("id", "x", { retain: true, qos: 1 });
  const subscriber = await join("id");
  await subscriber.subscribe("id", {}, { subscriptionIdentifiers: [7] });
  await subscriber.gets("publish id q0 retain: x subscriptionIdentifiers=[7]");
  await subscriber.subscribe("+", {}, { subscriptionIdentifiers: [268_435_455] });
  const lines = await subscriber.takeArrival();
  assert.match(lines.text, /subscriptionIdentifiers=\[268435455\]$/);
});
