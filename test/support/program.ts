/** A program of somebody else, run for a test. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { Cleanup } from "./broker-process.ts";
import { eventually } from "./json-process.ts";

const END_MS_MAX = 20_000;

/** A running program and what it has said. */
export class Program {
  readonly #child: ChildProcess;
  readonly #closed: Promise<unknown>;
  #output = "";
  #errors = "";
  #isOver = false;

  /** Starts it; it is killed at the end of the test. */
  constructor(cleanup: Cleanup, path: string, args: readonly string[]) {
    this.#child = spawn(path, args, { stdio: ["ignore", "pipe", "pipe"] });
    this.#child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.#output += text;
    });
    this.#child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#errors += text;
    });
    this.#closed = once(this.#child, "close").finally(() => {
      this.#isOver = true;
    });
    cleanup.after(async () => {
      if (!this.#isOver) this.#child.kill("SIGKILL");
      await this.#closed;
    });
  }

  /** Standard output so far, in lines. */
  get lines(): string[] {
    return this.#output.split("\n").filter((line) => line !== "");
  }

  /** Waits until standard output or standard error has this text. */
  async says(text: string): Promise<void> {
    const describe = (): string => `${this.#output}${this.#errors}`;
    const hasSaid = (): boolean => describe().includes(text);
    await eventually(`the program says "${text}"`, hasSaid, END_MS_MAX, describe);
  }

  /** SIGKILL: its connection breaks without DISCONNECT. */
  kill(): void {
    this.#child.kill("SIGKILL");
  }

  /** Waits for its end; the lines it wrote. Fails when it ends with an error. */
  async done(): Promise<string[]> {
    const describe = (): string => `${this.#output}${this.#errors}`;
    await eventually("the program ends", () => this.#isOver, END_MS_MAX, describe);
    if (this.#child.exitCode !== 0) throw new Error(`it failed:\n${describe()}`);
    return this.lines;
  }
}
