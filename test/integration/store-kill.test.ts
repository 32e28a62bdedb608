import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { openLmdbStore } from "../../src/store/lmdb-store.ts";
import { buildShim } from "../support/shim.ts";
import { checkNumbers } from "./store-numbers.ts";

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
      flushed = checkNumbers(store).end;
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

const failSync = buildShim("fail-sync");

test(
  "a commit that fails is told, and the store opens again in the same process",
  {
    skip: failSync === undefined && "needs gcc",
    timeout: 20_000,
  },
  () =>
    withFolder(async (folder) => {
      const flag = join(folder, "flag");
      const env = { LD_PRELOAD: failSync, FAIL_SYNC_FLAG: flag };
      const { exited, lines } = start([folder, "fail", flag], env);
      await exited;
      assert.equal(lines[0], "failed failed", lines.join());
      assert.ok(["reopened kept,later", "reopened kept,unknown,later"].includes(lines[1] ?? ""));
      assert.equal(lines.length, 2, lines.join());
    }),
);
