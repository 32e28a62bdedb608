import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { describeMachine, type Machine } from "../machine.ts";
import { nats, natsCommand } from "../peers/nats.ts";
import { jetstreamPatterns } from "./jetstream-patterns.ts";
import { PAYLOAD_BYTES } from "./load-order.ts";
import { measurePatterns, OUTSTANDING, type PatternFigures } from "./pattern-figures.ts";
import type { PatternPeer } from "./pattern-peer.ts";
import { rillmqPatterns } from "./rillmq-patterns.ts";

const WARM_UP_SHARE = 0.5;

/** How to measure. */
export interface PatternsOptions {
  readonly rounds: number;
  /** Of each window. */
  readonly seconds: number;
  readonly dataFolder: string;
  readonly onProgress: (line: string) => void;
}

/** One server and what it brought; `absent` says why it brought nothing. */
export interface PeerReport {
  readonly name: string;
  readonly version: string;
  readonly conditions: string;
  readonly rounds: readonly PatternFigures[];
  readonly absent: string | undefined;
}

/** What was measured, peers in the order RillMQ, others. */
export interface PatternsReport {
  readonly machine: Machine;
  readonly rounds: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
  readonly outstanding: number;
  readonly payloadBytes: number;
  readonly peers: readonly PeerReport[];
  /** Runs that failed. */
  readonly faults: readonly string[];
}

type Found = PatternPeer | { readonly name: string; readonly absent: string };

async function findPeers(): Promise<Found[]> {
  const peers: Found[] = [await rillmqPatterns()];
  const probe = await nats.probe();
  const always = "jetstream, sync always";
  if (!probe.isPresent) {
    const absent = `nats-server: ${probe.reason}`;
    return [...peers, { name: "jetstream", absent }, { name: always, absent }];
  }
  const command = natsCommand();
  peers.push(jetstreamPatterns(command, probe.version, undefined));
  if (takesSyncInterval(probe.version)) {
    peers.push(jetstreamPatterns(command, probe.version, "always"));
  } else {
    const absent = `nats-server ${probe.version} does not let sync_interval be set (2.10 and later do)`;
    peers.push({ name: always, absent });
  }
  return peers;
}

/** Measures in interleaved rounds, each on servers of its own; each round begins with another one. */
export async function runPatternBench(options: PatternsOptions): Promise<PatternsReport> {
  const { rounds, seconds, dataFolder, onProgress } = options;
  const peers = await findPeers();
  const timing = { warmUpSeconds: seconds * WARM_UP_SHARE, seconds, outstanding: OUTSTANDING };
  const machine = describeMachine(dataFolder);
  const figures = new Map<string, PatternFigures[]>();
  const faults: string[] = [];
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < peers.length; turn++) {
      const peer = peers[(round + turn) % peers.length];
      if (peer === undefined || "absent" in peer) continue;
      onProgress(`round ${round + 1} of ${rounds}: ${peer.name}`);
      const folder = mkdtempSync(join(dataFolder, "rillmq-bench-patterns-"));
      try {
        const found = await measurePatterns(peer, folder, timing);
        figures.set(peer.name, [...(figures.get(peer.name) ?? []), found]);
      } catch (error) {
        faults.push(`${peer.name}, round ${round + 1}: ${(error as Error).message}`);
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    }
  }
  return {
    machine,
    rounds,
    ...timing,
    payloadBytes: PAYLOAD_BYTES,
    faults,
    peers: peers.map((peer) => ({
      name: peer.name,
      version: "absent" in peer ? "" : peer.version,
      conditions: "absent" in peer ? "" : peer.conditions,
      rounds: figures.get(peer.name) ?? [],
      absent: "absent" in peer ? peer.absent : undefined,
    })),
  };
}

/** It came with version 2.10. */
function takesSyncInterval(version: string): boolean {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return major > 2 || (major === 2 && minor >= 10);
}
