import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { openLmdbStore } from "../../src/store/lmdb-store.ts";
import { PageFile } from "../../src/store/salvage/page-file.ts";
import type { SalvageReport } from "../../src/store/salvage/salvage-report.ts";
import { findSnapshot } from "../../src/store/salvage/snapshot.ts";
import { BrokerHome, type BrokerProcess } from "../support/broker-process.ts";
import { DamagedFile, faultsOf, fillStore, type StoreLedger } from "../support/damaged-store.ts";
import { randomOf } from "../torture/power-cut/random.ts";

const COMMITS = 120;
const CRASHES_MAX = 2;
const BIN = join(import.meta.dirname, "..", "..", "bin", "rillmq.js");
const STREAMS = ["telemetry", "alarms", "tiny"];
const config = { streams: STREAMS.map((name) => ({ name, filters: [`plant/${name}`] })) };

async function filledHome(t: TestContext): Promise<{ home: BrokerHome; ledger: StoreLedger }> {
  const home = new BrokerHome(t);
  mkdirSync(home.data, { mode: 0o700 });
  const ledger = await fillStore(home.storePath, 5, COMMITS);
  return { home, ledger };
}

/** Where the trees of the tables start. */
function rootsOf(path: string): number[] {
  const file = new PageFile(path);
  try {
    const { snapshot } = findSnapshot(file);
    return [...(snapshot?.tables.values() ?? [])].map(({ root }) => root ?? assert.fail("empty"));
  } finally {
    file.close();
  }
}

function damage(path: string, change: (file: DamagedFile) => void): void {
  const file = new DamagedFile(path);
  change(file);
  file.close();
}

/** Starts it again, as a supervisor does, until it is ready. */
async function startUntilReady(
  home: BrokerHome,
): Promise<{ broker: BrokerProcess; crashes: number }> {
  for (let crashes = 0; ; crashes++) {
    const broker = home.spawn({ config });
    try {
      return { broker: await broker.ready(), crashes };
    } catch (error) {
      if (crashes >= CRASHES_MAX || !broker.isOver) throw error;
    }
  }
}

function reportIn(folder: string): SalvageReport {
  const [name] = readdirSync(folder).filter((file) => file.startsWith("salvage-"));
  return JSON.parse(readFileSync(join(folder, name ?? "none"), "utf8")) as SalvageReport;
}

function rillmq(...args: string[]): Promise<{ exitCode: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [BIN, ...args], (error, stdout, stderr) => {
      resolve({ exitCode: Number(error?.code ?? 0), stdout, stderr });
    });
  });
}

for (const kind of ["random", "zeroed"] as const) {
  test(`with the root page of each table ${kind} the broker starts, and what is lost is told`, async (t) => {
    const { home, ledger } = await filledHome(t);
    const random = randomOf(3);
    const roots = rootsOf(home.storePath);
    damage(home.storePath, (file) => {
      for (const root of roots) file.overwrite(root, () => (kind === "random" ? random(256) : 0));
    });
    const { broker, crashes } = await startUntilReady(home);
    t.diagnostic(`${crashes} crashes before`);
    assert.equal((await broker.stop()).exitCode, 0);
    const [line] = broker.log.filter(({ event }) =>
      String(event).startsWith("the store was damaged"),
    );
    assert.ok(line !== undefined, broker.stderr);
    assert.ok(readdirSync(home.data).some((file) => file.startsWith("store.mdb.damaged-")));
    const report = reportIn(home.data);
    // Branches have gone, leaves have not: nothing is lost.
    assert.deepEqual(
      report.logs.flatMap(({ lost }) => lost),
      [],
    );
    const store = openLmdbStore({ path: home.storePath, diskReserveBytes: 0 });
    const logFaults = (await faultsOf(store, ledger, report)).filter(
      (fault) => !/^(meta|retained)/.test(fault),
    );
    await store.close();
    assert.deepEqual(logFaults, []);
  });
}

test("a file cut short ends the process at most twice, then the broker starts with what is left", async (t) => {
  const { home, ledger } = await filledHome(t);
  damage(home.storePath, (file) => file.truncate(Math.floor(file.pages * 0.6)));
  const { broker, crashes } = await startUntilReady(home);
  t.diagnostic(`${crashes} crashes before`);
  assert.equal((await broker.stop()).exitCode, 0);
  const report = reportIn(home.data);
  assert.ok(report.logs.some(({ lost }) => lost.length > 0));
  const store = openLmdbStore({ path: home.storePath, diskReserveBytes: 0 });
  const faults = await faultsOf(store, ledger, report);
  await store.close();
  assert.deepEqual(
    faults.filter((fault) => !/^(meta|retained)/.test(fault)),
    [],
  );
});

test("after two crashed starts a healthy store is looked at and left alone", async (t) => {
  const { home, ledger } = await filledHome(t);
  const marker = join(home.data, "rillmq.starting");
  writeFileSync(marker, "4\n");
  const broker = await home.start({ config });
  assert.equal(broker.count("the store is intact"), 1);
  assert.equal((await broker.stop()).exitCode, 0);
  assert.ok(!existsSync(marker));
  assert.deepEqual(
    readdirSync(home.data).filter((file) => /damaged|salvage/.test(file)),
    [],
  );
  const { exitCode, stdout } = await rillmq("store", "check", "--data", home.data, "--json");
  assert.equal(exitCode, 0, stdout);
  const { logs } = JSON.parse(stdout) as { logs: { log: string; records: number }[] };
  for (const [name, records] of ledger.logs) {
    assert.ok((logs.find(({ log }) => log === name)?.records ?? 0) >= records.size, name);
  }
});

test("starts that fail for an ordinary reason are not taken for crashes", async (t) => {
  const home = new BrokerHome(t);
  const other = await home.start({ data: join(home.folder, "other") });
  for (let attempt = 0; attempt < 3; attempt++) {
    const { exitCode } = await home.spawn({ port: other.port }).ended;
    assert.equal(exitCode, 3);
    assert.ok(!existsSync(join(home.data, "rillmq.starting")));
  }
});

test("store check finds damage, store salvage mends it by hand, and both leave a running broker alone", async (t) => {
  const { home } = await filledHome(t);
  const [root = 2] = rootsOf(home.storePath);
  damage(home.storePath, (file) => file.overwrite(root, () => 0));
  const before = readFileSync(home.storePath);
  const found = await rillmq("store", "check", "--data", home.data);
  assert.equal(found.exitCode, 1, found.stdout);
  assert.match(found.stdout, new RegExp(`damaged page ${root} `));
  assert.ok(before.equals(readFileSync(home.storePath)), "a check changes nothing");
  const salvaged = await rillmq("store", "salvage", "--data", home.data, "--json");
  assert.equal(salvaged.exitCode, 0, salvaged.stderr);
  const { damagedPath } = JSON.parse(salvaged.stdout) as { damagedPath: string };
  assert.ok(before.equals(readFileSync(damagedPath)), "the damaged file is kept");
  assert.equal((await rillmq("store", "check", "--data", home.data)).exitCode, 0);
  const broker = await home.start({ config });
  assert.equal((await rillmq("store", "check", "--data", home.data)).exitCode, 5);
  assert.equal((await rillmq("store", "salvage", "--data", home.data)).exitCode, 5);
  await broker.stop();
  assert.equal((await rillmq("store", "check", "--data", join(home.folder, "none"))).exitCode, 4);
});
