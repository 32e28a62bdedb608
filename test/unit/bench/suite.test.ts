import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { forwarder } from "../../../bench/peers/forwarder.ts";
import type { Peer } from "../../../bench/peers/peer.ts";
import { reportOn, writeSuite } from "../../../bench/suite/commands.ts";
import { hottestFunctions } from "../../../bench/suite/cpu-profile.ts";
import { idleScenario } from "../../../bench/suite/open-files.ts";
import { runSuite, type SuiteReport, suiteFaults } from "../../../bench/suite/suite.ts";
import { costGrowth, suiteRatios } from "../../../bench/suite/suite-figures.ts";
import { countsOf, type SuiteResult } from "../../../bench/suite/suite-run.ts";
import { SUITE_SCENARIOS, type SuiteScenario } from "../../../bench/suite/suite-scenario.ts";
import { targetOutcomes, targetRows } from "../../../bench/suite/suite-targets.ts";
import { suiteText } from "../../../bench/suite/suite-text.ts";
import { requireProgram } from "../../support/requirements.ts";

let folder = "";
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "bench-suite-test-"));
});
after(() => rm(folder, { recursive: true }));

function scenarioOf(name: string): SuiteScenario {
  const found = SUITE_SCENARIOS.find((scenario) => scenario.name === name);
  assert.ok(found !== undefined, name);
  return found;
}

const only = (scenarios: readonly SuiteScenario[], peers: readonly Peer[]) =>
  runSuite({
    rounds: 1,
    seconds: 0.1,
    minutesMax: 5,
    scenarios,
    peers,
    dataFolder: folder,
    onProgress: () => {},
  });

test("scenarios have names of their own and at least one peer", () => {
  const names = SUITE_SCENARIOS.map(({ name }) => name);
  assert.equal(new Set(names).size, names.length);
  for (const { name, peers } of SUITE_SCENARIOS) {
    assert.ok(peers.length > 0 && peers[0] === "rillmq", name);
  }
});

test("through the forwarder every message arrives, one at a time, batched, acknowledged and timed", async (t) => {
  if (requireProgram(t, "gcc") === undefined) return;
  const names = ["fan-in", "fan-out", "pairs", "fan-out-batched", "qos1-nothing", "latency-qos0"];
  const report = await only(names.map(scenarioOf), [forwarder]);
  assert.deepEqual(suiteFaults(report), []);
  for (const { scenario, entries } of report.sections) {
    const run = entries[0]?.runs[0];
    assert.ok((run?.perSecond ?? 0) > 0, scenario.name);
    if (scenario.copies > 0) assert.equal(run?.dropped, 0, scenario.name);
  }
  const latency = report.sections.at(-1)?.entries[0]?.runs[0];
  assert.ok((latency?.p50Us ?? 0) > 0 && (latency?.p999Us ?? 0) >= (latency?.p50Us ?? 0));
  assert.deepEqual(await readdir(folder), [], "nothing is left behind");
  const { lines } = writeSuite(report, join(folder, "results"));
  assert.ok(lines[0]?.includes(".json"));
  const [json] = (await readdir(join(folder, "results"))).filter((file) => file.endsWith(".json"));
  reportOn(join(folder, "results", json ?? ""), folder);
  const doc = await readFile(join(folder, "performance.md"), "utf8");
  assert.match(doc, /## QoS 0, one at a time/);
  for (const [, chart] of doc.matchAll(/\]\((performance\/[^)]+)\)/g)) {
    assert.match(await readFile(join(folder, chart ?? ""), "utf8"), /^<svg [\s\S]*<\/svg>\n$/);
  }
});

test("a peer that cannot do a scenario is named with the reason and is no fault", async (t) => {
  if (requireProgram(t, "gcc") === undefined) return;
  const secure = { ...scenarioOf("tls"), peers: ["forwarder"] as const };
  const report = await only([secure], [forwarder]);
  assert.deepEqual(suiteFaults(report), []);
  assert.match(suiteText(report), /forwarder: speaks only plain TCP/);
});

test("what was acknowledged and did not reach every subscriber is counted", () => {
  const done = { received: 25, redelivered: 5, unexpected: 0, sent: 12, acknowledged: 11 };
  const shape = { measure: {}, copies: 2, qos: 1 } as const;
  const counts = countsOf(shape, 10, { ...done, isDrained: true });
  assert.deepEqual(counts, { dropped: 4, acknowledgedNotDelivered: 2, faults: [] });
  const late = countsOf(shape, 10, { ...done, isDrained: false });
  assert.equal(late.acknowledgedNotDelivered, undefined);
  assert.equal(countsOf(shape, 0, { ...done, received: 99, isDrained: true }).faults.length, 2);
});

