import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { type TestContext, test } from "node:test";
import { jetstream, jetstreamManager, RetentionPolicy } from "@nats-io/jetstream";
import { NatsCluster } from "../../firmware-sim/central/nats-cluster.ts";
import { TcpProxy } from "../../firmware-sim/central/tcp-proxy.ts";
import { NatsDriver } from "../../src/uplink/drivers/nats.ts";
import { LiveEdge } from "../support/live-edge.ts";
import { requireProgram } from "../support/requirements.ts";
import { readStream, type StoredMessage } from "../support/stream-reader.ts";

const STREAM = "CENTRE";

async function startServer(t: TestContext): Promise<NatsCluster | undefined> {
  if (requireProgram(t, "nats-server") === undefined) return undefined;
  const cluster = await NatsCluster.start(1);
  t.after(() => cluster.stop());
  return cluster;
}

function startEdge(t: TestContext, urls: readonly string[], streams = ["telemetry"]): LiveEdge {
  const edge = new LiveEdge(new NatsDriver({ urls, requestTimeoutMs: 500 }), streams);
  t.after(() => edge.uplink.stop(0));
  return edge;
}

async function records(cluster: NatsCluster): Promise<StoredMessage[]> {
  return (await readStream(cluster, STREAM)).filter((message) => !message.isBarrier);
}

test("records arrive with subject, id, topic and properties as documented", async (t) => {
  const cluster = await startServer(t);
  if (cluster === undefined) return;
  await cluster.createStream({ name: STREAM, subjects: ["rill.>"] });
  const edge = startEdge(t, cluster.urls);
  edge.append({
    topic: "sim/d.1/größe/",
    payload: "21.5",
    retain: true,
    qos: 2,
    properties: {
      isUtf8: true,
      contentType: "text/plain",
      responseTopic: "answers",
      correlationData: Uint8Array.of(1, 2, 3),
      userProperties: [
        ["site", "a"],
        ["site", "b"],
        ["Nats-Msg-Id", "forged"],
      ],
    },
  });
  await edge.drained();
  const stored = await readStream(cluster, STREAM);
  assert.deepEqual(
    stored.map(({ subject }) => subject),
    ["rill.plant-7.telemetry.$barrier", "rill.plant-7.telemetry.sim.d%2E1.größe.%"],
  );
  assert.equal(stored[0]?.payload.length, 0);
  const message = stored[1];
  assert.equal(Buffer.from(message?.payload ?? []).toString(), "21.5");
  const headers = Object.fromEntries(message?.headers ?? []);
  assert.ok(Number(headers["Rill-Time"]?.[0]) > 0);
  delete headers["Rill-Time"];
  assert.deepEqual(headers, {
    "Nats-Msg-Id": ["plant-7/00112233445566aa/telemetry/1"],
    "Rill-Topic": ["sim/d.1/größe/"],
    "Rill-Qos": ["2"],
    "Rill-Retain": ["1"],
    "Rill-Payload-Utf8": ["1"],
    "Rill-Content-Type": ["text/plain"],
    "Rill-Response-Topic": ["answers"],
    "Rill-Correlation-Data": ["AQID"],
    "Rill-User-site": ["a", "b"],
    "Rill-User-Nats-Msg-Id": ["forged"],
  });
  assert.equal(edge.uplink.status().guarantee.kind, "exactly-once");
});

test("order is kept over a drained backlog and live records", async (t) => {
  const cluster = await startServer(t);
  if (cluster === undefined) return;
  await cluster.createStream({ name: STREAM, subjects: ["rill.>"] });
  const edge = startEdge(t, cluster.urls);
  for (let round = 0; round < 10; round++) {
    edge.appendMany(500);
    await edge.store.drain();
  }
  await edge.drained();
  const sequences = (await records(cluster)).map(({ id }) => Number(id.split("/").at(-1)));
  assert.deepEqual(
    sequences,
    Array.from({ length: 5_000 }, (_, i) => i + 1),
  );
});

