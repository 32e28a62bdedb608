/** The bundled broker in a memory cgroup, with the flags of the image. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "../support/json-process.ts";
import type { MemoryCgroup } from "./memory-cgroup.ts";

const ROOT = join(import.meta.dirname, "..", "..");
const READY = /^ready pid=(\d+) mqtt:\/\/\S+:(\d+)/m;
const READY_MS_MAX = 60_000;
const PROBE_MS_MAX = 5_000;
const OUTPUT_BYTES_MAX = 262_144;

/** What the image starts Node.js with: flags of its `ENTRYPOINT`, variables for memory of its `ENV`. */
export function imageSettings(): {
  readonly flags: string[];
  readonly env: Record<string, string>;
} {
  const dockerfile = readFileSync(join(ROOT, "Dockerfile.arm64"), "utf8");
  const entryPoint = /^ENTRYPOINT (\[.*\])$/m.exec(dockerfile)?.[1];
  if (entryPoint === undefined) throw new Error("Dockerfile.arm64 has no ENTRYPOINT");
  const words = JSON.parse(entryPoint) as string[];
  const variables = [...dockerfile.matchAll(/\b(MALLOC_\w+|UV_\w+|NODE_\w+)=(\S+)/g)];
  return {
    flags: words.filter((word) => word.startsWith("--")),
    env: Object.fromEntries(variables.map(([, name = "", value = ""]) => [name, value])),
  };
}

/** Where things are; copied there by a process of the cgroup, so that they are charged to it. */
export interface Installation {
  readonly node: string;
  readonly bundle: string;
  readonly data: string;
  readonly config: string;
}

/** One run of it. */
export class ContainedBroker {
  readonly ended: Promise<void>;
  readonly #child: ChildProcess;
  readonly #cgroup: MemoryCgroup;
  readonly #installation: Installation;
  #output = "";
  #isOver = false;

  private constructor(cgroup: MemoryCgroup, installation: Installation) {
    this.#cgroup = cgroup;
    this.#installation = installation;
    const { node, bundle, data, config } = installation;
    const { flags, env } = imageSettings();
    const listen = "--listen mqtt://127.0.0.1:0 --http 127.0.0.1:0";
    const command = `exec ${node} ${flags.join(" ")} ${bundle}/rillmq.js serve --data ${data} --config ${config} ${listen}`;
    this.#child = spawn(...cgroup.shell(command), {
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const keep = (text: string): void => {
      this.#output = (this.#output + text).slice(-OUTPUT_BYTES_MAX);
    };
    this.#child.stdout?.setEncoding("utf8").on("data", keep);
    this.#child.stderr?.setEncoding("utf8").on("data", keep);
    this.ended = once(this.#child, "close").then(() => {
      this.#isOver = true;
    });
  }

  /** Resolves when it accepts; rejects with what it said when it does not. */
  static async start(cgroup: MemoryCgroup, installation: Installation): Promise<ContainedBroker> {
    const broker = new ContainedBroker(cgroup, installation);
    const isReady = (): boolean => {
      if (broker.#isOver) throw new Error(`the broker ended:\n${broker.#output}`);
      return READY.test(broker.#output);
    };
    try {
      await eventually("the broker is ready", isReady, READY_MS_MAX, () => broker.#output);
    } catch (error) {
      await broker.kill();
      throw error;
    }
    return broker;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Its last words, for a report of what went wrong. */
  get output(): string {
    return this.#output;
  }

  get port(): number {
    return Number(READY.exec(this.#output)?.[2]);
  }

  /** What a kubelet does: runs `rillmq status --ready` beside it, in the same cgroup. True: ready. */
  probe(): Promise<boolean> {
    const { node, bundle, data } = this.#installation;
    const command = `exec ${node} ${bundle}/rillmq.js status --ready --data ${data}`;
    const [file, args] = this.#cgroup.shell(command);
    return new Promise((resolve) => {
      const env = { ...process.env, ...imageSettings().env };
      const options = { env, timeout: PROBE_MS_MAX, killSignal: "SIGKILL" } as const;
      execFile(file, args, options, (error) => resolve(error === null));
    });
  }

  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.ended;
  }
}
