import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { Guardian } from "./guardian.ts";

const READY_LINE = /^ready pid=(\d+) (mqtts?:\/\/\S+) (http:\/\/\S+)/;
const STOP_MS_MAX = 20_000;

/** What a broker says on standard output once it accepts connections. */
export interface Ready {
  /** The broker's own process, not a wrapper's. */
  readonly pid: number;
  /** Of its one listener: `mqtt://` or `mqtts://`. */
  readonly mqttUrl: string;
  readonly httpUrl: string;
}

/** Settings in the caller's environment would go over the demo's configuration file. */
const cleanEnvironment = (): NodeJS.ProcessEnv =>
  Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("RILLMQ_")));

function signal(pid: number | undefined, name: "SIGKILL" | "SIGTERM"): void {
  if (pid === undefined) return;
  try {
    process.kill(pid, name);
  } catch {
    // It is gone already.
  }
}

/**
 * The broker under test as a child process. It can be started, killed and started again on the same data. It does not outlive this
 * process, however that ends. `close` when it is not needed any more.
 */
export class EdgeProcess {
  readonly #bin: string;
  readonly #configFile: string;
  readonly #logFile: string;
  readonly #guardian = new Guardian();
  #child: ChildProcess | undefined;
  #exited: Promise<number | undefined> = Promise.resolve(undefined);
  #ready: Ready | undefined;
  #isExitExpected = true;
  #failure: string | undefined;

  /** `logFile` takes standard error of all its lives, one after the other. */
  constructor(options: { bin: string; configFile: string; logFile: string }) {
    this.#bin = options.bin;
    this.#configFile = options.configFile;
    this.#logFile = options.logFile;
  }

  /** The life that is running; undefined between lives. */
  get ready(): Ready | undefined {
    return this.#ready;
  }

  /** Set when the broker ended although nobody had ended it. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /** The last `count` lines of its log. */
  lastLog(count: number): string[] {
    try {
      return readFileSync(this.#logFile, "utf8").split("\n").filter(Boolean).slice(-count);
    } catch {
      return [];
    }
  }

  /** Starts a life. `ready` is set as soon as the broker says so; watch `failure` while waiting. */
  start(): void {
    const log = openSync(this.#logFile, "a");
    const argv = [this.#bin, "serve", "--config", this.#configFile];
    const child = spawn(process.execPath, argv, {
      stdio: ["ignore", "pipe", log],
      env: cleanEnvironment(),
    });
    closeSync(log);
    this.#guardian.watch(child);
    this.#child = child;
    this.#isExitExpected = false;
    if (child.stdout !== null) {
      createInterface({ input: child.stdout }).on("line", (line) => this.#onLine(child, line));
    }
    this.#exited = new Promise((resolve) => {
      child.once("error", (error) => this.#onExit(`cannot be started: ${error.message}`, resolve));
      child.once("exit", (code, name) => {
        this.#onExit(`ended by itself with ${name ?? `exit code ${code}`}`, resolve, code);
      });
    });
  }

  /** SIGKILL, as a power cut would. Resolves when the process is gone. */
  async kill(): Promise<void> {
    this.#isExitExpected = true;
    this.killNow();
    await this.#exited;
  }

  /** SIGKILL without waiting, for the last moment of the demo's own process. */
  killNow(): void {
    this.#isExitExpected = true;
    signal(this.#ready?.pid, "SIGKILL");
    this.#child?.kill("SIGKILL");
  }

  /** SIGTERM; resolves with the exit code, or undefined when it had to be killed after 20 s. */
  async stop(): Promise<number | undefined> {
    this.#isExitExpected = true;
    signal(this.#ready?.pid ?? this.#child?.pid, "SIGTERM");
    const timer = setTimeout(() => this.killNow(), STOP_MS_MAX);
    const code = await this.#exited;
    clearTimeout(timer);
    return code;
  }

  /** Kills it if it runs, and ends whoever watches over it. */
  async close(): Promise<void> {
    await this.kill();
    await this.#guardian.close();
  }

  #onLine(child: ChildProcess, line: string): void {
    const match = READY_LINE.exec(line);
    if (match === null || this.#child !== child) return;
    const [, pid = "", mqttUrl = "", httpUrl = ""] = match;
    this.#ready = { pid: Number(pid), mqttUrl, httpUrl };
  }

  #onExit(
    what: string,
    resolve: (code: number | undefined) => void,
    code: number | null = null,
  ): void {
    if (!this.#isExitExpected) this.#failure = `the edge ${what}`;
    this.#ready = undefined;
    this.#child = undefined;
    resolve(code ?? undefined);
  }
}
