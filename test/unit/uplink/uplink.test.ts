import assert from "node:assert/strict";
import { test } from "node:test";
import type { Instant } from "../../../src/lib/clock.ts";
import { encodeProgress, Progress, progressKey } from "../../../src/uplink/progress.ts";
import { UplinkBench } from "../../support/uplink-bench.ts";

const upTo = (last: number): number[] => Array.from({ length: last }, (_, i) => i + 1);

test("records reach the remote in order, once, and the log may be trimmed behind them", () => {
  const bench = new UplinkBench();
  bench.append(1_000);
  bench.uplink.start();
  bench.timer.run(2_000);
  assert.deepEqual(bench.storedSequences(), upTo(1_000));
  assert.equal(bench.uplink.doneBefore(bench.log()), 1_001);
  const status = bench.uplink.status();
  assert.equal(status.state, "streaming");
  assert.equal(status.lanes[0]?.lagMessages, 0);
  assert.equal(status.guarantee.kind, "exactly-once");
});

test("a record that arrives later is sent when it is flushed, not before", () => {
  const bench = new UplinkBench();
  bench.uplink.start();
  bench.timer.run(100);
  bench.append(1);
  assert.equal(bench.remote.arrivals.length, 0);
  bench.timer.run(100);
  assert.equal(bench.remote.arrivals.length, 1);
});

test("nothing advances without an acknowledgement, and nothing is sent twice on a live connection", () => {
  const bench = new UplinkBench({ limits: { progressDeadlineMinMs: 60_000 } });
  bench.remote.fate = () => ({});
  bench.append(10);
  bench.uplink.start();
  bench.timer.run(50_000);
  assert.equal(bench.remote.arrivals.length, 10);
  assert.equal(bench.uplink.doneBefore(bench.log()), 1);
  assert.equal(bench.uplink.status().lanes[0]?.lagMessages, 10);
});

test("the progress deadline destroys a silent connection and the reconcile finds what was stored", () => {
  const bench = new UplinkBench();
  bench.append(10);
  bench.remote.fate = ({ sequence }) => (sequence <= 4 ? { ackAfterMs: 1 } : {});
  bench.uplink.start();
  bench.timer.run(4_900);
  assert.equal(bench.remote.links, 1);
  bench.timer.run(20_000);
  assert.equal(bench.remote.links, 2);
  assert.deepEqual(bench.storedSequences(), upTo(10));
  const lane = bench.uplink.status().lanes[0];
  assert.equal(lane?.reconciledFound, 6);
  assert.equal(lane?.resent, 0);
  assert.equal(bench.uplink.doneBefore(bench.log()), 11);
});

test("lost records are sent again after a cut, and only those", () => {
  const bench = new UplinkBench();
  bench.append(20);
  bench.remote.fate = ({ sequence }) =>
    sequence % 3 === 0 ? { isStored: false } : { ackAfterMs: 1 };
  bench.uplink.start();
  bench.timer.run(1_000);
  bench.remote.fate = () => ({ ackAfterMs: 1 });
  bench.remote.cut();
  bench.timer.run(10_000);
  assert.deepEqual(
    bench.storedSequences().toSorted((a, b) => a - b),
    upTo(20),
  );
  assert.equal(bench.uplink.status().lanes[0]?.resent, 6);
});

test("acknowledgements may come late, twice and out of order", () => {
  const bench = new UplinkBench();
  bench.append(200);
  bench.remote.fate = ({ sequence }) => ({
    ackAfterMs: 1 + ((sequence * 7_919) % 97),
    ackAgainAfterMs: 120,
  });
  bench.uplink.start();
  bench.timer.run(20_000);
  assert.deepEqual(bench.storedSequences(), upTo(200));
  assert.equal(bench.uplink.status().lanes[0]?.acknowledged, 200);
  assert.equal(bench.uplink.doneBefore(bench.log()), 201);
});

test("an acknowledgement for what was never sent moves nothing", () => {
  const bench = new UplinkBench();
  bench.append(5);
  bench.uplink.start();
  bench.timer.run(1_000);
  bench.remote.events?.onAcknowledged(0, 77, 77);
  bench.append(100);
  bench.timer.run(1_000);
  assert.deepEqual(bench.storedSequences(), upTo(105));
});

