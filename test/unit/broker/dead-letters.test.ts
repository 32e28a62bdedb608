import assert from "node:assert/strict";
import { test } from "node:test";
import type { Consumer } from "../../../src/broker/consumer.ts";
import type { Stream } from "../../../src/broker/stream.ts";
import { DEFAULTS, QueueBench, Taker } from "../../support/queue-bench.ts";
import { messageOf } from "../../support/test-requester.ts";
import { PATTERNS, VirtualNode } from "../../support/virtual-node.ts";

/** A queue whose messages are given up after one delivery, and a dead letter queue for `room` of them. */
function benchWith(room: number): QueueBench {
  const bench = new QueueBench({ deadLetterQueue: "dead", deliveriesMax: 1 });
  const dead = { ...DEFAULTS, name: "dead", filters: [], deliveriesMax: 0, messagesMax: room };
  bench.queues.create(dead);
  bench.flush();
  return bench;
}

const peeked = (bench: QueueBench, name: string): string[] => {
  const texts: string[] = [];
  bench.queue(name).deliveries.peek(1, 10_000, ({ bytes, payloadStart, payloadEnd }) => {
    texts.push(Buffer.from(bytes.subarray(payloadStart, payloadEnd)).toString());
    return true;
  });
  return texts;
};

/** Takes all there is and gives it back, so that it is given up. */
function poison(bench: QueueBench): void {
  const taken = bench.take();
  bench.queue().deliveries.reject(
    taken.got.map(({ delivery }) => delivery),
    0,
  );
}

test("What is given up while the dead letter queue is full stays, hidden and counted, and goes there when there is room.", () => {
  const bench = benchWith(1);
  for (const text of ["a", "b", "c"]) bench.send(text);
  bench.flush();
  poison(bench);
  bench.flush();
  assert.deepEqual([peeked(bench, "q"), peeked(bench, "dead")], [["b", "c"], ["a"]]);
  const { deliveries } = bench.queue();
  assert.deepEqual(
    [bench.held, deliveries.held, deliveries.inHands, deliveries.waiting],
    [2, 2, 0, 0],
  );
  assert.equal(bench.queue().messages, 2, "they count for the limits of their queue");
  bench.send("d");
  bench.flush();
  assert.deepEqual(bench.take().texts, ["d"], "others are not held up by them");
  bench.advance(5_000);
  assert.deepEqual(peeked(bench, "dead"), ["a"]);
  assert.equal(bench.held, 2, "each is counted once, not each time that it is tried");
  const [dead] = bench.take(1, "dead").got;
  bench.queue("dead").deliveries.ack([dead?.delivery ?? 0]);
  bench.advance(1_000);
  assert.deepEqual([peeked(bench, "q"), peeked(bench, "dead")], [["c", "d"], ["b"]]);
  assert.deepEqual(bench.givenUp, ["q deliveries dead", "q deliveries dead"]);
});

test("No crash loses or doubles what is given up: it is in its queue or in the dead letter queue.", () => {
  for (let flushes = 0; flushes < 8; flushes++) {
    const bench = benchWith(1);
    for (const text of ["a", "b"]) bench.send(text);
    bench.flush();
    const steps = [
      () => poison(bench),
      () => bench.store.flush(),
      () => bench.store.seal(),
      () => {
        const [dead] = bench.take(1, "dead").got;
        if (dead !== undefined) bench.queue("dead").deliveries.ack([dead.delivery]);
      },
      () => bench.store.flush(),
      () => {
        bench.ms += 1_000;
        bench.deadlines.takeDue(bench.now)?.onDue(bench.now);
      },
      () => bench.store.seal(),
      () => bench.store.flush(),
    ];
    for (const step of steps.slice(0, flushes + 1)) step();
    bench.crash();
    // What was settled is gone, everything else is there once.
    bench.advance(60_000);
    const all = [...peeked(bench, "q"), ...peeked(bench, "dead")].sort();
    assert.equal(new Set(all).size, all.length, `after step ${flushes}: ${all.join()}`);
    assert.ok(all.includes("b") || all.length === 0, `after step ${flushes}: ${all.join()}`);
    assert.deepEqual(all, flushes < 4 ? ["a", "b"] : ["b"], `after step ${flushes}`);
    // Given up it is not handed out once more.
    assert.deepEqual(bench.take().texts, flushes === 0 ? ["a", "b"] : []);
  }
});

test("What has expired and finds no room waits as well, also when nobody receives, and a restart finds it again.", () => {
  const bench = benchWith(1);
  for (const text of ["a", "b", "c"]) bench.send(text, {}, "q", 1_000);
  bench.flush();
  bench.advance(2_000);
  assert.deepEqual([peeked(bench, "q"), peeked(bench, "dead")], [["b", "c"], ["a"]]);
  assert.equal(bench.queue().deliveries.held, 2);
  bench.crash();
  bench.advance(1_000);
  assert.equal(bench.queue().deliveries.held, 2);
  bench.queues.purge(bench.queue("dead"));
  bench.advance(2_000);
  assert.deepEqual([peeked(bench, "q"), peeked(bench, "dead")], [["c"], ["b"]]);
});

