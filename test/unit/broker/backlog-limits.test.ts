import assert from "node:assert/strict";
import { test } from "node:test";
import { SESSION_LOG } from "../../../src/broker/store.ts";
import { PacketType, ProtocolVersion } from "../../../src/mqtt/packet.ts";
import type { VirtualClient } from "../../support/virtual-client.ts";
import { VirtualNode } from "../../support/virtual-node.ts";

const lasting = { cleanStart: false, properties: { sessionExpirySeconds: 86_400 } };

/** A durable session of `away` for `a/#` whose client is gone. */
function leave(node: VirtualNode): void {
  const client = node.connect("away", lasting);
  client.subscribe("a/#", { qos: 2 });
  client.disconnect(0, { sessionExpirySeconds: 86_400 });
}

function publish(client: VirtualClient, from: number, to: number, bytes = 1): void {
  for (let i = from; i <= to; i++) {
    client.publish("a/b", String(i).padEnd(bytes), { qos: 1, packetId: i });
  }
}

/** What `away` is still owed, acknowledged at once. */
function takeAll(node: VirtualNode): string[] {
  const client = node.connect("away", lasting);
  const payloads: string[] = [];
  for (let round = 0; round < 100; round++) {
    for (const packet of client.take()) {
      if (packet.type !== PacketType.publish) continue;
      payloads.push(packet.payload.trim());
      client.ack(PacketType.puback, packet.packetId);
    }
  }
  client.disconnect(0, { sessionExpirySeconds: 86_400 });
  return payloads;
}

const numbers = (from: number, to: number): string[] =>
  Array.from({ length: to - from + 1 }, (_, i) => String(from + i));

test("Beyond its bytes a backlog drops the oldest, counts them, says whose they were, and the disk gets its space back.", () => {
  const node = new VirtualNode({ outbound: { backlogBytesMax: 10_000 } });
  leave(node);
  publish(node.connect("p"), 1, 50, 900);
  assert.equal(node.broker.sessions.get("away")?.outbound.backlogSize, 10);
  assert.equal(node.broker.counters.droppedOldest, 40);
  assert.deepEqual([...new Set(node.backlogDrops.map(([clientId]) => clientId))], ["away"]);
  node.advance(3_000);
  assert.ok(node.store.stats(SESSION_LOG).bytes < 15_000);
  assert.deepEqual(takeAll(node), numbers(41, 50));
});

test("User properties count among the bytes of a backlog.", () => {
  const node = new VirtualNode({ outbound: { backlogBytesMax: 10_000 } });
  leave(node);
  const publisher = node.connect("p");
  const userProperties = [["name", "x".repeat(900)]] as const;
  for (let i = 1; i <= 50; i++) {
    publisher.publish("a/b", String(i), { qos: 1, packetId: i, properties: { userProperties } });
  }
  assert.deepEqual(takeAll(node), numbers(41, 50));
});

test("Messages that wait for longer than they may are dropped, also when nobody comes for them.", () => {
  const node = new VirtualNode({ outbound: { backlogAgeMaxMs: 60_000 } });
  leave(node);
  const publisher = node.connect("p");
  publish(publisher, 1, 5);
  node.advance(40_000);
  publish(publisher, 6, 8);
  node.advance(30_000);
  assert.equal(node.broker.counters.droppedOldest, 5);
  assert.equal(node.metaKeys(0x20).length, 3);
  assert.deepEqual(takeAll(node), numbers(6, 8));
});

test("A client that is there but does not keep up gets nothing that waited for too long.", () => {
  const node = new VirtualNode({ outbound: { backlogAgeMaxMs: 60_000, inflightMax: 1 } });
  const client = node.connect("away", lasting);
  client.subscribe("a/#", { qos: 1 });
  client.take();
  publish(node.connect("p"), 1, 3);
  node.advance(61_000);
  publish(node.connect("p"), 4, 4);
  assert.deepEqual(client.takeText(), ["publish a/b q1 #1: 1"]);
  client.ack(PacketType.puback, 1);
  assert.deepEqual(client.takeText(), ["publish a/b q1 #2: 4"]);
  assert.equal(node.broker.counters.droppedOldest, 2);
});

test("A backlog that is to reject refuses what would exceed it, keeps all that it took, and takes more once there is room.", () => {
  const outbound = { backlogMessagesMax: 3, backlogWhenFull: "reject" } as const;
  const node = new VirtualNode({ outbound });
  leave(node);
  const publisher = node.connect("p");
  publisher.take();
  publish(publisher, 1, 4);
  publisher.publish("a/b", "5", { qos: 2, packetId: 5 });
  publisher.publish("elsewhere", "6", { qos: 1, packetId: 6 });
  publisher.publish("a/b", "7", { qos: 0 });
  assert.deepEqual(publisher.takeText(), [
    "puback 1",
    "puback 2",
    "puback 3",
    "puback 4 0x97",
    "pubrec 5 0x97",
    "puback 6 0x10",
  ]);
  assert.deepEqual(takeAll(node), numbers(1, 3));
  publish(publisher, 8, 8);
  assert.deepEqual(publisher.takeText(), ["puback 8"]);
  assert.equal(node.broker.counters.droppedOldest, 0);
});

test("What is not flushed yet counts against a backlog that is to reject, messages and bytes.", () => {
  for (const limits of [{ backlogMessagesMax: 3 }, { backlogBytesMax: 3_000 }]) {
    const outbound = { ...limits, backlogWhenFull: "reject" } as const;
    const node = new VirtualNode({ flushes: "manual", outbound });
    leave(node);
    node.flushAll();
    const publisher = node.connect("p");
    node.flushAll();
    publisher.take();
    publish(publisher, 1, 2, 900);
    node.store.seal();
    publish(publisher, 3, 5, 900);
    node.flushAll();
    assert.deepEqual(publisher.takeText(), [
      "puback 1",
      "puback 2",
      "puback 3",
      "puback 4 0x97",
      "puback 5 0x97",
    ]);
  }
});

test("A 3.1.1 publisher to a backlog that is to reject is held, and goes on when there is room or is closed in the end.", () => {
  const outbound = { backlogMessagesMax: 1, backlogWhenFull: "reject" } as const;
  for (const isTaken of [true, false]) {
    const node = new VirtualNode({ outbound });
    leave(node);
    const publisher = node.connect("p", { version: ProtocolVersion.v311 });
    publisher.take();
    publish(publisher, 1, 2);
    assert.deepEqual(publisher.takeText(), ["puback 1"]);
    if (isTaken) assert.deepEqual(takeAll(node), ["1", "2"]);
    node.advance(31_000);
    assert.equal(publisher.isClosed, !isTaken);
    if (isTaken) assert.deepEqual(publisher.takeText(), ["puback 2"]);
  }
});

test("A full session that does not want its own messages does not refuse them.", () => {
  const outbound = { backlogMessagesMax: 1, inflightMax: 1, backlogWhenFull: "reject" } as const;
  const node = new VirtualNode({ outbound });
  const client = node.connect("away", lasting);
  client.subscribe("a/#", { qos: 1, noLocal: true });
  client.take();
  publish(node.connect("p"), 1, 2);
  client.publish("a/b", "own", { qos: 1, packetId: 9 });
  assert.deepEqual(client.takeText(), ["publish a/b q1 #1: 1", "puback 9"]);
});
