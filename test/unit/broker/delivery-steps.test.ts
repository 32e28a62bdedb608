import assert from "node:assert/strict";
import { test } from "node:test";
import type { LogDelivery, Receiver } from "../../../src/broker/deliveries.ts";
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
