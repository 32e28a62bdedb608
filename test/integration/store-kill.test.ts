import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { Sequence, Store } from "../../src/broker/store.ts";
import { openLmdbStore } from "../../src/store/lmdb-store.ts";
import { buildShim } from "../support/shim.ts";
import { numberedPayload } from "./store-numbers.ts";

const CHILD = join(import.meta.dirname, "store-child.ts");
const KILLS = 10;

interface Started {
  readonly child: ChildProcess;
  readonly exited: Promise<unknown>;
  readonly lines: string[];
}

function start(args: readonly string[], env: NodeJS.ProcessEnv = {}): Started {
  const child = spawn(process.execPath, ["--import", "tsx", CHILD, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...env },
  });
  const lines: string[] = [];
  let rest = "";
  child.stdout.on("data", (data: Buffer) => {
    const parts = (rest + data.toString()).split("\n");
    rest = parts.pop() ?? "";
    lines.push(...parts);
  });
  child.stderr.resume();
  return { child, exited: once(child, "close"), lines };
}

async function withFolder(run: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "rillmq-kill-"));
  try {
    await run(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Checks that the store holds exactly the numbers 0..n in their logs and gives n. */
function check(store: Store): number {
  const logs = ["a", "b", "c"].map((name) => store.openLog(name));
  const ends = logs.map((log) => store.stats(log).nextSequence - 1);
  const count = ends.reduce((sum, end) => sum + end, 0);
  const last = Buffer.from(store.get("meta", Buffer.from("last")) ?? []).toString();
  assert.equal(last, count === 0 ? "" : `${count}`, "the small record belongs to the same commit");
  let ordinal = 0;
  const nexts = [1, 1, 1];
  const read: { ordinal: number; number: number }[] = [];
  for (const [index, log] of logs.entries()) {
    for (let next = 1 as Sequence; next <= (ends[index] ?? 0); ) {
      const batch = store.read(log, next, 500, 4_000_000);
      assert.deepEqual(batch.damaged, []);
      for (const record of batch.records) {
        const number = (record.sequence - 1) * 3 + index;
        const payload = record.bytes.subarray(record.payloadStart, record.payloadEnd);
        assert.equal(Buffer.compare(payload, numberedPayload(number)), 0, `record ${number}`);
        read.push({ ordinal: record.ordinal, number });
        nexts[index] = record.sequence + 1;
      }
      next = batch.next;
    }
  }
  read.sort((a, b) => a.number - b.number);
  for (const entry of read) {
    assert.ok(entry.ordinal > ordinal, "ordinals keep the order of arrival");
    ordinal = entry.ordinal;
  }
  assert.equal(read.length, count);
  return count;
}

test(`nothing acknowledged is lost by ${KILLS} times SIGKILL`, () =>
  withFolder(async (folder) => {
    let flushed = 0;
    for (let kill = 0; kill < KILLS; kill++) {
      const { child, exited, lines } = start([folder, "kill"]);
      await once(child.stdout ?? child, "data");
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 60));
      child.kill("SIGKILL");
      await exited;
      const acknowledged = Number(lines.at(-1)?.split(" ")[1] ?? 0);
      assert.ok(acknowledged >= flushed);
      const store = openLmdbStore({ path: join(folder, "store.mdb") });
      flushed = check(store);
      await store.close();
      assert.ok(flushed >= acknowledged, `${acknowledged} acknowledged, ${flushed} found`);
    }
    assert.ok(flushed > KILLS, `${flushed}`);
  }));

const slowSync = buildShim("slow-sync");

test("onFlushed waits for the disk", { skip: slowSync === undefined }, () =>
  withFolder(async (folder) => {
    const delayMs = 150;
    const timed = async (env: NodeJS.ProcessEnv): Promise<number> => {
      const { exited, lines } = start([folder, "slow"], env);
      await exited;
      assert.equal(lines[0], "appended");
      return Number(lines[1]?.split(" ")[1]);
    };
    const slow = await timed({ LD_PRELOAD: slowSync, SLOW_SYNC_MS: `${delayMs}` });
    // Two syncs in a row, that of the data and that of the meta page.
    assert.ok(slow >= 2 * delayMs, `flushed after ${slow} ms`);
    const control = await timed({ LD_PRELOAD: slowSync, SLOW_SYNC_MS: "0" });
    assert.ok(control < 2 * delayMs, `without delay: flushed after ${control} ms`);
  }),
);

const failDisk = buildShim("fail-disk");

for (const kind of ["space", "error"]) {
  test(
    `a commit that fails (${kind}) is told, and the store opens again in the same process`,
    {
      skip: failDisk === undefined,
      timeout: 20_000,
    },
    () =>
      withFolder(async (folder) => {
        const flag = join(folder, `flag-${kind}`);
        const env = { LD_PRELOAD: failDisk, FAIL_DISK_FLAG: flag };
        const { exited, lines } = start([folder, "fail", flag], env);
        await exited;
        assert.equal(lines[0], "failed failed", lines.join());
        assert.ok(["reopened kept,later", "reopened kept,unknown,later"].includes(lines[1] ?? ""));
        assert.equal(lines.length, 2, lines.join());
      }),
  );
}
