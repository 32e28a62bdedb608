/** Plays one script against two brokers and judges where they part. */
import { type Difference, differencesOf } from "./compare.ts";
import { play, type Stage } from "./play.ts";
import type { Script } from "./script.ts";
import { shrink } from "./shrink.ts";
import { TRIAGE, type TriageRule } from "./triage.ts";

/** How much longer it is waited when a difference is looked at again. */
const PATIENCE = 4;

/** What came of one script. */
export interface Judgement {
  /** Known differences that were seen. */
  readonly known: readonly TriageRule[];
  /** The first that is not known. */
  readonly unknown: Difference | undefined;
}

/** Known differences are passed over; what follows from one that is not local is not looked at. */
export async function judge(
  script: Script,
  ours: Stage,
  peer: Stage,
  patience = 1,
): Promise<Judgement> {
  const [own, other] = await Promise.all([
    play(script, ours, patience),
    play(script, peer, patience),
  ]);
  const known: TriageRule[] = [];
  for (const difference of differencesOf(script, own, other)) {
    const rule = TRIAGE.find((each) => each.peer === peer.name && each.matches(difference));
    if (rule === undefined) return { known, unknown: difference };
    known.push(rule);
    if (rule.isLocal !== true) break;
  }
  return { known, unknown: undefined };
}

/**
 * The least script that shows an unknown difference of the same kind at the same kind of step; undefined when it does not come
 * again, which says that a broker took longer than was waited for.
 */
export async function confirm(
  difference: Difference,
  ours: Stage,
  peer: Stage,
): Promise<Difference | undefined> {
  const find = async (script: Script): Promise<Difference | undefined> => {
    const { unknown } = await judge(script, ours, peer, PATIENCE);
    const isLike = unknown?.kind === difference.kind && unknown.step.does === difference.step.does;
    return isLike ? unknown : undefined;
  };
  if ((await find(difference.script)) === undefined) return undefined;
  const smallest = await shrink(
    difference.script,
    async (smaller) => (await find(smaller)) !== undefined,
  );
  return await find(smallest);
}
