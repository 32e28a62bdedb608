/** How often models are run: `RILLMQ_MODEL_RUNS=50000 node --import tsx --test test/property/consumer-model.test.ts` for long. */
import type { Parameters } from "fast-check";

const numberOf = (name: string): number | undefined => {
  const text = process.env[name];
  return text === undefined || text === "" ? undefined : Number(text);
};

/** `runs`: so many in `npm test`. `RILLMQ_MODEL_SEED` runs what a failure printed once more. */
export function modelRuns<T>(runs: number): Parameters<T> {
  const seed = numberOf("RILLMQ_MODEL_SEED");
  return {
    numRuns: numberOf("RILLMQ_MODEL_RUNS") ?? runs,
    includeErrorInReport: true,
    ...(seed === undefined ? {} : { seed }),
  };
}
