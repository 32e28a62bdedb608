/** Simulated power cuts: record the store at work, cut at random points, open what is left and look. */
import { type ChildProcess, fork, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildShim } from "../../support/shim.ts";
import { randomOf } from "./random.ts";
import { FATES, type Fate, Replay, readRecording } from "./replay.ts";
import type { Answer } from "./verifier.ts";

const HERE = import.meta.dirname;
const VERIFY_MS_MAX = 20_000;

export interface PowerCutOptions {
  readonly points: number;
  readonly seed: number;
  readonly commits: number;
  /** Leaves out the sync of the meta page: must lose, or the simulation proves nothing. */
  readonly isControl: boolean;
}

export interface PowerCutResult {
  readonly points: number;
  readonly commits: number;
  readonly acknowledged: number;
  readonly faults: readonly string[];
}

/** True when this machine can run the simulation. */
export function canSimulate(): boolean {
  return recorder() !== undefined;
}

const recorder = (): string | undefined => buildShim("power-cut", join(HERE, "record.c"));

class Verifier {
  #child: ChildProcess | undefined;

  async ask(path: string, line: string): Promise<string | null> {
    const child = this.#child ?? this.#start();
    child.send({ path, line });
    const done = new AbortController();
    const timer = setTimeout(() => done.abort(), VERIFY_MS_MAX);
    const { signal } = done;
    try {
      return await Promise.race([
        once(child, "message", { signal }).then(([answer]) => (answer as Answer).fault),
        once(child, "exit", { signal }).then(([code, killedBy]) => {
          this.#child = undefined;
          return `the process ended: ${killedBy ?? code}`;
        }),
      ]);
    } catch {
      this.stop();
      return "no answer";
    } finally {
      clearTimeout(timer);
      done.abort();
    }
  }

  #start(): ChildProcess {
    const env = { ...process.env, LD_PRELOAD: recorder(), POWER_CUT_BOOT: "1" };
    const execArgv = ["--import", "tsx"];
    const child = fork(join(HERE, "verifier.ts"), {
      env,
      execArgv,
      stdio: ["ignore", "ignore", "ignore", "ipc"],
    });
    this.#child = child;
    return child;
  }

  stop(): void {
    this.#child?.kill("SIGKILL");
    this.#child = undefined;
  }
}

async function recordStore(folder: string, options: PowerCutOptions): Promise<string> {
  const log = join(folder, "recording");
  const store = join(folder, "store.mdb");
  const acks = join(folder, "acks");
  const args = [store, acks, `${options.commits}`, `${options.seed}`];
  if (options.isControl) args.push("unsafe");
  const env = {
    ...process.env,
    LD_PRELOAD: recorder(),
    POWER_CUT_FILE: store,
    POWER_CUT_LOG: log,
    POWER_CUT_ACKS: acks,
  };
  const child = spawn(process.execPath, ["--import", "tsx", join(HERE, "writer.ts"), ...args], {
    env,
    stdio: ["ignore", "ignore", "inherit"],
  });
  const [code] = await once(child, "exit");
  if (code !== 0) throw new Error(`the writer ended with ${code}`);
  return log;
}

/** Runs the simulation. Every point is another cut with another fate of the unsynced pages. */
export async function simulatePowerCuts(options: PowerCutOptions): Promise<PowerCutResult> {
  const folder = mkdtempSync(join(tmpdir(), "rillmq-power-cut-"));
  const verifier = new Verifier();
  try {
    const events = readRecording(await recordStore(folder, options));
    const random = randomOf(options.seed);
    const points = Array.from({ length: options.points }, () => random(events.length));
    points.sort((a, b) => a - b);
    const replay = new Replay(events);
    const faults: string[] = [];
    let tried = 0;
    for (const point of points) {
      replay.advance(point);
      if (replay.acknowledged === "") continue;
      const fate: Fate = FATES[tried++ % FATES.length] ?? "dropped";
      const image = join(folder, `image-${tried}.mdb`);
      writeFileSync(image, replay.image(fate, random));
      const fault = await verifier.ask(image, replay.acknowledged);
      if (fault !== null) faults.push(`at event ${point}, unsynced pages ${fate}: ${fault}`);
      rmSync(image, { force: true });
      rmSync(`${image}-lock`, { force: true });
    }
    replay.advance(events.length);
    const acknowledged = Number(replay.acknowledged.split(" ")[0]);
    return { points: tried, commits: options.commits, acknowledged, faults };
  } finally {
    verifier.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}
