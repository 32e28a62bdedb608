import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const SOURCE = join(import.meta.dirname, "..", "native", "sync-clock.c");
const PROGRAMS = join(import.meta.dirname, "..", "results", "programs");

/** How long a process has waited in syncs so far, and how many there were. */
export interface SyncTotals {
  readonly seconds: number;
  readonly syncs: number;
}

/** A trace of a process's syncs: time in `fdatasync`, `fsync`, `msync` and writes through O_DSYNC descriptors. */
export interface SyncClock {
  /** What the process to be traced needs in its environment. */
  readonly env: Readonly<Record<string, string>>;
  read(): SyncTotals | undefined;
}

let library: string | undefined;
let isBuilt = false;

/** A clock that keeps its totals in a file of `folder`; undefined: there is no C compiler here, or it is no Linux. */
export function syncClock(folder: string): SyncClock | undefined {
  if (!isBuilt) {
    isBuilt = true;
    library = build();
  }
  if (library === undefined) return undefined;
  const file = join(folder, "syncs");
  return {
    env: { LD_PRELOAD: library, SYNC_CLOCK: file },
    read() {
      try {
        const totals = readFileSync(file);
        const seconds = Number(totals.readBigUInt64LE(0)) / 1e9;
        return { seconds, syncs: Number(totals.readBigUInt64LE(8)) };
      } catch {
        return undefined; // the process has not begun
      }
    },
  };
}

function build(): string | undefined {
  if (process.platform !== "linux") return undefined;
  mkdirSync(PROGRAMS, { recursive: true });
  const target = join(PROGRAMS, "sync-clock.so");
  const flags = ["-O2", "-shared", "-fPIC", "-o", target, SOURCE, "-ldl"];
  return spawnSync("gcc", flags).status === 0 ? target : undefined;
}
