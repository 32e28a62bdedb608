/** `npm run conformance -- --mutants`: says of each mutant what became of it. */
import { availableParallelism } from "node:os";
import { ROOT } from "../titles.ts";
import type { Mutant } from "./mutant.ts";
import { isNoticed, type MutantReport, type MutantResult, runMutants } from "./mutant-run.ts";
import { MUTANTS, SMOKE_MUTANTS } from "./mutants.ts";

/** More at a time only make each other late. */
const JOBS_DEFAULT_MAX = 2;

export interface MutantsCommandOptions {
  /** Names; empty: all. */
  readonly only: readonly string[];
  readonly isSmoke: boolean;
  readonly jobs: number | undefined;
  /** The report goes to standard output as JSON, and what happens meanwhile to standard error. */
  readonly isJson: boolean;
}

/** True: every mutant was noticed. @throws RangeError for a name that there is not */
export async function runMutantsCommand(options: MutantsCommandOptions): Promise<boolean> {
  const mutants = choose(options);
  const { isJson, jobs = Math.min(JOBS_DEFAULT_MAX, availableParallelism()) } = options;
  const out = isJson ? process.stderr : process.stdout;
  const say = (line: string): boolean => out.write(`${line}\n`);
  const startedAt = performance.now();
  let done = 0;
  const report = await runMutants(mutants, {
    origin: ROOT,
    jobs,
    onControl: (file, { kind, tookMs }) => say(`control ${kind} ${secondsOf(tookMs)} ${file}`),
    onResult: (result) => say(`[${++done}/${mutants.length}] ${textOf(result)}`),
  });
  for (const line of report.controlFailures) say(`fails without any fault: ${line}`);
  const counts = countsOf(report);
  const { killed, timedOut, alive, stale, broken } = counts;
  say(
    `${mutants.length} mutants: ${killed} killed (${timedOut} of them by time), ${alive} alive, ${stale} stale, ${broken} broken; ${secondsOf(performance.now() - startedAt)}`,
  );
  for (const result of report.results.filter(({ verdict }) => !isNoticed(verdict))) {
    say(`${textOf(result)}\n  ${result.mutant.breaks} [${result.mutant.rule}]`);
  }
  if (isJson) process.stdout.write(`${JSON.stringify({ ...counts, ...report }, null, 2)}\n`);
  return report.results.length === mutants.length && killed === mutants.length;
}

function choose({ only, isSmoke }: MutantsCommandOptions): readonly Mutant[] {
  const wanted = isSmoke ? [...SMOKE_MUTANTS, ...only] : only;
  if (wanted.length === 0) return MUTANTS;
  const unknown = wanted.filter((name) => !MUTANTS.some((mutant) => mutant.name === name));
  if (unknown.length > 0) throw new RangeError(`there is no mutant ${unknown.join(", ")}`);
  return MUTANTS.filter(({ name }) => wanted.includes(name));
}

function countsOf({ results }: MutantReport): Record<string, number> {
  const count = (verdict: MutantResult["verdict"]): number =>
    results.filter((result) => result.verdict === verdict).length;
  const timedOut = count("timed-out");
  return {
    killed: count("killed") + timedOut,
    timedOut,
    alive: count("alive"),
    stale: count("stale"),
    broken: count("broken"),
  };
}

const secondsOf = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`;

const textOf = ({ mutant, verdict, detail, tookMs }: MutantResult): string =>
  `${verdict.padEnd(9)} ${mutant.name} ${secondsOf(tookMs)} ${detail.replaceAll("\n", " ")}`;
