/** What every store must do with small records, trimming and refusals. */
import assert from "node:assert/strict";
import type { LogId, Store } from "../../../src/broker/store.ts";
import {
  bytesOf,
  type Contract,
  MANY,
  messageOf,
  ord,
  payloads,
  readAll,
  seq,
  statsOf,
  textOf,
} from "./store-fixtures.ts";

export const TABLE_CONTRACT: Contract = {
  "the last put or remove of a key in a group wins": async (place) => {
    const store = place.open();
    const key = bytesOf("key");
    store.put("meta", key, bytesOf("1"));
    store.put("meta", key, bytesOf("2"));
    store.put("retained", key, bytesOf("other table"));
    await store.drain();
    assert.deepEqual(store.get("meta", key), bytesOf("2"));
    assert.deepEqual(store.get("retained", key), bytesOf("other table"));
    store.put("meta", key, bytesOf("3"));
    store.remove("meta", key);
    store.remove("retained", key);
    store.put("retained", key, bytesOf("back"));
    await store.drain();
    assert.equal(store.get("meta", key), undefined);
    assert.deepEqual(store.get("retained", key), bytesOf("back"));
    store.remove("meta", bytesOf("never there"));
    await store.drain();
    await store.close();
  },

  "a scan gives the keys of a prefix in order, from a key on, as many as asked": async (place) => {
    const store = place.open();
    for (const key of ["b/2", "a", "b/1", "b/10", "b", "c", "b/3", "b0"]) {
      store.put("meta", bytesOf(key), bytesOf(`v${key}`));
    }
    store.put("meta", Uint8Array.of(0xff, 0xff), bytesOf("high"));
    store.put("meta", Uint8Array.of(0xff, 0xff, 1), bytesOf("higher"));
    await store.drain();
    const keys = (prefix: string, from?: string, limit?: number): string[] =>
      store
        .scan("meta", bytesOf(prefix), from === undefined ? undefined : bytesOf(from), limit)
        .map(([key, value]) => {
          assert.equal(textOf(value), `v${textOf(key)}`);
          return textOf(key);
        });
    assert.deepEqual(keys("b/"), ["b/1", "b/10", "b/2", "b/3"]);
    assert.deepEqual(keys("b/", "b/10"), ["b/10", "b/2", "b/3"]);
    assert.deepEqual(keys("b/", "b/11", 1), ["b/2"]);
    assert.deepEqual(keys("b/", "b/4"), []);
    assert.deepEqual(keys("z"), []);
    assert.equal(store.scan("meta", Uint8Array.of(0xff, 0xff)).length, 2);
    assert.equal(store.scan("meta", new Uint8Array(0)).length, 10);
    assert.deepEqual(textOf(store.scan("meta", new Uint8Array(0))[0]?.[0] ?? bytesOf("")), "a");
    await store.close();
  },

  "a scan may be long, and its copies outlive later changes": async (place) => {
    const store = place.open();
    const keyOf = (i: number): Uint8Array => bytesOf(`k${String(i).padStart(5, "0")}`);
    for (let i = 0; i < 3_000; i++) store.put("retained", keyOf(i), bytesOf(`${i}`));
    await store.drain();
    const found = store.scan("retained", bytesOf("k"));
    for (let i = 0; i < 3_000; i++) store.put("retained", keyOf(i), bytesOf("changed"));
    await store.drain();
    assert.deepEqual(
      found.map(([key, value]) => [textOf(key), textOf(value)]),
      Array.from({ length: 3_000 }, (_, i) => [textOf(keyOf(i)), `${i}`]),
    );
    await store.close();
  },

  "topics longer than the longest key of LMDB are told apart": async (place) => {
    const store = place.open();
    const longs = ["a", "b", "c"].map((end) => bytesOf(`t/${"x".repeat(60_000)}${end}`));
    for (const key of longs) store.put("retained", key, bytesOf(`end ${textOf(key).at(-1)}`));
    store.put("retained", bytesOf(`t/${"x".repeat(1_898)}`), bytesOf("plain"));
    await store.drain();
    for (const key of longs) {
      const value = store.get("retained", key);
      assert.equal(textOf(value ?? bytesOf("")), `end ${textOf(key).at(-1)}`);
    }
    const found = store.scan("retained", bytesOf("t/")).map(([key]) => textOf(key));
    assert.deepEqual(found.sort(), [...longs.map(textOf), `t/${"x".repeat(1_898)}`].sort());
    assert.equal(store.scan("retained", bytesOf(`t/${"x".repeat(59_000)}`)).length, 3);
    store.remove("retained", longs[1] ?? bytesOf(""));
    await store.drain();
    assert.equal(store.get("retained", longs[1] ?? bytesOf("")), undefined);
    assert.equal(store.scan("retained", bytesOf(`t/${"x".repeat(59_000)}`)).length, 2);
    await store.close();
  },

  "an empty value is a value, and the store's own keys are out of reach": async (place) => {
    const store = place.open();
    store.put("meta", bytesOf("empty"), new Uint8Array(0));
    await store.drain();
    assert.deepEqual(store.get("meta", bytesOf("empty"))?.length, 0);
    assert.throws(() => store.put("meta", Uint8Array.of(0, 1), bytesOf("x")), /own/);
    assert.throws(() => store.put("meta", new Uint8Array(0), bytesOf("x")), /at least one/);
    await store.close();
  },
};

/** Ten chunks of ten records, one chunk per commit. */
async function fill(store: Store, log: LogId): Promise<void> {
  for (let commit = 0; commit < 10; commit++) {
    for (let i = 1; i <= 10; i++) {
      const at = 1_000 + commit * 10 + i;
      store.append(log, messageOf("t", `${commit * 10 + i}`, { receivedAt: at }));
    }
    await store.drain();
  }
}

