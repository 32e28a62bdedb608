import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Instant } from "../../../src/lib/clock.ts";
import { type Deadline, DeadlineHeap } from "../../../src/lib/deadline-heap.ts";

const at = (ms: number): Instant => ms as Instant;

test("What is due comes by time, what is cancelled does not come, and `next` knows the earliest.", () => {
  const step = fc.oneof(
    { weight: 8, arbitrary: fc.record({ kind: fc.constant("add" as const), value: fc.nat(50) }) },
    {
      weight: 5,
      arbitrary: fc.record({ kind: fc.constant("cancel" as const), value: fc.nat(300) }),
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant("take" as const), value: fc.nat(50) }) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 400, size: "max" }), (steps) => {
      const heap = new DeadlineHeap<number>();
      const all: Deadline<number>[] = [];
      const live = new Map<number, number>();
      for (const { kind, value } of steps) {
        if (kind === "add") {
          live.set(all.length, value);
          all.push(heap.add(at(value), all.length));
        } else if (kind === "cancel") {
          heap.cancel(all[value]);
          live.delete(value);
        } else {
          const item = heap.takeDue(at(value));
          const earliest = Math.min(...live.values());
          if (item === undefined) assert.ok(earliest > value);
          else assert.equal(live.get(item), earliest);
          if (item !== undefined) live.delete(item);
        }
        assert.equal(heap.size, live.size);
        assert.equal(heap.next() ?? Number.POSITIVE_INFINITY, Math.min(...live.values()));
      }
    }),
  );
});

test("Cancelling twice, or what has come already, changes nothing.", () => {
  const heap = new DeadlineHeap<string>();
  const first = heap.add(at(1), "first");
  heap.add(at(2), "second");
  assert.equal(heap.takeDue(at(1)), "first");
  heap.cancel(first);
  heap.cancel(undefined);
  assert.equal(heap.size, 1);
  assert.equal(heap.takeDue(at(1)), undefined);
  assert.equal(heap.takeDue(at(2)), "second");
  assert.equal(heap.next(), undefined);
});

test("A hundred thousand deadlines moved again and again leave no more than their number behind.", () => {
  const heap = new DeadlineHeap<number>();
  let last = heap.add(at(0), 0);
  for (let i = 1; i <= 100_000; i++) {
    heap.cancel(last);
    last = heap.add(at(i), i);
  }
  assert.equal(heap.size, 1);
  assert.equal(heap.takeDue(at(100_000)), 100_000);
});
