import { describeMachine, type Machine } from "../machine.ts";
import type { Peer, Presence } from "../peers/peer.ts";
import { NoCompilerError, nativeProgram } from "./native-program.ts";
import { idleScenario, openFilesMax } from "./open-files.ts";
import { runSuiteScenario, type SuiteResult } from "./suite-run.ts";
import type { SuiteScenario } from "./suite-scenario.ts";

const WARMUP_MS = 500;
/** Of the time given, what the runs so far leave for one more round. */
const MS_PER_MINUTE = 60_000;

/** What to measure and for how long. */
export interface SuiteOptions {
  readonly rounds: number;
  /** Length of the measured window. */
  readonly seconds: number;
  /** No round is begun that would end later. */
  readonly minutesMax: number;
  readonly scenarios: readonly SuiteScenario[];
  readonly peers: readonly Peer[];
  /** Where the brokers' folders are made. */
  readonly dataFolder: string;
  readonly onProgress: (line: string) => void;
}

/** What one peer did in one scenario. */
export interface SuiteEntry {
  readonly peer: string;
  /** Why it does not take part; then there are no runs. */
  readonly cannot?: string;
  readonly runs: SuiteResult[];
  /** One line for each round that could not be run. */
  readonly failures: string[];
}

/** One scenario with all its peers. */
export interface SuiteSection {
  readonly scenario: SuiteScenario;
  readonly entries: readonly SuiteEntry[];
}

/** Everything a bench found out; the form of its JSON. */
export interface SuiteReport {
  readonly kind: "suite";
  readonly machine: Machine;
  /** Of how many asked for. */
  readonly rounds: number;
  readonly roundsAsked: number;
  readonly seconds: number;
  readonly warmupSeconds: number;
  readonly tookSeconds: number;
  readonly notes: readonly string[];
  readonly peers: readonly { readonly name: string; readonly presence: Presence }[];
  readonly sections: readonly SuiteSection[];
}

/**
 * Runs every scenario against every peer that takes part, `rounds` times, with a fresh broker for each run. Peers take turns, and
 * each round begins with another one. A run that fails is noted and the others go on.
 * @throws NoCompilerError when the load generator cannot be built
 */
export async function runSuite(options: SuiteOptions): Promise<SuiteReport> {
  const { rounds, seconds, dataFolder, onProgress } = options;
  nativeProgram("generator");
  const machine = describeMachine(dataFolder);
  const startedAt = performance.now();
  const notes: string[] = [];
  const scenarios = options.scenarios.map((scenario) =>
    idleScenario(scenario, openFilesMax(), (note) => {
      notes.push(note);
      onProgress(note);
    }),
  );
  const peers = await probed(options.peers, scenarios);
  const sections = scenarios.map((scenario) => sectionOf(scenario, peers));
  const timing = { warmupMs: Math.min(WARMUP_MS, seconds * 1_000), windowMs: seconds * 1_000 };
  let round = 0;
  for (; round < rounds; round++) {
    const elapsed = performance.now() - startedAt;
    const left = options.minutesMax * MS_PER_MINUTE - elapsed;
    if (round > 0 && elapsed / round > left) {
      notes.push(
        `${round} of ${rounds} rounds: no time for another within ${options.minutesMax} minutes`,
      );
      break;
    }
    await runRound(sections, peers, round, { ...options, timing });
  }
  return {
    kind: "suite",
    machine,
    rounds: round,
    roundsAsked: rounds,
    seconds,
    warmupSeconds: timing.warmupMs / 1_000,
    tookSeconds: Math.round((performance.now() - startedAt) / 1_000),
    notes,
    peers: peers.map(({ peer, presence }) => ({ name: peer.name, presence })),
    sections,
  };
}

interface Probed {
  readonly peer: Peer;
  readonly presence: Presence;
}

async function probed(
  peers: readonly Peer[],
  scenarios: readonly SuiteScenario[],
): Promise<Probed[]> {
  const wanted = new Set<string>(scenarios.flatMap((scenario) => scenario.peers));
  const found: Probed[] = [];
  for (const peer of peers) {
    if (wanted.has(peer.name)) found.push({ peer, presence: await peer.probe() });
  }
  return found;
}

function sectionOf(scenario: SuiteScenario, peers: readonly Probed[]): SuiteSection {
  const taking = peers.filter(
    ({ peer, presence }) =>
      presence.isPresent && (scenario.peers as readonly string[]).includes(peer.name),
  );
  const entries = taking.map(({ peer }): SuiteEntry => {
    const cannot = peer.cannot?.(scenario.setup, scenario.qos);
    const entry = { peer: peer.name, runs: [], failures: [] };
    return cannot === undefined ? entry : { ...entry, cannot };
  });
  return { scenario, entries };
}

async function runRound(
  sections: readonly SuiteSection[],
  peers: readonly Probed[],
  round: number,
  options: SuiteOptions & { readonly timing: { warmupMs: number; windowMs: number } },
): Promise<void> {
  const { rounds, timing, dataFolder, onProgress } = options;
  const able = sections.map(({ entries }) => entries.filter(({ cannot }) => cannot === undefined));
  const total = able.reduce((sum, entries) => sum + entries.length, 0);
  let count = 0;
  for (const [index, { scenario }] of sections.entries()) {
    const entries = able[index] ?? [];
    for (let turn = 0; turn < entries.length; turn++) {
      const entry = entries[(turn + round) % entries.length];
      const peer = peers.find((one) => one.peer.name === entry?.peer)?.peer;
      if (entry === undefined || peer === undefined) continue;
      onProgress(
        `round ${round + 1} of ${rounds}, ${++count} of ${total}: ${scenario.name}, ${entry.peer}`,
      );
      try {
        entry.runs.push(await runSuiteScenario(peer, scenario, timing, dataFolder));
      } catch (error) {
        if (error instanceof NoCompilerError) throw error;
        entry.failures.push(`round ${round + 1}: ${(error as Error).message}`);
      }
    }
  }
}

/** Why the bench did not do what it was asked for, see `faultsOf` of smoke. Failures of other brokers count, too. */
export function suiteFaults({ peers, sections }: SuiteReport): string[] {
  const faults: string[] = [];
  for (const { name, presence } of peers) {
    if (name === "rillmq" && !presence.isPresent) faults.push(`rillmq: ${presence.reason}`);
  }
  for (const { scenario, entries } of sections) {
    for (const { peer, runs, failures } of entries) {
      for (const fault of [...failures, ...runs.flatMap((run) => run.faults)]) {
        faults.push(`${scenario.name}, ${peer}: ${fault}`);
      }
    }
  }
  return faults;
}
