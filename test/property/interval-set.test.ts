import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { IntervalSet } from "../../src/lib/interval-set.ts";

const HIGHEST = 60;
const run = fc
  .tuple(fc.integer({ min: 0, max: HIGHEST }), fc.integer({ min: 0, max: 12 }))
  .map(([from, length]) => ({ from, to: Math.min(HIGHEST, from + length) }));

test("an interval set answers like a plain set of numbers", () => {
  fc.assert(
    fc.property(fc.array(run, { maxLength: 40 }), run, (added, asked) => {
      const set = new IntervalSet();
      const model = new Set<number>();
      for (const { from, to } of added) {
        const before = model.size;
        for (let value = from; value <= to; value++) model.add(value);
        assert.equal(set.add(from, to), model.size - before);
      }
      assert.equal(set.size, model.size);
      let firstMissing = asked.from;
      while (model.has(firstMissing)) firstMissing++;
      assert.equal(set.firstMissing(asked.from), firstMissing);
      const missing: number[] = [];
      for (let value = asked.from; value <= asked.to; value++) {
        assert.equal(set.has(value), model.has(value));
        if (!model.has(value)) missing.push(value);
      }
      const told = set
        .missing(asked.from, asked.to)
        .flatMap(({ from, to }) => Array.from({ length: to - from + 1 }, (_, i) => from + i));
      assert.deepEqual(told, missing);
      const runs = set.runs();
      assert.equal(runs.length, set.runCount);
      for (const [i, { from, to }] of runs.entries()) {
        assert.ok(from <= to);
        assert.ok(from > (runs[i - 1]?.to ?? -2) + 1, "runs neither touch nor overlap");
      }
    }),
  );
});
