import assert from "node:assert/strict";
import { test } from "node:test";
import type { Mark } from "../../../bench/load/load-messages.ts";
import {
  decodeProcField,
  decodeStatCpuUs,
  readPeakRssBytes,
  readProcessUsage,
} from "../../../bench/process-accounting.ts";
import { figuresOf, ratiosOf } from "../../../bench/report.ts";
import { type RunResult, resultOf } from "../../../bench/run-result.ts";
import { median, ratio, summarize } from "../../../bench/statistics.ts";
import { formatQuantity, formatSummary, formatTable } from "../../../bench/table.ts";

function mark(atMs: number, received: number, cpuUs: number): Mark {
  const broker = { cpuUs, readCalls: cpuUs / 10, writeCalls: cpuUs / 100 };
  return { atMs, received, broker, publisher: undefined, subscriber: undefined };
}

function run(changes: {
  readonly published?: { sent: number; acknowledged: number; unexpected: number };
  readonly received?: Partial<Parameters<typeof resultOf>[0]["received"]>;
  readonly windowReceived?: number;
}): RunResult {
  return resultOf({
    begin: mark(1_000, 100, 50_000),
    end: mark(3_000, 100 + (changes.windowReceived ?? 4_000), 90_000),
    published: changes.published ?? { sent: 5_000, acknowledged: 0, unexpected: 0 },
    received: {
      received: 5_000,
      redelivered: 0,
      unexpected: 0,
      isDrained: true,
      ...changes.received,
    },
    peakRssBytes: 1_048_576,
  });
}

test("the median is the middle value or the mean of the two middle ones", () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 3, 2]), 2.5);
  assert.equal(median([10, 9, 100]), 10);
  assert.equal(median([]), undefined);
});

test("a summary leaves out what could not be measured", () => {
  assert.deepEqual(summarize([5, undefined, 1, 3]), { median: 3, min: 1, max: 5 });
  assert.equal(summarize([undefined]), undefined);
});

test("a ratio to nothing is undefined", () => {
  assert.equal(ratio(6, 3), 2);
  assert.equal(ratio(6, 0), undefined);
  assert.equal(ratio(undefined, 3), undefined);
});

test("a run's figures cover the window and its counts the whole run", () => {
  const result = run({});
  assert.equal(result.messagesPerSecond, 2_000);
  assert.equal(result.brokerUsPerMessage, 10);
  assert.equal(result.brokerLoad, 0.02);
  assert.equal(result.messagesPerRead, 1);
  assert.equal(result.messagesPerWrite, 10);
  assert.equal(result.publisherUsPerMessage, undefined);
  assert.equal(result.dropped, 0);
  assert.deepEqual(result.faults, []);
});

test("what was acknowledged and never delivered is counted, repeated deliveries aside", () => {
  const published = { sent: 5_000, acknowledged: 4_900, unexpected: 0 };
  const result = run({ published, received: { received: 4_500, redelivered: 100 } });
  assert.equal(result.dropped, 600);
  assert.equal(result.acknowledgedNotDelivered, 500);
});

test("nothing is said about drops while messages still arrive", () => {
  const result = run({ received: { received: 4_000, isDrained: false } });
  assert.equal(result.dropped, undefined);
  assert.equal(result.acknowledgedNotDelivered, undefined);
});

test("a run that counted wrong has a fault", () => {
  assert.equal(run({ windowReceived: 0 }).faults.length, 1);
  assert.equal(run({ received: { received: 5_001 } }).faults.length, 1);
  assert.equal(run({ received: { unexpected: 1 } }).faults.length, 1);
  const published = { sent: 5_000, acknowledged: 0, unexpected: 2 };
  assert.equal(run({ published }).faults.length, 1);
});

test("ratios are RillMQ's median to each other peer's", () => {
  const figures = [
    figuresOf({ peer: "rillmq", runs: [run({ windowReceived: 8_000 })], failures: [] }),
    figuresOf({
      peer: "other",
      runs: [run({}), run({}), run({ windowReceived: 1 })],
      failures: [],
    }),
  ];
  const [only, ...rest] = ratiosOf(figures);
  assert.deepEqual(rest, []);
  assert.equal(only?.peer, "other");
  assert.equal(only?.rate, 2);
  assert.equal(only?.brokerUsPerMessage, 0.5);
  assert.deepEqual(ratiosOf(figures.slice(1)), []);
});

test("a process's accounts are read past a name with spaces and parentheses", () => {
  const fields = "S 1 2 3 4 5 6 7 8 9 10 700 35 0 0 20 0 1";
  assert.equal(decodeStatCpuUs(`4242 (a b) c) ${fields}`), 7_350_000);
  assert.equal(decodeStatCpuUs("nonsense"), undefined);
  assert.equal(decodeProcField("VmPeak:\t  10 kB\nVmHWM:\t  2048 kB\n", "VmHWM"), 2_048);
  assert.equal(decodeProcField("VmPeak:\t  10 kB\n", "VmHWM"), undefined);
});

test("this process has accounts and a process that is none has not", () => {
  const before = readProcessUsage(process.pid);
  assert.ok(before !== undefined && before.cpuUs > 0);
  assert.ok((readPeakRssBytes(process.pid) ?? 0) > 1_000_000);
  assert.equal(readProcessUsage(0), undefined);
  assert.equal(readPeakRssBytes(0), undefined);
});

test("quantities carry three significant digits", () => {
  assert.equal(formatQuantity(1_234_567), "1.23 M");
  assert.equal(formatQuantity(999_600), "1.00 M");
  assert.equal(formatQuantity(117_400), "117 k");
  assert.equal(formatQuantity(4_567), "4.57 k");
  assert.equal(formatQuantity(12.34), "12.3");
  assert.equal(formatQuantity(0.1834), "0.18");
  assert.equal(formatQuantity(0), "0");
  assert.equal(formatSummary({ median: 2, min: 1, max: 3 }), "2.00 (1.00 … 3.00)");
  assert.equal(formatSummary(undefined), "–");
});

test("a table's columns line up", () => {
  assert.equal(
    formatTable([
      ["", "rate"],
      ["a", "1"],
      ["long", "100"],
    ]),
    "      rate\na        1\nlong   100",
  );
});
