/**
 * A process that writes to a store and says on standard output what is flushed, one line a commit:
 *
 *     node store-child.ts FOLDER kill        appends numbered messages for ever: "flushed N"
 *     node store-child.ts FOLDER slow        one message: "appended", "flushed MS"
 *     node store-child.ts FOLDER fail FLAG   fails a commit on purpose, opens again: "failed", "reopened N"
 */
import { rmSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { CommitNumber, Sequence, Store } from "../../src/broker/store.ts";
import { openLmdbStore } from "../../src/store/lmdb-store.ts";
import { messageOf } from "../unit/store/store-fixtures.ts";
import { appendNumbers, checkNumbers, openNumberedLogs } from "./store-numbers.ts";

const [folder = "", mode = "", flag = ""] = process.argv.slice(2);
const open = (): Store => openLmdbStore({ path: join(folder, "store.mdb"), diskReserveBytes: 0 });
const say = (line: string): number => writeSync(1, `${line}\n`);

interface Handlers {
  readonly onFlushed: (commit: CommitNumber) => void;
  readonly onFailed?: (error: Error) => void;
}

function listen(store: Store, handlers: Handlers): void {
  store.listen({
    onSealing: () => {},
    onFlushed: handlers.onFlushed,
    onFailed: (_commit, error) => {
      if (handlers.onFailed === undefined) throw error;
      handlers.onFailed(error);
    },
  });
}

/** Numbered messages in three logs, on from what is there. */
function writeForEver(): void {
  const store = open();
  const logs = openNumberedLogs(store);
  let staged = checkNumbers(store).end;
  let sealed = 0;
  const stage = (): void => {
    const to = staged + 1 + Math.floor(Math.random() * 200);
    appendNumbers(store, logs, staged, to);
    staged = to;
  };
  store.listen({
    onSealing: () => {
      sealed = staged;
    },
    onFlushed: () => {
      say(`flushed ${sealed}`);
      stage();
    },
    onFailed: (_commit, error) => {
      throw error;
    },
  });
  stage();
}

function writeOnce(): void {
  const store = open();
  const log = store.openLog("a");
  const startedAt = performance.now();
  listen(store, { onFlushed: () => say(`flushed ${performance.now() - startedAt}`) });
  store.append(log, messageOf("t", "one"));
  say("appended");
  void store.drain().then(() => store.close());
}

async function failOnce(): Promise<void> {
  process.on("unhandledRejection", () => {
    say("unhandled");
    process.exit(1);
  });
  const store = open();
  const log = store.openLog("a");
  store.append(log, messageOf("t", "kept"));
  await store.drain();
  const failed = new Promise<void>((resolve) => {
    listen(store, { onFlushed: () => say("flushed"), onFailed: () => resolve() });
  });
  writeFileSync(flag, flag.endsWith("space") ? "S" : "E");
  store.append(log, messageOf("t", "unknown"));
  await failed;
  say(`failed ${store.refusal()}`);
  await store.close();
  rmSync(flag);
  const again = open();
  again.append(again.openLog("a"), messageOf("t", "later"));
  await again.drain();
  const { records } = again.read(log, 1 as Sequence, 10, 1_000);
  const texts = records.map((r) => Buffer.from(r.bytes.subarray(r.payloadStart)).subarray(0, 7));
  say(`reopened ${texts.map((text) => text.toString().replace(/[^a-z].*/s, "")).join(",")}`);
  await again.close();
}

if (mode === "kill") writeForEver();
else if (mode === "slow") writeOnce();
else await failOnce();
