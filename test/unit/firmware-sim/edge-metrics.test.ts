import assert from "node:assert/strict";
import { test } from "node:test";
import { metricTotal } from "../../../firmware-sim/edge-metrics.ts";

const TEXT = `# HELP lag Messages that wait.
# TYPE lag gauge
lag{uplink="a",stream="x } y"} 12
lag{uplink="b",stream="t"} 30.5
lag_bytes{uplink="a"} 999
plain 7
stamped{a="b"} 4 1700000000000
`;

test("a metric is summed over its labels", () => {
  assert.equal(metricTotal(TEXT, "lag"), 42.5);
});

test("a metric without labels and one with a time stamp are read", () => {
  assert.equal(metricTotal(TEXT, "plain"), 7);
  assert.equal(metricTotal(TEXT, "stamped"), 4);
});

test("a metric that is not there is undefined and not zero", () => {
  assert.equal(metricTotal(TEXT, "la"), undefined);
  assert.equal(metricTotal("", "lag"), undefined);
});
