import assert from "node:assert/strict";
import { test } from "node:test";
import { TopicTable } from "../../../src/broker/topic.ts";
import type { Failure } from "../../../src/uplink/remote.ts";
import { UplinkBench } from "../../support/uplink-bench.ts";

const topics = new TopicTable();
const POISON: Failure = { class: "poison", reason: "not authorized (0x87)" };
const HANG_UP: Failure = { class: "transport", reason: "the remote closed the connection" };
const upTo = (last: number): number[] => Array.from({ length: last }, (_, i) => i + 1);
const sorted = (values: readonly number[]): number[] => values.toSorted((a, b) => a - b);
const without = (last: number, ...gone: number[]): number[] =>
  upTo(last).filter((sequence) => !gone.includes(sequence));

/** A remote that ends the connection whenever one of these sequences reaches it. */
function hangUpOn(bench: UplinkBench, killers: ReadonlySet<number>): void {
  bench.remote.fate = ({ sequence }) => {
    if (killers.has(sequence)) {
      bench.timer.schedule(1, () => bench.remote.cut(HANG_UP));
      return { isStored: false };
    }
    return { ackAfterMs: 20 };
  };
}

test("a record refused for good becomes a dead letter with its reason and id, and its lane goes on", () => {
  const bench = new UplinkBench();
  bench.append(10);
  bench.remote.fate = ({ sequence }) => (sequence === 4 ? { refusal: POISON } : { ackAfterMs: 2 });
  bench.uplink.start();
  bench.timer.run(2_000);
  assert.deepEqual(bench.storedSequences(), without(10, 4));
  assert.equal(bench.uplink.doneBefore(bench.log()), 11, "the log may be trimmed behind it");
  const [letter] = bench.uplink.letters.list(1, 10);
  assert.equal(letter?.origin.reason, "not authorized (0x87)");
  assert.equal(letter?.origin.recordId, `edge/${bench.store.epoch}/telemetry/4`);
  assert.equal(letter?.origin.sequence, 4);
  const { bytes, payloadStart, payloadEnd } = letter?.message ?? assert.fail();
  assert.equal(Buffer.from(bytes).toString("utf8", payloadStart, payloadEnd), "payload 3");
  assert.equal(letter?.message.properties, undefined, "its own properties, which are none");
  assert.equal(bench.uplink.status().lanes[0]?.deadLetters, 1);
  assert.equal(bench.remote.links, 1, "on the same connection");
});

test("dead letters are on disk together with the progress that passes over them, wherever the edge is killed", () => {
  for (let killAtMs = 1; killAtMs < 60; killAtMs += 2) {
    const bench = new UplinkBench({ limits: { persistEveryMs: 10 } });
    bench.append(12);
    bench.remote.fate = ({ sequence }) =>
      sequence % 4 === 0 ? { refusal: POISON } : { ackAfterMs: 3 };
    bench.uplink.start();
    bench.timer.run(killAtMs);
    bench.restart();
    bench.timer.run(5_000);
    const ids = bench.uplink.letters.list(1, 100).map(({ origin }) => origin.sequence);
    assert.deepEqual(ids, [4, 8, 12], `killed at ${killAtMs} ms`);
    assert.deepEqual(sorted(bench.storedSequences()), without(12, 4, 8, 12));
  }
});

test("what becomes a dead letter, expires or is dropped is in the ledger, also after a restart", () => {
  const bench = new UplinkBench();
  bench.append(3);
  bench.append(2, "telemetry", { expiresAt: 1 as never });
  bench.append(1);
  bench.timer.run(10);
  bench.remote.fate = ({ sequence }) => (sequence === 2 ? { refusal: POISON } : { ackAfterMs: 1 });
  bench.uplink.start();
  bench.timer.run(2_000);
  bench.restart();
  const losses = bench.uplink.losses(1, 100);
  assert.deepEqual(
    losses
      .map(({ from, to, count, reason, uplink, stream }) => [
        uplink,
        stream,
        from,
        to,
        count,
        reason,
      ])
      .toSorted(),
    [
      ["centre", "telemetry", 2, 2, 1, "poisoned"],
      ["centre", "telemetry", 4, 5, 2, "expired"],
    ],
  );
  const known = new Set([...bench.storedSequences(), 2, 4, 5]);
  assert.deepEqual(sorted([...known]), upTo(6), "complete, except the ledger");
});

