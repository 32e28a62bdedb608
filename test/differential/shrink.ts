import type { Script, Step } from "./script.ts";

/** Most trials of one shrinking. */
const TRIALS_MAX = 300;

/**
 * A script with as few steps as can be for which `isStillSo`: first whole pieces are left out, then single steps, then wills.
 * Costs at most a few hundred trials.
 */
export async function shrink(
  script: Script,
  isStillSo: (smaller: Script) => Promise<boolean>,
): Promise<Script> {
  let steps: readonly Step[] = script.steps;
  let trials = 0;
  const attempt = async (candidate: readonly Step[]): Promise<boolean> => {
    if (trials++ >= TRIALS_MAX || !(await isStillSo({ ...script, steps: candidate }))) return false;
    steps = candidate;
    return true;
  };
  for (let size = Math.ceil(steps.length / 2); size >= 1; size = size === 1 ? 0 : size >> 1) {
    let isSmaller = true;
    while (isSmaller && trials < TRIALS_MAX) {
      isSmaller = false;
      for (let at = steps.length - size; at >= 0; at--) {
        const candidate = [...steps.slice(0, at), ...steps.slice(at + size)];
        if (await attempt(candidate)) isSmaller = true;
      }
    }
  }
  for (const [index, step] of steps.entries()) {
    for (const simpler of simplerThan(step)) {
      const current = steps[index];
      if (current !== step) break;
      await attempt(steps.map((each, i) => (i === index ? simpler : each)));
    }
  }
  return { ...script, steps };
}

/** The step with less in it. */
function simplerThan(step: Step): Step[] {
  if (step.does === "connect" && step.will !== undefined) {
    const { will: _will, ...rest } = step;
    return [rest];
  }
  if (step.does === "publish") {
    return [
      { ...step, qos: 0, retain: false, alias: 0 },
      { ...step, alias: 0 },
    ];
  }
  if (step.does === "subscribe") {
    const plain = { noLocal: false, retainAsPublished: false, identifier: 0 } as const;
    return [
      { ...step, ...plain, retainHandling: 0 },
      { ...step, ...plain },
    ];
  }
  return [];
}
