import assert from "node:assert/strict";
import type { LogId, Sequence, Store } from "../../src/broker/store.ts";

/** One record of a stream, with a copy of its payload. */
export interface StoredMessage {
  readonly sequence: number;
  readonly topic: string;
  readonly payload: Uint8Array;
}

/** Everything that a stream holds on disk, in order; fails on a gap or on damage. */
export function readStream(store: Store, name: string): StoredMessage[] {
  const log = [...store.logNames()].find(([, each]) => each === name)?.[0];
  if (log === undefined) throw new Error(`there is no stream ${name}`);
  return readLog(store, log);
}

function readLog(store: Store, log: LogId): StoredMessage[] {
  const { firstSequence, nextSequence } = store.stats(log);
  const messages: StoredMessage[] = [];
  for (let next: Sequence = firstSequence; next < nextSequence; ) {
    const batch = store.read(log, next, 1_000, 4_000_000);
    assert.deepEqual(batch.damaged, []);
    assert.ok(batch.next > next, `nothing to read at ${next}, the end is ${nextSequence}`);
    for (const { sequence, topic, bytes, payloadStart, payloadEnd } of batch.records) {
      assert.equal(sequence, firstSequence + messages.length);
      const payload = bytes.slice(payloadStart, payloadEnd);
      messages.push({ sequence, topic: topic.text, payload });
    }
    next = batch.next;
  }
  return messages;
}
