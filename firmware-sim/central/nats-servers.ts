import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { closeSync, mkdirSync, openSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "../edge-process.ts";

const HOST = "127.0.0.1";

/** Whether `nats-server` can be started here. */
export const hasNatsServer = (): boolean =>
  spawnSync("nats-server", ["--version"], { stdio: "ignore" }).status === 0;

interface Node {
  readonly name: string;
  readonly port: number;
  readonly configFile: string;
  readonly logFile: string;
  process: ChildProcess | undefined;
}

/** A cluster of `nats-server` processes with JetStream on disk. Owns the processes until `close`. */
export class NatsServers {
  readonly #nodes: readonly Node[];

  private constructor(nodes: readonly Node[]) {
    this.#nodes = nodes;
  }

  /** Starts `count` servers with everything below `folder`. They find each other in the background. */
  static async open(folder: string, count: number): Promise<NatsServers> {
    const ports = await Promise.all(Array.from({ length: count }, freePort));
    const routePorts = await Promise.all(Array.from({ length: count }, freePort));
    const routes = routePorts.map((port) => `nats-route://${HOST}:${port}`).join(", ");
    const nodes = ports.map((port, index): Node => {
      const name = `n${index + 1}`;
      const home = join(folder, name);
      mkdirSync(home, { recursive: true });
      const configFile = join(home, "nats.conf");
      // no_advertise: clients shall not find their way around the proxy.
      const config = [
        `server_name: ${name}`,
        `listen: "${HOST}:${port}"`,
        `jetstream { store_dir: "${home}", max_memory_store: 64MB, max_file_store: 1GB }`,
        `cluster { name: demo, listen: "${HOST}:${routePorts[index]}", no_advertise: true, routes: [${routes}] }`,
      ];
      writeFileSync(configFile, `${config.join("\n")}\n`);
      return { name, port, configFile, logFile: join(home, "nats.log"), process: undefined };
    });
    const servers = new NatsServers(nodes);
    for (const { name } of nodes) servers.start(name);
    return servers;
  }

  get names(): readonly string[] {
    return this.#nodes.map(({ name }) => name);
  }

  /** Addresses for clients of all nodes, as `host:port`. */
  get addresses(): readonly string[] {
    return this.#nodes.map(({ port }) => `${HOST}:${port}`);
  }

  /** Client port of one node. */
  portOf(name: string): number {
    return this.#node(name).port;
  }

  /** Starts a node that does not run, on its old data. */
  start(name: string): void {
    const node = this.#node(name);
    const log = openSync(node.logFile, "a");
    const child = spawn("nats-server", ["-c", node.configFile], { stdio: ["ignore", log, log] });
    closeSync(log);
    child.on("error", () => undefined);
    node.process = child;
  }

  /** SIGKILL to one node; resolves when it is gone. */
  async kill(name: string): Promise<void> {
    const node = this.#node(name);
    const child = node.process;
    node.process = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    await new Promise<void>((resolve) => {
      child.once("exit", () => resolve());
      child.kill("SIGKILL");
    });
  }

  /** SIGKILL to all without waiting, for the last moment of the own process. */
  killNow(): void {
    for (const { process: child } of this.#nodes) child?.kill("SIGKILL");
  }

  async close(): Promise<void> {
    await Promise.all(this.names.map((name) => this.kill(name)));
  }

  #node(name: string): Node {
    const node = this.#nodes.find((one) => one.name === name);
    if (node === undefined) throw new Error(`no node ${name}`);
    return node;
  }
}
