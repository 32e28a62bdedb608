import { type ChildProcess, fork } from "node:child_process";
import { join } from "node:path";

interface Waiter<Report> {
  readonly kind: string;
  readonly resolve: (report: Report) => void;
}

/**
 * One process of the load generator, spoken to by messages. `Command` is what it understands, `Report` what it
 * answers; a report `{ kind: "failed", reason }` and an early end reject `failed`.
 */
export class LoadProcess<Command extends object, Report extends { readonly kind: string }> {
  readonly #child: ChildProcess;
  readonly #name: string;
  #waiter: Waiter<Report> | undefined;
  #isClosing = false;
  #reject: (error: Error) => void = () => {};

  /** Never resolves; rejects as soon as the process reports a failure or ends by itself. */
  readonly failed: Promise<never>;

  /** Starts `file` of `bench/load/` the way this process was started. */
  constructor(file: string) {
    this.#name = file;
    this.failed = new Promise((_resolve, reject) => {
      this.#reject = reject;
    });
    this.failed.catch(() => {}); // who waits for anything else races it with this
    this.#child = fork(join(import.meta.dirname, file), {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    this.#child.on("message", (report: Report) => this.#received(report));
    this.#child.on("error", (error) => this.#reject(error));
    this.#child.on("exit", (code, signal) => {
      if (!this.#isClosing) this.#reject(new Error(`${file} ended (${signal ?? code})`));
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Sends a command that has no answer. */
  tell(command: Command): void {
    this.#child.send(command);
  }

  /** Sends a command and resolves with the next report of that kind. One at a time. */
  ask<Kind extends Report["kind"]>(
    command: Command,
    kind: Kind,
  ): Promise<Extract<Report, { kind: Kind }>> {
    const report = this.next(kind);
    this.tell(command);
    return report;
  }

  /** Resolves with the next report of that kind. One at a time. */
  next<Kind extends Report["kind"]>(kind: Kind): Promise<Extract<Report, { kind: Kind }>> {
    return new Promise((resolve) => {
      this.#waiter = {
        kind,
        resolve: (report) => resolve(report as Extract<Report, { kind: Kind }>),
      };
    });
  }

  /** Ends the process. */
  close(): void {
    this.#isClosing = true;
    this.#child.kill("SIGKILL");
  }

  #received(report: Report): void {
    if (report.kind === "failed" && "reason" in report) {
      this.#reject(new Error(String(report.reason)));
    } else if (this.#waiter?.kind === report.kind) {
      this.#waiter.resolve(report);
    } else {
      this.#reject(new Error(`${this.#name}: unexpected report ${report.kind}`));
    }
  }
}
