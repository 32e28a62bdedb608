import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { scaleProfile } from "../../firmware-sim/profile.ts";
import { readProfileFile } from "../../firmware-sim/profile-file.ts";
import { BrokerHome } from "../support/broker-process.ts";
import { fleetOptions, runFleet } from "./firmware-sim-run.ts";

const PROFILE = join(import.meta.dirname, "..", "..", "firmware-sim", "profiles", "thousand.yaml");
const DEVICES = 300;

test("300 devices of all kinds in one process connect within seconds and keep every promise", async (t) => {
  const broker = await new BrokerHome(t).start();
  const { profile, ...settings } = readProfileFile(PROFILE);
  const options = fleetOptions(`mqtt://127.0.0.1:${broker.port}`, {
    profile: scaleProfile(profile, DEVICES),
    payloadBytes: settings.payloadBytes,
    messages: 3_000,
    ratePerSecond: 4,
    commands: 2,
    commandEveryMs: 1_000,
    run: "crowd",
  });
  const { fleet, progress } = await runFleet(t, options);
  assert.equal(progress.devices, DEVICES);
  assert.deepEqual(fleet.problems, []);
  assert.equal(progress.sessionsLost, 0);
  assert.ok((progress.connectSeconds ?? Number.POSITIVE_INFINITY) < 10);
});
