import assert from "node:assert/strict";
import { test } from "node:test";
import type { LogId } from "../../../src/broker/store.ts";
import type { StreamSettings } from "../../../src/broker/stream.ts";
import { VirtualNode } from "../../support/virtual-node.ts";

const stream = (limits: Partial<StreamSettings>): StreamSettings => ({
  name: "s",
  filters: ["s/#"],
  bytesMax: 1_000_000_000,
  whenFull: "drop-oldest",
  ...limits,
});

function logOf(node: VirtualNode): LogId {
  const found = node.broker.streams.all[0];
  assert.ok(found !== undefined);
  return found.log;
}

function publish(node: VirtualNode, count: number, from = 1): void {
  const client = node.connect("publisher", { cleanStart: false });
  for (let i = 0; i < count; i++) {
    client.publish("s/a", `${from + i}`, { qos: 1, packetId: 1 + i });
    node.turn();
  }
  client.drop();
}

test("a stream with a number of messages keeps the newest and tells what it dropped", () => {
  const node = new VirtualNode({ streams: [stream({ messagesMax: 10 })] });
  publish(node, 25);
  const { firstSequence, nextSequence } = node.store.stats(logOf(node));
  assert.deepEqual([firstSequence, nextSequence], [16, 26]);
  const dropped = node.losses.reduce((sum, loss) => sum + loss.to - loss.from + 1, 0);
  assert.equal(dropped, 15);
  assert.equal(node.broker.counters.droppedOldest, 15);
  assert.ok(node.losses.every((loss) => loss.reason === "drop-oldest"));
});

test("a stream that rejects takes its number of messages and not one more", () => {
  const node = new VirtualNode({ streams: [stream({ messagesMax: 3, whenFull: "reject" })] });
  publish(node, 5);
  assert.equal(node.store.stats(logOf(node)).nextSequence, 4);
  assert.equal(node.broker.counters.refused, 2);
  assert.deepEqual(node.losses, []);
});

test("a stream that rejects counts what comes while a commit is on its way to disk", () => {
  const node = new VirtualNode({
    flushes: "manual",
    streams: [stream({ messagesMax: 3, whenFull: "reject" })],
  });
  publish(node, 1);
  node.store.seal();
  publish(node, 2, 2);
  node.flush();
  publish(node, 2, 4);
  node.flushAll();
  assert.equal(node.store.stats(logOf(node)).nextSequence, 4);
  assert.equal(node.broker.counters.refused, 2);
});

test("messages older than the limit go, younger ones stay", () => {
  const node = new VirtualNode({ streams: [stream({ ageMaxMs: 60_000 })] });
  publish(node, 7);
  node.advance(40_000);
  publish(node, 5, 8);
  node.advance(25_000);
  node.flushAll();
  const { firstSequence, nextSequence } = node.store.stats(logOf(node));
  assert.deepEqual([firstSequence, nextSequence], [8, 13]);
  // Nobody was to have them: that is retention, not loss.
  assert.equal(node.broker.counters.droppedOldest, 0);
});

test("an age limit without traffic empties the stream", () => {
  const node = new VirtualNode({ streams: [stream({ ageMaxMs: 5_000 })] });
  publish(node, 4);
  node.advance(10_000);
  node.flushAll();
  const { firstSequence, nextSequence } = node.store.stats(logOf(node));
  assert.equal(firstSequence, nextSequence);
});

test("what is on its way out is not dropped again while more comes in", () => {
  const node = new VirtualNode({ flushes: "manual", streams: [stream({ messagesMax: 100 })] });
  const client = node.connect("publisher");
  node.flushAll();
  for (let i = 0; i < 400; i++) {
    client.publish("s/a", `${i}`, { qos: 1, packetId: 1 + i });
    if (i % 10 === 9) node.flush();
    client.take();
  }
  node.flushAll();
  const { firstSequence, nextSequence } = node.store.stats(logOf(node));
  const kept = nextSequence - firstSequence;
  assert.ok(kept >= 80 && kept <= 100, `${kept} are kept`);
  const dropped = node.losses.reduce((sum, loss) => sum + loss.to - loss.from + 1, 0);
  assert.equal(dropped, firstSequence - 1);
});
