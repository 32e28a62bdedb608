import assert from "node:assert/strict";
import { test } from "node:test";
import { TURN_READ_BYTES_MAX } from "../../../src/broker/read-budget.ts";
import { PacketType } from "../../../src/mqtt/packet.ts";
import { VirtualNode } from "../../support/virtual-node.ts";

const lasting = { cleanStart: false, properties: { sessionExpirySeconds: 3_600 } };
const PAYLOAD_BYTES = 30_000;
const SESSIONS = 200;
/** What one session's look ahead and the chunk it ends in may take beyond the budget. */
const LAST_READ_BYTES = 131_072;

test("However many sessions come back at once, one turn reads a bounded number of bytes, and all get what they are owed.", () => {
  const node = new VirtualNode({ flushes: "manual" });
  const publisher = node.connect("publisher");
  for (let i = 0; i < SESSIONS; i++) {
    const client = node.connect(`s${i}`, lasting);
    client.subscribe(`t/${i}`, { qos: 1 });
    node.flushAll();
    client.disconnect();
  }
  for (let i = 0; i < SESSIONS; i++) {
    publisher.publish(`t/${i}`, `${i}`.padEnd(PAYLOAD_BYTES, "."), { qos: 1, packetId: i + 1 });
    if (i % 50 === 49) node.flushAll();
  }
  node.flushAll();
  node.crash();
  const clients = Array.from({ length: SESSIONS }, (_, i) => node.connect(`s${i}`, lasting));
  node.flushAll();
  for (const [i, client] of clients.entries()) {
    const [connack, message, ...more] = client.take();
    assert.equal(connack?.type, PacketType.connack);
    assert.ok(message?.type === PacketType.publish && more.length === 0);
    assert.deepEqual([message.topic, message.payload.length], [`t/${i}`, PAYLOAD_BYTES]);
  }
  assert.ok(node.store.bytesRead > SESSIONS * PAYLOAD_BYTES, "they were read from the disk");
  assert.ok(
    node.maxTurnBytesRead <= TURN_READ_BYTES_MAX + LAST_READ_BYTES,
    `${node.maxTurnBytesRead} bytes in one turn`,
  );
});
