import assert from "node:assert/strict";
import { test } from "node:test";
import type { Ordinal, Sequence } from "../../../src/broker/store.ts";
import { TopicTable } from "../../../src/broker/topic.ts";
import { UplinkBench } from "../../support/uplink-bench.ts";

const topics = new TopicTable();
const upTo = (last: number): number[] => Array.from({ length: last }, (_, i) => i + 1);
const sorted = (values: readonly number[]): number[] => values.toSorted((a, b) => a - b);
const NEVER_BEFORE = Number.MAX_SAFE_INTEGER as Ordinal;

test("two uplinks over one stream have their own progress, and one that is dead for days does not stop the other", () => {
  const bench = new UplinkBench();
  bench.remote.dial = { class: "transport", reason: "ECONNREFUSED" };
  bench.uplink.start();
  const other = bench.addUplink("second");
  for (let hour = 0; hour < 72; hour++) {
    bench.append(10);
    bench.timer.run(3_600_000);
  }
  assert.equal(other.remote.stored.filter((id) => id.startsWith("edge/")).length, 720);
  assert.equal(other.uplink.doneBefore(bench.log()), 721);
  assert.equal(bench.uplink.doneBefore(bench.log()), 1, "the slower one holds the stream");
  const lines = bench.events.filter((event) => event === "uplink-disconnected").length;
  assert.equal(lines, 1, "three days away are one line");
  bench.remote.dial = undefined;
  bench.timer.run(120_000);
  assert.deepEqual(bench.storedSequences(), upTo(720));
  assert.equal(other.uplink.status().lanes[0]?.resent, 0);
});

test("what an uplink missed because the stream did not wait for it is in its ledger, the rest arrives", () => {
  const bench = new UplinkBench();
  const bytes = Buffer.alloc(4_000, 1);
  const lazy = bench.addUplink("lazy", { pin: false });
  assert.equal(lazy.uplink.isPinned, false);
  lazy.remote.dial = { class: "transport", reason: "down" };
  lazy.remote.cut();
  bench.uplink.start();
  bench.append(200, "telemetry", { bytes, payloadStart: 0, payloadEnd: bytes.length });
  bench.timer.run(2_000);
  bench.store.trim(bench.log(), bench.uplink.doneBefore(bench.log()), NEVER_BEFORE);
  bench.append(5);
  bench.timer.run(100);
  const { firstSequence } = bench.store.stats(bench.log());
  assert.ok(firstSequence > 100, `${firstSequence}`);
  lazy.remote.dial = undefined;
  bench.timer.run(120_000);
  const arrived = lazy.remote.stored
    .filter((id) => id.startsWith("edge/"))
    .map((id) => Number(id.split("/").at(-1)));
  assert.deepEqual(sorted(arrived), upTo(205).slice(firstSequence - 1));
  assert.deepEqual(
    lazy.uplink.losses(1, 10).map(({ from, to, reason }) => [from, to, reason]),
    [[1, firstSequence - 1, "trimmed"]],
  );
  assert.deepEqual(bench.uplink.losses(1, 10), []);
  assert.equal(lazy.uplink.doneBefore(bench.log()) as Sequence, 206);
});

test("lanes of one stream with different filters keep their own progress and send what is theirs", () => {
  const bench = new UplinkBench({
    lanes: [
      { name: "hot", stream: "telemetry", class: "alarm", filters: ["sim/+/alarm"] },
      { name: "cold", stream: "telemetry", class: "normal", filters: ["sim/+/temp", "sim/x"] },
    ],
  });
  for (let i = 0; i < 30; i++) {
    const level = i % 3 === 0 ? "alarm" : i % 3 === 1 ? "temp" : "noise";
    bench.append(1, "telemetry", { topic: topics.of(`sim/d${i}/${level}`) });
  }
  bench.uplink.start();
  bench.timer.run(500);
  bench.restart();
  bench.timer.run(2_000);
  const byLane = (lane: number): number[] =>
    bench.remote.arrivals.filter((one) => one.lane === lane).map(({ sequence }) => sequence);
  assert.deepEqual(
    byLane(0),
    upTo(30).filter((sequence) => sequence % 3 === 1),
  );
  assert.deepEqual(
    byLane(1),
    upTo(30).filter((sequence) => sequence % 3 === 2),
  );
  assert.equal(bench.uplink.doneBefore(bench.log()), 31);
  assert.deepEqual(bench.uplink.losses(1, 10), [], "what is filtered is not lost");
});

