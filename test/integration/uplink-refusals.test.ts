import assert from "node:assert/strict";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { NatsCluster } from "../../firmware-sim/central/nats-cluster.ts";
import { MqttDriver, type MqttDriverOptions } from "../../src/uplink/drivers/mqtt.ts";
import { NatsDriver } from "../../src/uplink/drivers/nats.ts";
import { TestAuthority } from "../support/certificates.ts";
import { LiveEdge } from "../support/live-edge.ts";
import { PickyBroker } from "../support/picky-broker.ts";
import { requireProgram } from "../support/requirements.ts";
import { readStream } from "../support/stream-reader.ts";

function startEdge(
  t: TestContext,
  broker: PickyBroker,
  options: Partial<MqttDriverOptions> = {},
): LiveEdge {
  const urls = [`mqtt://127.0.0.1:${broker.port}`];
  const edge = new LiveEdge(new MqttDriver({ urls, ...options }));
  t.after(() => edge.uplink.stop(0));
  return edge;
}

function folderOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "rillmq-refusals-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

for (const reason of [0x87, 0x90, 0x99]) {
  test(`PUBACK 0x${reason.toString(16)} on one topic makes dead letters of its records alone`, async (t) => {
    const broker = await PickyBroker.start(t, {
      verdict: (topic) => (topic.endsWith("/bad") ? { puback: reason } : "take"),
    });
    const edge = startEdge(t, broker);
    for (let i = 0; i < 60; i++) {
      edge.append({ topic: i % 10 === 3 ? "sim/bad" : "sim/good", payload: String(i) });
    }
    await edge.drained();
    assert.equal(broker.payloads.length, 54);
    await edge.until("letters are on disk", () => edge.uplink.letters.count === 6);
    const [letter] = edge.uplink.letters.list(1, 10);
    assert.match(letter?.origin.reason ?? "", new RegExp(`0x${reason.toString(16)}`));
    assert.equal(letter?.message.topic.text, "sim/bad");
    assert.equal(broker.connections, 1);
  });
}

test("a remote that hangs up on one record without a word gets all the others", async (t) => {
  const broker = await PickyBroker.start(t, {
    verdict: (_topic, payload) => (payload === "17" ? "hang-up" : "take"),
  });
  const edge = startEdge(t, broker);
  edge.appendMany(200);
  await edge.until("it is put aside", () => edge.uplink.letters.count === 1, 30_000);
  await edge.drained();
  assert.equal(broker.payloads.length, 199);
  assert.ok(!broker.payloads.includes("17"));
  const [letter] = edge.uplink.letters.list(1, 10);
  assert.match(letter?.origin.reason ?? "", /hangs up on it/);
  assert.equal(letter?.origin.sequence, 18);
});

test("a DISCONNECT that names no record is traced to it", async (t) => {
  const broker = await PickyBroker.start(t, {
    verdict: (_topic, payload) => (payload === "5" ? { disconnect: 0x95 } : "take"),
  });
  const edge = startEdge(t, broker);
  edge.appendMany(20);
  await edge.until("it is put aside", () => edge.uplink.letters.count === 1, 30_000);
  await edge.drained();
  assert.equal(broker.payloads.length, 19);
});

test("topics at the remote follow the lane's template, and QoS 0 is shown for what it is", async (t) => {
  const broker = await PickyBroker.start(t, { connack: { maximumQoS: 0 } });
  const driver = new MqttDriver({ urls: [`mqtt://127.0.0.1:${broker.port}`] });
  const topic = "{edgeId}/{level:2}/x/{levels:3}";
  const edge = new LiveEdge(driver, ["telemetry"], undefined, { topic, maxQos: 0 });
  t.after(() => edge.uplink.stop(0));
  edge.append({ topic: "sim/d1/temp/inside", payload: "1" });
  edge.append({ topic: "sim/d1", payload: "too short for the template" });
  edge.append({ topic: "sim/d2/temp", payload: "2" });
  await edge.drained();
  await edge.until("both arrived", () => broker.taken.length === 2);
  assert.deepEqual(
    broker.taken.map((one) => [one.topic, one.qos]),
    [
      ["plant-7/d1/x/temp/inside", 0],
      ["plant-7/d2/x/temp", 0],
    ],
  );
  assert.equal(edge.uplink.status().guarantee.kind, "at-most-once");
  await edge.until("a letter", () => edge.uplink.letters.count === 1);
  assert.match(edge.uplink.letters.get(1)?.origin.reason ?? "", /fewer levels/);
});

test("a remote that takes QoS 0 only blocks lanes that want more", async (t) => {
  const broker = await PickyBroker.start(t, { connack: { maximumQoS: 0 } });
  const edge = startEdge(t, broker);
  edge.appendMany(1);
  await edge.until("blocked", () => edge.lane().state === "blocked");
  assert.match(edge.lane().reason ?? "", /QoS 0 only/);
});

test("a password file that changes wakes an uplink that is blocked", async (t) => {
  const file = join(folderOf(t), "password");
  writeFileSync(file, "old\n");
  const broker = await PickyBroker.start(t, {
    admit: ({ username, password }) =>
      username === "edge" && password?.toString() === "new" ? 0 : 0x86,
  });
  const driver = new MqttDriver({
    urls: [`mqtt://127.0.0.1:${broker.port}`],
    username: "edge",
    passwordFile: file,
  });
  const edge = new LiveEdge(driver, ["telemetry"], undefined, {}, { slowRetryMs: 3_600_000 });
  t.after(() => edge.uplink.stop(0));
  edge.appendMany(3);
  await edge.until("blocked", () => edge.uplink.status().state === "blocked");
  assert.match(edge.uplink.status().blockedReason ?? "", /^auth: .*0x86/);
  writeFileSync(file, "new\n");
  await edge.drained();
  assert.equal(broker.payloads.length, 3);
});

