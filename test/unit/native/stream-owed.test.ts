import assert from "node:assert/strict";
import { test } from "node:test";
import { PacketType } from "../../../src/mqtt/packet.ts";
import { VirtualNode } from "../../support/virtual-node.ts";

const LASTING = { cleanStart: false, properties: { sessionExpirySeconds: 3_600 } };

/** A stream that captures what a session that is away is owed. */
function nodeWith(flushes: "auto" | "manual" = "auto"): VirtualNode {
  const node = new VirtualNode({ flushes });
  const slow = node.connect("slow", LASTING);
  slow.subscribe("in/#", { qos: 1 });
  slow.disconnect(0, { sessionExpirySeconds: 3_600 });
  node.native("admin").begin({ op: "stream.create", stream: "s", filters: ["in/#"] });
  node.flushAll();
  return node;
}

function publish(node: VirtualNode, payloads: readonly string[]): void {
  const publisher = node.connect("publisher");
  for (const [i, payload] of payloads.entries()) {
    publisher.publish("in/a", payload, { qos: 1, packetId: i + 1 });
  }
}

function received(node: VirtualNode): string[] {
  const slow = node.connect("slow", LASTING);
  const got: string[] = [];
  for (let round = 0; round < 20; round++) {
    node.flushAll();
    for (const packet of slow.take()) {
      if (packet.type !== PacketType.publish) continue;
      got.push(packet.payload);
      slow.ack(PacketType.puback, packet.packetId);
    }
  }
  return got;
}

for (const [what, request, left] of [
  ["purged", { op: "stream.purge", stream: "s" }, 0],
  ["purged in part", { op: "stream.purge", stream: "s", before: 3 }, 1],
  ["deleted", { op: "stream.delete", stream: "s" }, undefined],
] as const) {
  test(`What a session is owed of a stream that is ${what} still comes, also after a crash.`, () => {
    for (const crashes of [false, true]) {
      const node = nodeWith();
      publish(node, ["a", "b", "c"]);
      node.native("other").ok(request);
      if (crashes) node.crash();
      const stream = node.broker.streams.get("s");
      const stats = stream === undefined ? undefined : node.store.stats(stream.log);
      assert.equal(stats && stats.nextSequence - stats.firstSequence, left);
      assert.deepEqual(received(node), ["a", "b", "c"]);
    }
  });
}

test("What is owed is copied in steps, and no crash between them loses it.", () => {
  const payloads = Array.from({ length: 50 }, (_, i) => `${i} `.padEnd(100_000, "x"));
  for (let commits = 0; commits < 9; commits++) {
    const node = nodeWith("manual");
    publish(node, payloads);
    node.flushAll();
    const admin = node.native("other");
    const id = admin.begin({ op: "stream.purge", stream: "s" });
    for (let i = 0; i < commits; i++) node.flush();
    const isDone = admin.answerTo(id) !== undefined;
    if (commits < 2) assert.equal(isDone, false, "not all of it goes with one commit");
    if (commits === 8) assert.equal(isDone, true);
    node.crash();
    node.flushAll();
    const { log } = node.broker.streams.get("s") ?? {};
    if (isDone && log !== undefined) {
      assert.equal(node.store.stats(log).firstSequence, payloads.length + 1);
    }
    assert.deepEqual(received(node), payloads, `after ${commits} commits`);
  }
});

test("What was accepted and is not on disk when its stream is deleted comes all the same, and to no other stream.", () => {
  const node = nodeWith("manual");
  publish(node, ["a"]);
  const admin = node.native("other");
  admin.begin({ op: "stream.delete", stream: "s" });
  admin.begin({ op: "stream.create", stream: "next" });
  node.flushAll();
  admin.begin({ op: "stream.create", stream: "third" });
  node.flushAll();
  for (const name of ["next", "third"]) {
    const stream = node.broker.streams.get(name);
    assert.ok(stream !== undefined);
    const { firstSequence, nextSequence } = node.store.stats(stream.log);
    assert.equal(firstSequence, nextSequence);
  }
  assert.deepEqual(received(node), ["a"]);
});
