import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Counters } from "../../src/broker/counters.ts";
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
const settings = configJsonSchema().properties?.["mqtt"]?.properties ?? {};

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

test("docs/limits.md names no setting that there is not.", () => {
  for (const name of rows.keys()) assert.ok(name in settings, name);
});

test("Every metric that docs/limits.md names is there.", async () => {
  const metrics = createMetrics({
    network: () => ({
      dropped: ["not-accepted", "too-many-from-address", "unauthenticated-shed"]
        .concat("handshake-timeout", "write-stalled")
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
    nativeRequests: () => [],
    uplinks: () => [],
  });
  const text = await metrics.text();
  const named = new Set(doc.match(/rillmq_\w+(?:\{[^}]*\})?/g));
  assert.ok(named.size > 10);
  for (const metric of named)
    assert.ok(text.includes(`\n${metric} `), `${metric} is shown nowhere`);
});