test("a lane whose records are all refused is blocked instead of being emptied into the dead letters", () => {
  const bench = new UplinkBench();
  for (let device = 0; device < 100; device++) {
    bench.append(2, "telemetry", { topic: topics.of(`sim/d${device}`) });
  }
  bench.remote.fate = () => ({ refusal: POISON });
  bench.uplink.start();
  bench.timer.run(30_000);
  const lane = bench.uplink.status().lanes[0];
  assert.equal(lane?.state, "blocked");
  assert.match(lane?.reason ?? "", /8 topics in a row were refused.*0x87/);
  const letters = bench.uplink.letters.count;
  assert.ok(letters <= 16, `${letters}`);
  bench.timer.run(600_000);
  assert.equal(bench.uplink.letters.count, letters, "no more while it lasts");
  bench.remote.fate = () => ({ ackAfterMs: 1 });
  bench.timer.run(70_000);
  assert.equal(bench.storedSequences().length, 200 - letters);
  assert.equal(bench.uplink.retryLetters(1, 1_000).started, letters);
  bench.timer.run(2_000);
  assert.equal(new Set(bench.stored()).size, 200, "all of them, with their own ids");
  assert.equal(bench.uplink.letters.count, 0);
});

test("one chatty topic that is refused does not block its lane while others are taken", () => {
  const bench = new UplinkBench();
  for (let round = 0; round < 50; round++) {
    bench.append(10, "telemetry", { topic: topics.of("sim/forbidden") });
    bench.append(1, "telemetry", { topic: topics.of("sim/fine") });
  }
  bench.remote.fate = ({ sequence }) =>
    sequence % 11 === 0 ? { ackAfterMs: 2 } : { refusal: POISON };
  bench.uplink.start();
  bench.timer.run(60_000);
  assert.equal(bench.storedSequences().length, 50);
  assert.equal(bench.uplink.letters.count, 500);
  const lines = bench.events.filter((event) => event === "uplink-dead-letter").length;
  assert.ok(lines <= 2, `${lines} lines for 500 letters`);
});

test("a letter that is sent again and refused again stays, and one that is removed is gone for good", () => {
  const bench = new UplinkBench();
  bench.append(6);
  const refused = new Set([2, 3]);
  bench.remote.fate = ({ sequence }) =>
    refused.has(sequence) ? { refusal: POISON } : { ackAfterMs: 1 };
  bench.uplink.start();
  bench.timer.run(1_000);
  refused.delete(2);
  assert.equal(bench.uplink.retryLetters(1, 2).started, 2);
  bench.timer.run(1_000);
  assert.deepEqual(
    bench.uplink.letters.list(1, 10).map(({ number, origin }) => [number, origin.sequence]),
    [[2, 3]],
  );
  assert.ok(bench.events.includes("uplink-dead-letter-refused"));
  assert.ok(bench.events.includes("uplink-dead-letter-delivered"));
  assert.deepEqual(sorted(bench.storedSequences()), without(6, 3));
  assert.equal(bench.uplink.removeLetters(2), 1);
  bench.timer.run(100);
  bench.restart();
  bench.timer.run(1_000);
  assert.equal(bench.uplink.letters.count, 0);
  assert.equal(bench.uplink.letters.get(2), undefined);
});

test("the oldest dead letters go when there are too many bytes, and the ledger says which", () => {
  const bench = new UplinkBench({ limits: { deadLetterBytesMax: 100_000 } });
  const bytes = Buffer.alloc(5_000, 1);
  bench.remote.fate = ({ sequence }) =>
    sequence % 2 === 0 ? { refusal: POISON } : { ackAfterMs: 1 };
  bench.uplink.start();
  for (let round = 0; round < 40; round++) {
    bench.append(4, "telemetry", { bytes, payloadStart: 0, payloadEnd: bytes.length });
    bench.timer.run(100);
  }
  bench.timer.run(1_000);
  const { count } = bench.uplink.letters;
  assert.ok(bench.uplink.letters.bytes < 200_000, `${bench.uplink.letters.bytes}`);
  assert.ok(count > 0 && count < 80, `${count}`);
  const dropped = bench.uplink
    .losses(1, 1_000)
    .filter(({ reason }) => reason === "dead-letters-full")
    .reduce((sum, loss) => sum + loss.count, 0);
  assert.equal(dropped + count, 80);
});

