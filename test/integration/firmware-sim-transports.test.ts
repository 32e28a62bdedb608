import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { Fleet } from "../../firmware-sim/fleet.ts";
import { decodeProfile } from "../../firmware-sim/profile.ts";
import { makeTlsMaterial, type TlsMaterial } from "../../firmware-sim/tls-material.ts";
import { BrokerHome } from "../support/broker-process.ts";
import { eventually } from "../support/json-process.ts";
import { requireProgram } from "../support/requirements.ts";
import { fleetOptions, runFleet, told, WAIT_MS } from "./firmware-sim-run.ts";

async function makeMaterial(t: TestContext): Promise<TlsMaterial> {
  const folder = mkdtempSync(join(tmpdir(), "rillmq-sim-tls-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return await makeTlsMaterial(join(folder, "tls"));
}

async function startBroker(t: TestContext, material: TlsMaterial): Promise<string[]> {
  const home = new BrokerHome(t);
  const tls = { cert: material.certFile, key: material.keyFile };
  const listeners = [
    { url: "mqtt://127.0.0.1:0" },
    { url: "mqtts://127.0.0.1:0", tls },
    { url: "ws://127.0.0.1:0" },
    { url: "wss://127.0.0.1:0", tls },
    { url: `unix://${join(home.folder, "mqtt.sock")}` },
  ];
  return (await home.start({ config: { listeners } })).urls;
}

test("every kind of device works over every transport at once", async (t) => {
  if (requireProgram(t, "openssl") === undefined) return;
  const material = await makeMaterial(t);
  const urls = await startBroker(t, material);
  assert.equal(urls.length, 5);
  const ca = readFileSync(material.caFile, "utf8");
  const { fleet, progress } = await runFleet(
    t,
    fleetOptions(urls[0] ?? "", {
      urls,
      ca,
      profile: decodeProfile("sensor=5,alarm=5,responder=5,sleepy=5,tracker=5"),
      messages: 500,
      commands: 3,
      run: "transports",
    }),
  );
  assert.deepEqual(fleet.problems, []);
  assert.deepEqual(fleet.errors, []);
  assert.equal(progress.commands?.answered, 30);
  assert.ok(progress.secured >= 5, "each kind has a device on mqtts://");
});

test("a group keeps to its transport", async (t) => {
  if (requireProgram(t, "openssl") === undefined) return;
  const material = await makeMaterial(t);
  const urls = await startBroker(t, material);
  const ca = readFileSync(material.caFile, "utf8");
  const profile = decodeProfile("sensor=4").map((group) => ({
    ...group,
    transport: "mqtts" as const,
  }));
  const { progress } = await runFleet(t, fleetOptions("", { urls, ca, profile, run: "group" }));
  assert.equal(progress.secured, progress.connects);
  assert.throws(
    () => new Fleet(fleetOptions(urls[0] ?? "", { profile })),
    /no address for sensor devices has mqtts/,
  );
});

test("devices refuse a certificate of an authority that they do not trust", async (t) => {
  if (requireProgram(t, "openssl") === undefined) return;
  const [material, foreign] = [await makeMaterial(t), await makeMaterial(t)];
  const urls = await startBroker(t, material);
  for (const ca of [undefined, readFileSync(foreign.caFile, "utf8")]) {
    for (const scheme of ["mqtts:", "wss:"]) {
      const url = urls.find((one) => one.startsWith(scheme)) ?? assert.fail();
      const fleet = new Fleet(fleetOptions(url, { ca, run: "stranger" }));
      t.after(() => fleet.stop());
      fleet.start();
      await eventually("it fails", () => fleet.errors.length > 0, WAIT_MS, told(fleet));
      assert.match(fleet.errors.join(), /certificate/);
      assert.equal(fleet.progress().connects, 0);
      await fleet.stop();
    }
  }
});