test("without a stream the lane is blocked with the reason, and goes on once there is one", async (t) => {
  const cluster = await startServer(t);
  if (cluster === undefined) return;
  const edge = startEdge(t, cluster.urls);
  edge.appendMany(3);
  await edge.until("blocked", () => edge.lane().state === "blocked");
  assert.match(
    edge.lane().reason ?? "",
    /no stream takes the subjects rill\.plant-7\.telemetry\.>/,
  );
  await cluster.createStream({ name: STREAM, subjects: ["rill.>"] });
  await edge.drained();
  assert.equal((await records(cluster)).length, 3);
});

test("lost acknowledgements are found by the scan after the duplicate window, not sent again", async (t) => {
  const cluster = await startServer(t);
  if (cluster === undefined) return;
  const config = { name: STREAM, subjects: ["rill.>"], duplicate_window: 100_000_000 };
  await cluster.createStream(config);
  const proxy = await TcpProxy.start({ host: "127.0.0.1", port: cluster.portOf("n1") });
  t.after(() => proxy.stop());
  const edge = startEdge(t, [`nats://127.0.0.1:${proxy.port}`]);
  edge.appendMany(100);
  await edge.drained();
  proxy.block("backward");
  edge.appendMany(20);
  await edge.until("they are in flight", () => edge.lane().inflight === 20);
  await new Promise((resolve) => setTimeout(resolve, 500));
  proxy.cut();
  await edge.until("the cut is noticed", () => edge.uplink.status().state !== "streaming");
  edge.appendMany(5);
  proxy.heal();
  proxy.restore();
  await edge.drained();
  const stored = await records(cluster);
  assert.equal(stored.length, 125);
  assert.equal(new Set(stored.map(({ id }) => id)).size, 125);
  assert.equal(edge.lane().reconciledFound, 20);
  assert.equal(edge.lane().resent, 0);
});

test("a stream that was made anew blocks the lane until an operator decides", async (t) => {
  const cluster = await startServer(t);
  if (cluster === undefined) return;
  const config = { name: STREAM, subjects: ["rill.>"] };
  await cluster.createStream(config);
  const proxy = await TcpProxy.start({ host: "127.0.0.1", port: cluster.portOf("n1") });
  t.after(() => proxy.stop());
  const edge = startEdge(t, [`nats://127.0.0.1:${proxy.port}`]);
  edge.appendMany(10);
  await edge.drained();
  const client = await cluster.connect();
  const manager = await jetstreamManager(client);
  await manager.streams.delete(STREAM);
  await client.close();
  await cluster.createStream(config);
  proxy.drop();
  edge.appendMany(5);
  await edge.until("blocked", () => edge.lane().state === "blocked");
  assert.match(edge.lane().reason ?? "", /purged or made anew; an operator must decide/);
  edge.uplink.forgetRemote("telemetry");
  await edge.drained();
  assert.deepEqual(
    (await records(cluster)).map(({ id }) => Number(id.split("/").at(-1))),
    [11, 12, 13, 14, 15],
  );
});

test("a stream that ends before what it acknowledged blocks the lane as restored", async (t) => {
  const cluster = await startServer(t);
  if (cluster === undefined) return;
  await cluster.createStream({ name: STREAM, subjects: ["rill.>"] });
  const client = await cluster.connect();
  const manager = await jetstreamManager(client);
  const { created } = await manager.streams.info(STREAM);
  await client.close();
  // Progress of a time when the stream reached further than now.
  const remote = { origin: `${STREAM}@${created}`, position: 900, highest: 950 };
  const edge = new LiveEdge(new NatsDriver({ urls: cluster.urls }), ["telemetry"], remote);
  t.after(() => edge.uplink.stop(0));
  edge.appendMany(3);
  await edge.until("blocked", () => edge.lane().state === "blocked");
  assert.match(edge.lane().reason ?? "", /acknowledged 950 before: it was restored/);
  assert.equal((await records(cluster)).length, 0);
});

