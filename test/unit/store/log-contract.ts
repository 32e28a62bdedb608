/** What every store must do with logs and commits. */
import assert from "node:assert/strict";
import { SESSION_LOG } from "../../../src/broker/store.ts";
import {
  bytesOf,
  type Contract,
  Listener,
  MANY,
  messageOf,
  payloadOf,
  payloads,
  readAll,
  seq,
  statsOf,
  textOf,
} from "./store-fixtures.ts";

export const LOG_CONTRACT: Contract = {
  "a record comes back as it was appended": async (place) => {
    const store = place.open();
    const message = messageOf("a/ü/c", "", {
      payload: Uint8Array.of(9, 0, 255, 8).subarray(1, 3),
      qos: 2,
      retain: true,
      publisherId: "gerät-7",
      receivedAt: 1_700_000_000_123,
      expiresAt: 1_700_000_060_123,
      properties: {
        isUtf8: false,
        contentType: "application/json",
        responseTopic: "reply/to",
        correlationData: Uint8Array.of(1, 2, 3),
        userProperties: [
          ["b", "1"],
          ["a", "2"],
          ["b", ""],
        ],
      },
    });
    store.append(SESSION_LOG, message);
    store.append(SESSION_LOG, messageOf("x", "", { publisherId: "", qos: 0 }));
    await store.drain();
    const [record, plain] = readAll(store, SESSION_LOG);
    assert.ok(record !== undefined && plain !== undefined);
    assert.equal(record.topic.text, "a/ü/c");
    assert.deepEqual([record.qos, record.retain, record.publisherId], [2, true, "gerät-7"]);
    assert.deepEqual([record.receivedAt, record.expiresAt], [1_700_000_000_123, 1_700_000_060_123]);
    assert.deepEqual([...record.bytes.subarray(record.payloadStart, record.payloadEnd)], [0, 255]);
    const { correlationData, ...properties } = record.properties ?? {};
    assert.deepEqual([...(correlationData ?? [])], [1, 2, 3]);
    assert.deepEqual(properties, {
      isUtf8: false,
      contentType: "application/json",
      responseTopic: "reply/to",
      userProperties: [
        ["b", "1"],
        ["a", "2"],
        ["b", ""],
      ],
    });
    assert.deepEqual([record.log, record.sequence, record.epoch], [0, 1, store.epoch]);
    assert.deepEqual([plain.qos, plain.properties, plain.expiresAt], [0, undefined, undefined]);
    assert.deepEqual([plain.publisherId, payloadOf(plain)], ["", ""]);
    await store.close();
  },

  "records of a log keep their order over many commits, and reads are bounded": async (place) => {
    const store = place.open();
    const log = store.openLog("stream");
    for (let commit = 0; commit < 10; commit++) {
      for (let i = 0; i < 30; i++) store.append(log, messageOf("t", `${commit * 30 + i}`));
      await store.drain();
    }
    assert.deepEqual(
      payloads(store, log),
      Array.from({ length: 300 }, (_, i) => `${i}`),
    );
    assert.deepEqual(readAll(store, log, 250).at(0)?.sequence, 250);
    const few = store.read(log, seq(7), 3, MANY);
    assert.deepEqual([few.records.map((r) => r.sequence), few.next], [[7, 8, 9], 10]);
    const small = store.read(log, seq(7), 100, 1);
    assert.deepEqual([small.records.length, small.next], [1, 8]);
    const none = store.read(log, seq(301), 10, MANY);
    assert.deepEqual([none.records, none.next, none.damaged], [[], 301, []]);
    await store.close();
  },

  "ordinals keep the order of arrival over interleaved logs": async (place) => {
    const store = place.open();
    const logs = ["a", "b", "c"].map((name) => store.openLog(name));
    const arrived: string[] = [];
    for (let i = 0; i < 200; i++) {
      const log = logs[(i * 7 + (i >> 3)) % 3] ?? SESSION_LOG;
      store.append(log, messageOf("t", `${i}`));
      arrived.push(`${i}`);
      if (i % 17 === 0) await store.drain();
    }
    await store.drain();
    await store.close();
    const again = place.open();
    const records = logs.flatMap((log) => readAll(again, log));
    records.sort((a, b) => a.ordinal - b.ordinal);
    assert.deepEqual(records.map(payloadOf), arrived);
    assert.equal(new Set(records.map((r) => r.ordinal)).size, 200);
    await again.close();
  },

  "a record of 1 MiB and a group far above one chunk are kept whole": async (place) => {
    const store = place.open();
    const log = store.openLog("large");
    const large = new Uint8Array(1_048_576).map((_, i) => (i * 31) & 0xff);
    for (let i = 0; i < 2_000; i++) store.append(log, messageOf("t", `${i}`.repeat(30)));
    store.append(log, messageOf("t", "", { payload: large }));
    store.append(log, messageOf("t", "after"));
    await store.drain();
    const records = readAll(store, log);
    assert.equal(records.length, 2_002);
    const found = records[2_000];
    assert.ok(found !== undefined);
    const payload = found.bytes.subarray(found.payloadStart, found.payloadEnd);
    assert.equal(Buffer.compare(payload, large), 0);
    assert.deepEqual(records.map((r) => r.sequence).at(-1), 2_002);
    assert.equal(payloadOf(records[2_001] ?? found), "after");
    await store.close();
  },

  "names of logs are stable and everything is there after opening again": async (place) => {
    const store = place.open();
    const [a, b] = [store.openLog("a"), store.openLog("b")];
    assert.equal(store.openLog("a"), a);
    assert.notEqual(a, b);
    store.append(b, messageOf("t", "1", { receivedAt: 5_000 }));
    store.append(b, messageOf("t", "2", { receivedAt: 4_000 }));
    store.put("meta", bytesOf("key"), bytesOf("value"));
    await store.drain();
    const stats = statsOf(store, b);
    await store.close();
    const again = place.open();
    assert.notEqual(again.epoch, store.epoch);
    assert.match(again.epoch, /^[0-9a-f]{16}$/);
    assert.deepEqual([again.openLog("b"), again.openLog("a")], [b, a]);
    assert.deepEqual([...again.logNames().values()].slice(1), ["a", "b"]);
    assert.deepEqual(statsOf(again, b), stats);
    assert.equal(again.latestAt, 5_000);
    assert.deepEqual(payloads(again, b), ["1", "2"]);
    assert.equal(readAll(again, b)[0]?.epoch, store.epoch);
    assert.deepEqual(again.get("meta", bytesOf("key")), bytesOf("value"));
    const record = again.append(b, messageOf("t", "3"));
    await again.drain();
    assert.deepEqual([record.sequence, record.ordinal > 2], [3, true]);
    assert.deepEqual(payloads(again, b), ["1", "2", "3"]);
    await again.close();
  },
};

