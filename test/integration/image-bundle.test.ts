import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { eventually } from "../support/json-process.ts";
import { checkStoredAcrossKill, type KillableBroker } from "../support/stored-across-kill.ts";

const ROOT = join(import.meta.dirname, "..", "..");
const READY = /^ready pid=\d+ mqtt:\/\/\S+:(\d+)/m;

/** The bundle in an otherwise empty folder, away from any node_modules. */
function install(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "rillmq-bundle-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const made = join(folder, "made");
  const script = join(ROOT, "scripts", "bundle.mjs");
  const run = spawnSync(process.execPath, [script, "--out", made], { encoding: "utf8" });
  assert.equal(run.status, 0, run.stderr);
  cpSync(made, join(folder, "app"), { recursive: true });
  return folder;
}

async function start(folder: string, running: Set<ChildProcess>): Promise<KillableBroker> {
  const bundle = join(folder, "app", "rillmq.js");
  const flags = ["--listen", "mqtt://127.0.0.1:0", "--http", "127.0.0.1:0"];
  const child = spawn(
    process.execPath,
    [bundle, "serve", "--data", join(folder, "data"), ...flags],
    { cwd: folder, stdio: ["ignore", "pipe", "pipe"], env: { PATH: process.env["PATH"] } },
  );
  running.add(child);
  let output = "";
  const keep = (text: string): void => {
    output += text;
  };
  child.stdout.setEncoding("utf8").on("data", keep);
  child.stderr.setEncoding("utf8").on("data", keep);
  const closed = once(child, "close");
  await eventually(
    "the bundle is ready",
    () => READY.test(output),
    20_000,
    () => output,
  );
  return {
    port: Number(READY.exec(output)?.[1]),
    async kill() {
      child.kill("SIGKILL");
      await closed;
    },
  };
}

test("the bundle runs from an empty folder, and finds everything after SIGKILL", async (t) => {
  const folder = install(t);
  const running = new Set<ChildProcess>();
  t.after(() => {
    for (const child of running) child.kill("SIGKILL");
  });
  await checkStoredAcrossKill(() => start(folder, running));
  const status = [join(folder, "app", "rillmq.js"), "status", "--ready"];
  const args = [...status, "--data", join(folder, "data")];
  assert.equal(spawnSync(process.execPath, args, { cwd: folder }).status, 0);
});

test("the bundle has the clients of the command line, too", async (t) => {
  const folder = install(t);
  const running = new Set<ChildProcess>();
  t.after(() => {
    for (const child of running) child.kill("SIGKILL");
  });
  const { port } = await start(folder, running);
  const pub = [join(folder, "app", "rillmq.js"), "pub", "--topic", "a", "--message", "b"];
  const args = [...pub, "--url", `mqtt://127.0.0.1:${port}`, "--qos", "1"];
  const { status, stderr } = spawnSync(process.execPath, args, { cwd: folder, encoding: "utf8" });
  assert.deepEqual([status, stderr], [0, ""]);
});

test("the bundle is one entry with its parts, the thread that reads the configuration, two native files and the licences of what is inside", (t) => {
  const folder = install(t);
  const files = readdirSync(join(folder, "app")).filter((file) => !/^rillmq-\w+\.js$/.test(file));
  assert.deepEqual(files.sort(), [
    "LICENSE",
    "NOTICE",
    "THIRD-PARTY-LICENSES",
    "config-worker.js",
    "fs-native-extensions.node",
    "lmdb.node",
    "package.json",
    "rillmq.js",
  ]);
});
