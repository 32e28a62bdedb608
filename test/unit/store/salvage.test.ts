import assert from "node:assert/strict";
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { openLmdbBacking, openLmdbStore } from "../../../src/store/lmdb-store.ts";
import { MemoryDisk, MemoryStore, openMemoryBacking } from "../../../src/store/memory-store.ts";
import { salvage } from "../../../src/store/salvage/salvage.ts";
import type { SalvageReport } from "../../../src/store/salvage/salvage-report.ts";
import { checkStore } from "../../../src/store/salvage/store-check.ts";
import { DamagedFile, faultsOf, fillStore, type StoreLedger } from "../../support/damaged-store.ts";
import { randomOf } from "../../torture/power-cut/random.ts";

const COMMITS = 250;
let folder = "";
let original = "";
let ledger: StoreLedger;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "rillmq-salvage-"));
  original = join(folder, "original.mdb");
  ledger = await fillStore(original, 7, COMMITS);
});
after(() => rmSync(folder, { recursive: true, force: true }));

let copies = 0;

/** Damages a copy and salvages it, to memory. */
async function salvaged(damage: (file: DamagedFile) => void): Promise<{
  readonly report: SalvageReport;
  readonly faults: string[];
  readonly isFoundIntact: boolean;
}> {
  copies++;
  const path = join(folder, `copy-${copies}.mdb`);
  copyFileSync(original, path);
  const file = new DamagedFile(path);
  damage(file);
  file.close();
  const isFoundIntact = checkStore(path).isIntact;
  const disk = new MemoryDisk();
  const report = await salvage(path, openMemoryBacking(disk));
  const faults = await faultsOf(new MemoryStore(disk), ledger, report);
  rmSync(path);
  return { report, faults, isFoundIntact };
}

const zero = (): number => 0;

test("a healthy file is found intact, and a salvage of it loses and repeats nothing", async () => {
  const check = checkStore(original);
  assert.deepEqual([check.faults, check.damagedPages], [[], []]);
  assert.ok(check.isIntact);
  const out = join(folder, "new.mdb");
  const backing = openLmdbBacking(out);
  const report = await salvage(original, backing);
  await backing.close();
  assert.ok(checkStore(out).isIntact);
  const store = openLmdbStore({ path: out, diskReserveBytes: 0 });
  assert.deepEqual(await faultsOf(store, ledger, report), []);
  await store.close();
  assert.ok(report.logs.every(({ lost }) => lost.length === 0));
  assert.deepEqual([report.meta.lost, report.meta.older, report.retained.lost], [0, 0, 0]);
});

test("each page of the file in turn may be zeroed: what is lost is reported, the rest is there", async (t) => {
  const file = new DamagedFile(original);
  const { pages } = file;
  file.close();
  const stride = Math.max(1, Math.floor(pages / 40));
  for (let page = 0; page < pages; page += stride) {
    const { report, faults } = await salvaged((copy) => copy.overwrite(page, zero));
    if (faults.length > 0) t.diagnostic(JSON.stringify(report));
    assert.deepEqual(faults, [], `page ${page}`);
  }
});

test("random bytes over pages of every kind lose only what lay there", async () => {
  const random = randomOf(11);
  const file = new DamagedFile(original);
  const byKind = new Map<number, number[]>();
  for (let page = 2; page < file.pages; page++) {
    const kind = file.kindOf(page);
    byKind.set(kind, [...(byKind.get(kind) ?? []), page]);
  }
  file.close();
  for (const kind of [1, 2, 4]) {
    const pages = byKind.get(kind) ?? assert.fail(`no page of kind ${kind}`);
    for (let round = 0; round < 8; round++) {
      const page = pages[random(pages.length)] ?? 2;
      const { faults } = await salvaged((copy) => copy.overwrite(page, () => random(256)));
      assert.deepEqual(faults, [], `page ${page} of kind ${kind}`);
    }
  }
});

test("with one meta page damaged nothing is lost", async () => {
  for (const page of [0, 1]) {
    const { report, faults, isFoundIntact } = await salvaged((copy) => copy.overwrite(page, zero));
    assert.deepEqual(faults, [], `meta page ${page}`);
    assert.ok(!isFoundIntact);
    assert.ok(!report.lastCommitMayBeMissing);
    assert.ok(report.logs.every(({ lost }) => lost.length === 0));
    assert.deepEqual([report.meta.lost, report.retained.lost], [0, 0]);
  }
});

test("with both meta pages damaged the trees are found by the names of the tables", async () => {
  const { report, faults } = await salvaged((copy) => {
    copy.overwrite(0, zero);
    copy.overwrite(1, zero);
  });
  assert.deepEqual(faults, []);
  assert.ok(report.logs.every(({ lost }) => lost.length === 0));
  assert.deepEqual([report.meta.lost, report.meta.older], [0, 0]);
});

test("of a file cut short everything that is still there is found", async () => {
  for (const share of [0.9, 0.5, 0.1]) {
    const { faults, isFoundIntact } = await salvaged((copy) =>
      copy.truncate(Math.floor(copy.pages * share)),
    );
    assert.deepEqual(faults, [], `cut to ${share}`);
    assert.ok(!isFoundIntact);
  }
});

test("sixty files with flipped bits are salvaged; the seed is 23", async () => {
  const random = randomOf(23);
  for (let round = 0; round < 60; round++) {
    const flips: [number, number][] = [];
    const { faults } = await salvaged((copy) => {
      for (let i = 0; i <= random(4); i++) {
        const flip: [number, number] = [random(copy.pages * 4_096), random(8)];
        flips.push(flip);
        copy.flip(...flip);
      }
    });
    // Rows of meta and retained carry no checksum: a flip in one is not noticed, and changes that row alone.
    const unexplained = faults.filter(
      (fault) => !/^(meta|retained): [0-9] rows changed/.test(fault),
    );
    assert.deepEqual(unexplained, [], `round ${round}: ${JSON.stringify(flips)}`);
  }
});