test("a kill loses at most the unpersisted progress, which the remote has already", () => {
  const bench = new UplinkBench();
  bench.uplink.start();
  for (let round = 0; round < 20; round++) {
    bench.append(37);
    bench.timer.run(60 + round * 13);
    bench.restart();
  }
  bench.timer.run(120_000);
  assert.deepEqual(bench.storedSequences(), upTo(740));
  assert.equal(new Set(bench.stored()).size, 740);
});

test("a remote that cannot be asked gets the unacknowledged records again, with the same ids", () => {
  const bench = new UplinkBench();
  bench.remote.remembers = false;
  bench.append(10);
  bench.remote.fate = ({ sequence }) => (sequence <= 5 ? { ackAfterMs: 1 } : {});
  bench.uplink.start();
  bench.timer.run(1_000);
  bench.remote.fate = () => ({ ackAfterMs: 1 });
  bench.remote.cut();
  bench.timer.run(10_000);
  assert.equal(bench.stored().length, 15);
  assert.equal(new Set(bench.stored()).size, 10);
  assert.equal(bench.uplink.status().guarantee.kind, "at-least-once");
});

test("the window of the remote and the bytes in flight are respected", () => {
  const bench = new UplinkBench({ limits: { inflightBytesMax: 2_000 } });
  bench.remote.windowMax = 7;
  bench.remote.fate = () => ({});
  bench.append(100);
  bench.uplink.start();
  bench.timer.run(1_000);
  assert.equal(bench.remote.arrivals.length, 7);
  bench.remote.windowMax = 1_000;
  bench.remote.cut();
  bench.remote.arrivals.length = 0;
  bench.timer.run(3_500);
  assert.ok(bench.remote.arrivals.length > 7, "by bytes now");
  assert.ok(bench.remote.arrivals.length <= 2_000 / 160);
});

test("throttling pauses as asked, keeps the connection and loses nothing", () => {
  const bench = new UplinkBench();
  bench.append(300);
  let throttledUntilMs = 0;
  const inPause: number[] = [];
  bench.remote.fate = ({ atMs, sequence }) => {
    if (atMs < throttledUntilMs) inPause.push(sequence);
    if (sequence === 20 && throttledUntilMs === 0) {
      throttledUntilMs = atMs + 2_000;
      return { refusal: { class: "throttle", reason: "429", retryAfterMs: 2_000 } };
    }
    return { ackAfterMs: 2 };
  };
  bench.uplink.start();
  bench.timer.run(100);
  const inFlightThen = inPause.length;
  bench.timer.run(1_800);
  assert.equal(inPause.length, inFlightThen, "nothing is sent in the pause");
  assert.equal(bench.uplink.status().lanes[0]?.state, "throttled");
  bench.timer.run(10_000);
  assert.deepEqual(
    bench.storedSequences().toSorted((a, b) => a - b),
    upTo(300),
  );
  assert.equal(bench.remote.links, 1);
  assert.equal(bench.uplink.status().lanes[0]?.throttled, 1);
});

test("throttling keeps the strict order when the window is one", () => {
  const bench = new UplinkBench();
  bench.remote.windowMax = 1;
  bench.append(60);
  let refusals = 0;
  bench.remote.fate = ({ sequence }) =>
    sequence % 10 === 0 && refusals++ % 3 < 2
      ? { refusal: { class: "throttle", reason: "0x97", retryAfterMs: 500 } }
      : { ackAfterMs: 2 };
  bench.uplink.start();
  bench.timer.run(30_000);
  assert.deepEqual(bench.storedSequences(), upTo(60));
  assert.equal(bench.uplink.status().lanes[0]?.throttled, 12);
});

test("a driver that cannot dial at all blocks the uplink instead of ending the process", () => {
  const bench = new UplinkBench();
  bench.remote.open = () => {
    throw new Error("unknown protocol");
  };
  bench.uplink.start();
  bench.timer.run(1_000);
  assert.equal(bench.uplink.status().state, "blocked");
  assert.match(bench.uplink.status().blockedReason ?? "", /config: cannot dial.*unknown protocol/);
});

test("refused credentials block the uplink visibly and are tried again slowly", () => {
  const bench = new UplinkBench();
  bench.remote.dial = { class: "auth", reason: "authorization violation" };
  bench.append(1);
  bench.uplink.start();
  bench.timer.run(59_000);
  assert.equal(bench.remote.links, 1);
  assert.equal(bench.uplink.status().state, "blocked");
  assert.equal(bench.uplink.status().blockedReason, "auth: authorization violation");
  bench.remote.dial = undefined;
  bench.timer.run(2_000);
  assert.equal(bench.uplink.status().state, "streaming");
  assert.deepEqual(bench.storedSequences(), [1]);
});

