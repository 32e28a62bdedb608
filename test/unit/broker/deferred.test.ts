import assert from "node:assert/strict";
import { test } from "node:test";
import { VirtualNode } from "../../support/virtual-node.ts";

test("deliveries that wait for the flush of a QoS 2 publish are bounded: the publisher is held", () => {
  const node = new VirtualNode({
    flushes: "manual",
    pendingBytesMax: 1e9,
    connection: { receiveMaximum: 100, packetBytesMax: 1_048_576 },
  });
  const reader = node.connect("reader");
  node.turn();
  reader.subscribe("t", { qos: 2 });
  const publisher = node.connect("publisher", {
    cleanStart: false,
    properties: { sessionExpirySeconds: 60 },
  });
  node.flushAll();
  const payload = "x".repeat(200_000);
  for (let packetId = 1; packetId <= 100; packetId++) {
    publisher.publish("t", payload, { qos: 2, packetId });
  }
  const seen = node.broker.counters.messagesReceivedQos2;
  assert.ok(seen >= 40 && seen < 60, `${seen} of 100 were taken`);
  node.flushAll();
  assert.equal(node.broker.counters.messagesReceivedQos2, 100);
});
