import { describeMachine, type Machine } from "./machine.ts";
import { aedes } from "./peers/aedes.ts";
import { mosquitto } from "./peers/mosquitto.ts";
import type { Peer, Presence } from "./peers/peer.ts";
import { rillmq } from "./peers/rillmq.ts";
import { runScenario } from "./run.ts";
import type { RunResult } from "./run-result.ts";
import type { Scenario } from "./scenario.ts";

/** The brokers measured, RillMQ first: ratios are RillMQ's to each of the others. */
export const PEERS: readonly Peer[] = [rillmq, mosquitto, aedes];

const WARMUP_MS = 1_000;

/** What to measure and for how long. */
export interface SmokeOptions {
  readonly rounds: number;
  /** Length of the measured window in seconds. */
  readonly seconds: number;
  readonly scenarios: readonly Scenario[];
  readonly peers: readonly Peer[];
  /** Where the brokers' folders are made. */
  readonly dataFolder: string;
  /** Is told what runs next. */
  readonly onProgress: (line: string) => void;
}

/** What one peer did in one scenario over all rounds. */
export interface Measured {
  readonly peer: string;
  readonly runs: RunResult[];
  /** One line for each round that could not be run. */
  readonly failures: string[];
}

export interface ScenarioReport {
  readonly scenario: Scenario;
  readonly measured: readonly Measured[];
}

/** Everything a smoke bench found out. */
export interface SmokeReport {
  readonly machine: Machine;
  readonly rounds: number;
  readonly warmupSeconds: number;
  readonly seconds: number;
  readonly peers: readonly { readonly name: string; readonly presence: Presence }[];
  readonly scenarios: readonly ScenarioReport[];
}

/**
 * Runs every scenario against every peer present, `rounds` times, with a fresh broker for each run. Peers take
 * turns, and each round begins with another one. A run that fails is noted and the others go on.
 */
export async function runSmoke(options: SmokeOptions): Promise<SmokeReport> {
  const { rounds, seconds, scenarios, dataFolder, onProgress } = options;
  const machine = describeMachine(dataFolder);
  const peers = [];
  for (const peer of options.peers) peers.push({ peer, presence: await peer.probe() });
  const present = peers.filter(({ presence }) => presence.isPresent).map(({ peer }) => peer);
  const reports = scenarios.map((scenario) => ({
    scenario,
    measured: present.map((peer) => emptyMeasured(peer.name)),
  }));
  const timing = { warmupMs: WARMUP_MS, windowMs: seconds * 1_000 };
  for (let round = 0; round < rounds; round++) {
    for (const { scenario, measured } of reports) {
      for (let turn = 0; turn < present.length; turn++) {
        const index = (turn + round) % present.length;
        const peer = present[index];
        const entry = measured[index];
        if (peer === undefined || entry === undefined) continue;
        onProgress(`round ${round + 1} of ${rounds}: ${scenario.name}, ${peer.name}`);
        try {
          entry.runs.push(await runScenario(peer, scenario, timing, dataFolder));
        } catch (error) {
          entry.failures.push(`round ${round + 1}: ${(error as Error).message}`);
        }
      }
    }
  }
  return {
    machine,
    rounds,
    warmupSeconds: WARMUP_MS / 1_000,
    seconds,
    peers: peers.map(({ peer, presence }) => ({ name: peer.name, presence })),
    scenarios: reports,
  };
}

/**
 * Why the bench did not do what it was asked for: runs that failed, counts that cannot be right, RillMQ missing
 * although asked for. Never a time or a ratio. Empty when all is well.
 */
export function faultsOf(report: SmokeReport): string[] {
  const faults: string[] = [];
  for (const { name, presence } of report.peers) {
    if (name === rillmq.name && !presence.isPresent) faults.push(`rillmq: ${presence.reason}`);
  }
  for (const { scenario, measured } of report.scenarios) {
    for (const { peer, runs, failures } of measured) {
      const found = [...failures, ...runs.flatMap((run) => run.faults)];
      for (const fault of found) faults.push(`${scenario.name}, ${peer}: ${fault}`);
    }
  }
  return faults;
}

function emptyMeasured(peer: string): Measured {
  return { peer, runs: [], failures: [] };
}
