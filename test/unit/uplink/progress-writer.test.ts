import assert from "node:assert/strict";
import { test } from "node:test";
import type { CommitNumber, Store } from "../../../src/broker/store.ts";
import { Progress } from "../../../src/uplink/progress.ts";
import { ProgressWriter } from "../../../src/uplink/progress-writer.ts";

/** A store that takes records and flushes when the test says so: one commit in flight, the next one open. */
class SlowStore {
  openCommit = 1 as CommitNumber;
  flushedCommit = 0 as CommitNumber;
  put(): void {}

  /** The open group is sealed. */
  seal(): void {
    this.openCommit = (this.openCommit + 1) as CommitNumber;
  }

  /** The commit before the open one is on disk. */
  flush(): void {
    this.flushedCommit = (this.openCommit - 1) as CommitNumber;
  }
}

function writerOver(store: SlowStore, progress: Progress): ProgressWriter {
  const limits = { persistEveryMs: 200, persistEveryBytes: 1_000 };
  const key = Uint8Array.of(0x50);
  return new ProgressWriter({ store: store as unknown as Store, key, progress, limits }, false);
}

test("a write in every commit does not keep the mark from following", () => {
  const store = new SlowStore();
  const progress = new Progress();
  const writer = writerOver(store, progress);
  for (let sequence = 1; sequence <= 50; sequence++) {
    progress.done.add(sequence);
    writer.write();
    store.seal();
    // While that commit is in flight, the next group takes one more write.
    progress.done.add(sequence + 1);
    writer.write();
    store.flush();
    writer.onFlushed();
    assert.equal(writer.persistedMark, sequence);
    assert.equal(writer.isClean, false);
  }
  store.seal();
  store.flush();
  writer.onFlushed();
  assert.equal(writer.persistedMark, 51);
  assert.equal(writer.isClean, true);
});

test("the mark is what was written, not what was done meanwhile", () => {
  const store = new SlowStore();
  const progress = new Progress();
  const writer = writerOver(store, progress);
  progress.done.add(1, 10);
  writer.write();
  store.seal();
  progress.done.add(11, 20);
  assert.equal(writer.persistedMark, 0);
  store.flush();
  writer.onFlushed();
  assert.equal(writer.persistedMark, 10);
  assert.equal(writer.isClean, false);
});
