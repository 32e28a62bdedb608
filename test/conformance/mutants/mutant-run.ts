/**
 * Breaks the broker in each of the given ways, one at a time, and sees whether the tests notice. Before that a control: without a fault
 * they all pass, and how long that takes says how long a mutant may take.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Mutant } from "./mutant.ts";
import { ScratchTree } from "./scratch-tree.ts";
import { killTestFiles, runTestFile, type TestFileOutcome } from "./test-file-run.ts";

/** A mutant whose tests take so many times as long as without it has made them hang. */
const LIMIT_FACTOR = 3;
/** The least it may take, in milliseconds: the machine has other things to do, too. */
const LIMIT_MIN_MS = 30_000;
/** For one choice of tests without a fault, in milliseconds. */
const CONTROL_LIMIT_MS = 60_000;

/**
 * What became of a mutant. `killed`: a test failed; `timed-out`: the tests hang, which is noticed as well; `alive`: nobody noticed;
 * `stale`: its text is not in the sources any more; `broken`: the broker could not even be loaded, which proves nothing.
 */
export type Verdict = "killed" | "timed-out" | "alive" | "stale" | "broken";

export interface MutantResult {
  readonly mutant: Mutant;
  readonly verdict: Verdict;
  /** The failed test and its file, or what went wrong. */
  readonly detail: string;
  readonly tookMs: number;
}

export interface MutantReport {
  /** Tests that fail without a fault, and how; with any of them nothing else was tried. */
  readonly controlFailures: readonly string[];
  readonly results: readonly MutantResult[];
}

export interface MutantRunOptions {
  /** The repository. */
  readonly origin: string;
  readonly jobs: number;
  readonly onControl: (tests: string, outcome: TestFileOutcome) => void;
  readonly onResult: (result: MutantResult) => void;
}

/** True for what a test noticed. */
export const isNoticed = (verdict: Verdict): boolean =>
  verdict === "killed" || verdict === "timed-out";

/** Runs the control and then all mutants. Leaves no process and no file behind, also when a signal ends it. */
export async function runMutants(
  mutants: readonly Mutant[],
  options: MutantRunOptions,
): Promise<MutantReport> {
  const folder = mkdtempSync(join(tmpdir(), "rillmq-mutants-"));
  const cleanUp = (): void => {
    killTestFiles();
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  };
  const onSignal = (): void => {
    cleanUp();
    process.exit(130);
  };
  process.once("SIGINT", onSignal).once("SIGTERM", onSignal);
  try {
    return await new MutantRun(folder, options).run(mutants);
  } finally {
    process.off("SIGINT", onSignal).off("SIGTERM", onSignal);
    cleanUp();
  }
}

class MutantRun {
  readonly #options: MutantRunOptions;
  readonly #tempFolder: string;
  readonly #trees: ScratchTree[];
  /** How long each choice of tests takes without a fault, in milliseconds. */
  readonly #controlMs = new Map<string, number>();

  constructor(folder: string, options: MutantRunOptions) {
    this.#options = options;
    this.#tempFolder = join(folder, "tmp");
    mkdirSync(this.#tempFolder);
    this.#trees = Array.from(
      { length: options.jobs },
      (_, i) => new ScratchTree(options.origin, join(folder, `tree${i}`)),
    );
  }

  async run(mutants: readonly Mutant[]): Promise<MutantReport> {
    const files = [...new Set(mutants.flatMap(({ tests }) => tests))];
    const controlFailures: string[] = [];
    await this.#each(files, async (file, { root }) => {
      const outcome = await runTestFile(root, file, this.#tempFolder, CONTROL_LIMIT_MS);
      this.#controlMs.set(file, outcome.tookMs);
      if (outcome.kind !== "passed") controlFailures.push(`${file}: ${outcome.detail}`);
      this.#options.onControl(file, outcome);
    });
    const results: MutantResult[] = [];
    if (controlFailures.length > 0) return { controlFailures, results };
    await this.#each(mutants, async (mutant, tree) => {
      const result = await this.#judge(mutant, tree);
      results.push(result);
      this.#options.onResult(result);
    });
    return { controlFailures, results };
  }

  /** Does something with all of them, each in a tree that nobody else uses meanwhile. */
  async #each<T>(
    items: readonly T[],
    work: (item: T, tree: ScratchTree) => Promise<void>,
  ): Promise<void> {
    const left = [...items];
    const workIn = async (tree: ScratchTree): Promise<void> => {
      for (let item = left.shift(); item !== undefined; item = left.shift()) await work(item, tree);
    };
    await Promise.all(this.#trees.map(workIn));
  }

  async #judge(mutant: Mutant, tree: ScratchTree): Promise<MutantResult> {
    const startedAt = performance.now();
    const outcome = await tree.with(mutant, () => this.#try(mutant, tree.root));
    const tookMs = performance.now() - startedAt;
    if (outcome === undefined) {
      const detail = `its text does not stand in ${mutant.file} exactly once`;
      return { mutant, verdict: "stale", detail, tookMs };
    }
    return { mutant, ...outcome, tookMs };
  }

  async #try(mutant: Mutant, root: string): Promise<{ verdict: Verdict; detail: string }> {
    const { tests } = mutant;
    const controlMs = tests.reduce((sum, file) => sum + (this.#controlMs.get(file) ?? 0), 0);
    const endsAt = performance.now() + Math.max(LIMIT_MIN_MS, controlMs * LIMIT_FACTOR);
    for (const file of tests) {
      const leftMs = Math.max(endsAt - performance.now(), 1);
      const { kind, detail } = await runTestFile(root, file, this.#tempFolder, leftMs);
      if (kind === "failed") return { verdict: "killed", detail: `${file}: ${detail}` };
      if (kind !== "passed") return { verdict: kind, detail: `${file}: ${detail}` };
    }
    return { verdict: "alive", detail: tests.join(", ") };
  }
}
