import assert from "node:assert/strict";
import { after, before, type TestContext, test } from "node:test";
import { describeDifference } from "../differential/compare.ts";
import { describeUnknown, runDifferential } from "../differential/differential-run.ts";
import { judge } from "../differential/judge.ts";
import type { Stage } from "../differential/play.ts";
import type { Script } from "../differential/script.ts";
import { shrink } from "../differential/shrink.ts";
import { startAedes, startMosquitto, startOurs } from "../differential/stages.ts";
import { TRIAGE } from "../differential/triage.ts";
import { requireProgram } from "../support/requirements.ts";

/** Always the same scripts: others belong to `npm run differential`, where somebody looks at what is new. */
const SEED = 1;

const closings: (() => Promise<void>)[] = [];
const stages = new Map<string, Stage>();

before(async () => {
  const cleanup = { after: (close: () => Promise<void>) => closings.push(close) };
  const started = [
    await startOurs(cleanup),
    await startMosquitto(cleanup),
    await startAedes(cleanup),
  ];
  for (const stage of started) if (stage !== undefined) stages.set(stage.name, stage);
});

after(async () => {
  for (const close of closings) await close();
});

/** Ours and the peer; undefined after the test was skipped, because it is not installed. */
function against(t: TestContext, peer: string): readonly [Stage, Stage] | undefined {
  if (peer === "mosquitto" && requireProgram(t, peer) === undefined) return undefined;
  const [ours, other] = [stages.get("rillmq"), stages.get(peer)];
  assert.ok(ours !== undefined && other !== undefined);
  return [ours, other];
}

test("Random scripts are seen alike by clients of this broker, mosquitto and aedes, but for what is triaged.", async (t) => {
  const [ours, mosquitto] = against(t, "mosquitto") ?? [];
  const aedes = stages.get("aedes");
  if (ours === undefined || mosquitto === undefined || aedes === undefined) return;
  const report = await runDifferential({
    ours,
    peers: [mosquitto, aedes],
    scripts: 20,
    seed: SEED,
    unknownMax: 1,
    onProgress: () => undefined,
  });
  assert.deepEqual(report.unknown.map(describeUnknown), []);
  assert.equal(report.played.get("mosquitto"), 20);
});

for (const rule of TRIAGE.filter(({ isRace }) => isRace !== true)) {
  test(`Still so: ${rule.name} [${rule.clause}].`, async (t) => {
    const [ours, peer] = against(t, rule.peer) ?? [];
    if (ours === undefined || peer === undefined) return;
    const { known, unknown } = await judge(rule.script, ours, peer, 2);
    assert.equal(unknown === undefined ? undefined : describeDifference(unknown), undefined);
    assert.deepEqual(
      known.map(({ name }) => name),
      [rule.name],
    );
  });
}

test("A script shrinks to the steps that matter.", async () => {
  const leave = (client: 0 | 1 | 2): Script["steps"][number] => ({ does: "drop", client });
  const script: Script = { version: 4, steps: [0, 1, 2, 0, 2, 1, 0, 1].map((n) => leave(n as 0)) };
  const smallest = await shrink(script, async ({ steps }) => {
    const clients = steps.map(({ client }) => client);
    return clients.includes(2) && clients.lastIndexOf(1) > clients.indexOf(2);
  });
  assert.deepEqual(
    smallest.steps.map(({ client }) => client),
    [2, 1],
  );
});
