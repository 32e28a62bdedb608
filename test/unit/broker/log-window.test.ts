import assert from "node:assert/strict";
import { test } from "node:test";
import { LogWindow } from "../../../src/broker/log-window.ts";
import type { LogId, LogRecord, Sequence, Store } from "../../../src/broker/store.ts";

/** A log of which so much is flushed; reading it is counted. */
function logOf(): { store: Store; flush(end: number): void; reads(): number } {
  let end = 1;
  let reads = 0;
  const store = {
    stats: () => ({ firstSequence: 1, nextSequence: end }),
    read: (_log: LogId, from: number, max: number) => {
      reads++;
      const records: { sequence: number }[] = [];
      for (let at = from; at < Math.min(end, from + max); at++) records.push({ sequence: at });
      return { records, next: end, damaged: [] };
    },
  };
  const flush = (to: number): void => {
    end = to;
  };
  return { store: store as unknown as Store, flush, reads: () => reads };
}

const staged = (sequence = 0): LogRecord => ({ sequence }) as LogRecord;

test("What is flushed is looked at in memory while its flush is told, and read afterwards.", () => {
  const { store, flush, reads } = logOf();
  const window = new LogWindow(store, 1 as LogId);
  const records = [staged(), staged(), staged()];
  for (const record of records) window.add(record);
  assert.equal(window.view(1), undefined, "nothing is sealed");
  const [first, second] = records;
  if (first !== undefined) first.sequence = 1 as Sequence;
  if (second !== undefined) second.sequence = 2 as Sequence;
  flush(3);
  assert.equal(window.view(1), first);
  assert.equal(window.view(2), second);
  assert.equal(window.view(3), undefined, "of the next group");
  window.forgetFlushed();
  assert.equal(window.view(1), undefined);
  assert.equal(window.view(2), undefined);
  assert.equal(window.read(2, true)?.sequence, 2);
  assert.equal(reads(), 1);
});

test("What a later group brings is found under its own sequence.", () => {
  const { store, flush } = logOf();
  const window = new LogWindow(store, 1 as LogId);
  window.add(staged(1));
  const next = staged();
  window.add(next);
  flush(2);
  window.forgetFlushed();
  next.sequence = 2 as Sequence;
  flush(3);
  assert.equal(window.view(1), undefined);
  assert.equal(window.view(2), next);
  window.forgetFlushed();
  assert.equal(window.view(2), undefined);
  assert.equal(window.read(1, true)?.sequence, 1);
});
