import assert from "node:assert/strict";
import { test } from "node:test";
import { Collected, Histogram } from "../../../src/telemetry/collected.ts";

test("metrics are written in the text format of Prometheus, with what would break a line escaped", () => {
  const collected = new Collected();
  collected.gauge("up", "Help with \\ and\nnew line.", () => [[1]]);
  collected.counter("of_total", "Totals.", () => [
    [2.5, { name: 'a "b"\\\n' }],
    [Number.POSITIVE_INFINITY, { name: "c", more: "d" }],
    [Number.NaN],
  ]);
  assert.equal(
    collected.text(),
    [
      "# HELP up Help with \\\\ and\\nnew line.",
      "# TYPE up gauge",
      "up 1",
      "",
      "# HELP of_total Totals.",
      "# TYPE of_total counter",
      'of_total{name="a \\"b\\"\\\\\\n"} 2.5',
      'of_total{name="c",more="d"} +Inf',
      "of_total NaN",
      "",
    ].join("\n"),
  );
});

test("a histogram counts per bound what is at most as large, and everything in its total", () => {
  const histogram = new Histogram([0.5, 2]);
  for (const value of [0.25, 0.5, 1, 4]) histogram.observe(value);
  assert.deepEqual(histogram.lines("h"), [
    'h_bucket{le="0.5"} 2',
    'h_bucket{le="2"} 3',
    'h_bucket{le="+Inf"} 4',
    "h_sum 5.75",
    "h_count 4",
  ]);
});
