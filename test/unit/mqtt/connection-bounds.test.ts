import assert from "node:assert/strict";
import { test } from "node:test";
import type { OutgoingPacket, SubscribeEntry } from "../../../src/mqtt/packet.ts";
import { PacketType } from "../../../src/mqtt/packet.ts";
import { VirtualNode } from "../../support/virtual-node.ts";

const LASTING = { cleanStart: false, properties: { sessionExpirySeconds: 3_600 } };

const entry: SubscribeEntry = {
  topicFilter: "t",
  qos: 1,
  noLocal: false,
  retainAsPublished: false,
  retainHandling: 2,
};

test("acknowledgements that wait for a stalled commit are bounded, and none is missing afterwards", () => {
  const node = new VirtualNode({ flushes: "manual" });
  const client = node.connect("c", LASTING);
  node.flushAll();
  client.take();
  const packets: OutgoingPacket[] = [];
  for (let packetId = 1; packetId <= 20_000; packetId++) {
    packets.push({ type: PacketType.subscribe, packetId, subscriptions: [entry] });
  }
  const bytes = client.encode(...packets);
  for (let at = 0; at < bytes.length; at += 10_000) {
    client.sendBytes(bytes.subarray(at, at + 10_000));
  }
  assert.equal(client.link.isPaused, true);
  assert.deepEqual(client.take(), []);
  node.flushAll();
  const answers = client.take().map((packet) => ("packetId" in packet ? packet.packetId : 0));
  assert.deepEqual(
    answers,
    packets.map((_, index) => index + 1),
  );
  assert.equal(client.link.isPaused, false);
});

test("DISCONNECT behind a held PUBLISH counts when the network goes: no will is sent [MQTT-3.14.4-3]", () => {
  const node = new VirtualNode({
    flushes: "manual",
    pendingBytesMax: 1_000,
    streams: [{ name: "s", filters: ["s/#"], bytesMax: 1e9, whenFull: "reject" }],
  });
  const observer = node.connect("observer");
  node.flushAll();
  observer.subscribe("will");
  observer.take();
  const client = node.connect("c", {
    will: { topic: "will", payload: new Uint8Array(1), qos: 0, retain: false, properties: {} },
  });
  node.flushAll();
  for (let packetId = 1; packetId <= 5; packetId++) {
    client.publish("s/a", "x".repeat(500), { qos: 1, packetId });
  }
  client.disconnect();
  client.lose();
  node.flushAll();
  assert.deepEqual(observer.takeMessages(), []);
  assert.ok(node.broker.counters.messagesReceivedQos1 < 5, "something was held");
});
