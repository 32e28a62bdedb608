import assert from "node:assert/strict";
import { test } from "node:test";
import { Backoff } from "../../../src/client/backoff.ts";

test("Pauses double from the first to the longest and stay there, however often it is tried.", () => {
  const backoff = new Backoff(100, 1_000, () => 0);
  const pauses = Array.from({ length: 7 }, () => backoff.next());
  assert.deepEqual(pauses, [100, 200, 400, 800, 1_000, 1_000, 1_000]);
  for (let i = 0; i < 2_000; i++) assert.equal(backoff.next(), 1_000);
  assert.equal(backoff.attempts, 2_007);
});

test("Chance takes up to a half of each pause, so that many clients do not come back at once.", () => {
  const almostOne = 1 - Number.EPSILON;
  const least = new Backoff(100, 1_000, () => almostOne);
  const half = new Backoff(100, 1_000, () => 0.5);
  for (const full of [100, 200, 400, 800, 1_000, 1_000]) {
    assert.ok(Math.abs(least.next() - full / 2) < 0.001);
    assert.equal(half.next(), full * 0.75);
  }
});

test("When it went well it begins anew.", () => {
  const backoff = new Backoff(100, 1_000, () => 0);
  backoff.next();
  backoff.next();
  backoff.reset();
  assert.deepEqual([backoff.attempts, backoff.next(), backoff.next()], [0, 100, 200]);
});

test("The first pause is never longer than the longest.", () => {
  assert.equal(new Backoff(5_000, 1_000, () => 0).next(), 1_000);
});
