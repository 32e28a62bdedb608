import assert from "node:assert/strict";
import { test } from "node:test";
import { Deliveries } from "../../../src/broker/deliveries.ts";
import { Taker } from "../../support/queue-bench.ts";
import { messageOf } from "../../support/test-requester.ts";
import { VirtualNode } from "../../support/virtual-node.ts";

const CONSUMER = { name: "c", ackWaitMs: 10_000, unackedMax: 2, deliveriesMax: 0 };

/** A node with queues, and streams that have a consumer each, all with a message in somebody's hands. */
function nodeWith(count: number): VirtualNode {
  const node = new VirtualNode({ flushes: "manual" });
  for (let i = 0; i < count; i++) {
    const queue = node.broker.queues.create({
      ...node.broker.patternLimits.defaults,
      name: `q${i}`,
      filters: [],
    });
    const stream = streamOf(node, `s${i}`);
    const consumer = node.broker.consumers.create(
      stream,
      { ...CONSUMER, stream: stream.name },
      { at: "first" },
    );
    assert.ok(queue !== undefined && consumer !== undefined);
    queue.deliveries.addReceiver(new Taker());
    consumer.deliveries.addReceiver(new Taker());
    node.broker.queues.send(queue, messageOf("t", "x", node.now));
    stream.append(messageOf("t", "x", node.now));
  }
  node.flushAll();
  return node;
}

const streamOf = (node: VirtualNode, name: string) =>
  node.broker.streams.get(name) ??
  node.broker.streams.create({ name, filters: [], bytesMax: 1e6, whenFull: "reject" });

test("A commit costs what it touched, however many queues, streams and consumers there are.", (t) => {
  const counts = [2, 90].map((count) => {
    const node = nodeWith(count);
    const sealed = t.mock.method(Deliveries.prototype, "onSealing");
    const stats = t.mock.method(node.store, "stats");
    streamOf(node, "s0").append(messageOf("t", "y", node.now));
    const queue = node.broker.queues.get("q0");
    assert.ok(queue !== undefined);
    node.broker.queues.send(queue, messageOf("t", "y", node.now));
    node.flushAll();
    const counted = [sealed.mock.callCount(), stats.mock.callCount()];
    sealed.mock.restore();
    return counted;
  });
  assert.deepEqual(counts[0], counts[1]);
  assert.equal(counts[0]?.[0], 2, "one queue and one consumer handed out");
});

test("What is appended while a commit is under way is handed out after the next one.", () => {
  const node = nodeWith(0);
  const taker = new Taker();
  for (const name of ["one", "other"]) {
    const stream = streamOf(node, name);
    const settings = { ...CONSUMER, stream: name };
    node.broker.consumers.create(stream, settings, { at: "first" })?.deliveries.addReceiver(taker);
  }
  node.flushAll();
  streamOf(node, "one").append(messageOf("t", "a", node.now));
  node.store.seal();
  streamOf(node, "other").append(messageOf("t", "b", node.now));
  node.flush();
  assert.deepEqual(taker.texts, ["a"]);
  node.flushAll();
  assert.deepEqual(taker.texts, ["a", "b"]);
});

test("A consumer that may have more unacknowledged than before gets more with the next commit.", () => {
  const node = nodeWith(1);
  const consumer = node.broker.consumers.get(streamOf(node, "s0"), "c");
  assert.ok(consumer !== undefined);
  for (const text of ["a", "b", "c"]) streamOf(node, "s0").append(messageOf("t", text, node.now));
  node.flushAll();
  assert.equal(consumer.deliveries.inHands, 2);
  node.broker.consumers.update(consumer, { ...consumer.settings, unackedMax: 3 });
  node.flushAll();
  assert.equal(consumer.deliveries.inHands, 3);
});

test("A consumer is told of what its stream let go, although nothing is appended.", () => {
  const node = nodeWith(1);
  streamOf(node, "s0").purge(undefined);
  node.flushAll();
  assert.deepEqual(node.consumerLosses, ["c 1..1"]);
});

test("A delivery's count gets to disk although nothing else changes.", () => {
  const node = nodeWith(1);
  node.flushAll();
  const consumer = node.broker.consumers.get(streamOf(node, "s0"), "c");
  assert.equal(consumer?.deliveries.inHands, 1);
  node.crash();
  const found = node.broker.consumers.get(streamOf(node, "s0"), "c")?.deliveries;
  assert.deepEqual([found?.inHands, found?.waiting], [1, 0], "hidden from others as promised");
});
