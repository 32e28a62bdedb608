/** Simulated power cuts: record the store at work, cut at random points, open what is left and look. */
import { type ChildProcess, fork, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildShim } from "../../support/shim.ts";
import { randomOf } from "./random.ts";
import { EVENT_BYTES, type Event, FATES, type Fate, Replay, readRecording } from "./replay.ts";
import type { Answer } from "./verifier.ts";

const HERE = import.meta.dirname;
const VERIFY_MS_MAX = 20_000;
/** About a hundred commits. */
const KILL_AT_BYTES = 4_000_000;
const COMMITS_AFTER_KILL = 25;
const ATTEMPTS_MAX = 10;

export interface PowerCutOptions {
  readonly points: number;
  readonly seed: number;
  readonly commits: number;
  /** Leaves out the sync of the meta page: must lose, or the simulation proves nothing. */
  readonly isControl: boolean;
  /** Kills and restarts the process first, with commits in flight; the cuts come soon after. */
  readonly isKilledFirst: boolean;
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

/** Runs the writer with the recorder. With `killAtBytes` it is killed once the recording is that long. */
async function runWriter(
  folder: string,
  options: PowerCutOptions,
  killAtBytes?: number,
): Promise<void> {
  const { log, store } = pathsIn(folder);
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
  const exited = once(child, "exit");
  const watch = setInterval(() => {
    if (killAtBytes !== undefined && sizeOf(log) >= killAtBytes) child.kill("SIGKILL");
  }, 2);
  const [code, signal] = await exited;
  clearInterval(watch);
  const isExpected = killAtBytes === undefined ? code === 0 : signal === "SIGKILL";
  if (!isExpected) throw new Error(`the writer ended with ${signal ?? code}`);
}

const pathsIn = (folder: string): { log: string; store: string } => ({
  log: join(folder, "recording"),
  store: join(folder, "store.mdb"),
});

const sizeOf = (path: string): number => statSync(path, { throwIfNoEntry: false })?.size ?? 0;

/** What to cut, and where the first cut may be. */
interface Recording {
  readonly events: readonly Event[];
  readonly from: number;
  readonly to: number;
}

async function recordOnce(folder: string, options: PowerCutOptions): Promise<Recording> {
  await runWriter(folder, options);
  const events = readRecording(pathsIn(folder).log);
  return { events, from: 0, to: events.length };
}

/** Kills the writer in the middle and starts it again; the cuts come soon after. Undefined: the kill hit the recorder. */
async function recordKilled(
  folder: string,
  options: PowerCutOptions,
): Promise<Recording | undefined> {
  const { log, store } = pathsIn(folder);
  await runWriter(folder, options, KILL_AT_BYTES);
  const before = readRecording(log);
  const replay = new Replay(before);
  replay.advance(before.length);
  const image = replay.image("kept", () => 0);
  // A write may have been recorded and not done, or its event be cut.
  const real = readFileSync(store).subarray(0, image.length);
  if (Buffer.compare(image.subarray(0, real.length), real) !== 0) return undefined;
  if (before.reduce((sum, event) => sum + EVENT_BYTES + event.data.length, 0) !== sizeOf(log)) {
    return undefined;
  }
  await runWriter(folder, { ...options, commits: COMMITS_AFTER_KILL });
  const events = readRecording(log);
  return { events, from: before.length, to: events.length };
}

async function record(folder: string, options: PowerCutOptions): Promise<Recording> {
  if (!options.isKilledFirst) return recordOnce(folder, options);
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const recording = await recordKilled(folder, options);
    if (recording !== undefined) return recording;
    for (const name of readdirSync(folder)) rmSync(join(folder, name));
  }
  throw new Error("every kill hit the recorder");
}

/** Runs the simulation. Every point is another cut with another fate of the unsynced pages. */
export async function simulatePowerCuts(options: PowerCutOptions): Promise<PowerCutResult> {
  const folder = mkdtempSync(join(tmpdir(), "rillmq-power-cut-"));
  const verifier = new Verifier();
  try {
    const { events, from, to } = await record(folder, options);
    const random = randomOf(options.seed);
    const points = Array.from({ length: options.points }, () => from + random(to - from));
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