test("an unreachable remote is tried again with growing delays within the limits", () => {
  const bench = new UplinkBench();
  bench.remote.dial = { class: "transport", reason: "refused" };
  bench.uplink.start();
  bench.timer.run(1_800_000);
  assert.ok(bench.remote.links >= 1_800 / 61 && bench.remote.links < 200, `${bench.remote.links}`);
});

test("a dial that never answers is given up", () => {
  const bench = new UplinkBench();
  bench.remote.dial = "silent";
  bench.uplink.start();
  bench.timer.run(9_000);
  assert.equal(bench.uplink.status().state, "connecting");
  bench.remote.dial = undefined;
  bench.timer.run(10_000);
  assert.equal(bench.uplink.status().state, "streaming");
});

test("a refused record blocks its lane with the reason while the others go on", () => {
  const bench = new UplinkBench({
    lanes: [
      { stream: "telemetry", class: "normal" },
      { stream: "alarms", class: "alarm" },
    ],
  });
  bench.append(5);
  bench.remote.fate = ({ sequence, lane }) =>
    lane === 0 && sequence === 3
      ? { refusal: { class: "lane", reason: "message too large" } }
      : { ackAfterMs: 1 };
  bench.uplink.start();
  bench.timer.run(1_000);
  bench.append(5, "alarms");
  bench.timer.run(1_000);
  const status = bench.uplink.status();
  assert.equal(status.state, "streaming");
  assert.equal(status.lanes[0]?.state, "blocked");
  assert.match(status.blockedReason ?? "", /telemetry.*record 3 was refused: message too large/);
  assert.deepEqual(bench.storedSequences("alarms"), upTo(5));
  assert.equal(bench.uplink.doneBefore(bench.log()), 3);
  bench.remote.fate = () => ({ ackAfterMs: 1 });
  bench.timer.run(61_000);
  assert.deepEqual(bench.storedSequences().toSorted(), upTo(5));
});

test("a lane that gets no answers is reconciled alone while others on the connection go on", () => {
  const bench = new UplinkBench({
    lanes: [
      { stream: "telemetry", class: "normal" },
      { stream: "other", class: "normal" },
    ],
  });
  bench.uplink.start();
  bench.timer.run(100);
  bench.remote.fate = ({ lane }) => (lane === 0 ? {} : { ackAfterMs: 1 });
  bench.append(3);
  for (let i = 0; i < 100; i++) {
    bench.append(1, "other");
    bench.timer.run(100);
  }
  assert.equal(bench.remote.links, 1);
  assert.equal(bench.uplink.status().lanes[0]?.reconciledFound, 3);
  assert.deepEqual(bench.storedSequences(), upTo(3));
  assert.equal(bench.storedSequences("other").length, 100);
});

test("alarm lanes go first", () => {
  const bench = new UplinkBench({
    lanes: [
      { stream: "telemetry", class: "normal" },
      { stream: "alarms", class: "alarm" },
    ],
  });
  bench.append(500);
  bench.append(10, "alarms");
  bench.uplink.start();
  bench.timer.run(1_000);
  assert.deepEqual(
    bench.remote.arrivals.slice(0, 10).map(({ lane }) => lane),
    Array(10).fill(1),
  );
});

test("records that the filter does not take are done without being sent", () => {
  const bench = new UplinkBench({
    lanes: [{ stream: "telemetry", class: "normal", filters: ["other/#", "more/+"] }],
  });
  bench.append(10_000);
  bench.uplink.start();
  bench.timer.run(5_000);
  assert.equal(bench.remote.arrivals.length, 0);
  assert.equal(bench.uplink.doneBefore(bench.log()), 10_001);
  assert.deepEqual(bench.losses, []);
});

test("expired and trimmed records are accounted as dropped", () => {
  const bench = new UplinkBench();
  bench.append(3);
  bench.append(4, "telemetry", { expiresAt: 10 as Instant });
  bench.append(2);
  bench.timer.run(50);
  bench.uplink.start();
  bench.timer.run(1_000);
  assert.deepEqual(bench.storedSequences(), [1, 2, 3, 8, 9]);
  assert.equal(
    bench.losses.reduce((sum, { count }) => sum + count, 0),
    4,
  );
  assert.ok(bench.losses.every(({ reason }) => reason === "expired"));
  assert.equal(bench.uplink.doneBefore(bench.log()), 10);
});

