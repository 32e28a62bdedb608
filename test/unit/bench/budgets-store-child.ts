/**
 * Appends to a store on disk, so many messages per commit, and prints how many syncs a commit took. Run by budgets.test.ts under
 * the shim that counts them in a file. Arguments: a folder, that file.
 */
import { statSync } from "node:fs";
import { join } from "node:path";
import { plainMessage } from "../../../src/broker/message.ts";
import { Topic } from "../../../src/broker/topic.ts";
import type { Instant } from "../../../src/lib/clock.ts";
import { openLmdbStore } from "../../../src/store/lmdb-store.ts";

const COMMITS = 20;
const [folder = "", counted = ""] = process.argv.slice(2);
const store = openLmdbStore({ path: join(folder, "store.mdb") });
const log = store.openLog("log");
const plain = plainMessage(new Topic("b/000001/t"), new Uint8Array(64), 0 as Instant);
const message = { ...plain, publisherId: "writer" };

let commits = 0;
store.listen({
  onSealing: () => undefined,
  onFlushed: () => {
    commits++;
  },
  onFailed: (_commit, error) => {
    throw error;
  },
});

const syncs = (): number => statSync(counted, { throwIfNoEntry: false })?.size ?? 0;

async function countOf(messages: number): Promise<{ commits: number; syncs: number }> {
  const before = { commits, syncs: syncs() };
  for (let i = 0; i < COMMITS; i++) {
    for (let m = 0; m < messages; m++) store.append(log, message);
    await store.drain();
  }
  return {
    commits: (commits - before.commits) / COMMITS,
    syncs: (syncs() - before.syncs) / COMMITS,
  };
}

await countOf(1);
const costs = { one: await countOf(1), hundred: await countOf(100) };
await store.close();
process.stdout.write(`${JSON.stringify(costs)}\n`);
