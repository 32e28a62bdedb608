import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

type Fields = Readonly<Record<string, unknown>>;

/** A child process that reports in JSON lines. Waiting has a deadline and fails with the last lines. */
export class JsonProcess {
  readonly #child: ChildProcess;
  readonly lines: Fields[] = [];
  readonly #errors: string[] = [];
  #last = new Map<unknown, Fields>();

  constructor(file: string, args: readonly string[]) {
    this.#child = spawn(process.execPath, ["--import", "tsx", file, ...args], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    const { stdout, stderr } = this.#child;
    if (stdout !== null) createInterface(stdout).on("line", (line) => this.#onLine(line));
    if (stderr !== null) createInterface(stderr).on("line", (line) => this.#errors.push(line));
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** The last line with this event. */
  last(event: string): Fields | undefined {
    return this.#last.get(event);
  }

  /** How many lines had this event. */
  count(event: string): number {
    return this.lines.filter((line) => line["event"] === event).length;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async kill(): Promise<void> {
    if (!this.isRunning) return;
    const exited = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await exited;
  }

  #onLine(line: string): void {
    const fields = JSON.parse(line) as Fields;
    this.#last.set(fields["event"], fields);
    if (fields["event"] !== "status") this.lines.push(fields);
  }

  /** What to show when a wait fails. */
  describe(): string {
    const recent = [...this.lines.slice(-12), this.last("status") ?? {}];
    return [...recent.map((line) => JSON.stringify(line)), ...this.#errors.slice(-12)].join("\n");
  }
}

/** Waits until `isTrue`, looking often; fails after `timeoutMs` with what `describe` says. */
export async function eventually(
  what: string,
  isTrue: () => boolean | Promise<boolean>,
  timeoutMs: number,
  describe: () => string = () => "",
): Promise<void> {
  const untilMs = performance.now() + timeoutMs;
  while (!(await isTrue())) {
    if (performance.now() > untilMs) {
      throw new Error(`within ${timeoutMs} ms not: ${what}\n${describe()}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
