import { Chance } from "../fuzz/chance.ts";
import { type Difference, describeDifference } from "./compare.ts";
import { confirm, judge } from "./judge.ts";
import type { Stage } from "./play.ts";
import { describeScript, drawScript } from "./script.ts";

export interface DifferentialOptions {
  readonly ours: Stage;
  readonly peers: readonly Stage[];
  readonly scripts: number;
  readonly seed: number;
  /** Ends after so many differences that are not known. */
  readonly unknownMax: number;
  readonly onProgress: (line: string) => void;
}

/** An unknown difference in its least script. */
export interface Unknown {
  readonly peer: string;
  readonly difference: Difference;
}

export interface DifferentialReport {
  readonly scripts: number;
  /** Scripts played against each peer. */
  readonly played: ReadonlyMap<string, number>;
  /** Known differences seen, by the name of their rule. */
  readonly known: ReadonlyMap<string, number>;
  readonly unknown: readonly Unknown[];
  /** Differences that did not come again. */
  readonly notAgain: number;
}

/** Draws scripts and plays each against ours and every peer that speaks its version. */
export async function runDifferential(options: DifferentialOptions): Promise<DifferentialReport> {
  const { ours, peers, scripts, onProgress } = options;
  const root = new Chance(options.seed);
  const played = new Map<string, number>();
  const known = new Map<string, number>();
  const unknown: Unknown[] = [];
  let notAgain = 0;
  let count = 0;
  for (; count < scripts && unknown.length < options.unknownMax; count++) {
    const script = drawScript(new Chance(root.seed()));
    for (const peer of peers) {
      // It speaks 3.1.1 alone.
      if (peer.name === "aedes" && script.version === 5) continue;
      add(played, peer.name);
      const judgement = await judge(script, ours, peer);
      for (const { name } of judgement.known) add(known, name);
      if (judgement.unknown === undefined) continue;
      const difference = await confirm(judgement.unknown, ours, peer);
      if (difference === undefined) notAgain++;
      else {
        unknown.push({ peer: peer.name, difference });
        onProgress(describeUnknown({ peer: peer.name, difference }));
      }
    }
  }
  return { scripts: count, played, known, unknown, notAgain };
}

const add = (counts: Map<string, number>, name: string): unknown =>
  counts.set(name, (counts.get(name) ?? 0) + 1);

/** For people. */
export const describeUnknown = ({ peer, difference }: Unknown): string =>
  `not triaged, against ${peer}:\n${describeScript(difference.script)}\n${describeDifference(difference)}`;
