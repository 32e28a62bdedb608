/** Runs one test file in a process group of its own until its first test fails. */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";

/** How a test file ended. */
export interface TestFileOutcome {
  /** `broken`: it ended badly without a failed test, as when a module cannot be loaded. */
  readonly kind: "passed" | "failed" | "broken" | "timed-out";
  /** The title of the first failed test, or the end of what was written to standard error. */
  readonly detail: string;
  readonly tookMs: number;
}

const NOT_OK = /^\s*not ok \d+ - (.*)$/;
/** Tests that were not chosen are reported as skipped. */
const PASSED = /^\s*ok \d+ - (?!.*# SKIP)/;
/** Of standard error, in characters. */
const ERROR_TAIL = 300;

const running = new Set<ChildProcess>();

/** Ends whatever runs, with all that it started. */
export function killTestFiles(): void {
  for (const child of running) killGroup(child);
}

/** As a pattern that matches this text. */
const escaped = (text: string): string => text.replaceAll(/[\\^$.*+?()[\]{}|/]/g, "\\$&");

function killGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // It is gone.
  }
}

/** The file of a choice of tests as `Mutant.tests` has it, and what the titles of the chosen tests contain; undefined: all of them. */
export function choiceOf(tests: string): { readonly file: string; readonly title?: string } {
  const end = tests.indexOf(": ");
  return end < 0 ? { file: tests } : { file: tests.slice(0, end), title: tests.slice(end + 2) };
}

/** Runs the chosen tests in the tree `root`, with `tempFolder` for what it writes, at most for `limitMs`. */
export function runTestFile(
  root: string,
  tests: string,
  tempFolder: string,
  limitMs: number,
): Promise<TestFileOutcome> {
  // Within a test run children would speak the runner's own language.
  const { NODE_TEST_CONTEXT: _, ...inherited } = process.env;
  const startedAt = performance.now();
  const { file, title } = choiceOf(tests);
  const chosen = title === undefined ? [] : [`--test-name-pattern=${escaped(title)}`];
  const args = ["--import", "tsx", "--test-reporter=tap", ...chosen, file];
  const child = spawn(process.execPath, args, {
    cwd: root,
    env: { ...inherited, TMPDIR: tempFolder },
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  running.add(child);
  let failed: string | undefined;
  let hasTimedOut = false;
  let passedCount = 0;
  let errors = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    errors = (errors + text).slice(-ERROR_TAIL);
  });
  createInterface({ input: child.stdout }).on("line", (line) => {
    if (PASSED.test(line)) passedCount++;
    const name = NOT_OK.exec(line)?.[1];
    // A file that cannot be loaded is reported as a test with its name.
    if (failed !== undefined || name === undefined || name.endsWith(".test.ts")) return;
    failed = name;
    killGroup(child);
  });
  const timer = setTimeout(() => {
    hasTimedOut = true;
    killGroup(child);
  }, limitMs);
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => {
      clearTimeout(timer);
      running.delete(child);
      // What the tests started and left.
      killGroup(child);
      const tookMs = performance.now() - startedAt;
      if (failed !== undefined) resolve({ kind: "failed", detail: failed, tookMs });
      else if (hasTimedOut) resolve({ kind: "timed-out", detail: file, tookMs });
      else if (code === 0 && passedCount > 0) resolve({ kind: "passed", detail: "", tookMs });
      else resolve({ kind: "broken", detail: errors || "no test ran", tookMs });
    });
  });
}
