import { type ChildProcess, type StdioOptions, spawn } from "node:child_process";
import { connect, createServer } from "node:net";
import { join } from "node:path";

/** The package's folder: brokers run there, so that they find its dependencies. */
const ROOT = join(import.meta.dirname, "..", "..");

const READY_MS_MAX = 20_000;
const READY_POLL_MS = 20;
const STOP_MS_MAX = 5_000;
/** How much of the end of what a broker wrote is kept for the message when it fails. */
const OUTPUT_CHARACTERS_MAX = 2_000;
const READY_LINE = /^ready pid=(\d+) (?:mqtts?|wss?|rills?):\/\/127\.0\.0\.1:(\d+)/m;

/** Every broker running, so that none survives the bench. */
const alive = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of alive) child.kill("SIGKILL");
});

/** A broker under measurement. */
export class BrokerProcess {
  readonly #child: ChildProcess;
  #output = "";
  #hasEnded = false;
  #isStopping = false;
  #reject: (error: Error) => void = () => {};
  #pid = 0;
  #port = 0;

  /** Never resolves; rejects when the broker ends by itself. */
  readonly failed: Promise<never>;

  private constructor(
    command: string,
    args: readonly string[],
    env: Readonly<Record<string, string>> = {},
  ) {
    this.failed = new Promise((_resolve, reject) => {
      this.#reject = reject;
    });
    this.failed.catch(() => {}); // who waits for anything else races it with this
    const stdio: StdioOptions = ["ignore", "pipe", "pipe"];
    this.#child = spawn(command, args, { cwd: ROOT, stdio, env: { ...process.env, ...env } });
    alive.add(this.#child);
    const keep = (text: Buffer): void => {
      this.#output = (this.#output + text.toString()).slice(-OUTPUT_CHARACTERS_MAX);
    };
    this.#child.stdout?.on("data", keep);
    this.#child.stderr?.on("data", keep);
    this.#child.on("error", (error) => this.#ended(`could not be started: ${error.message}`));
    this.#child.on("exit", (code, signal) => this.#ended(`ended (${signal ?? code})`));
  }

  /**
   * Starts a broker that says `ready pid=PID mqtt://127.0.0.1:PORT` (or mqtts, ws, wss, rill, rills) on standard output once it accepts.
   * Rejects with the end of its output when it does not within 20 s.
   */
  static async startUntilReadyLine(
    command: string,
    args: readonly string[],
    env?: Readonly<Record<string, string>>,
  ): Promise<BrokerProcess> {
    const broker = new BrokerProcess(command, args, env);
    let output = "";
    broker.#child.stdout?.on("data", (text: Buffer) => {
      output = (output + text.toString()).slice(0, OUTPUT_CHARACTERS_MAX);
    });
    await broker.#until(() => {
      const ready = READY_LINE.exec(output);
      broker.#pid = Number(ready?.[1]);
      broker.#port = Number(ready?.[2]);
      return Promise.resolve(ready !== null);
    });
    return broker;
  }

  /** Starts a broker told to listen on `port` and waits until something accepts there. */
  static async startUntilAccepting(
    command: string,
    args: readonly string[],
    port: number,
  ): Promise<BrokerProcess> {
    const broker = new BrokerProcess(command, args);
    await broker.#until(() => accepts(port));
    broker.#pid = broker.#child.pid ?? 0;
    broker.#port = port;
    return broker;
  }

  get pid(): number {
    return this.#pid;
  }

  get port(): number {
    return this.#port;
  }

  /** Asks the broker to end, and ends it after 5 s. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    if (this.#hasEnded) return;
    const ended = new Promise<void>((resolve) => this.#child.once("exit", () => resolve()));
    this.#child.kill("SIGTERM");
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), STOP_MS_MAX);
    await ended;
    clearTimeout(timer);
  }

  async #until(isReady: () => Promise<boolean>): Promise<void> {
    const deadline = performance.now() + READY_MS_MAX;
    while (!(await isReady())) {
      if (this.#hasEnded || performance.now() > deadline) {
        await this.stop();
        throw new Error(`broker did not get ready: ${this.#output.trim()}`);
      }
      await new Promise((resolve) => setTimeout(resolve, READY_POLL_MS));
    }
  }

  #ended(how: string): void {
    this.#hasEnded = true;
    alive.delete(this.#child);
    if (!this.#isStopping) this.#reject(new Error(`broker ${how}: ${this.#output.trim()}`));
  }
}

/** A port of loopback that was free a moment ago. */
export function findFreePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      const port = typeof address === "object" && address !== null ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.on("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}
