import assert from "node:assert/strict";
import { test } from "node:test";
import { canSimulate, simulatePowerCuts } from "./power-cut.ts";

const skip = !canSimulate();
const seed = Number(process.env["POWER_CUT_SEED"] ?? Date.now() % 1_000_000);
const options = { points: 35, commits: 100, seed, isControl: false, isKilledFirst: false };

test("nothing acknowledged is lost by simulated power cuts", { skip }, async () => {
  const { points, faults } = await simulatePowerCuts(options);
  assert.deepEqual(faults, [], `POWER_CUT_SEED=${seed}`);
  assert.ok(points > 20, `${points} points`);
});

test("the simulation catches a store that leaves out a sync", { skip }, async () => {
  const { faults } = await simulatePowerCuts({ ...options, isControl: true });
  assert.ok(faults.length > 0, `POWER_CUT_SEED=${seed}`);
});

test("nothing acknowledged is lost by a power cut soon after a kill and a restart", {
  skip,
}, async () => {
  const killed = { ...options, commits: 1_000_000, isKilledFirst: true };
  const { points, faults } = await simulatePowerCuts(killed);
  assert.deepEqual(faults, [], `POWER_CUT_SEED=${seed}`);
  assert.ok(points > 20, `${points} points`);
});