test("a pause lets what is in flight settle, holds over a restart, and ends with a resume", () => {
  const bench = new UplinkBench();
  bench.remote.fate = () => ({ ackAfterMs: 200 });
  bench.uplink.start();
  bench.append(10);
  bench.timer.run(50);
  bench.uplink.pause();
  assert.equal(bench.uplink.status().state, "draining");
  bench.timer.run(2_000);
  assert.equal(bench.uplink.status().state, "paused");
  assert.equal(bench.uplink.status().blockedReason, "paused by an operator");
  assert.equal(bench.uplink.doneBefore(bench.log()), 11, "its progress is on disk");
  assert.equal(bench.remote.events, undefined, "and the connection is closed");
  bench.append(5);
  bench.restart();
  bench.timer.run(600_000);
  assert.equal(bench.uplink.status().state, "paused");
  assert.equal(bench.remote.arrivals.length, 10);
  assert.equal(bench.remote.links, 1);
  bench.uplink.resume();
  bench.timer.run(5_000);
  assert.deepEqual(bench.storedSequences(), upTo(15));
  bench.restart();
  bench.timer.run(1_000);
  assert.equal(bench.uplink.status().state, "streaming");
});

test("a pause while the remote is away, and a resume before the pause is over", () => {
  const bench = new UplinkBench();
  bench.remote.dial = { class: "transport", reason: "down" };
  bench.uplink.start();
  bench.timer.run(100);
  bench.uplink.pause();
  assert.equal(bench.uplink.status().state, "paused");
  const { links } = bench.remote;
  bench.timer.run(300_000);
  assert.equal(bench.remote.links, links, "it does not even dial");
  bench.remote.dial = undefined;
  bench.remote.fate = () => ({});
  bench.append(3);
  bench.uplink.resume();
  bench.timer.run(100);
  bench.uplink.pause();
  bench.uplink.resume();
  bench.remote.fate = () => ({ ackAfterMs: 1 });
  bench.timer.run(120_000);
  assert.deepEqual(bench.storedSequences(), upTo(3));
});

test("changed credentials wake an uplink that is blocked, unchanged ones do not", () => {
  const bench = new UplinkBench({ limits: { slowRetryMs: 3_600_000 } });
  let mark = "old";
  Object.assign(bench.remote, { credentialsMark: () => mark });
  bench.remote.dial = { class: "auth", reason: "not authorized" };
  bench.append(3);
  bench.uplink.start();
  bench.timer.run(60_000);
  assert.equal(bench.remote.links, 1);
  assert.equal(bench.uplink.status().state, "blocked");
  mark = "new";
  bench.timer.run(2_100);
  assert.equal(bench.remote.links, 2, "tried with the new ones, refused again");
  bench.timer.run(60_000);
  assert.equal(bench.remote.links, 2);
  assert.equal(bench.events.filter((event) => event === "uplink-disconnected").length, 1);
  mark = "newer";
  bench.remote.dial = undefined;
  bench.timer.run(3_000);
  assert.deepEqual(bench.storedSequences(), upTo(3));
});

test("a lane that stays blocked is one line of the log, and a new cause is another", () => {
  const bench = new UplinkBench();
  let reason = "no stream takes the subjects";
  bench.remote.reconcileFate = () => ({ class: "lane", reason });
  bench.append(1);
  bench.uplink.start();
  bench.timer.run(3_600_000);
  const stalls = (): number =>
    bench.events.filter((event) => event === "uplink-lane-stalled").length;
  assert.equal(stalls(), 1);
  reason = "maximum bytes exceeded";
  bench.timer.run(3_600_000);
  assert.equal(stalls(), 2);
});

test("a disk without room keeps a poisoned record in its stream until there is some", () => {
  const bench = new UplinkBench();
  bench.append(5);
  let refusal: "disk-full" | undefined = "disk-full";
  Object.assign(bench.store, { refusal: () => refusal });
  bench.remote.fate = ({ sequence }) =>
    sequence === 2 ? { refusal: { class: "poison", reason: "0x99" } } : { ackAfterMs: 1 };
  bench.uplink.start();
  bench.timer.run(30_000);
  const lane = bench.uplink.status().lanes[0];
  assert.equal(lane?.state, "blocked");
  assert.match(lane?.reason ?? "", /no room for a dead letter/);
  assert.equal(bench.uplink.doneBefore(bench.log()), 2);
  refusal = undefined;
  bench.timer.run(120_000);
  assert.equal(bench.uplink.letters.count, 1);
  assert.equal(bench.uplink.doneBefore(bench.log()), 6);
});
