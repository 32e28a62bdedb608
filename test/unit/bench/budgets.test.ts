import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { buildShim } from "../../support/shim.ts";

interface Cost {
  readonly allocatedBytes: number;
  readonly writes: number;
  readonly commits: number;
}

/**
 * Most that a message may cost. Bytes have slack for other versions of Node: some 1.6 times what was counted on Node 20.
 * Writes and commits are exact.
 */
const BUDGETS: Readonly<Record<string, Cost>> = {
  "QoS 0, one at a time": { allocatedBytes: 40, writes: 1, commits: 0 },
  "QoS 0, batched": { allocatedBytes: 175, writes: 1 / 32, commits: 0 },
  "QoS 0, to 100 subscribers": { allocatedBytes: 16, writes: 1, commits: 0 },
  "QoS 0, batched, to 100 subscribers": { allocatedBytes: 155, writes: 1 / 32, commits: 0 },
  "QoS 1 into nothing": { allocatedBytes: 90, writes: 1 / 100, commits: 0 },
  "QoS 1, one at a time": { allocatedBytes: 1_400, writes: 2, commits: 0 },
  "QoS 1, clean session": { allocatedBytes: 920, writes: 2 / 50, commits: 0 },
  "QoS 1 into a stream": { allocatedBytes: 1_020, writes: 1 / 100, commits: 1.1 / 100 },
  "QoS 1 into a stream, one at a time": { allocatedBytes: 8_500, writes: 1, commits: 1 },
  "QoS 1 into a stream and a durable session": {
    allocatedBytes: 1_600,
    writes: 2 / 50,
    commits: 1.1 / 50,
  },
  // Of 256 B, what the client encodes included. Commits: of the message, of its count (nothing else comes first here), of its end.
  "sent to a queue, received, acknowledged": {
    allocatedBytes: 8_900,
    writes: 2.1 / 100,
    commits: 3.1 / 100,
  },
  "read from a stream": { allocatedBytes: 960, writes: 1 / 300, commits: 0 },
  "request and reply": { allocatedBytes: 7_700, writes: 2, commits: 0 },
};

/** Nothing is collected while it is counted. */
const YOUNG = ["--expose-gc", "--min-semi-space-size=512", "--max-semi-space-size=512"];

function output(script: string, nodeOptions: readonly string[], env: Record<string, string> = {}) {
  return (...args: string[]): unknown => {
    const file = join(import.meta.dirname, script);
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [...nodeOptions, "--import", "tsx", file, ...args],
      { encoding: "utf8", timeout: 60_000, env: { ...process.env, ...env } },
    );
    assert.equal(status, 0, stderr);
    return JSON.parse(stdout);
  };
}

test("a message allocates, writes and commits no more than its budget", (t) => {
  const costs = output("budgets-child.ts", YOUNG)() as Record<string, Cost>;
  assert.deepEqual(Object.keys(costs), Object.keys(BUDGETS));
  for (const [name, budget] of Object.entries(BUDGETS)) {
    const cost = costs[name];
    assert.ok(cost !== undefined);
    const { allocatedBytes, writes, commits } = cost;
    const bytes = Math.round(allocatedBytes);
    t.diagnostic(`${name}: ${bytes} B, ${writes} writes, ${commits} commits per message`);
    assert.ok(bytes >= 0 && bytes <= budget.allocatedBytes, `${name}: ${bytes} B per message`);
    assert.ok(writes <= budget.writes, `${name}: ${writes} writes per message`);
    assert.ok(commits <= budget.commits, `${name}: ${commits} commits per message`);
  }
});

test("a commit syncs twice, however many messages it has", (t) => {
  const shim = buildShim("slow-sync");
  if (shim === undefined) {
    t.skip("no C compiler here");
    return;
  }
  const folder = mkdtempSync(join(tmpdir(), "rillmq-budgets-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const counted = join(folder, "syncs");
  const env = { LD_PRELOAD: shim, SLOW_SYNC_MS: "0", SLOW_SYNC_COUNT: counted };
  const costs = output("budgets-store-child.ts", [], env)(folder, counted);
  const twice = { commits: 1, syncs: 2 };
  assert.deepEqual(costs, { one: twice, hundred: twice });
});

/** Bytes of what stays; they were 9.3 KB, 1.0 KB and 0.6 KB once. */
const MEMORY_BUDGETS = { connection: 7_000, subscription: 700, filter: 450 };

test("A connection that says nothing and a subscription take little memory", (t) => {
  const bytes = output("budgets-memory-child.ts", ["--expose-gc"])() as Record<string, number>;
  for (const [name, budget] of Object.entries(MEMORY_BUDGETS)) {
    const taken = Math.round(bytes[name] ?? 0);
    t.diagnostic(`${name}: ${taken} B`);
    assert.ok(taken > 0 && taken <= budget, `${name}: ${taken} B`);
  }
});
