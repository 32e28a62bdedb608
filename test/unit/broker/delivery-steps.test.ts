import assert from "node:assert/strict";
import { test } from "node:test";
import type { LogDelivery, Receiver } from "../../../src/broker/delivery-receiver.ts";
import type { Instant } from "../../../src/lib/clock.ts";
import { DeadlineHeap } from "../../../src/lib/deadline-heap.ts";
import { QueueBench } from "../../support/queue-bench.ts";

const MANY = 100_000;
const STEP = 1_000;

/** Takes messages for an owner and remembers only which. */
class Counter implements Receiver {
  room = MANY;
  readonly visibilityMs: number;
  readonly owner: object;
  readonly sequences: number[] = [];

  constructor(owner: object, visibilityMs = 30_000) {
    this.owner = owner;
    this.visibilityMs = visibilityMs;
  }

  deliver({ record }: LogDelivery): void {
    this.room--;
    this.sequences.push(record.sequence);
  }

  onPumped(): void {}
}

function full(): QueueBench {
  const bench = new QueueBench({ messagesMax: MANY, bytesMax: 1e9, deliveriesMax: 5 });
  for (let i = 0; i < MANY; i++) bench.send("x");
  bench.flush();
  return bench;
}

/** Counts what is looked at of the log: one read for each record that is given back. */
function countReads(bench: QueueBench): () => number {
  let reads = 0;
  const read = bench.store.read.bind(bench.store);
  bench.store.read = (...args) => {
    reads++;
    return read(...args);
  };
  return () => {
    const counted = reads;
    reads = 0;
    return counted;
  };
}

/** Serves what is due now, as one turn would; false: nothing is. */
function turn(bench: QueueBench): boolean {
  const next = bench.deadlines.next();
  if (next === undefined) return false;
  bench.ms = Math.max(bench.ms, next);
  for (let due = bench.deadlines.takeDue(bench.now); due !== undefined; ) {
    due.onDue(bench.now);
    due = bench.deadlines.takeDue(bench.now);
  }
  return true;
}

test("What a receiver with very much in hands gives back comes back a step per turn, and before anything else is handed out.", () => {
  const bench = full();
  const { deliveries } = bench.queue();
  const [gone, stays] = [{}, {}];
  const before = new Counter(gone);
  deliveries.addReceiver(before);
  deliveries.pump();
  deliveries.removeReceiver(before);
  assert.equal(deliveries.inHands, MANY);
  const other = new Counter(stays);
  deliveries.release(gone);
  assert.equal(deliveries.waiting, STEP);
  bench.send("new");
  bench.flush();
  deliveries.addReceiver(other);
  deliveries.pump();
  assert.deepEqual(other.sequences, [], "not before all of it is back");
  let turns = 1;
  for (; other.sequences.length === 0; turns++) {
    const { waiting } = deliveries;
    assert.ok(turn(bench));
    assert.ok(deliveries.waiting <= waiting + STEP);
  }
  assert.equal(turns, MANY / STEP);
  assert.deepEqual(other.sequences.slice(0, 3), [1, 2, 3]);
  assert.ok(other.sequences.every((sequence, i) => sequence === i + 1));
});

test("Of what one of many receivers gives back nothing else is looked at.", () => {
  const bench = full();
  const { deliveries } = bench.queue();
  const owners = [{}, {}];
  for (const owner of owners) {
    const receiver = new Counter(owner);
    receiver.room = owner === owners[0] ? MANY - 10 : 10;
    deliveries.addReceiver(receiver);
    deliveries.pump();
    deliveries.removeReceiver(receiver);
  }
  const reads = countReads(bench);
  deliveries.release(owners[1] ?? {});
  assert.deepEqual([deliveries.waiting, deliveries.inHands], [10, MANY - 10]);
  assert.ok(reads() <= 10);
});

test("When the visibility of very many is over at once they come back a step per turn.", () => {
  const bench = full();
  const { deliveries } = bench.queue();
  const receiver = new Counter({}, 1_000);
  deliveries.addReceiver(receiver);
  deliveries.pump();
  deliveries.removeReceiver(receiver);
  bench.flush();
  let turns = 0;
  for (; deliveries.waiting < MANY; turns++) {
    const { waiting } = deliveries;
    assert.ok(turn(bench));
    assert.ok(deliveries.waiting <= waiting + STEP);
  }
  assert.equal(turns, MANY / STEP);
});