test("a record that makes the remote hang up is found alone and put aside, the others arrive", () => {
  const bench = new UplinkBench();
  bench.append(100);
  hangUpOn(bench, new Set([37]));
  bench.uplink.start();
  bench.timer.run(600_000);
  assert.deepEqual(sorted(bench.storedSequences()), without(100, 37));
  const letters = bench.uplink.letters.list(1, 10);
  assert.deepEqual(
    letters.map(({ origin }) => origin.sequence),
    [37],
  );
  assert.match(letters[0]?.origin.reason ?? "", /hangs up on it: the remote closed/);
  assert.equal(bench.uplink.status().isProbing, false, "the window opens again");
  assert.ok(bench.remote.links < 15, `${bench.remote.links} connections`);
});

test("a record that hangs up and is the only one left is put aside, too", () => {
  const bench = new UplinkBench();
  bench.append(3);
  hangUpOn(bench, new Set([3]));
  bench.uplink.start();
  bench.timer.run(900_000);
  assert.deepEqual(bench.storedSequences(), [1, 2]);
  assert.equal(bench.uplink.letters.count, 1);
  bench.append(5);
  bench.timer.run(60_000);
  assert.deepEqual(sorted(bench.storedSequences()), without(8, 3));
});

test("several records that hang up, on two lanes, are put aside one after the other", () => {
  const bench = new UplinkBench({
    lanes: [
      { stream: "telemetry", class: "normal" },
      { stream: "alarms", class: "alarm" },
    ],
  });
  bench.append(40);
  bench.append(20, "alarms");
  bench.remote.fate = ({ sequence, lane }) => {
    const kills = lane === 0 ? sequence === 5 || sequence === 6 : sequence === 11;
    if (!kills) return { ackAfterMs: 15 };
    bench.timer.schedule(1, () => bench.remote.cut(HANG_UP));
    return { isStored: false };
  };
  bench.uplink.start();
  bench.timer.run(1_800_000);
  assert.deepEqual(sorted(bench.storedSequences()), without(40, 5, 6));
  assert.deepEqual(sorted(bench.storedSequences("alarms")), without(20, 11));
  assert.equal(bench.uplink.letters.count, 3);
});

test("a link that ends every few seconds makes no dead letters, even when nothing is ever acknowledged on it", () => {
  const bench = new UplinkBench({ seed: 3 });
  bench.append(50);
  bench.uplink.start();
  bench.remote.fate = () => ({ isStored: false });
  for (let round = 0; round < 300; round++) {
    bench.timer.run(3_000);
    bench.remote.cut();
  }
  assert.equal(bench.uplink.letters.count, 0);
  bench.remote.fate = () => ({ ackAfterMs: 5 });
  bench.timer.run(120_000);
  assert.deepEqual(sorted(bench.storedSequences()), upTo(50));
});

test("a reason that is about a record starts the search at once", () => {
  const bench = new UplinkBench();
  bench.append(30);
  bench.remote.fate = ({ sequence }) => {
    if (sequence !== 9) return { ackAfterMs: 20 };
    const failure: Failure = { ...HANG_UP, isAboutRecord: true };
    bench.timer.schedule(1, () => bench.remote.cut(failure));
    return { isStored: false };
  };
  bench.uplink.start();
  bench.timer.run(120);
  bench.timer.run(10_000);
  assert.equal(bench.uplink.status().isProbing || bench.uplink.letters.count === 1, true);
  bench.timer.run(300_000);
  assert.deepEqual(sorted(bench.storedSequences()), without(30, 9));
});

test("a dead letter that makes the remote hang up when it is sent again stays one", () => {
  const bench = new UplinkBench();
  bench.append(20);
  hangUpOn(bench, new Set([7]));
  bench.uplink.start();
  bench.timer.run(600_000);
  assert.equal(bench.uplink.letters.count, 1);
  bench.uplink.retryLetters(1, 1);
  bench.append(5);
  bench.timer.run(120_000);
  assert.equal(bench.uplink.letters.count, 1);
  assert.deepEqual(sorted(bench.storedSequences()), without(25, 7));
  assert.equal(bench.uplink.status().state, "streaming");
});
