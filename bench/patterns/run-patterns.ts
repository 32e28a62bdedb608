import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { nats, natsCommand } from "../peers/nats.ts";
import { median, ratio, type Summary, summarize } from "../statistics.ts";
import { formatOptional, formatSummary, formatTable } from "../table.ts";
import { jetstreamPatterns } from "./jetstream-patterns.ts";
import type { PatternFigures, PatternPeer } from "./pattern-peer.ts";
import { rillmqPatterns } from "./rillmq-patterns.ts";

const WARM_UP_SECONDS = 0.2;

/** How to measure. */
export interface PatternsOptions {
  readonly rounds: number;
  /** Of each window. */
  readonly seconds: number;
  readonly dataFolder: string;
  readonly onProgress: (line: string) => void;
}

interface PeerReport {
  readonly name: string;
  readonly conditions: string;
  readonly rounds: readonly PatternFigures[];
}

/** What was measured, peers in the order RillMQ, others. */
export interface PatternsReport {
  readonly rounds: number;
  readonly seconds: number;
  readonly peers: readonly PeerReport[];
}

/** Measures in interleaved rounds, each on servers of its own. */
export async function runPatternBench(options: PatternsOptions): Promise<PatternsReport> {
  const { rounds, seconds, onProgress } = options;
  const peers = [rillmqPatterns];
  const probe = await nats.probe();
  if (probe.isPresent) {
    const command = natsCommand();
    peers.push(jetstreamPatterns(command, undefined));
    if (takesSyncInterval(probe.version)) peers.push(jetstreamPatterns(command, "always"));
    else onProgress(`nats-server ${probe.version} does not let sync_interval be set: left out`);
  } else onProgress(`nats-server: ${probe.reason}`);
  const found = peers.map(() => [] as PatternFigures[]);
  for (let round = 1; round <= rounds; round++) {
    for (const [index, peer] of peers.entries()) {
      onProgress(`round ${round} of ${rounds}: ${peer.name}`);
      found[index]?.push(await measure(peer, options));
    }
  }
  return {
    rounds,
    seconds,
    peers: peers.map(({ name, conditions }, index) => ({
      name,
      conditions,
      rounds: found[index] ?? [],
    })),
  };
}

/** It came with version 2.10. */
function takesSyncInterval(version: string): boolean {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return major > 2 || (major === 2 && minor >= 10);
}

async function measure(
  peer: PatternPeer,
  { seconds, dataFolder }: PatternsOptions,
): Promise<PatternFigures> {
  const folder = mkdtempSync(join(dataFolder, "rillmq-bench-patterns-"));
  const running = await peer.start(folder);
  try {
    const flushedBefore = await running.flushSeconds();
    const queueBegin = performance.now();
    const queued = await running.queue(seconds);
    const queueSeconds = (performance.now() - queueBegin) / 1_000;
    const flushedAfter = await running.flushSeconds();
    const appended = await running.append(seconds);
    await running.read();
    const readBegin = performance.now();
    const read = await running.read();
    const readSeconds = (performance.now() - readBegin) / 1_000;
    const times = await running.requests(seconds + WARM_UP_SECONDS);
    const hasFlushes = flushedBefore !== undefined && flushedAfter !== undefined;
    return {
      queuePerSecond: queued / seconds,
      queueFlushShare: hasFlushes ? (flushedAfter - flushedBefore) / queueSeconds : undefined,
      appendPerSecond: appended / seconds,
      readPerSecond: read / readSeconds,
      requestP50Ms: median(times) ?? Number.NaN,
    };
  } finally {
    await running.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

const FIGURES = [
  ["queue: send, receive, ack /s", "queuePerSecond"],
  ["  share of time in commits", "queueFlushShare"],
  ["stream: append /s", "appendPerSecond"],
  ["stream: read /s", "readPerSecond"],
  ["request: p50 ms", "requestP50Ms"],
] as const;

function summaryOf({ rounds }: PeerReport, figure: keyof PatternFigures): Summary | undefined {
  return summarize(rounds.map((round) => round[figure]));
}

/** The report as a table; ratios are RillMQ over the other. */
export function patternsText({ rounds, seconds, peers }: PatternsReport): string {
  const [own, ...others] = peers;
  const head = ["", ...peers.map(({ name }) => name), ...others.map(({ name }) => `/ ${name}`)];
  const rows = FIGURES.map(([title, figure]) => {
    const summaries = peers.map((peer) => summaryOf(peer, figure));
    const base = own && summaryOf(own, figure)?.median;
    const ratios = others.map((peer) => ratio(base, summaryOf(peer, figure)?.median));
    return [
      title,
      ...summaries.map((summary) => formatSummary(summary)),
      ...ratios.map((value) => formatOptional(value)),
    ];
  });
  const conditions = peers.map(({ name, conditions: told }) => `${name}: ${told}`);
  return `256 B, 100 outstanding; ${rounds} rounds of ${seconds} s; medians (ranges)\n${formatTable([head, ...rows])}\n${conditions.join("\n")}\n`;
}
