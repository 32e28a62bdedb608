import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Aedes, type AedesPublishPacket } from "aedes";
import { runCli, startCli } from "./cli-process.ts";

const folder = mkdtempSync(join(tmpdir(), "rillmq-cli-"));
let broker: Aedes;
let server: Server;
let url = "";
const published: AedesPublishPacket[] = [];

before(async () => {
  broker = await Aedes.createBroker({
    concurrency: 0,
    authenticate: (_client, username, password, done) => {
      const isWrong = username === "edge" && password?.toString() !== "hunter2";
      if (isWrong) done(Object.assign(new Error("no"), { returnCode: 4 as const }), null);
      else done(null, true);
    },
    authorizeSubscribe: (_client, subscription, done) => {
      done(null, subscription.topic.startsWith("secret/") ? null : subscription);
    },
  });
  broker.on("publish", (packet, client) => {
    if (client !== null) published.push(packet);
  });
  server = createServer(broker.handle);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  url = `mqtt://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

after(async () => {
  rmSync(folder, { recursive: true, force: true });
  await new Promise<void>((resolve) => broker.close(() => resolve()));
  server.close();
});

// aedes speaks 3.1.1 only.
const at = (): string[] => ["--url", url, "--protocol", "4"];

test("pub publishes at each QoS and ends with 0 when it was acknowledged", async () => {
  for (const qos of ["0", "1", "2"]) {
    const args = ["--topic", `pub/${qos}`, "--message", "héllo", "--qos", qos, "--retain"];
    const { exitCode, stderr } = await runCli(["pub", ...at(), ...args]);
    assert.equal(exitCode, 0, stderr);
    const packet = published.find((candidate) => candidate.topic === `pub/${qos}`);
    assert.equal(packet?.payload.toString(), "héllo");
    assert.deepEqual([packet.qos, packet.retain], [Number(qos), true]);
  }
});

test("pub sends a file's bytes as they are", async () => {
  const file = join(folder, "payload");
  const bytes = Buffer.from([0, 255, 10, 13, 128]);
  writeFileSync(file, bytes);
  const { exitCode } = await runCli(["pub", ...at(), "--topic", "file", "--file", file]);
  assert.equal(exitCode, 0);
  assert.deepEqual(published.find(({ topic }) => topic === "file")?.payload, bytes);
});

test("sub prints as many messages as asked for and ends with 0", async () => {
  const args = ["--topic", "many/+", "--topic", "other", "--count", "3", "--timeout", "15"];
  const sub = startCli(["sub", ...at(), ...args]);
  await once(broker, "subscribe");
  for (const [topic, payload] of [
    ["many/1", "one"],
    ["elsewhere", "nobody"],
    ["other", "two"],
    ["many/2", "three"],
    ["many/3", "four"],
  ] as const) {
    await publish(topic, payload);
  }
  const { exitCode, stdout } = await sub.ended;
  assert.equal(exitCode, 0);
  assert.equal(stdout, "one\ntwo\nthree\n");
});

test("sub --json tells retained messages and their QoS", async () => {
  await runCli(["pub", ...at(), "--topic", "kept", "--message", "v", "--qos", "1", "--retain"]);
  const args = ["--topic", "kept", "--count", "1", "--timeout", "15", "--json"];
  const { exitCode, stdout } = await runCli(["sub", ...at(), ...args]);
  assert.equal(exitCode, 0);
  assert.deepEqual(JSON.parse(stdout), { topic: "kept", qos: 1, retain: true, payload: "v" });
});

test("sub ends with 1 on time-out and keeps what it printed", async () => {
  await runCli(["pub", ...at(), "--topic", "lone", "--message", "v", "--retain"]);
  const args = ["--topic", "lone", "--count", "2", "--timeout", "1"];
  const { exitCode, stdout, stderr } = await runCli(["sub", ...at(), ...args]);
  assert.deepEqual([exitCode, stdout, stderr], [1, "v\n", "rillmq sub: timed out\n"]);
});

test("sub ends with 1 when the broker refuses the subscription", async () => {
  const args = ["--topic", "secret/x", "--timeout", "10"];
  const { exitCode, stderr } = await runCli(["sub", ...at(), ...args]);
  assert.equal(exitCode, 1);
  assert.match(stderr, /^rillmq sub: .*(refused|0x80|Unspecified)/i);
});

test("wrong credentials and a missing broker end with 1 and one line that says why", async () => {
  const payload = ["--topic", "t", "--message", "x"];
  const credentials = ["--username", "edge", "--password", "wrong"];
  const refused = await runCli(["pub", ...at(), ...payload, ...credentials]);
  assert.equal(refused.exitCode, 1);
  assert.match(refused.stderr, /^rillmq pub: .*(user|authorized).*\n$/i);
  const missing = await runCli(["pub", "--url", "mqtt://127.0.0.1:1", ...payload]);
  assert.equal(missing.exitCode, 1);
  assert.match(missing.stderr, /^rillmq pub: .*ECONNREFUSED.*\n$/);
});

test("a broker that accepts and never answers times pub and sub out", async () => {
  const sockets: Socket[] = [];
  const mute = createServer((socket) => void sockets.push(socket));
  mute.listen(0, "127.0.0.1");
  await once(mute, "listening");
  const target = `mqtt://127.0.0.1:${(mute.address() as AddressInfo).port}`;
  const args = ["--url", target, "--topic", "t", "--timeout", "0.5"];
  const [pub, sub] = await Promise.all([
    runCli(["pub", ...args, "--message", "x"]),
    runCli(["sub", ...args]),
  ]);
  for (const socket of sockets) socket.destroy();
  mute.close();
  assert.deepEqual([pub.exitCode, sub.exitCode], [1, 1]);
  assert.match(pub.stderr, /timed out|timeout|connack/i);
  assert.match(sub.stderr, /timed out|timeout|connack/i);
});

function publish(topic: string, payload: string): Promise<void> {
  const packet = { cmd: "publish", topic, payload, qos: 0, retain: false, dup: false } as const;
  return new Promise((resolve, reject) => {
    broker.publish(packet, (error) => (error ? reject(error) : resolve()));
  });
}
