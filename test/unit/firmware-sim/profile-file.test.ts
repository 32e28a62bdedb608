import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import {
  decodeProfileFile,
  ProfileFileError,
  readProfileFile,
} from "../../../firmware-sim/profile-file.ts";

const PROFILES = join(import.meta.dirname, "..", "..", "..", "firmware-sim", "profiles");

function mistakesIn(text: string): readonly string[] {
  try {
    decodeProfileFile(text, "/etc/fleet.yaml");
  } catch (error) {
    assert.ok(error instanceof ProfileFileError);
    return error.mistakes;
  }
  return [];
}

test("every example can be read", () => {
  const files = readdirSync(PROFILES);
  assert.ok(files.length >= 3);
  for (const file of files) {
    assert.ok(readProfileFile(join(PROFILES, file)).profile.length > 0, file);
  }
});

test("a group says what differs from the fleet and from its kind", () => {
  const { profile, messages, ca, protocol } = decodeProfileFile(
    `
messages: 100
ca: certs/ca.pem
protocol: mixed
groups:
  - kind: sensor
    count: 3
    ratePerSecond: 0.5
    payloadBytes: 256
    keepAliveSeconds: 30
    protocol: 4
    transport: wss
    qos: 2
    stay: { messages: { min: 1, max: 2 }, sleepMs: { min: 0, max: 10 } }
  - { kind: responder, count: 1, commands: 9 }
`,
    "/etc/fleet.yaml",
  );
  assert.equal(messages, 100);
  assert.equal(ca, "/etc/certs/ca.pem");
  assert.equal(protocol, "mixed");
  const [first, second] = profile;
  assert.equal(first?.kind.kind, "sensor");
  assert.equal(first?.kind.qos, 2);
  assert.deepEqual(first?.kind.stay?.messages, { min: 1, max: 2 });
  assert.equal(first?.protocol, "4");
  assert.equal(first?.transport, "wss");
  assert.equal(first?.keepAliveSeconds, 30);
  assert.equal(second?.kind.qos, 1);
  assert.equal(second?.commands, 9);
  assert.equal(second?.payloadBytes, undefined);
});

test("all mistakes are told at once, each with its line", () => {
  const mistakes = mistakesIn(
    [
      "urls: [http://x]",
      "mesages: 5",
      "ratePerSecond: 0",
      "protocol: 3",
      "groups:",
      "  - kind: toaster",
      "    count: 0",
      "  - kind: sensor",
      "    count: 1",
      "    commands: 3",
      "    transport: tcp",
      "    stay: { messages: { min: 5, max: 2 }, sleepMs: 3 }",
    ].join("\n"),
  );
  const places = mistakes.map((mistake) => mistake.split(":")[0]);
  assert.deepEqual(places, [
    "line 1, urls[0]",
    "line 2, mesages",
    "line 3, ratePerSecond",
    "line 4, protocol",
    "line 6, groups[0].kind",
    "line 7, groups[0].count",
    "line 10, groups[1].commands",
    "line 11, groups[1].transport",
    "line 12, groups[1].stay.messages",
    "line 12, groups[1].stay.sleepMs",
  ]);
});

test("no groups, no YAML and no file are mistakes too", () => {
  assert.deepEqual(mistakesIn(""), ["line 1: expected object, received null"]);
  assert.match(mistakesIn("messages: 1")[0] ?? "", /^line 1, groups: expected a list of groups$/);
  assert.match(mistakesIn("groups: []")[0] ?? "", /^line 1, groups: /);
  assert.match(mistakesIn("groups: [")[0] ?? "", /^line 1: not YAML: /);
  assert.throws(() => readProfileFile("/nowhere/fleet.yaml"), /cannot be read: ENOENT/);
});