export const TRIM_CONTRACT: Contract = {
  "a log starts where it was trimmed, also in the middle of a chunk and after a restart": async (
    place,
  ) => {
    const store = place.open();
    const log = store.openLog("s");
    await fill(store, log);
    const { bytes } = store.stats(log);
    assert.deepEqual([store.stats(log).firstSequence, store.stats(log).oldestAt], [1, 1_001]);
    store.trim(log, seq(35), ord(MANY));
    await store.drain();
    const stats = store.stats(log);
    assert.deepEqual([stats.firstSequence, stats.nextSequence, stats.oldestAt], [35, 101, 1_035]);
    assert.ok(stats.bytes < bytes * 0.72 && stats.bytes > bytes * 0.68, `${stats.bytes}`);
    assert.equal(readAll(store, log)[0]?.sequence, 35);
    assert.equal(store.read(log, seq(1), 5, MANY).next, 40);
    store.trim(log, seq(20), ord(MANY));
    await store.drain();
    await store.close();
    const again = place.open();
    assert.deepEqual(again.stats(log), stats);
    assert.equal(payloads(again, log).length, 66);
    await again.close();
  },

  "numbers survive when everything was trimmed": async (place) => {
    const store = place.open();
    const log = store.openLog("s");
    await fill(store, log);
    const lastOrdinal = readAll(store, log).at(-1)?.ordinal ?? 0;
    store.trim(log, seq(MANY), ord(MANY));
    await store.drain();
    const empty = { firstSequence: 101, nextSequence: 101, bytes: 0, oldestAt: undefined };
    assert.deepEqual(statsOf(store, log), empty);
    await store.close();
    const again = place.open();
    assert.deepEqual(statsOf(again, log), empty);
    assert.deepEqual(again.read(log, seq(1), 10, MANY).records, []);
    const record = again.append(log, messageOf("t", "next"));
    await again.drain();
    assert.equal(record.sequence, 101);
    assert.ok(record.ordinal > lastOrdinal);
    assert.deepEqual(payloads(again, log), ["next"]);
    await again.close();
  },

  "what others still need by ordinal stays": async (place) => {
    const store = place.open();
    const [log, other] = [store.openLog("s"), store.openLog("other")];
    for (let i = 1; i <= 40; i++) {
      store.append(log, messageOf("t", `${i}`));
      store.append(other, messageOf("t", "x"));
      if (i % 10 === 0) await store.drain();
    }
    const ordinalOf25 = readAll(store, log)[24]?.ordinal ?? 0;
    store.trim(log, seq(35), ord(ordinalOf25));
    await store.drain();
    assert.equal(store.stats(log).firstSequence, 25);
    store.trim(log, seq(35), ord(MANY));
    await store.drain();
    assert.equal(store.stats(log).firstSequence, 35);
    assert.equal(store.stats(other).firstSequence, 1);
    await store.close();
  },

  "more chunks than one commit deletes are gone in the end": async (place) => {
    const store = place.open();
    const log = store.openLog("s");
    const payload = new Uint8Array(40_000);
    for (let i = 0; i < 600; i++) store.append(log, messageOf("t", "", { payload }));
    await store.drain();
    const { bytes } = store.stats(log);
    store.trim(log, seq(600), ord(MANY));
    await store.drain();
    assert.equal(store.stats(log).firstSequence, 600);
    assert.ok(store.stats(log).bytes <= bytes / 300, `${store.stats(log).bytes}`);
    await store.close();
  },
};

export const REFUSAL_CONTRACT: Contract = {
  "work is refused while too much is pending and taken again after the flush": async (place) => {
    const store = place.open({ pendingBytesMax: 10_000 });
    const log = store.openLog("s");
    assert.equal(store.refusal(), undefined);
    let appended = 0;
    for (; store.refusal() === undefined; appended++) {
      store.append(log, messageOf("t", "x".repeat(100)));
    }
    assert.equal(store.refusal(), "pending-full");
    assert.ok(appended > 50 && appended < 100, `${appended}`);
    await store.drain();
    assert.equal(store.refusal(), undefined);
    await store.close();
  },

  "small records count against the limit of the store, also after a restart": async (place) => {
    const limits = { bytesMax: 300_000 };
    const store = place.open(limits);
    const key = (i: number): Uint8Array => bytesOf(`\x60row/${i}`);
    for (let i = 0; i < 400; i++) store.put("meta", key(i), new Uint8Array(1_000));
    await store.drain();
    assert.equal(store.refusal(), "store-full");
    await store.close();
    const again = place.open(limits);
    assert.equal(again.refusal(), "store-full");
    for (let i = 0; i < 390; i++) again.remove("meta", key(i));
    await again.drain();
    await again.close();
    const last = place.open(limits);
    assert.equal(last.refusal(), undefined);
    for (let i = 0; i < 400; i++) last.put("retained", key(i), new Uint8Array(1_000));
    await last.drain();
    assert.equal(last.refusal(), "store-full");
    await last.close();
  },

  "a full store refuses until it is trimmed, also after a restart": async (place) => {
    const store = place.open({ bytesMax: 200_000 });
    const log = store.openLog("s");
    while (store.refusal() === undefined) {
      for (let i = 0; i < 20; i++) store.append(log, messageOf("t", "x".repeat(1_000)));
      await store.drain();
    }
    assert.equal(store.refusal(), "store-full");
    await store.close();
    const again = place.open({ bytesMax: 200_000 });
    assert.equal(again.refusal(), "store-full");
    again.trim(log, seq(again.stats(log).nextSequence - 20), ord(MANY));
    await again.drain();
    assert.equal(again.refusal(), undefined);
    await again.close();
    assert.equal(again.refusal(), "failed");
  },
};
