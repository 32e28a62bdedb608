import assert from "node:assert/strict";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { Peer } from "../../../bench/peers/peer.ts";
import { reference } from "../../../bench/peers/reference.ts";
import { runScenario } from "../../../bench/run.ts";
import type { Scenario } from "../../../bench/scenario.ts";
import { faultsOf, runSmoke } from "../../../bench/smoke.ts";

const TIMING = { warmupMs: 20, windowMs: 50 };
const FLOOD: Scenario = {
  name: "flood",
  title: "a small flood",
  publishers: 3,
  load: { kind: "flood", packetsPerWrite: 2 },
  payloadBytes: 64,
  topicFilter: "bench/in/+",
  isDurable: false,
};
const WINDOWS: Scenario = { ...FLOOD, load: { kind: "window", window: 5 }, isDurable: true };

let folder = "";
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "bench-run-test-"));
});
after(() => rm(folder, { recursive: true }));

test("through a forwarder every message of a flood is received and counted", async () => {
  const result = await runScenario(reference, FLOOD, TIMING, folder);
  assert.deepEqual(result.faults, []);
  assert.ok(result.messagesPerSecond > 0);
  assert.ok(result.sent > 0 && result.sent % 2 === 0, "whole writes of two packets");
  assert.equal(result.received, result.sent);
  assert.equal(result.dropped, 0);
  assert.deepEqual(await readdir(folder), [], "the broker's folder is removed");
});

test("through a forwarder every message of a window is acknowledged and received", async () => {
  const result = await runScenario(reference, WINDOWS, TIMING, folder);
  assert.deepEqual(result.faults, []);
  assert.ok(result.sent > 3 * 5, "windows went on after their first filling");
  assert.equal(result.acknowledged, result.sent);
  assert.equal(result.received, result.sent);
  assert.equal(result.acknowledgedNotDelivered, 0);
});

test("a broker that does not start is a fault and the others are measured all the same", async () => {
  const broken: Peer = {
    name: "broken",
    probe: reference.probe,
    start: () => Promise.reject(new Error("no such broker")),
  };
  const missing: Peer = {
    name: "missing",
    probe: () => Promise.resolve({ isPresent: false, reason: "not installed" }),
    start: reference.start,
  };
  const report = await runSmoke({
    rounds: 1,
    seconds: 0.05,
    scenarios: [FLOOD],
    peers: [missing, broken, reference],
    dataFolder: folder,
    onProgress: () => {},
  });
  assert.deepEqual(faultsOf(report), ["flood, broken: round 1: no such broker"]);
  const measured = report.scenarios[0]?.measured ?? [];
  assert.deepEqual(
    measured.map(({ peer, runs }) => [peer, runs.length]),
    [
      ["broken", 0],
      ["reference", 1],
    ],
  );
});
