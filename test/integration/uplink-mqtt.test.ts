import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, connect, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { Aedes } from "aedes";
import { connectAsync, type IPublishPacket } from "mqtt";
import { TcpProxy } from "../../firmware-sim/central/tcp-proxy.ts";
import { freePort } from "../../firmware-sim/free-port.ts";
import { MqttDriver } from "../../src/uplink/drivers/mqtt.ts";
import { eventually } from "../support/json-process.ts";
import { LiveEdge } from "../support/live-edge.ts";
import { requireProgram } from "../support/requirements.ts";

interface Received {
  readonly topic: string;
  readonly payload: string;
}

async function startAedes(t: TestContext): Promise<{ port: number; received: Received[] }> {
  const aedes = await Aedes.createBroker({ concurrency: 0 });
  const received: Received[] = [];
  aedes.on("publish", (packet, client) => {
    if (client === null) return;
    received.push({ topic: packet.topic, payload: packet.payload.toString() });
  });
  const server: Server = createServer({ noDelay: true }, (socket) => aedes.handle(socket));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(async () => {
    await new Promise<void>((resolve) => aedes.close(resolve));
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, received };
}

async function startProxy(t: TestContext, port: number): Promise<TcpProxy> {
  const proxy = await TcpProxy.start({ host: "127.0.0.1", port });
  t.after(() => proxy.stop());
  return proxy;
}

function startEdge(t: TestContext, driver: MqttDriver): LiveEdge {
  const edge = new LiveEdge(driver);
  t.after(() => edge.uplink.stop(0));
  return edge;
}

async function startMosquitto(
  t: TestContext,
  program: string,
  lines: readonly string[],
): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), "rillmq-mosquitto-"));
  const port = await freePort();
  const file = join(folder, "mosquitto.conf");
  await writeFile(file, [`listener ${port} 127.0.0.1`, ...lines, ""].join("\n"));
  const child: ChildProcess = spawn(program, ["-c", file], { stdio: "ignore" });
  t.after(async () => {
    if (child.exitCode === null && child.signalCode === null) {
      const exited = once(child, "exit");
      child.kill("SIGKILL");
      await exited;
    }
    await rm(folder, { recursive: true, force: true });
  });
  await eventually("mosquitto listens", () => isListening(port), 5_000);
  return port;
}

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

test("a broker that refuses MQTT 5 is spoken to in 3.1.1, and everything arrives in order", async (t) => {
  const { port, received } = await startAedes(t);
  const edge = startEdge(t, new MqttDriver({ urls: [`mqtt://127.0.0.1:${port}`] }));
  edge.appendMany(500);
  await edge.drained();
  assert.deepEqual(
    received.map(({ payload }) => payload),
    Array.from({ length: 500 }, (_, i) => String(i)),
  );
  assert.equal(received[3]?.topic, "edge/plant-7/sim/d3/sensor");
  assert.match(edge.uplink.status().guarantee.why, /3\.1\.1/);
});

test("lost acknowledgements, cuts and a silent line lose nothing into an MQTT broker", async (t) => {
  const { port, received } = await startAedes(t);
  const proxy = await startProxy(t, port);
  const edge = startEdge(
    t,
    new MqttDriver({ urls: [`mqtt://127.0.0.1:${proxy.port}`], topicPrefix: "" }),
  );
  edge.appendMany(300, "a");
  await edge.drained();

  proxy.block("backward");
  edge.appendMany(300, "b");
  await edge.until("the remote has some of b", () => received.some((one) => one.payload === "b5"));
  proxy.cut();
  edge.appendMany(300, "c");
  await edge.until("the cut is noticed", () => edge.uplink.status().state !== "streaming");
  proxy.heal();
  proxy.restore();
  await edge.drained();

  const { connections } = proxy;
  proxy.hold("both");
  edge.appendMany(300, "d");
  await edge.until("the deadline gives the line up", () => proxy.connections > connections);
  proxy.heal();
  await edge.drained();

  const payloads = new Set(received.map(({ payload }) => payload));
  assert.equal(payloads.size, 1_200, "each arrived");
  assert.ok(received.length > 1_200, "at least once: some came twice");
  assert.equal(received[0]?.topic, "sim/d0/sensor", "an empty prefix leaves the topic alone");
  assert.ok(edge.lane().resent > 0);
});