test("records of the same sequence under another epoch are not taken for ours", () => {
  const bench = new UplinkBench();
  bench.append(3);
  bench.remote.stored.push(
    "edge/ffffffffffffffff/telemetry/1",
    `edge/${bench.store.epoch}/telemetry/2`,
    `edge/${bench.store.epoch}/telemetry/99`,
  );
  bench.uplink.start();
  bench.timer.run(1_000);
  assert.equal(bench.uplink.status().lanes[0]?.reconciledFound, 1);
  assert.ok(bench.events.includes("uplink-remote-ahead"));
  assert.deepEqual(
    bench.remote.arrivals.map(({ sequence }) => sequence),
    [1, 3],
  );
});

test("progress that is ahead of the log blocks the lane instead of skipping records", () => {
  const bench = new UplinkBench();
  const ahead = new Progress();
  ahead.done.add(1, 100);
  bench.store.put("meta", progressKey("centre", "telemetry"), encodeProgress(ahead));
  bench.append(5);
  bench.restart();
  bench.timer.run(5_000);
  const lane = bench.uplink.status().lanes[0];
  assert.equal(lane?.state, "blocked");
  assert.match(lane?.reason ?? "", /ahead of the log/);
  assert.equal(bench.remote.arrivals.length, 0);
});

test("a damaged progress record costs a look at the remote, no record and no duplicate", () => {
  const bench = new UplinkBench();
  bench.append(50);
  bench.uplink.start();
  bench.timer.run(2_000);
  bench.store.put("meta", progressKey("centre", "telemetry"), Uint8Array.of(1, 2, 3));
  bench.store.flush();
  bench.restart();
  bench.append(5);
  bench.timer.run(5_000);
  assert.deepEqual(bench.storedSequences(), upTo(55));
  assert.ok(bench.events.includes("uplink-progress-damaged"));
});

test("stop lets what is in flight settle, persists the progress and sends nothing new", async () => {
  const bench = new UplinkBench();
  bench.remote.fate = () => ({ ackAfterMs: 300 });
  bench.append(20);
  bench.uplink.start();
  bench.timer.run(50);
  const stopped = bench.uplink.stop(5_000);
  bench.append(5);
  let isStopped = false;
  stopped.then(() => {
    isStopped = true;
  }, assert.fail);
  for (let i = 0; i < 100 && !isStopped; i++) {
    bench.timer.run(50);
    await Promise.resolve();
  }
  assert.ok(isStopped);
  assert.equal(bench.remote.arrivals.length, 20);
  assert.equal(bench.uplink.doneBefore(bench.log()), 21);
  assert.equal(bench.uplink.status().state, "paused");
});

test("stop settles although neither remote nor store answers", async () => {
  const bench = new UplinkBench();
  bench.remote.fate = () => ({});
  bench.append(20);
  bench.uplink.start();
  bench.timer.run(50);
  bench.store.fail(new Error("disk on fire"));
  let isStopped = false;
  bench.uplink.stop(1_000).then(() => {
    isStopped = true;
  }, assert.fail);
  for (let i = 0; i < 100 && !isStopped; i++) {
    bench.timer.run(50);
    await Promise.resolve();
  }
  assert.ok(isStopped);
});

test("an hour of outage and a remote that flaps leave nothing lost and nothing twice", () => {
  const bench = new UplinkBench({ seed: 7 });
  bench.uplink.start();
  let published = 0;
  for (let second = 0; second < 600; second++) {
    bench.append(5);
    published += 5;
    const isUp = second % 6 < 3;
    bench.remote.dial = isUp ? undefined : { class: "transport", reason: "down" };
    if (second % 6 === 3) bench.remote.cut();
    bench.remote.fate = ({ sequence }) =>
      sequence % 11 === 0 ? {} : sequence % 13 === 0 ? { isStored: false } : { ackAfterMs: 40 };
    bench.timer.run(1_000);
  }
  bench.remote.dial = undefined;
  bench.remote.fate = () => ({ ackAfterMs: 40 });
  bench.remote.cut();
  bench.timer.run(120_000);
  assert.deepEqual(
    bench.storedSequences().toSorted((a, b) => a - b),
    upTo(published),
  );
});
