/** Runs fleets to their end, for the tests beside it. */
import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { Fleet, type FleetOptions, type FleetProgress } from "../../firmware-sim/fleet.ts";
import { decodeProfile } from "../../firmware-sim/profile.ts";
import { eventually } from "../support/json-process.ts";

/** Longest wait for anything in these tests. */
export const WAIT_MS = 18_000;

/** A small fleet with these differences. */
export const fleetOptions = (url: string, rest: Partial<FleetOptions>): FleetOptions => ({
  urls: [url],
  profile: decodeProfile("sensor=1"),
  messages: 200,
  ratePerSecond: 100,
  outstandingMax: 20,
  seed: 42,
  protocol: "mixed",
  run: "test",
  ...rest,
});

/** What a fleet knows, for a message of failure. */
export const told = (fleet: Fleet) => (): string =>
  JSON.stringify({ ...fleet.progress(), problems: fleet.problems, errors: fleet.errors });

/** Runs a fleet to its end and checks that everything was acknowledged; `during` may do harm on the way. */
export async function runFleet(
  t: TestContext,
  options: FleetOptions,
  during: (fleet: Fleet) => Promise<void> = async () => undefined,
): Promise<{ fleet: Fleet; progress: FleetProgress }> {
  const fleet = new Fleet(options);
  t.after(() => fleet.stop());
  fleet.start();
  await during(fleet);
  await eventually("the fleet is done", () => fleet.isDone, WAIT_MS, told(fleet));
  await fleet.stop();
  const progress = fleet.progress();
  assert.equal(progress.acknowledged, progress.messages);
  return { fleet, progress };
}
