import { type ChildProcess, fork } from "node:child_process";
import { join } from "node:path";
import type { LoadOrder, LoadReport, Target } from "./load-order.ts";

const PROGRAM = join(import.meta.dirname, "load-process.ts");
/** Beyond the window: connecting, making streams, letting what is under way come to its end. */
const SLACK_MS = 30_000;

export type LoadResult = Extract<LoadReport, { kind: "done" }>;

/** The load generator, a process of its own. */
export class LoadGenerator {
  readonly #process: ChildProcess;
  #onReport: (report: LoadReport) => void = () => undefined;
  #onEnded: (error: Error) => void = () => undefined;

  private constructor() {
    this.#process = fork(PROGRAM, { execArgv: ["--import", "tsx"] });
    this.#process.on("message", (report: LoadReport) => this.#onReport(report));
    this.#process.on("exit", () => this.#onEnded(new Error("the load generator ended")));
    process.on("exit", () => this.#process.kill("SIGKILL"));
  }

  static async start(target: Target): Promise<LoadGenerator> {
    const generator = new LoadGenerator();
    await generator.#until(["ready"], SLACK_MS, () => generator.#process.send(target));
    return generator;
  }

  /** Runs one load; `onBegun` is called where its window begins. */
  async run(order: LoadOrder, onBegun: () => void): Promise<LoadResult> {
    const { warmUpSeconds, seconds } = order;
    const timeoutMs = (warmUpSeconds + seconds) * 1_000 + SLACK_MS;
    await this.#until(["begun"], timeoutMs, () => this.#process.send(order));
    onBegun();
    const report = await this.#until(["done"], timeoutMs, () => undefined);
    if (report.kind !== "done") throw new Error(`unexpected: ${report.kind}`);
    return report;
  }

  stop(): void {
    this.#process.removeAllListeners("exit");
    this.#process.kill("SIGKILL");
  }

  #until(
    kinds: readonly LoadReport["kind"][],
    timeoutMs: number,
    begin: () => void,
  ): Promise<LoadReport> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error("the load generator hangs")), timeoutMs);
      const settle = (error: Error | undefined, report?: LoadReport): void => {
        clearTimeout(timer);
        this.#onReport = () => undefined;
        this.#onEnded = () => undefined;
        if (report === undefined) reject(error);
        else resolve(report);
      };
      this.#onEnded = (error) => settle(error);
      this.#onReport = (report) => {
        if (report.kind === "failed") settle(new Error(report.reason));
        else if (kinds.includes(report.kind)) settle(undefined, report);
      };
      begin();
    });
  }
}