test("a crowd beyond the open files that are allowed is made smaller, and that is said", () => {
  const notes: string[] = [];
  const note = (text: string): number => notes.push(text);
  assert.equal(idleScenario(scenarioOf("idle"), 20_000, note).measure["pubs"], 10_000);
  assert.deepEqual(notes, []);
  assert.equal(idleScenario(scenarioOf("idle"), 1_200, note).measure["pubs"], 1_000);
  const pairs = idleScenario(scenarioOf("connections-10000"), 2_200, note).measure;
  assert.deepEqual([pairs["pubs"], pairs["topics"], pairs["credit"]], [1_000, 1_000, 5]);
  assert.equal(notes.length, 2);
});

function reportWith(
  costs: Readonly<Record<string, Readonly<Record<string, number>>>>,
): SuiteReport {
  const sections = Object.entries(costs).map(([name, peers]) => ({
    scenario: scenarioOf(name),
    entries: Object.entries(peers).map(([peer, brokerUs]) => {
      const run = { perSecond: 1_000 / brokerUs, brokerUs, faults: [] } as unknown as SuiteResult;
      return { peer, runs: [run], failures: [] };
    }),
  }));
  return { sections } as unknown as SuiteReport;
}

test("ratios and growth compare medians", () => {
  const report = reportWith({
    "connections-10": { rillmq: 4, mosquitto: 8 },
    "connections-10000": { rillmq: 6, mosquitto: 8 },
  });
  const [first] = report.sections;
  assert.ok(first !== undefined);
  const [ratio] = suiteRatios(first);
  assert.deepEqual([ratio?.peer, ratio?.rate, ratio?.brokerUs], ["mosquitto", 2, 0.5]);
  assert.deepEqual(costGrowth(report, "connections-10", "connections-10000"), [
    { peer: "rillmq", growth: 1.5 },
    { peer: "mosquitto", growth: 1 },
  ]);
});

test("a target is met or missed by the median of what rounds had, each in itself", () => {
  const entry = (peer: string, rates: readonly number[]) => ({
    peer,
    runs: rates.map((perSecond) => ({ perSecond }) as SuiteResult),
    failures: [],
  });
  const outcomes = (own: readonly number[], other: readonly number[]) => {
    const entries = [entry("rillmq", own), entry("mosquitto", other)];
    const sections = [{ scenario: scenarioOf("disk-1"), entries }];
    return targetOutcomes({ sections } as unknown as SuiteReport);
  };
  const [met, ...none] = outcomes([100, 600, 50], [20, 100, 100]);
  assert.deepEqual(none, [], "targets of scenarios that were not run are not judged");
  assert.deepEqual([met?.isMet, met?.measured], [true, { median: 5, min: 0.5, max: 6 }]);
  const [missed] = outcomes([100, 100], [20, 25]);
  assert.equal(missed?.isMet, false);
  const [uneven] = outcomes([100, 100, 100], [20, 20]);
  assert.deepEqual(uneven?.measured, { median: 5, min: 5, max: 5 });
  const [unmeasured] = outcomes([100], []);
  assert.deepEqual([unmeasured?.isMet, unmeasured?.measured], [false, undefined]);
});

test("every target names a scenario that there is", () => {
  const sections = SUITE_SCENARIOS.map((scenario) => ({ scenario, entries: [] }));
  const rows = targetRows({ sections } as unknown as SuiteReport);
  assert.equal(rows.length, 26);
  for (const row of rows) assert.equal(row.at(-1), "not measured");
});

test("a profile's hottest functions are those of the window, without sleep", () => {
  const frame = (functionName: string) => ({ functionName, url: "file:///r/a.js", lineNumber: 6 });
  const profile = {
    nodes: [
      { id: 1, callFrame: frame("publish") },
      { id: 2, callFrame: frame("(idle)") },
      { id: 3, callFrame: frame("start") },
      { id: 4, callFrame: frame("match") },
    ],
    startTime: 1_000_000,
    samples: [3, 1, 2, 4, 1],
    timeDeltas: [500, 1_500, 3_000, 1_000, 2_000],
  };
  const hot = hottestFunctions(profile, 5, "/r", [1_001, 2_000]);
  assert.deepEqual(
    hot.map(({ name, selfUs }) => [name, selfUs]),
    [
      ["publish", 3_500],
      ["match", 1_000],
    ],
  );
  assert.equal(hot[0]?.place, "a.js:7");
  assert.equal(hottestFunctions(profile, 1, "/r").length, 1);
});
