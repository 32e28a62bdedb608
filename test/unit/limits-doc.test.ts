import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Counters } from "../../src/broker/counters.ts";
import { newPatternCounts } from "../../src/broker/pattern-counts.ts";
import { configJsonSchema } from "../../src/config-schema.ts";
import { createMetrics } from "../../src/telemetry/metrics.ts";

/** What limits are named like; other settings of the section switch something or say how. */
const LIMIT = /Max|Min[A-Z]|TimeoutMs|WhenFull|^maxPacketBytes$|^receiveMaximum$|^maximumQos$/;

interface Row {
  readonly preset: string;
  readonly cells: readonly string[];
}

function rowsOf(doc: string): Map<string, Row> {
  const rows = new Map<string, Row>();
  for (const line of doc.split("\n")) {
    if (!line.startsWith("| `")) continue;
    const [setting = "", preset = "", ...cells] = line
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim());
    rows.set(setting.replaceAll("`", ""), { preset, cells });
  }
  return rows;
}

const doc = readFileSync(join(import.meta.dirname, "../../docs/limits.md"), "utf8");
const rows = rowsOf(doc);
const sections = configJsonSchema().properties ?? {};
const settings = sections["mqtt"]?.properties ?? {};
/** Sections with tables of their own, where a limit is named with its section. */
const OTHERS = ["native", "patterns"];
const others = OTHERS.flatMap((section) =>
  Object.entries(sections[section]?.properties ?? {}).map(
    ([name, schema]) => [`${section}.${name}`, schema] as const,
  ),
);

test("Every limit of the section mqtt is in docs/limits.md with its default and with what happens.", () => {
  const limits = Object.entries(settings).filter(([name]) => LIMIT.test(name));
  assert.ok(limits.length > 20);
  for (const [name, schema] of limits) {
    const row = rows.get(name);
    assert.ok(row !== undefined, `${name} has no row in docs/limits.md`);
    assert.equal(row.preset, String(schema.default), name);
    assert.equal(row.cells.length, 3, name);
    assert.ok(row.cells[0] !== "" && row.cells[1] !== "", `${name}: what happens is missing`);
  }
});

test("Every limit of native clients and of the patterns is there with its default.", () => {
  const limits = others.filter(([name]) => /Max|idleMs/.test(name));
  assert.ok(limits.length >= 15);
  for (const [name, schema] of limits) {
    const row = rows.get(name);
    assert.ok(row !== undefined, `${name} has no row in docs/limits.md`);
    assert.equal(row.preset, String(schema.default), name);
    assert.equal(row.cells.length, 2, name);
    assert.ok(row.cells[0] !== "", `${name}: what happens is missing`);
  }
});

test("docs/limits.md names no setting that there is not.", () => {
  const known = new Set([...Object.keys(settings), ...others.map(([name]) => name)]);
  for (const name of rows.keys()) assert.ok(known.has(name), name);
});

test("Every metric that docs/limits.md names is there.", async () => {
  const metrics = createMetrics({
    network: () => ({
      dropped: ["not-accepted", "too-many-from-address", "unauthenticated-shed"]
        .concat("handshake-timeout", "write-stalled", "bad-frame")
        .map((reason) => [reason, 0] as const),
      bytesReceived: 0,
      bytesSent: 0,
      opened: 0,
      bytesWaiting: 0,
      certificates: [],
    }),
    counters: () => new Counters(),
    connections: () => 0,
    sessions: () => ({ online: 0, offline: 0 }),
    kept: () => ({ retainedMessages: 0, retainedBytes: 0, subscriptions: 0 }),
    store: () => ({ liveBytes: 0, tableBytes: 0, pendingBytes: 0 }),
    streams: () => [],
    queues: () => [],
    consumers: () => [],
    requests: () => ({ waiting: 0, cacheBytes: 0 }),
    patterns: newPatternCounts,
    nativeRequests: () => [],
    uplinks: () => [],
  });
  const text = await metrics.text();
  const named = new Set(doc.match(/rillmq_\w+(?:\{[^}]*\})?/g));
  assert.ok(named.size > 10);
  for (const metric of named) {
    // Without labels it is there by its type, though there is no queue.
    const isThere = text.includes(`\n${metric} `) || text.includes(`# TYPE ${metric} `);
    assert.ok(isThere, `${metric} is shown nowhere`);
  }
});
