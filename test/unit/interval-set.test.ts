import assert from "node:assert/strict";
import { test } from "node:test";
import { IntervalSet } from "../../src/lib/interval-set.ts";

function setOf(...runs: readonly (readonly [number, number])[]): IntervalSet {
  const set = new IntervalSet();
  for (const [from, to] of runs) set.add(from, to);
  return set;
}

test("an empty set has nothing and misses everything", () => {
  const set = new IntervalSet();
  assert.equal(set.size, 0);
  assert.equal(set.has(1), false);
  assert.equal(set.firstMissing(1), 1);
  assert.deepEqual(set.missing(3, 5), [{ from: 3, to: 5 }]);
  assert.deepEqual(set.runs(), []);
});

test("neighbours become one run, whichever comes first", () => {
  assert.deepEqual(setOf([1, 2], [3, 4]).runs(), [{ from: 1, to: 4 }]);
  assert.deepEqual(setOf([3, 4], [1, 2]).runs(), [{ from: 1, to: 4 }]);
  assert.deepEqual(setOf([1, 1], [3, 3], [2, 2]).runs(), [{ from: 1, to: 3 }]);
  assert.deepEqual(setOf([1, 1], [3, 3]).runs(), [
    { from: 1, to: 1 },
    { from: 3, to: 3 },
  ]);
});

test("a run swallows those that it covers or touches", () => {
  const set = setOf([2, 3], [5, 6], [8, 9], [20, 21]);
  assert.equal(set.add(4, 10), 3);
  assert.deepEqual(set.runs(), [
    { from: 2, to: 10 },
    { from: 20, to: 21 },
  ]);
  assert.equal(set.size, 11);
  assert.equal(set.add(3, 9), 0);
});

test("what is missing is found around the runs", () => {
  const set = setOf([1, 3], [6, 7]);
  assert.equal(set.firstMissing(1), 4);
  assert.equal(set.firstMissing(5), 5);
  assert.equal(set.firstMissing(6), 8);
  assert.deepEqual(set.missing(1, 9), [
    { from: 4, to: 5 },
    { from: 8, to: 9 },
  ]);
  assert.deepEqual(set.missing(6, 7), []);
  assert.deepEqual(set.missing(5, 4), []);
});