test("over MQTT 5 the record id and the properties travel, and a forged id does not", async (t) => {
  const program = requireProgram(t, "mosquitto");
  if (program === undefined) return;
  const port = await startMosquitto(t, program, ["allow_anonymous true"]);
  const reader = await connectAsync(`mqtt://127.0.0.1:${port}`, { protocolVersion: 5 });
  t.after(() => reader.endAsync(true));
  const packets: IPublishPacket[] = [];
  reader.on("message", (_topic, _payload, packet) => packets.push(packet));
  await reader.subscribeAsync("edge/#", { qos: 1 });
  const driver = new MqttDriver({ urls: [`mqtt://127.0.0.1:${port}`] });
  const edge = startEdge(t, driver);
  edge.append({
    topic: "sim/d1/alarm",
    payload: "hot",
    properties: {
      isUtf8: true,
      contentType: "text/plain",
      responseTopic: "answers",
      correlationData: Uint8Array.of(1, 2, 3),
      userProperties: [
        ["rill-id", "forged"],
        ["__proto__", "harmless"],
        ["site", "a"],
        ["site", "b"],
      ],
    },
  });
  await edge.drained();
  await eventually("it arrives", () => packets.length > 0, 5_000);
  const properties = packets[0]?.properties;
  assert.equal(packets[0]?.topic, "edge/plant-7/sim/d1/alarm");
  assert.equal(properties?.contentType, "text/plain");
  assert.equal(properties?.responseTopic, "answers");
  assert.deepEqual([...(properties?.correlationData ?? [])], [1, 2, 3]);
  const user = Object.entries(properties?.userProperties ?? {});
  assert.deepEqual(
    user.find(([name]) => name === "rill-id"),
    ["rill-id", "plant-7/00112233445566aa/telemetry/1"],
  );
  assert.deepEqual(user.find(([name]) => name === "site")?.[1], ["a", "b"]);
  assert.match(edge.uplink.status().guarantee.why, /rill-id/);
});

test("a record without subscribers at the remote is done, and counted", async (t) => {
  const program = requireProgram(t, "mosquitto");
  if (program === undefined) return;
  const port = await startMosquitto(t, program, ["allow_anonymous true"]);
  const driver = new MqttDriver({ urls: [`mqtt://127.0.0.1:${port}`] });
  const edge = startEdge(t, driver);
  edge.appendMany(20);
  await edge.drained();
  assert.equal(driver.noMatchingSubscribers, 20);
});

test("a record larger than the remote's Maximum Packet Size becomes a dead letter, and its lane goes on", async (t) => {
  const program = requireProgram(t, "mosquitto");
  if (program === undefined) return;
  const lines = ["allow_anonymous true", "max_packet_size 500"];
  const port = await startMosquitto(t, program, lines);
  const edge = startEdge(t, new MqttDriver({ urls: [`mqtt://127.0.0.1:${port}`] }));
  edge.append({ topic: "sim/d1", payload: "small" });
  await edge.drained();
  edge.append({ topic: "sim/d1", payload: "x".repeat(600) });
  edge.append({ topic: "sim/d1", payload: "small again" });
  await edge.drained();
  await edge.until("the letter is on disk", () => edge.uplink.letters.count === 1);
  const [letter] = edge.uplink.letters.list(1, 10);
  assert.match(letter?.origin.reason ?? "", /packet of \d+ bytes exceeds the remote's 500/);
  assert.equal(letter?.origin.recordId, "plant-7/00112233445566aa/telemetry/2");
  assert.equal(edge.lane().acknowledged, 2);
});

test("refused credentials block the uplink, in 3.1.1 and in 5", async (t) => {
  const program = requireProgram(t, "mosquitto");
  if (program === undefined) return;
  const port = await startMosquitto(t, program, ["allow_anonymous false"]);
  for (const protocolVersion of [4, 5] as const) {
    const urls = [`mqtt://127.0.0.1:${port}`];
    const edge = startEdge(t, new MqttDriver({ urls, protocolVersion }));
    await edge.until("blocked", () => edge.uplink.status().state === "blocked");
    assert.match(edge.uplink.status().blockedReason ?? "", /^auth: .*authorized/i);
    await edge.uplink.stop(0);
  }
});

test("a broker that is not there is waited for", async (t) => {
  const port = await freePort();
  const edge = startEdge(t, new MqttDriver({ urls: [`mqtt://127.0.0.1:${port}`] }));
  edge.appendMany(3);
  await edge.until("waiting", () => edge.uplink.status().state === "waiting");
  assert.match(edge.uplink.status().blockedReason ?? "", /ECONNREFUSED/);
  assert.equal(edge.lane().lagMessages, 3);
});