test("What is passed over on the way to what is handed out is bounded per turn, and a poll that does not wait gets it all the same.", () => {
  const bench = new QueueBench({ messagesMax: MANY, bytesMax: 1e9 });
  for (let i = 0; i < 10_000; i++) bench.send("old", {}, "q", 1_000);
  bench.send("good");
  bench.flush();
  bench.ms += 1_000;
  const { deliveries } = bench.queue();
  const receiver = new Counter({});
  deliveries.addReceiver(receiver);
  deliveries.pump();
  assert.deepEqual([bench.givenUp.length, deliveries.isPassing], [1_024, true]);
  for (let turns = 1; turns < 10; turns++) turn(bench);
  assert.deepEqual([bench.givenUp.length, deliveries.isPassing], [10_000, false]);
  assert.deepEqual(receiver.sequences, [10_001]);
});

test("Acknowledging all of very much is done a step per turn, whether it was handed out before or not.", () => {
  const bench = full();
  const { deliveries } = bench.queue();
  const receiver = new Counter({}, 1_000);
  receiver.room = 5_500;
  deliveries.addReceiver(receiver);
  deliveries.pump();
  deliveries.removeReceiver(receiver);
  bench.flush();
  bench.ms += 1_000;
  while (deliveries.inHands > 0) turn(bench);
  const { end } = deliveries;
  const counts: number[] = [];
  for (let isDone = false; !isDone; ) {
    const step = deliveries.ackWaiting(end);
    counts.push(step.count);
    ({ isDone } = step);
    if (counts.length === 1) assert.ok(bench.send("later").isTaken);
    bench.flush();
  }
  assert.deepEqual(counts.slice(0, 5), Array(5).fill(STEP));
  assert.ok(counts.slice(5).every((count) => count <= 65_536 + STEP));
  assert.equal(
    counts.reduce((sum, count) => sum + count),
    MANY,
  );
  bench.flush();
  bench.crash();
  assert.deepEqual(bench.take().texts, ["later"]);
});

test("What is settled beside what is in hands is so after a restart, step by step as it was.", () => {
  const bench = full();
  const { deliveries } = bench.queue();
  const [held] = bench.take(1).got;
  while (!deliveries.ackWaiting(deliveries.end).isDone);
  bench.flush();
  bench.crash();
  assert.equal(bench.queue().messages, 1);
  assert.deepEqual(bench.queue().deliveries.ack([held?.delivery ?? 0]).expired, []);
  assert.equal(bench.queue().messages, 0);
});

test("When time spent off becomes known, very many hidden ones are looked at a step per turn.", () => {
  const bench = full();
  const { deliveries } = bench.queue();
  const receiver = new Counter({}, 600_000);
  deliveries.addReceiver(receiver);
  deliveries.pump();
  deliveries.removeReceiver(receiver);
  bench.flush();
  bench.ages = 0;
  bench.missed = { ms: 300_000, before: bench.ms + 1 };
  deliveries.onAged();
  let turns = 1;
  for (; ; turns++) {
    assert.ok(bench.ages <= STEP, `${bench.ages} looked at in one turn`);
    bench.ages = 0;
    if ((bench.deadlines.next() ?? 0) > bench.ms + 1_000) break;
    turn(bench);
  }
  assert.ok(turns > MANY / STEP);
  assert.equal(deliveries.waiting, 0);
  bench.advance(300_000);
  assert.equal(deliveries.waiting, MANY);
});

test("A loss costs what was lost or what is in hands, whichever is less.", () => {
  const bench = full();
  const { deliveries } = bench.queue();
  const far = Number.MAX_SAFE_INTEGER;
  bench.take(10);
  deliveries.skipTo(4);
  assert.deepEqual([deliveries.floor, deliveries.inHands, deliveries.size], [4, 7, MANY - 3]);
  deliveries.skipTo(far);
  assert.deepEqual([deliveries.floor, deliveries.inHands, deliveries.size], [far, 0, 0]);
});

test("A heap compares a number of times that grows with the logarithm of its size.", () => {
  let compared = 0;
  const at = (value: number): Instant =>
    ({
      valueOf: () => {
        compared++;
        return value;
      },
    }) as unknown as Instant;
  const heap = new DeadlineHeap<number>();
  // Descending is the worst order to add.
  for (let i = MANY; i > 0; i--) heap.add(at(i), i);
  assert.ok(compared < MANY * 2 * 20, `${compared} to add`);
  compared = 0;
  for (let i = 1; i <= MANY; i++) {
    assert.equal(heap.takeDue(Number.POSITIVE_INFINITY as Instant), i);
  }
  assert.ok(compared < MANY * 5 * 20, `${compared} to take`);
});
