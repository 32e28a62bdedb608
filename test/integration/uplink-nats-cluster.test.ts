import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { NatsCluster } from "../../firmware-sim/central/nats-cluster.ts";
import { TcpProxy } from "../../firmware-sim/central/tcp-proxy.ts";
import { eventually, JsonProcess } from "../support/json-process.ts";
import { requireProgram } from "../support/requirements.ts";
import { readStream } from "../support/stream-reader.ts";

const STREAM = "CENTRE";
const DUPLICATE_WINDOW_NS = 2_000_000_000;
/** Longer than the duplicate window. */
const OUTAGE_MS = 3_500;
const EDGE = fileURLToPath(import.meta.resolve("../support/edge-process.ts"));

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Each of the records 1 to `last` is there, once. */
async function checkStored(cluster: NatsCluster, last: number): Promise<void> {
  const stored = (await readStream(cluster, STREAM)).filter((message) => !message.isBarrier);
  const ids = new Set(stored.map(({ id }) => id));
  const sequences = new Set(stored.map(({ id }) => Number(id.split("/").at(-1))));
  assert.equal(stored.length, ids.size, "nothing is stored twice");
  assert.equal(stored.length, last, "as many as were appended");
  for (let sequence = 1; sequence <= last; sequence++) {
    assert.ok(sequences.has(sequence), `record ${sequence} is lost`);
  }
}

test("into an R3 stream nothing is lost and nothing stored twice, whatever is killed or cut", async (t) => {
  if (requireProgram(t, "nats-server") === undefined) return;
  const cluster = await NatsCluster.start(3);
  t.after(() => cluster.stop());
  const folder = await mkdtemp(join(tmpdir(), "rillmq-edge-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  await cluster.createStream({
    name: STREAM,
    subjects: ["rill.>"],
    num_replicas: 3,
    duplicate_window: DUPLICATE_WINDOW_NS,
  });
  const leader = await cluster.leaderOf(STREAM);
  const entry = cluster.nodeNames.find((name) => name !== leader) ?? "n1";
  const proxy = await TcpProxy.start({ host: "127.0.0.1", port: cluster.portOf(entry) });
  t.after(() => proxy.stop());

  const edges: JsonProcess[] = [];
  t.after(() => Promise.all(edges.map((edge) => edge.kill())));
  const startEdge = (): JsonProcess => {
    const edge = new JsonProcess(EDGE, [folder, `nats://127.0.0.1:${proxy.port}`, "400"]);
    edges.push(edge);
    return edge;
  };
  const field = (edge: JsonProcess, name: string): number => Number(edge.last("status")?.[name]);
  const streams = (edge: JsonProcess, acknowledged: number): Promise<void> =>
    eventually(
      `${acknowledged} acknowledged`,
      () => field(edge, "acknowledged") >= acknowledged,
      20_000,
      () => edge.describe(),
    );

  let edge = startEdge();
  await streams(edge, 300);

  // Acknowledgements get lost, then everything; the edge dies while it is alone.
  proxy.block("backward");
  await pause(700);
  proxy.cut();
  await pause(OUTAGE_MS / 2);
  await edge.kill();
  edge = startEdge();
  await pause(OUTAGE_MS / 2);
  proxy.heal();
  proxy.restore();
  await streams(edge, 200);
  assert.ok(field(edge, "reconciledFound") > 0, "stored but unacknowledged records are found");

  // The leader dies in full flow and comes back.
  await cluster.kill(leader);
  await pause(1_000);
  await edge.kill();
  edge = startEdge();
  await cluster.leaderOf(STREAM);
  await streams(edge, 100);
  cluster.restart(leader);

  // The edge dies in full flow, and acknowledgements are lost once more.
  await edge.kill();
  edge = startEdge();
  await streams(edge, 100);
  proxy.block("backward");
  await pause(500);
  proxy.cut();
  await pause(OUTAGE_MS);
  proxy.heal();
  proxy.restore();

  edge.signal("SIGUSR2");
  await pause(200);
  await eventually(
    "the backlog drained",
    () => field(edge, "lagMessages") === 0 && field(edge, "last") > 0,
    30_000,
    () => edge.describe(),
  );
  const last = field(edge, "last");
  await edge.kill();

  await checkStored(cluster, last);
  assert.ok(last > 2_000, `only ${last} records`);
  t.diagnostic(`${last} records`);
});
