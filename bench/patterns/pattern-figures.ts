import { readProcessUsage } from "../process-accounting.ts";
import { median } from "../statistics.ts";
import { LoadGenerator } from "./load-generator.ts";
import type { Pattern } from "./load-order.ts";
import type { PatternPeer, RunningPeer } from "./pattern-peer.ts";

/** What one load on one server brought. Figures that a server does not tell are `undefined`. */
export interface PatternRun {
  readonly perSecond: number;
  /** Processor time of the server per message, all its threads. */
  readonly serverUs: number | undefined;
  /** Share of one core. */
  readonly serverLoad: number | undefined;
  /** Processor time of the load generator per message, and its share of the core that it has at most. */
  readonly generatorUs: number;
  readonly generatorLoad: number;
  /** Share of the time in which the server waited for a sync. */
  readonly syncShare: number | undefined;
  readonly syncsPerSecond: number | undefined;
  /** Share of the time in which a commit was on its way, by the server's own count. */
  readonly commitShare: number | undefined;
  /** Round trips in milliseconds. */
  readonly p50Ms: number | undefined;
  readonly p99Ms: number | undefined;
}

export const PATTERNS: readonly Pattern[] = [
  "queue",
  "queue-windows",
  "append",
  "consume",
  "requests",
];

/** What one run of all patterns on one server brought. */
export type PatternFigures = Readonly<Record<Pattern, PatternRun>>;

/** Messages sent and not finished at a time; with windows those of the sender and those of the receiver. */
export const OUTSTANDING = 100;

/** How long. */
export interface PatternTiming {
  readonly warmUpSeconds: number;
  readonly seconds: number;
  readonly outstanding: number;
}

/** Measures all patterns on a fresh server, whose files are in `folder`. */
export async function measurePatterns(
  peer: PatternPeer,
  folder: string,
  timing: PatternTiming,
): Promise<PatternFigures> {
  const running = await peer.start(folder);
  let generator: LoadGenerator | undefined;
  try {
    generator = await LoadGenerator.start(running.target);
    const queue = await measure(running, generator, "queue", timing);
    const windows = await measure(running, generator, "queue-windows", timing);
    const append = await measure(running, generator, "append", timing);
    const consume = await measure(running, generator, "consume", timing);
    const requests = await measure(running, generator, "requests", timing);
    return { queue, "queue-windows": windows, append, consume, requests };
  } finally {
    generator?.stop();
    await running.server.stop();
  }
}

/** Puts one load on a running server. */
export async function measure(
  running: RunningPeer,
  generator: LoadGenerator,
  pattern: Pattern,
  timing: PatternTiming,
): Promise<PatternRun> {
  const before = { usage: readProcessUsage(running.server.pid), syncs: running.syncs() };
  let commitsBefore: Promise<number | undefined> = Promise.resolve(undefined);
  const result = await generator.run({ pattern, ...timing }, () => {
    before.usage = readProcessUsage(running.server.pid);
    before.syncs = running.syncs();
    commitsBefore = running.commitSeconds();
  });
  const usage = readProcessUsage(running.server.pid);
  const syncs = running.syncs();
  const commits = difference(await running.commitSeconds(), await commitsBefore);
  const { count, seconds, cpuUs, timesMs } = result;
  if (count === 0) throw new Error(`${pattern}: nothing was finished`);
  const serverCpuUs = difference(usage?.cpuUs, before.usage?.cpuUs);
  const times = [...timesMs].sort((a, b) => a - b);
  return {
    perSecond: count / seconds,
    serverUs: over(serverCpuUs, count),
    serverLoad: over(serverCpuUs, seconds * 1e6),
    generatorUs: cpuUs / count,
    generatorLoad: cpuUs / (seconds * 1e6),
    syncShare: over(difference(syncs?.seconds, before.syncs?.seconds), seconds),
    syncsPerSecond: over(difference(syncs?.syncs, before.syncs?.syncs), seconds),
    commitShare: over(commits, seconds),
    p50Ms: median(times),
    p99Ms: times[Math.floor(times.length * 0.99)],
  };
}

const difference = (after: number | undefined, before: number | undefined): number | undefined =>
  after === undefined || before === undefined ? undefined : after - before;

const over = (value: number | undefined, base: number): number | undefined =>
  value === undefined ? undefined : value / base;