test("Who had a held message in hands last may still settle it, purging takes it, and new settings may free it.", () => {
  const bench = benchWith(1);
  for (const text of ["a", "b", "c", "d"]) bench.send(text);
  bench.flush();
  const taken = bench.take(1_000, "q", 100);
  bench.advance(200);
  const { deliveries } = bench.queue();
  assert.equal(deliveries.held, 3);
  const [, b] = taken.got;
  assert.deepEqual(deliveries.ack([b?.delivery ?? 0]).expired, []);
  assert.equal(deliveries.held, 2);
  bench.queues.update(bench.queue(), { ...bench.queue().settings, deliveriesMax: 2 });
  bench.advance(1_000);
  assert.deepEqual(bench.take().texts, ["c", "d"]);
  bench.queues.purge(bench.queue());
  bench.advance(60_000);
  assert.deepEqual([deliveries.held, peeked(bench, "dead")], [0, ["a"]]);
});

test("Thousands that are held are tried again a few at a time.", () => {
  const bench = benchWith(1);
  for (let i = 0; i < 1_000; i++) bench.send(String(i));
  bench.flush();
  poison(bench);
  bench.flush();
  assert.equal(bench.queue().deliveries.held, 999);
  let reads = 0;
  const read = bench.store.read.bind(bench.store);
  bench.store.read = (...args) => {
    reads++;
    return read(...args);
  };
  bench.ms += 1_000;
  bench.deadlines.takeDue(bench.now)?.onDue(bench.now);
  assert.ok(reads > 0 && reads <= 300, `${reads} reads in one turn`);
  bench.queues.update(bench.queue("dead"), { ...bench.queue("dead").settings, messagesMax: 5_000 });
  bench.advance(2_000);
  assert.deepEqual([bench.queue().messages, bench.queue("dead").messages], [0, 1_000]);
});

test("When there can be no dead letter queue because there are too many queues, nothing is dropped.", () => {
  const node = new VirtualNode({
    queues: [{ name: "q", deliveriesMax: 1, deadLetterQueue: "dead" }],
    limits: { patterns: { ...PATTERNS, queuesMax: 1 } },
  });
  const queue = node.broker.queues.get("q");
  assert.ok(queue !== undefined);
  node.broker.queues.send(queue, messageOf("q", "a", node.now));
  node.turn();
  const taker = new Taker();
  queue.deliveries.addReceiver(taker);
  queue.deliveries.pump();
  queue.deliveries.reject([taker.got[0]?.delivery ?? 0], 0);
  node.advance(3_000);
  assert.deepEqual([queue.messages, queue.deliveries.held, node.givenUp], [1, 1, []]);
  assert.equal(node.broker.counters.deadLettersHeld, 1);
  assert.equal(node.native("c").ok({ op: "queue.info", queue: "q" })["held"], 1);
});

function streamOf(node: VirtualNode, name: string, messagesMax = 10): Stream {
  const known = node.broker.streams.get(name);
  const settings = { name, filters: [], bytesMax: 1e6, messagesMax, whenFull: "reject" } as const;
  return known ?? node.broker.streams.create(settings);
}

function takeAll(node: VirtualNode, consumer: Consumer): Taker {
  const taker = new Taker(100, consumer.settings.ackWaitMs);
  consumer.deliveries.addReceiver(taker);
  consumer.deliveries.pump();
  consumer.deliveries.removeReceiver(taker);
  node.turn();
  return taker;
}

test("A consumer's record waits for room in a full dead letter stream, and others are delivered meanwhile.", () => {
  const node = new VirtualNode();
  const stream = streamOf(node, "s");
  const dead = streamOf(node, "dead", 1);
  const settings = {
    stream: "s",
    name: "c",
    ackWaitMs: 1_000,
    unackedMax: 2,
    deliveriesMax: 1,
    deadLetterStream: "dead",
  };
  const consumer = node.broker.consumers.create(stream, settings, { at: "first" });
  assert.ok(consumer !== undefined);
  for (const text of ["a", "b", "c"]) stream.append(messageOf("t", text, node.now));
  node.turn();
  assert.deepEqual(takeAll(node, consumer).texts, ["a", "b"]);
  node.advance(1_000);
  assert.deepEqual(takeAll(node, consumer).texts, ["c"]);
  assert.deepEqual([consumer.deliveries.held, consumer.deliveries.floor], [1, 2]);
  const info = node.native("n").ok({ op: "consumer.info", stream: "s", consumer: "c" });
  assert.equal(info["held"], 1);
  dead.purge(undefined);
  node.turn();
  node.advance(1_000);
  assert.equal(node.store.nextSequence(dead.log), 3);
  assert.deepEqual(node.givenUp, ["s deliveries dead", "s deliveries dead"]);
});
