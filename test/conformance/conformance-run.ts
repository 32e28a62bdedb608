/** Runs test files and notes which titles passed. */
import { relative } from "node:path";
import { run } from "node:test";
import { type Claim, claimsOf, ROOT } from "./titles.ts";

const FILES_AT_A_TIME = 2;
const FILE_TIMEOUT_MS = 10 * 60_000;

export interface ConformanceRun {
  /** Statements of tests that passed, as `version number`. */
  readonly shown: ReadonlySet<string>;
  readonly passed: number;
  readonly skipped: readonly string[];
  /** `file: title` and the error. */
  readonly failures: readonly string[];
  /** Files in which no test ran. */
  readonly silent: readonly string[];
}

/** How `shown` writes a statement. */
export const claimKey = ({ version, number }: Claim): string => `${version} ${number}`;

/** Runs these files (absolute paths), each in a process of its own. The caller runs under tsx. */
export async function runConformance(files: readonly string[]): Promise<ConformanceRun> {
  const shown = new Set<string>();
  const skipped: string[] = [];
  const failures: string[] = [];
  const ran = new Set<string>();
  let passed = 0;
  const events = run({
    files: [...files],
    concurrency: FILES_AT_A_TIME,
    timeout: FILE_TIMEOUT_MS,
  });
  events.on("test:pass", (event) => {
    const file = relative(ROOT, event.file ?? "");
    // A file without tests is reported as a test with the file's name.
    if (event.name.endsWith(".test.ts")) return;
    ran.add(file);
    if (event.skip !== undefined && event.skip !== false) {
      skipped.push(`${event.name}: ${event.skip}`);
      return;
    }
    passed++;
    for (const claim of claimsOf(event.name, file)) shown.add(claimKey(claim));
  });
  events.on("test:fail", (event) => {
    const file = relative(ROOT, event.file ?? "");
    ran.add(file);
    failures.push(`${file}: ${event.name}\n  ${event.details.error.message}`);
  });
  for await (const _ of events);
  const silent = files.map((file) => relative(ROOT, file)).filter((file) => !ran.has(file));
  return { shown, passed, skipped, failures, silent };
}
