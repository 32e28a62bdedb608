import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { TcpProxy } from "../../firmware-sim/central/tcp-proxy.ts";
import { decodeProfile, type Profile } from "../../firmware-sim/profile.ts";
import { BrokerHome } from "../support/broker-process.ts";
import { eventually } from "../support/json-process.ts";
import { fleetOptions, runFleet, told, WAIT_MS } from "./firmware-sim-run.ts";

/** The kinds that come and go get fewer messages, so that nobody waits for them. */
const fewForSleepers = (text: string): Profile =>
  decodeProfile(text).map((group) =>
    group.kind.stay === undefined ? group : { ...group, messagesPerDevice: 15 },
  );

test("broken connections make no second answer and lose no command", async (t) => {
  const broker = await new BrokerHome(t).start();
  const proxy = await TcpProxy.start({ host: "127.0.0.1", port: broker.port });
  t.after(() => proxy.stop());
  const options = fleetOptions(`mqtt://127.0.0.1:${proxy.port}`, {
    profile: fewForSleepers("responder=3,sleepy=3"),
    messages: 180,
    ratePerSecond: 40,
    commands: 20,
    commandEveryMs: 100,
  });
  const { fleet, progress } = await runFleet(t, options, async (running) => {
    for (const share of [0.2, 0.4, 0.6]) {
      const due = Math.ceil(120 * share);
      const answered = (): number => running.progress().commands?.answered ?? 0;
      await eventually(`${due} answers`, () => answered() >= due, WAIT_MS, told(running));
      const before = answered();
      proxy.block("backward");
      await once(AbortSignal.timeout(150), "abort");
      proxy.drop();
      proxy.heal();
      await eventually("an answer", () => answered() > before, WAIT_MS, told(running));
    }
  });
  assert.deepEqual(fleet.problems, []);
  assert.equal(progress.commands?.answered, 120);
});

test("all kinds survive a broker that is killed and starts again", async (t) => {
  const home = new BrokerHome(t);
  const first = await home.start();
  const { port } = first;
  const options = fleetOptions(`mqtt://127.0.0.1:${port}`, {
    profile: fewForSleepers("sensor=2,responder=3,sleepy=3,tracker=3"),
    messages: 330,
    ratePerSecond: 40,
    commands: 12,
    commandEveryMs: 100,
  });
  const { fleet, progress } = await runFleet(t, options, async (running) => {
    const answered = (): number => running.progress().commands?.answered ?? 0;
    await eventually("some answers", () => answered() >= 25, WAIT_MS, told(running));
    await first.kill();
    await home.start({ port });
  });
  const { unknown, missing } = progress.wills ?? assert.fail();
  assert.deepEqual({ unknown, missing }, { unknown: 0, missing: 0 });
  assert.equal(progress.sessionsLost, 0);
  assert.equal(progress.commands?.answered, 72);
  assert.equal(progress.commands.misrouted, 0);
  assert.equal(progress.commands.repeated, 0, told(fleet)());
});