test("a credentials file that is not there yet is waited for", async (t) => {
  const file = join(folderOf(t), "password");
  const broker = await PickyBroker.start(t);
  const edge = startEdge(t, broker, { username: "edge", passwordFile: file });
  await edge.until("blocked", () => edge.uplink.status().state === "blocked");
  assert.match(edge.uplink.status().blockedReason ?? "", /^auth: cannot read the password file/);
  writeFileSync(file, "secret");
  edge.appendMany(2);
  await edge.drained();
});

test("mqtts with a client certificate: the remote is verified, and a rotated certificate is used", async (t) => {
  const folder = folderOf(t);
  const authority = TestAuthority.create(t, folder);
  if (authority === undefined) return;
  const server = authority.sign("server", "centre");
  const client = authority.sign("client", "edge");
  const tls = {
    key: readFileSync(server.key),
    cert: readFileSync(server.cert),
    ca: readFileSync(authority.ca),
    requestCert: true,
    rejectUnauthorized: true,
  };
  const broker = await PickyBroker.start(t, { tls });
  const urls = [`mqtts://127.0.0.1:${broker.port}`];
  const untrusting = new LiveEdge(new MqttDriver({ urls }));
  t.after(() => untrusting.uplink.stop(0));
  await untrusting.until("it is not trusted", () =>
    /certificate/.test(untrusting.uplink.status().blockedReason ?? ""),
  );
  const stranger = TestAuthority.create(t, folderOf(t))?.sign("stranger", "edge") ?? assert.fail();
  const [cert, key] = [join(folder, "own.crt"), join(folder, "own.key")];
  copyFileSync(stranger.cert, cert);
  copyFileSync(stranger.key, key);
  const edge = new LiveEdge(new MqttDriver({ urls, tls: { ca: authority.ca, cert, key } }));
  t.after(() => edge.uplink.stop(0));
  edge.appendMany(5);
  await edge.until("refused", () => edge.uplink.status().blockedReason !== undefined);
  assert.equal(broker.connections, 0);
  copyFileSync(client.cert, cert);
  copyFileSync(client.key, key);
  await edge.drained();
  assert.equal(broker.payloads.length, 5);
});

async function startServer(t: TestContext): Promise<NatsCluster | undefined> {
  if (requireProgram(t, "nats-server") === undefined) return undefined;
  const cluster = await NatsCluster.start(1);
  t.after(() => cluster.stop());
  return cluster;
}

test("a message above the stream's max_msg_size becomes a dead letter, and the lane goes on", async (t) => {
  const cluster = await startServer(t);
  if (cluster === undefined) return;
  await cluster.createStream({ name: "CENTRE", subjects: ["rill.>"], max_msg_size: 2_000 });
  const edge = new LiveEdge(new NatsDriver({ urls: cluster.urls, requestTimeoutMs: 500 }));
  t.after(() => edge.uplink.stop(0));
  edge.append({ topic: "sim/a", payload: "1" });
  edge.append({ topic: "sim/a", payload: "x".repeat(5_000) });
  edge.append({ topic: "sim/a", payload: "2" });
  await edge.drained();
  await edge.until("a letter", () => edge.uplink.letters.count === 1);
  assert.match(edge.uplink.letters.get(1)?.origin.reason ?? "", /10054/);
  const stored = (await readStream(cluster, "CENTRE")).filter(({ isBarrier }) => !isBarrier);
  assert.deepEqual(
    stored.map(({ id }) => Number(id.split("/").at(-1))),
    [1, 3],
  );
});

test("a lane without a stream at the centre waits while another lane flows, and two lanes share a stream", async (t) => {
  const cluster = await startServer(t);
  if (cluster === undefined) return;
  await cluster.createStream({ name: "HOT", subjects: ["rill.plant-7.hot.>"] });
  const edge = new LiveEdge(
    new NatsDriver({ urls: cluster.urls, requestTimeoutMs: 500 }),
    ["telemetry", "telemetry"],
    undefined,
    [
      { name: "hot", filters: ["sim/+/alarm"], topic: "{level:2}" },
      { name: "cold", filters: ["sim/+/temp"] },
    ],
  );
  t.after(() => edge.uplink.stop(0));
  for (let i = 0; i < 20; i++) {
    edge.append({ topic: `sim/d${i}/${i % 2 === 0 ? "alarm" : "temp"}`, payload: String(i) });
  }
  await edge.until("hot flows", () => edge.lane(0).acknowledged === 10);
  await edge.until("cold is blocked", () => edge.lane(1).state === "blocked");
  assert.match(edge.lane(1).reason ?? "", /no stream takes the subjects rill\.plant-7\.cold\.>/);
  assert.equal(edge.uplink.status().state, "streaming");
  await cluster.createStream({ name: "COLD", subjects: ["rill.plant-7.cold.>"] });
  await edge.until("cold flows", () => edge.lane(1).acknowledged === 10);
  const hot = (await readStream(cluster, "HOT")).filter(({ isBarrier }) => !isBarrier);
  assert.equal(hot[1]?.subject, "rill.plant-7.hot.d2");
  assert.equal(hot[1]?.id, "plant-7/00112233445566aa/telemetry/3");
});

test("nats: a tls:// URL is not spoken to without TLS", async (t) => {
  const cluster = await startServer(t);
  if (cluster === undefined) return;
  const urls = cluster.urls.map((url) => url.replace("nats://", "tls://"));
  const edge = new LiveEdge(new NatsDriver({ urls }));
  t.after(() => edge.uplink.stop(0));
  await edge.until("refused", () => /tls/i.test(edge.uplink.status().blockedReason ?? ""));
});
