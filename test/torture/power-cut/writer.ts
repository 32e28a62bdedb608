/**
 * The store at work while it is recorded: commits of numbered messages, the older ones trimmed so that pages
 * are used again, on from what is there; each acknowledgement is a line in the file of acknowledgements, "END FIRST": all numbers from
 * FIRST to below END are on disk.
 *
 *     node writer.ts STORE ACKS COMMITS SEED [unsafe]
 */
import { openSync, writeSync } from "node:fs";
import { openLmdbStore } from "../../../src/store/lmdb-store.ts";
import {
  appendNumbers,
  checkNumbers,
  openNumberedLogs,
  trimNumbers,
} from "../../integration/store-numbers.ts";
import { randomOf } from "./random.ts";

const KEPT = 400;
const TRIM_EVERY = 4;

const [path = "", acksPath = "", commits = "0", seed = "0", unsafe = ""] = process.argv.slice(2);
const random = randomOf(Number(seed));
const acks = openSync(acksPath, "a");
const store = openLmdbStore({ path, diskReserveBytes: 0, unsafeNoMetaSync: unsafe === "unsafe" });
const logs = openNumberedLogs(store);
let staged = checkNumbers(store).end;
let sealed = 0;
let done = 0;

function stage(): void {
  const count = 1 + random(40);
  appendNumbers(store, logs, staged, staged + count);
  staged += count;
}

store.listen({
  onSealing: () => {
    sealed = staged;
  },
  onFlushed: () => {
    const first = Math.max(0, sealed - KEPT);
    writeSync(acks, `${sealed} ${first}\n`);
    if (++done === Number(commits)) process.exit(0);
    if (done % TRIM_EVERY === 0) trimNumbers(store, logs, first);
    stage();
  },
  onFailed: (_commit, error) => {
    throw error;
  },
});
stage();
