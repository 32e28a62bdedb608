import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { decodeProfile } from "../../../firmware-sim/profile.ts";
import { SimSettingsError, simSettings } from "../../../firmware-sim/sim-settings.ts";
import { clientUrl, transportOf } from "../../../firmware-sim/transport.ts";

const folder = mkdtempSync(join(tmpdir(), "rillmq-sim-"));
after(() => rmSync(folder, { recursive: true }));

function write(name: string, text: string): string {
  const file = join(folder, name);
  writeFileSync(file, text);
  return file;
}

test("flags go over the profile file, and the file over the defaults", () => {
  const profileFile = write(
    "fleet.yaml",
    "messages: 77\nratePerSecond: 3\nseed: 5\nurls: [ws://a]\ngroups: [{ kind: alarm, count: 2 }]",
  );
  const { fleet } = simSettings({ profileFile, rate: 9, devices: 4 });
  assert.deepEqual(fleet.urls, ["ws://a"]);
  assert.equal(fleet.messages, 77);
  assert.equal(fleet.ratePerSecond, 9);
  assert.equal(fleet.seed, 5);
  assert.equal(fleet.outstandingMax, 20);
  assert.equal(fleet.profile[0]?.count, 4);
  assert.deepEqual(simSettings({ profileFile, url: ["mqtt://b"] }).fleet.urls, ["mqtt://b"]);
});

test("without anything the fleet is the default one", () => {
  const { fleet } = simSettings({});
  assert.deepEqual(fleet.urls, ["mqtt://127.0.0.1:1883"]);
  assert.deepEqual(fleet.profile, decodeProfile("sensor=10,alarm=3,flaky=3"));
});

test("what excludes each other or leads nowhere is refused", () => {
  const profileFile = write("wss.yaml", "groups: [{ kind: alarm, count: 2, transport: wss }]");
  const refused = (flags: Parameters<typeof simSettings>[0], why: RegExp): void => {
    assert.throws(
      () => simSettings(flags),
      (error) => error instanceof SimSettingsError && why.test(error.message),
    );
  };
  refused({ profileFile, profile: decodeProfile("alarm=1") }, /exclude each other/);
  refused({ profileFile }, /no address for alarm devices has wss:/);
  refused({ ca: "ca.pem" }, /no address has these/);
  refused(
    { ca: join(folder, "none.pem"), url: ["mqtts://a"] },
    /cannot read certificates .* ENOENT/,
  );
});

test("an address has a known transport and somewhere to go", () => {
  const known = [
    "mqtt://h",
    "mqtts://h:8883",
    "ws://h:80/x",
    "wss://[::1]:443",
    "unix:///run/x.sock",
  ];
  assert.deepEqual(known.map(transportOf), ["mqtt", "mqtts", "ws", "wss", "unix"]);
  for (const url of [
    "http://h",
    "mqtt://",
    "h:1883",
    "",
    "unix://",
    "unix:///",
    "unix://x",
    "mqtt:h",
  ]) {
    assert.equal(transportOf(url), undefined, url);
  }
});

test("a WebSocket address without path gets the usual one", () => {
  assert.equal(clientUrl("ws://h:80"), "ws://h/mqtt");
  assert.equal(clientUrl("wss://h:8443/"), "wss://h:8443/mqtt");
  assert.equal(clientUrl("ws://h:8080/x?y=1"), "ws://h:8080/x?y=1");
  assert.equal(clientUrl("unix:///run/x.sock"), "mqtt+unix:///run/x.sock");
  assert.equal(clientUrl("mqtts://h"), "mqtts://h");
});
