import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type TestContext, test } from "node:test";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { NatsCluster } from "../../firmware-sim/central/nats-cluster.ts";
import { TcpProxy } from "../../firmware-sim/central/tcp-proxy.ts";
import { Guardian } from "../../firmware-sim/guardian.ts";
import { BrokerHome } from "../support/broker-process.ts";
import { eventually } from "../support/json-process.ts";
import { requireProgram } from "../support/requirements.ts";
import { fleetOptions, runFleet } from "./firmware-sim-run.ts";

const ROOT = join(import.meta.dirname, "..", "..");
const WAIT_MS = 15_000;

/** A process that starts `sleep` under a guardian, says its pid and the guarded folder, and stays. */
const OWNER = `
  import { spawn } from "node:child_process";
  import { mkdtempSync } from "node:fs";
  import { tmpdir } from "node:os";
  import { join } from "node:path";
  import { Guardian } from "./firmware-sim/guardian.ts";
  const folder = mkdtempSync(join(tmpdir(), "rillmq-guard-"));
  const guardian = new Guardian(folder);
  const ended = spawn("sleep", ["0"]);
  guardian.watch(ended);
  const child = spawn("sleep", ["600"], { stdio: "ignore" });
  guardian.watch(child);
  ended.on("exit", () => console.log(JSON.stringify({ pid: child.pid, folder })));
  setInterval(() => undefined, 1_000);
`;

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

test("what a guardian watches dies with its owner, even by SIGKILL, and the folder goes too", async (t) => {
  const argv = ["--import", "tsx", "--input-type=module", "-e", OWNER];
  const owner = spawn(process.execPath, argv, { cwd: ROOT, stdio: ["ignore", "pipe", "inherit"] });
  t.after(() => owner.kill("SIGKILL"));
  const lines = createInterface({ input: owner.stdout });
  const [line] = await new Promise<[string]>((resolve) => {
    lines.once("line", (text) => resolve([text]));
  });
  const { pid, folder } = JSON.parse(line) as { pid: number; folder: string };
  assert.ok(isAlive(pid) && existsSync(folder));
  owner.kill("SIGKILL");
  await eventually("both are gone", () => !isAlive(pid) && !existsSync(folder), WAIT_MS);
});

test("a guardian that is closed kills what is left and ends", async () => {
  const guardian = new Guardian();
  const child = spawn("sleep", ["600"], { stdio: "ignore" });
  guardian.watch(child);
  await guardian.close();
  await eventually("the child has ended", () => child.signalCode === "SIGKILL", WAIT_MS);
  await guardian.close();
});

async function startCluster(t: TestContext): Promise<NatsCluster | undefined> {
  if (requireProgram(t, "nats-server") === undefined) return undefined;
  const cluster = await NatsCluster.start(3);
  t.after(() => cluster.stop());
  return cluster;
}

test("a client behind a proxy is not told the way around it, and one with several addresses finds the others", async (t) => {
  const cluster = await startCluster(t);
  if (cluster === undefined) return;
  const [entry = ""] = cluster.nodeNames;
  const proxy = await TcpProxy.start({ host: "127.0.0.1", port: cluster.portOf(entry) });
  t.after(() => proxy.stop());
  const alone = await connect({ servers: `127.0.0.1:${proxy.port}` });
  assert.deepEqual(alone.info?.connect_urls ?? [], []);
  await alone.close();

  const servers = cluster.urls.map((url) => url.slice("nats://".length));
  const free = await connect({ servers, reconnectTimeWait: 50, noRandomize: true });
  t.after(() => free.close());
  const before = free.getServer();
  await cluster.kill(entry);
  await eventually("it is at another node", () => free.getServer() !== before, WAIT_MS);
  await free.flush();
});

test("an uplink with several addresses goes on at another node when its own is killed", async (t) => {
  const cluster = await startCluster(t);
  if (cluster === undefined) return;
  await cluster.createStream({ name: "RILL", subjects: ["rill.>"], num_replicas: 3 });
  const broker = await new BrokerHome(t).start({
    config: {
      edgeId: "edge-1",
      streams: [{ name: "telemetry", filters: ["sim/#"] }],
      uplinks: [
        {
          name: "centre",
          driver: "nats",
          urls: cluster.urls,
          lanes: [{ stream: "telemetry" }],
          backoffMinMs: 100,
          backoffMaxMs: 500,
          progressDeadlineMs: 1_000,
        },
      ],
    },
  });
  const url = `mqtt://127.0.0.1:${broker.port}`;
  const client = await cluster.connect();
  t.after(() => client.close());
  const manager = await jetstreamManager(client, { checkAPI: false, timeout: 3_000 });
  const stored = async (count: number): Promise<void> => {
    const endMs = performance.now() + WAIT_MS;
    for (;;) {
      const info = await manager.streams.info("RILL").catch(() => undefined);
      if ((info?.state.messages ?? 0) >= count) return;
      assert.ok(performance.now() < endMs, `${info?.state.messages} of ${count} stored`);
    }
  };
  await runFleet(t, fleetOptions(url, { run: "before" }));
  await stored(200);
  await cluster.kill(cluster.nodeNames[0] ?? "");
  await runFleet(t, fleetOptions(url, { run: "after" }));
  await stored(400);
});
