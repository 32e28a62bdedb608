import assert from "node:assert/strict";
import { test } from "node:test";
import { SeededRandom } from "../../../src/lib/random.ts";
import { Backoff } from "../../../src/uplink/backoff.ts";

const LIMITS = { backoffMinMs: 1_000, backoffMaxMs: 60_000 };

test("delays stay within the limits and reach the upper one", () => {
  const backoff = new Backoff(LIMITS, new SeededRandom(42));
  const delays = Array.from({ length: 1_000 }, () => backoff.nextMs());
  assert.ok(delays.every((delay) => delay >= 1_000 && delay <= 60_000));
  assert.ok(Math.max(...delays) === 60_000);
  assert.ok(new Set(delays).size > 300, "they are spread");
});

test("the first delay after a reset is at most three times the minimum", () => {
  const backoff = new Backoff(LIMITS, new SeededRandom(7));
  for (let i = 0; i < 50; i++) backoff.nextMs();
  backoff.reset();
  assert.ok(backoff.nextMs() <= 3_000);
});

test("two edges with different seeds do not wait in step", () => {
  const one = new Backoff(LIMITS, new SeededRandom(1));
  const other = new Backoff(LIMITS, new SeededRandom(2));
  const same = Array.from({ length: 20 }, () => one.nextMs() === other.nextMs());
  assert.ok(same.filter(Boolean).length < 5);
});

test("the seeded generator is even and repeats itself for the same seed", () => {
  const random = new SeededRandom(3);
  const again = new SeededRandom(3);
  const buckets = new Array<number>(10).fill(0);
  for (let i = 0; i < 10_000; i++) {
    const value = random.next();
    assert.equal(value, again.next());
    assert.ok(value >= 0 && value < 1);
    const bucket = Math.floor(value * 10);
    buckets[bucket] = (buckets[bucket] ?? 0) + 1;
  }
  assert.ok(
    buckets.every((count) => count > 850 && count < 1_150),
    buckets.join(" "),
  );
});
