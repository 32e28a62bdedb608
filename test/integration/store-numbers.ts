/** Numbered messages in three logs, so that a reader can tell what is missing: number n is in log n mod 3. */
import assert from "node:assert/strict";
import type { LogId, Ordinal, Sequence, Store } from "../../src/broker/store.ts";
import { messageOf } from "../unit/store/store-fixtures.ts";

const LOGS = ["a", "b", "c"];
const LAST_KEY = Buffer.from("last");
const ORDINAL_MAX = Number.MAX_SAFE_INTEGER as Ordinal;

/** Payloads that say which number they are, of 4 to some thousand bytes, large ones now and then. */
export function numberedPayload(number: number): Uint8Array {
  const length = number % 997 === 996 ? 90_000 : 4 + ((number * 7_919) % 1_200);
  const payload = new Uint8Array(length);
  new DataView(payload.buffer).setUint32(0, number);
  for (let i = 4; i < length; i++) payload[i] = (number * 31 + i) & 0xff;
  return payload;
}

export function openNumberedLogs(store: Store): LogId[] {
  return LOGS.map((name) => store.openLog(name));
}

/** Stages the numbers from `from` to below `to`, and `to` as a small record of the same group. */
export function appendNumbers(
  store: Store,
  logs: readonly LogId[],
  from: number,
  to: number,
): void {
  for (let number = from; number < to; number++) {
    const log = logs[number % 3] ?? assert.fail("no such log");
    store.append(log, messageOf("t", "", { payload: numberedPayload(number) }));
  }
  store.put("meta", LAST_KEY, Buffer.from(`${to}`));
}

/** Allows to delete the numbers below `before`. */
export function trimNumbers(store: Store, logs: readonly LogId[], before: number): void {
  for (const [index, log] of logs.entries()) {
    const sequence = Math.ceil(Math.max(0, before - index) / 3) + 1;
    store.trim(log, sequence as Sequence, ORDINAL_MAX);
  }
}

/**
 * Checks that the store holds a run of numbers without gap, each whole and in the order of arrival, together with
 * the small record of the same commit, and gives the run.
 */
export function checkNumbers(store: Store): { readonly first: number; readonly end: number } {
  const logs = openNumberedLogs(store);
  let end = 0;
  const ordinals = new Map<number, number>();
  for (const [index, log] of logs.entries()) {
    const { firstSequence, nextSequence } = store.stats(log);
    end += nextSequence - 1;
    for (let next = firstSequence; next < nextSequence; ) {
      const batch = store.read(log, next, 500, 4_000_000);
      assert.deepEqual(batch.damaged, []);
      for (const record of batch.records) {
        const number = (record.sequence - 1) * 3 + index;
        const payload = record.bytes.subarray(record.payloadStart, record.payloadEnd);
        assert.equal(Buffer.compare(payload, numberedPayload(number)), 0, `record ${number}`);
        ordinals.set(number, record.ordinal);
      }
      next = batch.next;
    }
  }
  const first = ordinals.size === 0 ? end : Math.min(...ordinals.keys());
  let ordinal = 0;
  for (let number = first; number < end; number++) {
    const found = ordinals.get(number);
    assert.ok(found !== undefined, `record ${number} of ${first}..${end} is missing`);
    assert.ok(found > ordinal, "ordinals keep the order of arrival");
    ordinal = found;
  }
  const last = Buffer.from(store.get("meta", LAST_KEY) ?? []).toString();
  assert.equal(last, end === 0 ? "" : `${end}`, "the small record belongs to the same commit");
  return { first, end };
}
