/**
 * The work on a damaged store that is done in a process of its own: LMDB may end that process, and the scan takes its time. Reports in JSON
 * lines on standard output: `{"progress": bytes}` now and then, at the end `{"result": …}` or `{"failure": text}`.
 */
import { rmSync, statfsSync, statSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { openLmdbBacking } from "../lmdb-store.ts";
import type { OnProgress } from "./progress.ts";
import { salvage } from "./salvage.ts";
import { checkStore } from "./store-check.ts";

const STDOUT = 1;
const REPORT_MS = 2_000;
const READ_ROWS = 256;
/** The new file next to the old: as much as is in use at most, and some. */
const ROOM_FACTOR = 1.1;
const ROOM_SLACK_BYTES = 8 * 1_048_576;

/** `check`: look at all of it without LMDB. `read`: read all of it with LMDB. `rebuild`: write what can be found to a new file. */
export type StoreWork = "check" | "read" | "rebuild";

function say(line: Readonly<Record<string, unknown>>): void {
  writeSync(STDOUT, `${JSON.stringify(line)}\n`);
}

function progressReporter(): OnProgress {
  let bytes = 0;
  let saidAt = performance.now();
  return (more) => {
    bytes += more;
    const now = performance.now();
    if (now - saidAt < REPORT_MS) return;
    saidAt = now;
    say({ progress: bytes });
  };
}

/** Reads every entry of every table through LMDB. */
async function readThrough(path: string, onProgress: OnProgress): Promise<{ entries: number }> {
  const backing = openLmdbBacking(path);
  let entries = 0;
  for (const table of ["meta", "retained", "log"] as const) {
    let start: Uint8Array = new Uint8Array(0);
    for (;;) {
      const rows = backing.entries(table, start, undefined, READ_ROWS);
      for (const [key, value] of rows) onProgress(key.length + value.length);
      entries += rows.length;
      const last = rows.at(-1)?.[0];
      if (last === undefined || rows.length < READ_ROWS) break;
      if (Buffer.compare(last, start) <= 0) throw new Error("keys out of order");
      start = Buffer.concat([last, Uint8Array.of(0)]);
    }
  }
  await backing.close();
  return { entries };
}

async function rebuild(path: string, out: string, onProgress: OnProgress): Promise<unknown> {
  const { bavail, bsize } = statfsSync(dirname(out));
  const needed = Math.ceil(statSync(path).size * ROOM_FACTOR) + ROOM_SLACK_BYTES;
  if (bavail * bsize < needed) {
    const mib = (bytes: number): number => Math.ceil(bytes / 1_048_576);
    throw new Error(
      `the disk has no room for a salvaged copy beside the damaged store: ${mib(needed)} MiB are needed, ${mib(bavail * bsize)} MiB are free; nothing was changed`,
    );
  }
  const backing = openLmdbBacking(out);
  try {
    return await salvage(path, backing, onProgress);
  } catch (error) {
    rmSync(out, { force: true });
    throw error;
  } finally {
    await backing.close();
    rmSync(`${out}-lock`, { force: true });
  }
}

/** Does one piece of work on the file at `path`; ends early when the process that wants it is gone. Returns the exit code. */
export async function doStoreWork(work: StoreWork, path: string, out: string): Promise<number> {
  process.stdin
    .on("end", () => process.exit(1))
    .on("error", () => process.exit(1))
    .resume();
  const onProgress = progressReporter();
  try {
    if (work === "check") say({ result: checkStore(path, onProgress) });
    else if (work === "read") say({ result: await readThrough(path, onProgress) });
    else say({ result: await rebuild(path, out, onProgress) });
    return 0;
  } catch (error) {
    say({ failure: error instanceof Error ? error.message : String(error) });
    return 1;
  } finally {
    process.stdin.destroy();
  }
}
