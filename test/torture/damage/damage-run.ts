/** Damages files of stores at random, salvages them, and compares what is found with what was acknowledged. */
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MemoryDisk, MemoryStore, openMemoryBacking } from "../../../src/store/memory-store.ts";
import { salvage } from "../../../src/store/salvage/salvage.ts";
import { DamagedFile, faultsOf, fillStore } from "../../support/damaged-store.ts";
import { randomOf } from "../power-cut/random.ts";

const COMMITS = 150;
/** Damages per store: another one is filled after these. */
const DAMAGES_PER_STORE = 50;
const PAGE_BYTES = 4_096;
const PAGES_MAX = 6;
const FLIPS_MAX = 20;

type Random = (below: number) => number;

/** Ways to damage a file. */
const DAMAGES: Readonly<Record<string, (file: DamagedFile, random: Random) => void>> = {
  zeroed: (file, random) => {
    for (let i = random(PAGES_MAX); i >= 0; i--) file.overwrite(random(file.pages), () => 0);
  },
  random: (file, random) => {
    for (let i = random(PAGES_MAX); i >= 0; i--) {
      file.overwrite(random(file.pages), () => random(256));
    }
  },
  flipped: (file, random) => {
    for (let i = random(FLIPS_MAX); i >= 0; i--) {
      file.flip(random(file.pages * PAGE_BYTES), random(8));
    }
  },
  "cut short": (file, random) => file.truncate(1 + random(file.pages)),
  "without meta pages": (file) => {
    file.overwrite(0, () => 0);
    file.overwrite(1, () => 0);
  },
};

export interface DamageRun {
  readonly damages: number;
  readonly seed: number;
  readonly onProgress: (line: string) => void;
}

/** A row without a checksum that was flipped is not noticed; everything else is a fault. */
const isExcused = (kind: string, fault: string): boolean =>
  kind === "flipped" && /^(meta|retained): \d+ rows changed/.test(fault);

/** Returns what was missing and not reported, as sentences. */
export async function runDamages({ damages, seed, onProgress }: DamageRun): Promise<string[]> {
  const folder = mkdtempSync(join(tmpdir(), "rillmq-damage-"));
  const original = join(folder, "original.mdb");
  const copy = join(folder, "copy.mdb");
  const random = randomOf(seed);
  const kinds = Object.keys(DAMAGES);
  const faults: string[] = [];
  try {
    let ledger = await fillStore(original, seed, COMMITS);
    for (let round = 0; round < damages; round++) {
      if (round > 0 && round % DAMAGES_PER_STORE === 0) {
        for (const file of [original, `${original}-lock`]) rmSync(file, { force: true });
        ledger = await fillStore(original, seed + round, COMMITS);
        onProgress(`${round} of ${damages} damages, ${faults.length} faults`);
      }
      const kind = kinds[random(kinds.length)] ?? "zeroed";
      copyFileSync(original, copy);
      const file = new DamagedFile(copy);
      DAMAGES[kind]?.(file, random);
      file.close();
      const disk = new MemoryDisk();
      const report = await salvage(copy, openMemoryBacking(disk));
      const found = await faultsOf(new MemoryStore(disk), ledger, report);
      for (const fault of found) {
        if (!isExcused(kind, fault)) faults.push(`round ${round}, ${kind}: ${fault}`);
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return faults;
}