export const COMMIT_CONTRACT: Contract = {
  "sequences exist from the sealing on, and nothing is seen before it is flushed": async (
    place,
  ) => {
    const store = place.open();
    const listener = new Listener();
    store.listen(listener);
    const log = store.openLog("s");
    const record = store.append(log, messageOf("t", "one"));
    store.put("retained", bytesOf("t"), bytesOf("one"));
    assert.deepEqual([record.sequence, record.ordinal], [0, 0]);
    assert.equal(payloadOf(record), "one");
    const commit = store.openCommit;
    listener.whenSealing = () => {
      assert.equal(record.sequence, 1);
      assert.ok(record.ordinal > 0);
      assert.equal(store.openCommit, commit);
      assert.deepEqual(store.read(log, seq(1), 10, MANY).records, []);
      assert.equal(store.get("retained", bytesOf("t")), undefined);
      store.put("meta", bytesOf("late"), bytesOf("yes"));
    };
    assert.ok(store.pendingBytes > 0);
    assert.deepEqual(store.read(log, seq(1), 10, MANY).records, []);
    assert.equal(store.stats(log).nextSequence, 1);
    await store.drain();
    assert.deepEqual(listener.log, [`sealing ${commit}`, `flushed ${commit}`]);
    assert.deepEqual([store.flushedCommit, store.openCommit], [commit, commit + 1]);
    assert.equal(store.pendingBytes, 0);
    assert.deepEqual(payloads(store, log), ["one"]);
    assert.deepEqual(store.get("retained", bytesOf("t")), bytesOf("one"));
    assert.deepEqual(store.get("meta", bytesOf("late")), bytesOf("yes"));
    await store.close();
  },

  "a group is sealed by itself, and what is staged in onFlushed goes to the next": async (
    place,
  ) => {
    const store = place.open();
    const listener = new Listener();
    store.listen(listener);
    const log = store.openLog("s");
    const done = new Promise<void>((resolve) => {
      listener.whenFlushed = () => {
        const { length } = listener.flushed;
        if (length === 4) resolve();
        else store.append(log, messageOf("t", `${length}`));
      };
    });
    store.append(log, messageOf("t", "0"));
    await done;
    assert.deepEqual(payloads(store, log), ["0", "1", "2", "3"]);
    assert.deepEqual(listener.flushed, [1, 2, 3, 4]);
    await store.close();
  },

  "what is flushed is seen in onFlushed already, whatever was read before": async (place) => {
    const store = place.open();
    const listener = new Listener();
    store.listen(listener);
    const log = store.openLog("s");
    const key = bytesOf("k");
    let appended = 0;
    const seen: string[] = [];
    const look = (): string =>
      `${store.read(log, seq(1), 1_000, MANY).next - 1} ${textOf(store.get("meta", key) ?? key)}`;
    const stage = (): void => {
      store.append(log, messageOf("t", `${++appended}`));
      store.put("meta", key, bytesOf(`${appended}`));
    };
    const done = new Promise<void>((resolve) => {
      listener.whenSealing = () => look();
      listener.whenFlushed = () => {
        seen.push(look());
        if (appended === 20) resolve();
        else stage();
      };
    });
    stage();
    const reading = setInterval(look, 0);
    await done;
    clearInterval(reading);
    assert.deepEqual(
      seen,
      Array.from({ length: 20 }, (_, i) => `${i + 1} ${i + 1}`),
    );
    await store.close();
  },

  "all of a group or nothing of it is there after a crash": async (place) => {
    const store = place.open();
    const log = store.openLog("s");
    store.append(log, messageOf("t", "kept"));
    store.put("meta", bytesOf("k"), bytesOf("kept"));
    await store.drain();
    store.append(log, messageOf("t", "lost"));
    store.put("meta", bytesOf("k"), bytesOf("lost"));
    await store.close();
    const again = place.open();
    assert.deepEqual(payloads(again, log), ["kept"]);
    assert.deepEqual(again.get("meta", bytesOf("k")), bytesOf("kept"));
    await again.close();
  },

  "commits follow each other in order while more is staged": async (place) => {
    const store = place.open();
    const listener = new Listener();
    store.listen(listener);
    const log = store.openLog("s");
    for (let i = 0; i < 50; i++) {
      store.append(log, messageOf("t", `${i}`));
      if (i % 5 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await store.drain();
    assert.deepEqual(
      listener.flushed,
      Array.from({ length: listener.flushed.length }, (_, i) => i + 1),
    );
    assert.equal(payloads(store, log).length, 50);
    await store.drain();
    await store.close();
    assert.throws(() => store.append(log, messageOf("t", "late")), /closed/);
  },
};
