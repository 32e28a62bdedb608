/**
 * Runs a built image as its configuration says, in the root file system that buildah mounts: it accepts MQTT, stores, is killed, finds
 * everything, answers its own health check and ends on SIGTERM. An image for another processor needs emulation.
 *
 *     node --import tsx test/image/main.ts localhost/rillmq:arm64
 */
import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { Command } from "commander";
import { eventually } from "../support/json-process.ts";
import { checkStoredAcrossKill, type KillableBroker } from "../support/stored-across-kill.ts";

const READY = /^ready pid=(\d+) mqtt:\/\/\S+:(\d+)/m;
/** Emulation is slow. */
const READY_MS_MAX = 120_000;
/** Ports are taken on the machine's own loopback. */
const FLAGS = ["--listen", "mqtt://127.0.0.1:0", "--http", "127.0.0.1:0"];

interface ImageConfig {
  readonly User: string;
  readonly Entrypoint: readonly string[];
  readonly Cmd: readonly string[];
  readonly Healthcheck: { readonly Test: readonly string[] };
}

const buildah = (...args: string[]): string => execFileSync("buildah", args, { encoding: "utf8" });

class ImageRun {
  readonly #container: string;
  readonly #config: ImageConfig;
  #child: ChildProcess | undefined;
  #pid = 0;

  constructor(image: string) {
    const inspected = JSON.parse(buildah("inspect", "--type", "image", image)) as {
      readonly Docker: { readonly config: ImageConfig };
    };
    this.#config = inspected.Docker.config;
    this.#container = buildah("from", "--pull-never", image).trim();
  }

  async start(): Promise<KillableBroker> {
    const { Entrypoint, Cmd } = this.#config;
    const child = this.#run([...Entrypoint, ...Cmd, ...FLAGS]);
    this.#child = child;
    let output = "";
    const keep = (text: string): void => {
      output += text;
    };
    child.stdout?.setEncoding("utf8").on("data", keep);
    child.stderr?.setEncoding("utf8").on("data", keep);
    const isReady = (): boolean => {
      if (child.exitCode !== null) throw new Error(`the image ended:\n${output}`);
      return READY.test(output);
    };
    await eventually("the image is ready", isReady, READY_MS_MAX, () => output);
    const [, pid, port] = READY.exec(output) ?? [];
    this.#pid = Number(pid);
    return { port: Number(port), kill: () => this.#end("SIGKILL").then(() => undefined) };
  }

  /** What the image's HEALTHCHECK says; the exit code. */
  async health(): Promise<number> {
    const [kind, ...command] = this.#config.Healthcheck.Test;
    assert.equal(kind, "CMD");
    const [code] = (await once(this.#run(command), "close")) as [number];
    return code;
  }

  /** SIGTERM; the exit code. */
  stop(): Promise<number> {
    return this.#end("SIGTERM");
  }

  async remove(): Promise<void> {
    if (this.#child?.exitCode === null) await this.#end("SIGKILL").catch(() => undefined);
    buildah("rm", this.#container);
  }

  #run(command: readonly string[]): ChildProcess {
    const as = ["run", "--isolation", "chroot", "--user", this.#config.User];
    return spawn("buildah", [...as, this.#container, "--", ...command], {
      stdio: ["ignore", "pipe", "pipe"],
    });
  }

  /** Signals the broker itself; it is a process like any other, in a root of its own. */
  async #end(signal: NodeJS.Signals): Promise<number> {
    const child = this.#child;
    assert.ok(child !== undefined, "it was started");
    const closed = once(child, "close");
    process.kill(this.#pid, signal);
    const [code] = (await closed) as [number | null];
    return code ?? -1;
  }
}

const [image = ""] = new Command("test:image")
  .description("Runs a built image as its configuration says, and kills it.")
  .argument("<image>", "for example localhost/rillmq:arm64")
  .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2))
  .parse().args;
const run = new ImageRun(image);
try {
  await checkStoredAcrossKill(() => run.start());
  assert.equal(await run.health(), 0, "the health check");
  assert.equal(await run.stop(), 0, "the exit code after SIGTERM");
  process.stdout.write(`${image}: accepts, stores, is killed, finds everything, stops\n`);
} finally {
  await run.remove();
}