test("refused credentials block the uplink", async (t) => {
  const server = createServer((socket) => {
    const info = { server_id: "x", version: "2.9.10", proto: 1, headers: true, max_payload: 1e6 };
    socket.write(`INFO ${JSON.stringify({ ...info, auth_required: true })}\r\n`);
    socket.on("data", (chunk) => {
      if (chunk.includes("CONNECT")) socket.end("-ERR 'Authorization Violation'\r\n");
    });
    socket.on("error", () => undefined);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  const edge = startEdge(t, [`nats://127.0.0.1:${(server.address() as AddressInfo).port}`]);
  await edge.until("blocked", () => edge.uplink.status().state === "blocked");
  assert.match(edge.uplink.status().blockedReason ?? "", /^auth: .*authorization violation/i);
});

test("servers of the list that are not there are passed over", async (t) => {
  const cluster = await startServer(t);
  if (cluster === undefined) return;
  await cluster.createStream({ name: STREAM, subjects: ["rill.>"] });
  const edge = startEdge(t, ["nats://127.0.0.1:1", ...cluster.urls]);
  edge.appendMany(3);
  await edge.drained();
  assert.equal((await records(cluster)).length, 3);
});

test("work-queue retention works, and is shown as at least once", async (t) => {
  const cluster = await startServer(t);
  if (cluster === undefined) return;
  const retention = RetentionPolicy.Workqueue;
  await cluster.createStream({ name: STREAM, subjects: ["rill.>"], retention });
  const edge = startEdge(t, cluster.urls);
  edge.appendMany(10);
  await edge.drained();
  assert.equal(edge.uplink.status().guarantee.kind, "at-least-once");
  assert.match(edge.uplink.status().guarantee.why, /workqueue/);
});

test("a full stream blocks the lane with the server's reason and loses nothing", async (t) => {
  const cluster = await startServer(t);
  if (cluster === undefined) return;
  const config = { name: STREAM, subjects: ["rill.>"], max_msgs: 8, discard: "new" as const };
  await cluster.createStream(config);
  const edge = startEdge(t, cluster.urls);
  edge.appendMany(20);
  await edge.until("blocked", () => edge.lane().state === "blocked");
  assert.match(edge.lane().reason ?? "", /maximum messages exceeded/);
  const client = await cluster.connect();
  const manager = await jetstreamManager(client);
  await manager.streams.update(STREAM, { max_msgs: -1 });
  await client.close();
  await edge.drained();
  const stored = await records(cluster);
  assert.equal(new Set(stored.map(({ id }) => id)).size, 20);
  assert.equal(stored.length, 20);
});

test("a record larger than the server takes becomes a dead letter, and both lanes go on", async (t) => {
  const cluster = await startServer(t);
  if (cluster === undefined) return;
  await cluster.createStream({ name: STREAM, subjects: ["rill.>"] });
  const edge = startEdge(t, cluster.urls, ["telemetry", "alarms"]);
  edge.append({ topic: "sim/big", payload: "x".repeat(1_100_000) });
  edge.append({ topic: "sim/small", payload: "1" }, "alarms");
  edge.append({ topic: "sim/small", payload: "2" });
  await edge.until("telemetry goes on", () => edge.lane(0).acknowledged === 1);
  await edge.until("a letter", () => edge.uplink.letters.count === 1);
  assert.match(edge.uplink.letters.get(1)?.origin.reason ?? "", /max_payload/);
  await edge.until("alarms goes on", () => edge.lane(1).acknowledged === 1);
  assert.equal(edge.uplink.status().state, "streaming");
});

test("consumers skip barriers by their subject or header", async (t) => {
  const cluster = await startServer(t);
  if (cluster === undefined) return;
  await cluster.createStream({ name: STREAM, subjects: ["rill.>"] });
  const edge = startEdge(t, cluster.urls);
  edge.append({ topic: "$barrier", payload: "a topic of that name" });
  await edge.drained();
  const client = await cluster.connect();
  t.after(() => client.close());
  const consumer = await jetstream(client).consumers.get(STREAM, {
    filter_subjects: "rill.*.*.$barrier",
  });
  const message = await consumer.next({ expires: 2_000 });
  assert.ok(message?.headers?.has("Rill-Barrier"));
  assert.equal((await records(cluster))[0]?.subject, "rill.plant-7.telemetry.%24barrier");
});
