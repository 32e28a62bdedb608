import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { Ordinal, Sequence } from "../../../src/broker/store.ts";
import {
  type LmdbStoreOptions,
  openLmdbBacking,
  openLmdbStore,
} from "../../../src/store/lmdb-store.ts";
import type { LogStore } from "../../../src/store/log-store.ts";
import { describeStore } from "./store-contract.ts";
import { Listener, messageOf, payloads } from "./store-fixtures.ts";

const makeFolder = (): string => mkdtempSync(join(tmpdir(), "rillmq-store-"));

describeStore("LMDB store", () => {
  const folder = makeFolder();
  return {
    open: (limits) =>
      openLmdbStore({ path: join(folder, "store.mdb"), diskReserveBytes: 0, ...limits }),
    dispose: () => rmSync(folder, { recursive: true, force: true }),
  };
});

type Open = (options?: Partial<LmdbStoreOptions>) => LogStore;

async function withFolder(run: (open: Open, path: string) => Promise<void>): Promise<void> {
  const folder = makeFolder();
  const path = join(folder, "store.mdb");
  try {
    await run((options) => openLmdbStore({ path, diskReserveBytes: 0, ...options }), path);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

test("a commit has all of its writes, however large it is and wherever the thread is held up", () =>
  withFolder(async (_open, path) => {
    const backing = openLmdbBacking(path);
    for (const count of [1, 50, 3_000]) {
      const keyOf = (index: number): Buffer => Buffer.from(`${count}/${index}`);
      const writes = Array.from({ length: count }, (_, index) => ({
        table: "log" as const,
        key: keyOf(index),
        // With the last one the writer has time to do all before it, and to end its transaction if it may.
        get value(): Buffer {
          const until = performance.now() + (index === count - 1 ? 50 : 0);
          while (performance.now() < until);
          return Buffer.alloc(100);
        },
      }));
      await new Promise<void>((resolve, reject) => {
        backing.commit(writes, (error) => {
          if (error !== undefined) reject(error);
          else if (backing.get("log", keyOf(count - 1)) === undefined) {
            reject(new Error(`the last of ${count} writes is not there`));
          } else resolve();
        });
      });
    }
    await backing.close();
  }));

test("a lone message lingers, company ends it", () =>
  withFolder(async (open) => {
    const lingerMs = 250;
    const store = open({ lingerMs });
    const listener = new Listener();
    store.listen(listener);
    const log = store.openLog("s");
    await store.drain();
    const flush = (): Promise<number> =>
      new Promise((resolve) => {
        const startedAt = performance.now();
        listener.whenFlushed = () => resolve(performance.now() - startedAt);
      });
    let flushed = flush();
    store.append(log, messageOf("t", "alone"));
    assert.ok((await flushed) >= lingerMs - 1);
    flushed = flush();
    store.append(log, messageOf("t", "first"));
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(listener.log.at(-1), "flushed 2");
    store.append(log, messageOf("t", "second"));
    await flushed;
    assert.equal(listener.log.at(-1), "flushed 3");
    assert.deepEqual(payloads(store, log), ["alone", "first", "second"]);
    store.append(log, messageOf("t", "drained"));
    const startedAt = performance.now();
    await store.drain();
    assert.ok(performance.now() - startedAt < lingerMs, "drain does not linger");
    await store.close();
  }));

test("a store may be closed with a commit in flight, which then is there whole or not at all", () =>
  withFolder(async (open) => {
    for (let round = 0; round < 10; round++) {
      const store = open();
      const listener = new Listener();
      store.listen(listener);
      const log = store.openLog("s");
      const sealing = new Promise<void>((resolve) => {
        listener.whenSealing = () => resolve();
      });
      for (let i = 0; i < 100; i++) store.append(log, messageOf("t", "x".repeat(500)));
      await sealing;
      await store.close();
      assert.deepEqual(listener.flushed, []);
      const again = open();
      assert.equal(payloads(again, log).length % 100, 0);
      await again.close();
    }
  }));

test("space below the reserve is told as a full disk", () =>
  withFolder(async (open) => {
    const store = open({ diskReserveBytes: Number.MAX_SAFE_INTEGER });
    assert.equal(store.refusal(), "disk-full");
    await store.close();
    const other = open();
    assert.equal(other.refusal(), undefined);
    await other.close();
  }));

test("the file stays near what is live while a log is trimmed as fast as it grows", () =>
  withFolder(async (open, path) => {
    const store = open();
    const log = store.openLog("s");
    const message = messageOf("t", "", { payload: new Uint8Array(500) });
    for (let commit = 1; commit <= 120; commit++) {
      for (let i = 0; i < 500; i++) store.append(log, message);
      const { nextSequence } = store.stats(log);
      store.trim(log, (nextSequence - 2_000) as Sequence, Number.MAX_SAFE_INTEGER as Ordinal);
      await store.drain();
    }
    const live = store.stats(log).bytes;
    assert.ok(live > 1_000_000 && live < 2_500_000, `${live} live`);
    assert.ok(statSync(path).size < live * 4, `${statSync(path).size} for ${live}`);
    await store.close();
  }));
