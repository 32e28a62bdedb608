/** The broker as a process: `bin/rillmq.js serve` on a data folder of its own, to be killed and started again. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "./json-process.ts";

const BIN = join(import.meta.dirname, "..", "..", "bin", "rillmq.js");
/** Longest a start may take, on a machine that does other things too. */
const READY_MS_MAX = 20_000;
const OUTPUT_BYTES_MAX = 1_048_576;
const READY = /^ready pid=(\d+) (\S+(?: \S+)*?)(?: (http:\/\/\S+))?$/m;

/** What a broker is started with. */
export interface BrokerSettings {
  /** Listens here; 0: any free port. Default 0. */
  readonly port?: number;
  /** What the configuration file has; with `listeners` in it nothing else listens. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Replaces the folder of the home. */
  readonly data?: string;
  /** Replaces `127.0.0.1:0`; undefined: the flag is not given. */
  readonly http?: string | undefined;
  /** Further flags. */
  readonly flags?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
}

/** How a broker ended. */
export interface BrokerEnd {
  /** Undefined: a signal ended it. */
  readonly exitCode: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

/** One line of the log. */
export type LogLine = Readonly<Record<string, unknown>>;

/** Who calls back at the end: a `TestContext`, or a program of its own. */
export interface Cleanup {
  after(callback: () => Promise<void>): void;
}

/** One run of the broker. */
export class BrokerProcess {
  readonly ended: Promise<BrokerEnd>;
  readonly #child: ChildProcess;
  #stdout = "";
  #stderr = "";
  #isOver = false;

  constructor(args: readonly string[], env: NodeJS.ProcessEnv) {
    this.#child = spawn(process.execPath, [BIN, ...args], {
      env: { ...plainEnvironment(), ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const { stdout, stderr } = this.#child;
    stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.#stdout = (this.#stdout + text).slice(-OUTPUT_BYTES_MAX);
    });
    stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-OUTPUT_BYTES_MAX);
    });
    this.ended = once(this.#child, "close").then(([code]) => {
      this.#isOver = true;
      const exitCode = typeof code === "number" ? code : undefined;
      return { exitCode, stdout: this.#stdout, stderr: this.#stderr };
    });
  }

  /** True from its end on. */
  get isOver(): boolean {
    return this.#isOver;
  }

  get stderr(): string {
    return this.#stderr;
  }

  /** As the broker itself says it. */
  get pid(): number {
    return Number(this.#ready()[1]);
  }

  /** Of its first listener. */
  get port(): number {
    return Number(new URL(this.urls[0] ?? "").port);
  }

  /** Of all listeners, as the broker itself says it. */
  get urls(): string[] {
    return this.#ready()[2]?.split(" ") ?? [];
  }

  get httpUrl(): string {
    return this.#ready()[3] ?? "";
  }

  /** The lines of the log so far. */
  get log(): LogLine[] {
    const lines = this.#stderr.split("\n").slice(0, -1);
    return lines.filter((line) => line.startsWith("{")).map((line) => JSON.parse(line) as LogLine);
  }

  /** How many lines of the log have this event. */
  count(event: string): number {
    return this.log.filter((line) => line["event"] === event).length;
  }

  /** Waits until it accepts; fails with what it said when it does not. */
  async ready(): Promise<this> {
    const what = (): string => `${this.#stdout}${this.#stderr}`;
    await eventually(
      "the broker is ready",
      () => {
        if (this.#isOver) throw new Error(`the broker ended:\n${what()}`);
        return READY.test(this.#stdout);
      },
      READY_MS_MAX,
      what,
    );
    return this;
  }

  /** Resident memory in bytes without what is mapped from files. Linux alone. */
  get anonymousBytes(): number {
    const status = readFileSync(`/proc/${this.pid}/status`, "utf8");
    return Number(/^RssAnon:\s+(\d+) kB$/m.exec(status)?.[1]) * 1_024;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** SIGKILL; resolves when it is gone. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.ended;
  }

  /** SIGTERM; resolves with how it ended. */
  stop(): Promise<BrokerEnd> {
    this.#child.kill("SIGTERM");
    return this.ended;
  }

  #ready(): RegExpExecArray {
    const match = READY.exec(this.#stdout);
    if (match === null) throw new Error(`the broker is not ready:\n${this.#stdout}${this.#stderr}`);
    return match;
  }
}

/** A temporary folder with a data folder in it, and the brokers that run there: at the end all are gone. */
export class BrokerHome {
  readonly folder = mkdtempSync(join(tmpdir(), "rillmq-broker-"));
  readonly data = join(this.folder, "data");
  readonly #running = new Set<BrokerProcess>();

  constructor(cleanup: Cleanup) {
    cleanup.after(() => this.close());
  }

  /** Where the store is. */
  get storePath(): string {
    return join(this.data, "store.mdb");
  }

  /** Starts a broker and does not wait for it. */
  spawn(settings: BrokerSettings = {}): BrokerProcess {
    const { port = 0, data = this.data, flags = [], env = {} } = settings;
    const http = "http" in settings ? settings.http : "127.0.0.1:0";
    const hasListeners = settings.config !== undefined && "listeners" in settings.config;
    const listen = hasListeners ? [] : ["--listen", `mqtt://127.0.0.1:${port}`];
    const args = ["serve", "--data", data, ...listen, ...flags];
    if (http !== undefined) args.push("--http", http);
    if (settings.config !== undefined) {
      const file = join(this.folder, "config.yaml");
      // JSON is YAML.
      writeFileSync(file, JSON.stringify(settings.config));
      args.push("--config", file);
    }
    const broker = new BrokerProcess(args, env);
    this.#running.add(broker);
    return broker;
  }

  /** Starts a broker; resolves when it accepts. */
  start(settings?: BrokerSettings): Promise<BrokerProcess> {
    return this.spawn(settings).ready();
  }

  async close(): Promise<void> {
    for (const broker of this.#running) if (!broker.isOver) await broker.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Our environment without settings of a broker. */
function plainEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !name.startsWith("RILLMQ_")),
  );
}
