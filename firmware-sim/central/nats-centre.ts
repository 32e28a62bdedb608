import {
  DeliverPolicy,
  type JetStreamManager,
  type JsMsg,
  jetstream,
  jetstreamManager,
  type StreamInfo,
} from "@nats-io/jetstream";
import { connect, type NatsConnection, nanos } from "@nats-io/transport-node";
import type { SinkRecord } from "../sink-check.ts";
import { decodeSinkRecord } from "../sink-record.ts";
import type { Centre, CentreContents } from "./centre.ts";
import { NatsServers } from "./nats-servers.ts";

const STREAM = "RILL";
const NODES = 3;
const DUPLICATE_WINDOW_MS = 2_000;
const READY_MS_MAX = 60_000;
/** The reader gives up on missing records after this long. */
const READ_MS_MAX = 30_000;
const RETRY_MS = 200;
const COUNT_EVERY_MS = 250;
const BARRIER_HEADER = "Rill-Barrier";

/** Repeats `attempt` until it succeeds or the time is over; then its last error is thrown. */
async function eventually<T>(attempt: () => Promise<T>): Promise<T> {
  const endMs = performance.now() + READY_MS_MAX;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (performance.now() > endMs) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

function recordOf(message: JsMsg): SinkRecord {
  const id = message.headers?.get("Nats-Msg-Id");
  const topic = decodeURIComponent(message.headers?.get("Rill-Topic") ?? "");
  return decodeSinkRecord(topic, message.data, id === "" ? undefined : id);
}

/**
 * A NATS cluster of three nodes with one replicated stream, whose duplicate window is shorter than the outage.
 * The proxy leads to the first node; another one, the stream's leader if possible, is killed on the way.
 */
export class NatsCentre implements Centre {
  readonly title = "NATS JetStream cluster (3 nodes, R3, duplicate window 2 s)";
  readonly hasRecordIds = true;
  readonly #folder: string;
  readonly #killNow = (): void => this.#servers?.killNow();
  #servers: NatsServers | undefined;
  #connection: NatsConnection | undefined;
  #counter: NodeJS.Timeout | undefined;
  #arrived = 0;
  #killed: string | undefined;

  /** Everything on disk goes below `folder`. */
  constructor(folder: string) {
    this.#folder = folder;
  }

  async start(): Promise<{ host: string; port: number }> {
    process.once("exit", this.#killNow);
    const servers = await NatsServers.open(this.#folder, NODES);
    this.#servers = servers;
    const connection = await eventually(() => this.#connect(servers));
    this.#connection = connection;
    const manager = await eventually(() => jetstreamManager(connection, { timeout: 2_000 }));
    await eventually(() =>
      manager.streams.add({
        name: STREAM,
        subjects: ["rill.>"],
        num_replicas: NODES,
        duplicate_window: nanos(DUPLICATE_WINDOW_MS),
      }),
    );
    await eventually(() => this.#allCurrent(manager));
    this.#counter = setInterval(() => void this.#count(manager), COUNT_EVERY_MS);
    return { host: "127.0.0.1", port: servers.portOf(this.#entry(servers)) };
  }

  uplinkSettings(proxyPort: number): Readonly<Record<string, unknown>> {
    return { driver: "nats", url: `nats://127.0.0.1:${proxyPort}` };
  }

  arrived(): number {
    return this.#arrived;
  }

  async disturb(): Promise<string | undefined> {
    const { servers, manager } = await this.#running();
    const leader = (await manager.streams.info(STREAM)).cluster?.leader;
    const others = servers.names.filter((name) => name !== this.#entry(servers));
    const victim = others.find((name) => name === leader) ?? others[0];
    if (victim === undefined) return undefined;
    this.#killed = victim;
    await servers.kill(victim);
    const what = victim === leader ? "the stream's leader" : "a follower";
    return `a node of the cluster was killed (${victim}, ${what})`;
  }

  async recover(): Promise<string | undefined> {
    const { servers, manager } = await this.#running();
    const killed = this.#killed;
    if (killed === undefined) return undefined;
    servers.start(killed);
    await eventually(() => this.#allCurrent(manager));
    return `the killed node (${killed}) is back and has caught up`;
  }

  async read(): Promise<CentreContents> {
    clearInterval(this.#counter);
    const { servers } = await this.#running();
    const connection = await this.#connect(servers);
    try {
      const manager = await jetstreamManager(connection);
      const { messages, last_seq: last } = (await manager.streams.info(STREAM)).state;
      const records: SinkRecord[] = [];
      let barriers = 0;
      const consumer = await jetstream(connection).consumers.get(STREAM, {
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
      await connection.close();
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#counter);
    await this.#connection?.close();
    await this.#servers?.close();
    process.off("exit", this.#killNow);
  }

  /** The node that the proxy leads to; it is never killed. */
  #entry(servers: NatsServers): string {
    return servers.names[0] ?? "";
  }

  #connect(servers: NatsServers): Promise<NatsConnection> {
    return connect({
      servers: [...servers.addresses],
      maxReconnectAttempts: -1,
      reconnectTimeWait: RETRY_MS,
      timeout: 2_000,
    });
  }

  async #running(): Promise<{ servers: NatsServers; manager: JetStreamManager }> {
    const servers = this.#servers;
    const connection = this.#connection;
    if (servers === undefined || connection === undefined) throw new Error("not started");
    return { servers, manager: await eventually(() => jetstreamManager(connection)) };
  }

  /** @throws Error while a replica is absent or behind. */
  async #allCurrent(manager: JetStreamManager): Promise<StreamInfo> {
    const info = await manager.streams.info(STREAM);
    const current = (info.cluster?.replicas ?? []).filter(
      (replica) => replica.current && replica.offline !== true,
    );
    if (current.length < NODES - 1) throw new Error(`${current.length} replicas are current`);
    return info;
  }

  async #count(manager: JetStreamManager): Promise<void> {
    try {
      this.#arrived = (await manager.streams.info(STREAM)).state.messages;
    } catch {
      // No leader at the moment; the next count tells.
    }
  }
}
