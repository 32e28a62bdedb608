import assert from "node:assert/strict";
import { test } from "node:test";
import type { Ordinal, Sequence } from "../../../src/broker/store.ts";
import { MemoryDisk, MemoryStore } from "../../../src/store/memory-store.ts";
import { describeStore } from "./store-contract.ts";
import { Listener, messageOf, payloadOf } from "./store-fixtures.ts";

describeStore("memory store", () => {
  const disk = new MemoryDisk();
  return { open: (limits) => new MemoryStore(disk, limits), dispose: () => {} };
});

const FIRST = 1 as Sequence;

test("a manual memory store flushes when it is told to, and a crash drops the rest", async () => {
  const disk = new MemoryDisk();
  const store = new MemoryStore(disk, { flushes: "manual" });
  const listener = new Listener();
  store.listen(listener);
  const log = store.openLog("s");
  store.append(log, messageOf("t", "one"));
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(listener.log, []);
  assert.equal(store.seal(), true);
  assert.deepEqual(listener.log, ["sealing 1"]);
  store.append(log, messageOf("t", "two"));
  assert.equal(store.flush(), true);
  assert.deepEqual(store.read(log, FIRST, 10, 1_000).records.map(payloadOf), ["one"]);
  const crashed = new MemoryStore(disk, { flushes: "manual" });
  assert.deepEqual(crashed.read(log, FIRST, 10, 1_000).records.map(payloadOf), ["one"]);
});

test("a failed commit takes the store out of service and leaves nothing on the disk", async () => {
  const disk = new MemoryDisk();
  const store = new MemoryStore(disk, { flushes: "manual" });
  const listener = new Listener();
  store.listen(listener);
  const log = store.openLog("s");
  store.append(log, messageOf("t", "one"));
  const drained = store.seal() ? undefined : assert.fail("nothing was sealed");
  assert.equal(drained, undefined);
  store.append(log, messageOf("t", "open group"));
  store.fail(new Error("disk on fire"));
  assert.equal(listener.failed[0]?.message, "disk on fire");
  assert.equal(store.refusal(), "failed");
  assert.throws(() => store.append(log, messageOf("t", "more")), /failed/);
  await assert.rejects(store.drain(), /disk on fire/);
  await store.close();
  const again = new MemoryStore(disk);
  assert.deepEqual(again.read(again.openLog("s"), FIRST, 10, 1_000).records, []);
});

test("a full disk is told", () => {
  const disk = new MemoryDisk();
  disk.bytesFree = 10;
  assert.equal(new MemoryStore(disk, { diskReserveBytes: 11 }).refusal(), "disk-full");
  assert.equal(new MemoryStore(disk, { diskReserveBytes: 10 }).refusal(), undefined);
});

test("a disk that was full is used again when clearly more than the reserve is free", async () => {
  const disk = new MemoryDisk();
  const store = new MemoryStore(disk, { diskReserveBytes: 1e9 });
  const log = store.openLog("s");
  // The disk is asked again after so many bytes.
  const padding = "x".repeat(4_300_000);
  const refusalWith = async (bytesFree: number): Promise<string | undefined> => {
    disk.bytesFree = bytesFree;
    store.append(log, messageOf("t", padding));
    await store.drain();
    return store.refusal();
  };
  assert.equal(await refusalWith(1e9), undefined);
  assert.equal(await refusalWith(1e9 - 1), "disk-full");
  assert.equal(await refusalWith(1.2e9), "disk-full");
  assert.equal(await refusalWith(1.25e9), undefined);
  assert.equal(await refusalWith(1e9 + 1), undefined);
});

test("a full store takes durable work again when it is clearly below its limit", async () => {
  const store = new MemoryStore(new MemoryDisk(), { bytesMax: 100_000 });
  const log = store.openLog("s");
  while (store.refusal() === undefined) {
    store.append(log, messageOf("t", "x".repeat(1_000)));
    await store.drain();
  }
  assert.equal(store.refusal(), "store-full");
  const all = store.stats(log).nextSequence - 1;
  const trimTo = async (share: number): Promise<void> => {
    store.trim(log, Math.ceil(all * share) as Sequence, Number.MAX_SAFE_INTEGER as Ordinal);
    await store.drain();
  };
  await trimTo(0.03);
  assert.equal(store.refusal(), "store-full");
  await trimTo(0.2);
  assert.equal(store.refusal(), undefined);
});
