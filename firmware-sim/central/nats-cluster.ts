import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { jetstreamManager, type StreamConfig } from "@nats-io/jetstream";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { Guardian } from "../guardian.ts";

/** Folders beside PATH where packages put servers. */
const SERVER_FOLDERS = ["/usr/sbin", "/usr/local/sbin", "/usr/local/bin"];
const READY_MS_MAX = 20_000;
const STOP_MS_MAX = 5_000;
const POLL_MS = 50;

function findNatsServer(): string | undefined {
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), ...SERVER_FOLDERS];
  return folders.map((folder) => join(folder, "nats-server")).find((path) => existsSync(path));
}

/** True when a nats-server can be started here. */
export function isNatsServerInstalled(): boolean {
  return findNatsServer() !== undefined;
}

interface Node {
  readonly name: string;
  readonly port: number;
  readonly routePort: number;
  readonly configFile: string;
  process: ChildProcess | undefined;
}

/**
 * A JetStream cluster of one or three real servers on free ports of loopback, with its data in a temporary folder. The servers do not
 * tell clients of each other: who connects through a proxy stays behind it. They do not outlive this process, however it ends.
 */
export class NatsCluster {
  readonly #program: string;
  readonly #folder: string;
  readonly #nodes: readonly Node[];
  readonly #guardian: Guardian;

  private constructor(program: string, folder: string, nodes: readonly Node[]) {
    this.#program = program;
    this.#folder = folder;
    this.#nodes = nodes;
    this.#guardian = new Guardian(folder);
  }

  /** Starts the servers and waits until JetStream answers. Throws when nats-server is not installed. */
  static async start(nodeCount: 1 | 3 = 3): Promise<NatsCluster> {
    const program = findNatsServer();
    if (program === undefined) throw new Error("nats-server is not installed");
    const folder = await mkdtemp(join(tmpdir(), "rillmq-nats-"));
    const ports = await freePorts(nodeCount * 2);
    const nodes: Node[] = [];
    for (let i = 0; i < nodeCount; i++) {
      nodes.push({
        name: `n${i + 1}`,
        port: ports[i] ?? 0,
        routePort: ports[nodeCount + i] ?? 0,
        configFile: join(folder, `n${i + 1}.conf`),
        process: undefined,
      });
    }
    const cluster = new NatsCluster(program, folder, nodes);
    try {
      for (const node of nodes) await cluster.#configure(node);
      for (const node of nodes) cluster.#spawn(node);
      await cluster.ready();
    } catch (error) {
      await cluster.stop();
      throw error;
    }
    return cluster;
  }

  get nodeNames(): readonly string[] {
    return this.#nodes.map(({ name }) => name);
  }

  get urls(): readonly string[] {
    return this.#nodes.map(({ port }) => `nats://127.0.0.1:${port}`);
  }

  portOf(name: string): number {
    return this.#node(name).port;
  }

  isRunning(name: string): boolean {
    return this.#node(name).process !== undefined;
  }

  /** A client of its own, which reconnects by itself. The caller closes it. */
  connect(): Promise<NatsConnection> {
    const running = this.#nodes.filter((node) => node.process !== undefined);
    return connect({
      servers: running.map(({ port }) => `127.0.0.1:${port}`),
      maxReconnectAttempts: -1,
      reconnectTimeWait: 200,
      timeout: 3_000,
    });
  }

  /** Waits until JetStream takes requests. */
  async ready(): Promise<void> {
    await this.#eventually("JetStream answers", async (client) => {
      const manager = await jetstreamManager(client, { timeout: 1_000 });
      await manager.getAccountInfo();
      // In a cluster the list of streams needs the elected leader.
      await manager.streams.list().next();
      return true;
    });
  }

  /** Makes a stream, or throws what the server said last. */
  async createStream(config: Partial<StreamConfig> & { readonly name: string }): Promise<void> {
    await this.#eventually(`stream ${config.name} is made`, async (client) => {
      const manager = await jetstreamManager(client, { checkAPI: false, timeout: 3_000 });
      await manager.streams.add(config);
      return true;
    });
  }

  /** The node that leads a stream; waits for one to be elected. */
  async leaderOf(stream: string): Promise<string> {
    let leader = "";
    await this.#eventually(`stream ${stream} has a leader`, async (client) => {
      const manager = await jetstreamManager(client, { checkAPI: false, timeout: 1_000 });
      const info = await manager.streams.info(stream);
      leader = info.cluster?.leader ?? (this.#nodes.length === 1 ? "n1" : "");
      return leader !== "";
    });
    return leader;
  }

  /** SIGKILL; resolves when the process is gone. */
  async kill(name: string): Promise<void> {
    const { process: child } = this.#node(name);
    if (child === undefined) return;
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
  }

  /** Starts a node that was killed, on the same ports with the same data. */
  restart(name: string): void {
    const node = this.#node(name);
    if (node.process === undefined) this.#spawn(node);
  }

  /** Ends all servers and removes their data. */
  async stop(): Promise<void> {
    await Promise.all(
      this.#nodes.map(async ({ process: child }) => {
        if (child === undefined) return;
        const exited = once(child, "exit");
        child.kill("SIGTERM");
        const timeout = setTimeout(() => child.kill("SIGKILL"), STOP_MS_MAX);
        await exited;
        clearTimeout(timeout);
      }),
    );
    await this.#guardian.close();
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 3 });
  }

  #node(name: string): Node {
    const node = this.#nodes.find((one) => one.name === name);
    if (node === undefined) throw new RangeError(`no node ${name}`);
    return node;
  }

  async #configure(node: Node): Promise<void> {
    const dataFolder = join(this.#folder, node.name);
    await mkdir(dataFolder);
    const lines = [
      `server_name: ${node.name}`,
      `listen: 127.0.0.1:${node.port}`,
      `jetstream { store_dir: "${dataFolder}", max_memory_store: 64MB, max_file_store: 1GB }`,
    ];
    if (this.#nodes.length > 1) {
      const routes = this.#nodes.map(({ routePort }) => `"nats://127.0.0.1:${routePort}"`);
      lines.push(
        `cluster { name: centre, listen: 127.0.0.1:${node.routePort}, no_advertise: true, routes: [${routes.join(", ")}] }`,
      );
    }
    await writeFile(node.configFile, `${lines.join("\n")}\n`);
  }

  #spawn(node: Node): void {
    const child = spawn(this.#program, ["-c", node.configFile], { stdio: "ignore" });
    node.process = child;
    this.#guardian.watch(child);
    const gone = (): void => {
      if (node.process === child) node.process = undefined;
    };
    child.on("exit", gone);
    child.on("error", gone);
  }

  /** Repeats until `act` gives true; throws its last error after a while. */
  async #eventually(
    what: string,
    act: (client: NatsConnection) => Promise<boolean>,
  ): Promise<void> {
    const untilMs = Date.now() + READY_MS_MAX;
    let last: unknown;
    while (Date.now() < untilMs) {
      try {
        const client = await this.connect();
        try {
          if (await act(client)) return;
        } finally {
          await client.close();
        }
      } catch (error) {
        last = error;
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    throw new Error(`within ${READY_MS_MAX} ms not: ${what}`, { cause: last });
  }
}

/** Ports of loopback that were free a moment ago. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  const ports: number[] = [];
  for (const server of servers) {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    ports.push((server.address() as AddressInfo).port);
  }
  for (const server of servers) {
    server.close();
    await once(server, "close");
  }
  return ports;
}
