import assert from "node:assert/strict";
import { test } from "node:test";
import { patternTargetRows } from "../../../bench/patterns/patterns-doc.ts";
import type { PatternsReport } from "../../../bench/patterns/run-patterns.ts";

function reportOf(queue: number, syncShare: number, read: number, p50Ms: number): PatternsReport {
  const round = {
    queue: { perSecond: queue, syncShare },
    "queue-windows": { perSecond: queue, syncShare },
    append: {},
    consume: { perSecond: read },
    requests: { p50Ms },
  };
  return { peers: [{ name: "rillmq", rounds: [round] }] } as unknown as PatternsReport;
}

const verdicts = (report: PatternsReport) => patternTargetRows(report).map((row) => row.at(-1));

test("a queue's target is its rate or a disk that has no time left", () => {
  const missed = "**missed**";
  assert.deepEqual(verdicts(reportOf(50_000, 0.1, 500_000, 0.29)), ["met", "met", "met", "met"]);
  assert.deepEqual(verdicts(reportOf(49_999, 0.8, 499_999, 0.3)), ["met", "met", missed, missed]);
  assert.deepEqual(verdicts(reportOf(49_999, 0.79, 500_000, 0.1)), [missed, missed, "met", "met"]);
});

test("what was not measured is neither met nor missed", () => {
  const report = { peers: [{ name: "rillmq", rounds: [] }] } as unknown as PatternsReport;
  assert.deepEqual(verdicts(report), Array(4).fill("not measured"));
});
