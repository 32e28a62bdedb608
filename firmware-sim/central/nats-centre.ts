import {
  DeliverPolicy,
  type JetStreamManager,
  type JsMsg,
  jetstream,
  jetstreamManager,
} from "@nats-io/jetstream";
import { type NatsConnection, nanos } from "@nats-io/transport-node";
import type { SinkRecord } from "../sink-check.ts";
import { decodeSinkRecord } from "../sink-record.ts";
import type { Centre, CentreContents } from "./centre.ts";
import { NatsCluster } from "./nats-cluster.ts";

const STREAM = "RILL";
const NODES = 3;
const DUPLICATE_WINDOW_MS = 2_000;
/** For a killed node to come back and catch up. */
const CURRENT_MS_MAX = 60_000;
const RETRY_MS = 200;
const COUNT_EVERY_MS = 250;
/** The reader gives up on missing records after this long. */
const READ_MS_MAX = 30_000;
const BARRIER_HEADER = "Rill-Barrier";

interface Running {
  readonly cluster: NatsCluster;
  readonly client: NatsConnection;
  readonly manager: JetStreamManager;
  /** The node that the proxy leads to, not the leader at the start; it is never killed. */
  readonly entry: string;
}

function recordOf(message: JsMsg): SinkRecord {
  const id = message.headers?.get("Nats-Msg-Id");
  const topic = decodeURIComponent(message.headers?.get("Rill-Topic") ?? "");
  return decodeSinkRecord(topic, message.data, id === "" ? undefined : id);
}

/** @throws Error when after a long time a replica is still absent or behind. */
async function untilAllCurrent(manager: JetStreamManager): Promise<void> {
  const endMs = performance.now() + CURRENT_MS_MAX;
  while (performance.now() < endMs) {
    // Without a leader there is no answer; then ask again.
    const info = await manager.streams.info(STREAM).catch(() => undefined);
    const replicas = info?.cluster?.replicas ?? [];
    const current = replicas.filter((one) => one.current && one.offline !== true);
    if (current.length === NODES - 1) return;
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
  throw new Error("the cluster's nodes did not catch up");
}

/**
 * A NATS cluster of three nodes with one replicated stream, whose duplicate window is shorter than the outage.
 * The proxy leads to a follower; the stream's leader is killed on the way.
 */
export class NatsCentre implements Centre {
  readonly title = "NATS JetStream cluster (3 nodes, R3, duplicate window 2 s)";
  readonly hasRecordIds = true;
  #cluster: NatsCluster | undefined;
  #client: NatsConnection | undefined;
  #running: Running | undefined;
  #counter: NodeJS.Timeout | undefined;
  #arrived = 0;
  #killed: string | undefined;

  async start(): Promise<{ host: string; port: number }> {
    const cluster = await NatsCluster.start(NODES);
    this.#cluster = cluster;
    await cluster.createStream({
      name: STREAM,
      subjects: ["rill.>"],
      num_replicas: NODES,
      duplicate_window: nanos(DUPLICATE_WINDOW_MS),
    });
    const client = await cluster.connect();
    this.#client = client;
    const manager = await jetstreamManager(client, { checkAPI: false, timeout: 3_000 });
    const leader = await cluster.leaderOf(STREAM);
    const entry = cluster.nodeNames.find((name) => name !== leader) ?? "";
    this.#running = { cluster, client, manager, entry };
    await untilAllCurrent(manager);
    this.#counter = setInterval(() => void this.#count(manager), COUNT_EVERY_MS);
    return { host: "127.0.0.1", port: cluster.portOf(entry) };
  }

  uplinkSettings(proxyPort: number): Readonly<Record<string, unknown>> {
    return { driver: "nats", url: `nats://127.0.0.1:${proxyPort}` };
  }

  arrived(): number {
    return this.#arrived;
  }

  async disturb(): Promise<string | undefined> {
    const { cluster, entry } = this.#started();
    const leader = await cluster.leaderOf(STREAM);
    const others = cluster.nodeNames.filter((name) => name !== entry);
    const victim = others.find((name) => name === leader) ?? others[0];
    if (victim === undefined) return undefined;
    this.#killed = victim;
    await cluster.kill(victim);
    const what = victim === leader ? "the stream's leader" : "a follower";
    return `a node of the cluster was killed (${victim}, ${what})`;
  }

  async recover(): Promise<string | undefined> {
    const { cluster, manager } = this.#started();
    const killed = this.#killed;
    if (killed === undefined) return undefined;
    cluster.restart(killed);
    await untilAllCurrent(manager);
    return `the killed node of the cluster is back (${killed})`;
  }

  async read(): Promise<CentreContents> {
    clearInterval(this.#counter);
    const client = await this.#started().cluster.connect();
    try {
      const manager = await jetstreamManager(client, { timeout: 10_000 });
      const { messages, last_seq: last } = (await manager.streams.info(STREAM)).state;
      const records: SinkRecord[] = [];
      let barriers = 0;
      const consumer = await jetstream(client).consumers.get(STREAM, {
        deliver_policy: DeliverPolicy.All,
      });
      const incoming = await consumer.consume();
      const timer = setTimeout(() => incoming.stop(), READ_MS_MAX);
      // Up to the last sequence: a replica that still catches up may say too early that nothing is pending.
      for await (const message of messages === 0 ? [] : incoming) {
        if (message.headers?.has(BARRIER_HEADER)) barriers += 1;
        else records.push(recordOf(message));
        if (message.seq >= last) break;
      }
      clearTimeout(timer);
      return { records, accepted: messages - barriers };
    } finally {
      await client.close();
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#counter);
    await this.#client?.close();
    await this.#cluster?.stop();
  }

  #started(): Running {
    if (this.#running === undefined) throw new Error("the cluster does not run");
    return this.#running;
  }

  async #count(manager: JetStreamManager): Promise<void> {
    const info = await manager.streams.info(STREAM).catch(() => undefined);
    if (info !== undefined) this.#arrived = info.state.messages;
  }
}
