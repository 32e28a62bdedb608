import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { type Config, ConfigError, configText, loadConfig } from "../../src/config.ts";

/** A file with these streams and uplinks. */
function fileOf(t: TestContext, uplinks: string, whenFull = "reject"): string {
  const folder = mkdtempSync(join(tmpdir(), "rillmq-config-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, "edge.yaml");
  const streams = `streams: [{ name: s, filters: ["sim/#"], whenFull: ${whenFull} }]`;
  writeFileSync(path, `${streams}\nuplinks:\n${uplinks}\n`);
  return path;
}

const load = (t: TestContext, uplinks: string, whenFull?: string): Config =>
  loadConfig({ file: fileOf(t, uplinks, whenFull) });

/** Path and reason of each mistake. */
function mistakesOf(t: TestContext, uplinks: string, whenFull?: string): string[] {
  try {
    load(t, uplinks, whenFull);
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.mistakes.map(({ path, reason }) => `${path}: ${reason}`);
  }
  return [];
}

const mqtt = (rest: string): string => `  - { name: u, driver: mqtt, url: "mqtt://h", ${rest} }`;

test("lanes have names, filters, a template and a QoS; credentials come from files; TLS has its scheme", (t) => {
  const config = load(
    t,
    `  - name: one
    driver: mqtt
    url: mqtts://centre
    username: edge
    passwordFile: /run/secrets/password
    tls: { ca: ca.pem, cert: edge.crt, key: edge.key, serverName: broker }
    deadLetterBytesMax: 8MiB
    lanes:
      - { stream: s, name: hot, class: alarm, filters: ["sim/+/alarm"], topic: "{edgeId}/{levels:2}" }
      - { stream: s, name: cold, filters: ["sim/+/temp"], maxQos: 0 }
  - name: two
    driver: nats
    urls: ["tls://a:4222", "nats://b"]
    tokenFile: /run/secrets/token
    pin: false
    lanes: [{ stream: s }]`,
  );
  const [one, two] = config.uplinks;
  assert.deepEqual(one?.urls, ["mqtts://centre"]);
  assert.equal(one?.pin, true);
  assert.equal(one?.deadLetterBytesMax, 8 * 1_048_576);
  assert.deepEqual(one?.lanes[1], {
    stream: "s",
    name: "cold",
    class: "normal",
    filters: ["sim/+/temp"],
    maxQos: 0,
  });
  assert.equal(two?.pin, false);
  assert.equal(two?.deadLetterBytesMax, 64 * 1_048_576);
  const again = join(mkdtempSync(join(tmpdir(), "rillmq-config-")), "again.yaml");
  t.after(() => rmSync(join(again, ".."), { recursive: true, force: true }));
  writeFileSync(again, configText(config));
  assert.deepEqual(loadConfig({ file: again }).uplinks, config.uplinks);
});

test("mistakes in lanes and templates are found with their place", (t) => {
  assert.deepEqual(mistakesOf(t, mqtt('lanes: [{ stream: s, topic: "a/{level:0}" }]')), [
    "uplinks[0].lanes[0].topic: {level:0} is unknown; there are {edgeId}, {uplink}, {stream}, {topic}, {level:1} and {levels:1}",
  ]);
  assert.deepEqual(mistakesOf(t, mqtt('lanes: [{ stream: s, filters: ["a/#/b"] }]')), [
    "uplinks[0].lanes[0].filters[0]: not a topic filter",
  ]);
  assert.deepEqual(mistakesOf(t, mqtt("lanes: [{ stream: s }, { stream: s }]")), [
    'uplinks[0].lanes[1].stream: "s" is there twice',
  ]);
  assert.deepEqual(mistakesOf(t, mqtt("lanes: [{ stream: s }, { stream: s, name: s }]")), [
    'uplinks[0].lanes[1].name: "s" is there twice',
  ]);
  const nats = '  - { name: u, driver: nats, url: "nats://h", lanes: [{ stream: s, maxQos: 0 }] }';
  assert.deepEqual(mistakesOf(t, nats), ["uplinks[0].lanes[0].maxQos: only for driver mqtt"]);
});

test("a secret is given once, and a certificate with its key", (t) => {
  const lanes = "lanes: [{ stream: s }]";
  assert.deepEqual(mistakesOf(t, mqtt(`password: a, passwordFile: b, ${lanes}`)), [
    "uplinks[0].passwordFile: password or passwordFile, not both",
  ]);
  assert.deepEqual(mistakesOf(t, mqtt(`tls: { cert: a }, ${lanes}`)), [
    "uplinks[0].tls: cert and key go together",
  ]);
});

test("a stream that no uplink holds must be able to drop its oldest", (t) => {
  const uplink = mqtt("pin: false, lanes: [{ stream: s }]");
  assert.deepEqual(mistakesOf(t, uplink), [
    "streams[0].whenFull: drop-oldest is needed: only uplinks with pin: false read this stream",
  ]);
  assert.deepEqual(mistakesOf(t, uplink, "drop-oldest"), []);
  const held = '  - { name: v, driver: mqtt, url: "mqtt://h", lanes: [{ stream: s }] }';
  assert.deepEqual(mistakesOf(t, `${uplink}\n${held}`), []);
});
