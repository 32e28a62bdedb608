import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { connectAsync } from "mqtt";
import { Fleet } from "../../firmware-sim/fleet.ts";
import { decodeProfile } from "../../firmware-sim/profile.ts";
import { BrokerHome } from "../support/broker-process.ts";
import { eventually } from "../support/json-process.ts";
import { fleetOptions, runFleet, told, WAIT_MS } from "./firmware-sim-run.ts";

// One broker for all, as fleets must not disturb each other.
const cleanups: (() => Promise<void>)[] = [];
let url = "";
before(async () => {
  const home = new BrokerHome({ after: (cleanup) => cleanups.push(cleanup) });
  url = `mqtt://127.0.0.1:${(await home.start()).port}`;
});
after(async () => {
  for (const cleanup of cleanups) await cleanup();
});

test("commands to sleepy devices wait in their sessions and arrive", async (t) => {
  const profile = decodeProfile("sleepy=6").map((group) => ({ ...group, messagesPerDevice: 20 }));
  const options = fleetOptions(url, { profile, commands: 6, commandEveryMs: 300, run: "sleepy" });
  const { fleet, progress } = await runFleet(t, options);
  assert.deepEqual(fleet.problems, []);
  assert.equal(progress.commands?.accepted, 36);
  assert.equal(progress.commands.answered, 36);
  assert.ok(progress.commands.acceptedAsleep > 0, "some were sent to devices that were asleep");
  assert.equal(progress.sessionsLost, 0);
  assert.ok(progress.connects > progress.devices * 2, "devices came and went");
  for (const { inbox } of fleet.devices) assert.equal(inbox.received, 6);
});

for (const protocol of ["4", "5", "mixed"] as const) {
  test(`commands are answered once each, over protocol version ${protocol}`, async (t) => {
    const profile = decodeProfile("responder=4");
    const options = fleetOptions(url, {
      profile,
      protocol,
      commands: 25,
      commandEveryMs: 20,
      run: `v${protocol}`,
    });
    const { fleet, progress } = await runFleet(t, options);
    assert.deepEqual(fleet.problems, []);
    const { answered, repeated, misrouted, unknown } = progress.commands ?? assert.fail();
    assert.deepEqual(
      { answered, repeated, misrouted, unknown },
      { answered: 100, repeated: 0, misrouted: 0, unknown: 0 },
    );
  });
}

test("an observer sees the will of every accident and of no goodbye", async (t) => {
  const options = fleetOptions(url, {
    profile: decodeProfile("tracker=6"),
    messages: 420,
    run: "wills",
  });
  const { fleet, progress } = await runFleet(t, options);
  assert.deepEqual(fleet.problems, []);
  const { accidents, seen, cleanLeaves, unjustified, repeated } = progress.wills ?? assert.fail();
  assert.ok(accidents > 3, `${accidents} accidents`);
  assert.ok(cleanLeaves >= 6, `${cleanLeaves} goodbyes`);
  assert.deepEqual(
    { seen, unjustified, repeated },
    { seen: accidents, unjustified: 0, repeated: 0 },
  );
});

test("a will that nobody left and an answer that nobody gave are found out", async (t) => {
  const profile = decodeProfile("tracker=1,responder=1");
  const options = fleetOptions(url, { profile, commands: 2, protocol: "5", run: "lies" });
  const fleet = new Fleet(options);
  t.after(() => fleet.stop());
  fleet.start();
  await eventually("it has begun", () => fleet.progress().connected > 0, WAIT_MS, told(fleet));
  const liar = await connectAsync(url, { protocolVersion: 5 });
  const will = { device: "tracker-001", run: "lies", connection: 99_999, status: "offline" };
  await liar.publishAsync("sim/tracker-001/status", JSON.stringify(will), { qos: 1 });
  await liar.publishAsync("reply/responder-001/lies-77", "{}", { qos: 1 });
  await liar.publishAsync("reply/responder-001/lies-1", "{}", { qos: 1 });
  await liar.endAsync();
  await eventually("it is done", () => fleet.isDone, WAIT_MS, told(fleet));
  await fleet.stop();
  const text = fleet.problems.join("; ");
  assert.match(text, /1 wills of connections that nobody opened/);
  // Depending on whether the first command was out already, its false answer is misrouted or one to nothing.
  const { misrouted, unknown } = fleet.progress().commands ?? assert.fail();
  assert.equal(misrouted + unknown, 2);
});
