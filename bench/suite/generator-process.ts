import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { nativeProgram } from "./native-program.ts";

/** Options of `native/generator.c`, by name. */
export type GeneratorOptions = Readonly<Record<string, number>>;

/** Connections stand. */
export interface Opened {
  readonly event: "opened";
  readonly seconds: number;
  readonly connections: number;
}

/** An end of the measured window. */
export interface Counted {
  readonly event: "begin" | "end";
  /** On the monotonic clock. */
  readonly ms: number;
  /** Delivered so far; without subscribers acknowledged, or with QoS 0 sent. */
  readonly messages: number;
}

/** Counts over the whole run. */
export interface Done {
  readonly event: "done";
  readonly sent: number;
  readonly acknowledged: number;
  readonly received: number;
  readonly redelivered: number;
  /** Packets that nobody asked for. */
  readonly unexpected: number;
  /** False: messages were still coming when the time for them was over. */
  readonly isDrained: boolean;
  readonly latencyUs?: { readonly p50: number; readonly p99: number; readonly p999: number };
}

type Report = Opened | Counted | Done;

/** The compiled load generator with all connections of one phase of a run. */
export class GeneratorProcess {
  readonly #child: ChildProcess;
  readonly #reports: Report[] = [];
  #error: Error | undefined;
  #wake: () => void = () => {};

  /** Starts it against a broker on loopback; it connects at once. */
  constructor(port: number, options: GeneratorOptions) {
    const words = Object.entries({ port, ...options }).map(([name, value]) => `${name}=${value}`);
    this.#child = spawn(nativeProgram("generator"), words, { stdio: ["pipe", "pipe", "inherit"] });
    const { stdout } = this.#child;
    if (stdout !== null) createInterface({ input: stdout }).on("line", (line) => this.#take(line));
    this.#child.on("error", (error) => this.#fail(error.message));
    this.#child.on("close", (code, signal) => this.#fail(`ended (${signal ?? code})`));
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Resolves with the next report, which must be of that kind. Rejects when the generator failed or ended. */
  async next<Event extends Report["event"]>(event: Event): Promise<Report & { event: Event }> {
    while (this.#reports.length === 0) {
      if (this.#error !== undefined) throw this.#error;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const report = this.#reports.shift();
    if (report?.event !== event) throw new Error(`generator: ${report?.event} and not ${event}`);
    return report as Report & { event: Event };
  }

  /** Ends it and all its connections; resolves when it is gone. */
  async close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const closed = new Promise<void>((resolve) => this.#child.once("close", () => resolve()));
    this.#child.kill("SIGKILL");
    await closed;
  }

  #take(line: string): void {
    const report = JSON.parse(line) as Report | { event: "failed"; reason: string };
    if (report.event === "failed") this.#fail(report.reason);
    else this.#reports.push(report);
    this.#wake();
  }

  #fail(reason: string): void {
    this.#error ??= new Error(`generator: ${reason}`);
    this.#wake();
  }
}
