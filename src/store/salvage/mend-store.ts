/**
 * Brings a store that may be damaged back to life: looks at it in a process of its own, and, when it is damaged, replaces it by what can
 * be salvaged. What is healthy is left alone, so that a start that was only slow costs nothing but the look.
 */
import { spawn } from "node:child_process";
import {
  existsSync,
  linkSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { OperatingError } from "../../lib/operating-error.ts";
import { syncFolder } from "../start-marker.ts";
import type { SalvageReport } from "./salvage-report.ts";
import type { CheckReport } from "./store-check.ts";
import type { StoreWork } from "./store-work.ts";

/** Damaged files kept, the one just replaced among them. */
const DAMAGED_KEPT_MAX = 2;
const REPORTS_KEPT_MAX = 10;
/** Without a word for so long a process hangs on what it reads. */
const SILENCE_MS = 120_000;

/** Starts this program again: what comes before the name of a command. */
export interface Program {
  readonly execPath: string;
  readonly args: readonly string[];
}

/** This program, however it was started: from dist/, as a bundle, from src/ through tsx. */
export const thisProgram = (): Program => ({
  execPath: process.execPath,
  args: [...process.execArgv, process.argv[1] ?? ""],
});

export interface MendOptions {
  /** The file. */
  readonly path: string;
  readonly program: Program;
  /** Work goes on: `bytes` were read so far. */
  readonly onProgress: (work: StoreWork, bytes: number) => void;
  /** Salvage also what a look finds intact. */
  readonly isForced?: boolean;
}

export interface Mended {
  readonly report: SalvageReport;
  /** Where the damaged file is now. */
  readonly damagedPath: string;
  /** Where the report is, as JSON. */
  readonly reportPath: string;
}

type Outcome = { readonly result: unknown } | { readonly failure: string };

/** Does one piece of work in a child process. Its death is a failure like any other. */
function runWork(options: MendOptions, work: StoreWork, out: string): Promise<Outcome> {
  const { program, path, onProgress } = options;
  const args = [...program.args, "store", "work", work, path, out];
  const child = spawn(program.execPath, args, { stdio: ["pipe", "pipe", "inherit"] });
  return new Promise((resolve) => {
    let outcome: Outcome | undefined;
    let watchdog: NodeJS.Timeout | undefined;
    const watch = (): void => {
      clearTimeout(watchdog);
      watchdog = setTimeout(() => child.kill("SIGKILL"), SILENCE_MS);
    };
    const finish = (end: Outcome): void => {
      clearTimeout(watchdog);
      resolve(end);
    };
    watch();
    child.stdin.on("error", () => undefined);
    createInterface(child.stdout).on("line", (line) => {
      watch();
      const said = readLine(line);
      if (said === undefined) return;
      if ("progress" in said) onProgress(work, Number(said["progress"]));
      else if ("result" in said) outcome = { result: said["result"] };
      else if ("failure" in said) outcome = { failure: String(said["failure"]) };
    });
    child.on("error", (error) => finish({ failure: error.message }));
    child.on("close", (code, signal) => {
      finish(outcome ?? { failure: `its process ended with ${signal ?? `code ${code}`}` });
    });
  });
}

function readLine(line: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const said: unknown = JSON.parse(line);
    return typeof said === "object" && said !== null ? { ...said } : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Looks at the store, and salvages it if it is damaged; undefined: it is healthy. Nobody has it open.
 * @throws OperatingError `data-folder-unusable` when it cannot be salvaged; nothing was changed then
 */
export async function mendStore(options: MendOptions): Promise<Mended | undefined> {
  const { path } = options;
  if (!existsSync(path)) return undefined;
  if (options.isForced !== true && (await isHealthy(options))) return undefined;
  const folder = dirname(path);
  const name = basename(path);
  for (const file of readdirSync(folder)) {
    // Of a salvage that was cut short.
    if (file.startsWith(`${name}.new-`)) rmSync(join(folder, file), { force: true });
  }
  const out = join(folder, `${name}.new-${process.pid}`);
  const outcome = await runWork(options, "rebuild", out);
  if ("failure" in outcome) {
    rmSync(out, { force: true });
    const message = `the store ${path} is damaged and cannot be salvaged: ${outcome.failure}`;
    throw new OperatingError("data-folder-unusable", message);
  }
  const report = outcome.result as SalvageReport;
  const stamp = report.at.replace(/[:.]/g, "-");
  return { report, ...replaceStore(path, out, stamp, report) };
}

async function isHealthy(options: MendOptions): Promise<boolean> {
  const check = await runWork(options, "check", "");
  if ("failure" in check || !(check.result as CheckReport).isTreeIntact) return false;
  return "result" in (await runWork(options, "read", ""));
}

/** At no moment is there no store: the damaged file gets a second name before the new one takes its place. */
function replaceStore(
  path: string,
  out: string,
  stamp: string,
  report: SalvageReport,
): { damagedPath: string; reportPath: string } {
  const folder = dirname(path);
  const damagedPath = `${path}.damaged-${stamp}`;
  const reportPath = join(folder, `salvage-${stamp}.json`);
  removeOldest(folder, `${basename(path)}.damaged-`, DAMAGED_KEPT_MAX - 1);
  removeOldest(folder, "salvage-", REPORTS_KEPT_MAX - 1);
  try {
    linkSync(path, damagedPath);
  } catch {
    // A file system without links. `assertStoreIsThere` notices a crash between the two names.
    renameSync(path, damagedPath);
  }
  renameSync(out, path);
  rmSync(`${path}-lock`, { force: true });
  writeFileSync(reportPath, `${JSON.stringify(report, undefined, 2)}\n`, { mode: 0o600 });
  syncFolder(folder);
  return { damagedPath, reportPath };
}

function removeOldest(folder: string, prefix: string, kept: number): void {
  const files = readdirSync(folder).filter((file) => file.startsWith(prefix));
  files.sort((a, b) => statSync(join(folder, b)).mtimeMs - statSync(join(folder, a)).mtimeMs);
  for (const file of files.slice(kept)) rmSync(join(folder, file), { force: true });
}

/**
 * A store that is not there while a damaged one was set aside must not be taken for a new one.
 * @throws OperatingError `data-folder-unusable`
 */
export function assertStoreIsThere(path: string): void {
  if (existsSync(path)) return;
  const aside = readdirSync(dirname(path)).find((file) =>
    file.startsWith(`${basename(path)}.damaged-`),
  );
  if (aside === undefined) return;
  const message = `${path} is missing, but ${aside} is there: rename it back, and the next start salvages it`;
  throw new OperatingError("data-folder-unusable", message);
}
