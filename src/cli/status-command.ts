import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Command } from "commander";
import { callAdmin } from "./admin-client.ts";
import { ExitCode } from "./exit-code.ts";

interface StatusOptions {
  readonly data?: string;
  readonly ready?: boolean;
  readonly json?: boolean;
}

/** What a running broker leaves in `DATA/rillmq.json`. */
interface RunFile {
  readonly pid: number;
  readonly urls: readonly string[];
  /** URL of the HTTP server; absent when it is off. */
  readonly http?: string;
}

interface Status {
  readonly running: boolean;
  readonly healthy: boolean;
  readonly ready: boolean;
  readonly store?: StoreUse;
  /** For people. */
  readonly text: string;
  readonly run: RunFile | undefined;
}

/** What is in use on disk, in bytes, of how much. */
interface StoreUse {
  readonly usedBytes: number;
  /** Of them, those of sessions, wills, retained messages and progress. */
  readonly tableBytes: number;
  readonly maxBytes: number;
}

interface AdminStatus {
  readonly healthy: boolean;
  readonly ready: boolean;
  readonly store?: StoreUse;
}

const ANSWER_TIMEOUT_MS = 3_000;

const ABSENT = { running: false, healthy: false, ready: false } as const;

async function readRunFile(path: string): Promise<RunFile | undefined> {
  try {
    const run = JSON.parse(await readFile(path, "utf8")) as Partial<RunFile>;
    if (!Number.isSafeInteger(run.pid) || !Array.isArray(run.urls)) return undefined;
    return run as RunFile;
  } catch {
    return undefined;
  }
}

/** The answer's status code; undefined: no answer. */
async function ask(url: string): Promise<number | undefined> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS) });
    await response.arrayBuffer();
    return response.status;
  } catch {
    return undefined;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}

/** What the broker says through its admin channel; undefined: no answer. */
async function askAdmin(data: string): Promise<AdminStatus | undefined> {
  try {
    const answer = await callAdmin(data, "GET", "/status");
    if (typeof answer !== "object" || answer === null) return undefined;
    const { healthy, ready, store } = answer as Partial<Record<keyof AdminStatus, unknown>>;
    const isKnown = typeof store === "object" && store !== null;
    return {
      healthy: healthy === true,
      ready: ready === true,
      ...(isKnown ? { store: store as StoreUse } : {}),
    };
  } catch {
    return undefined;
  }
}

function storeText(store: StoreUse | undefined): string {
  if (store === undefined) return "";
  const mebibytes = (bytes: number): number => Math.ceil(bytes / 1_048_576);
  return `, store ${mebibytes(store.usedBytes)} of ${mebibytes(store.maxBytes)} MiB`;
}

async function statusOf(data: string): Promise<Status> {
  const path = join(data, "rillmq.json");
  const run = await readRunFile(path);
  if (run === undefined) {
    return { ...ABSENT, run, text: `no broker runs here: ${path} is missing or unreadable` };
  }
  const where = `pid ${run.pid} ${run.urls.join(" ")}`;
  const known = await askAdmin(data);
  if (known !== undefined) {
    const state = known.healthy ? (known.ready ? "ready" : "healthy, not ready") : "not healthy";
    const text = `${state}: ${where} ${run.http ?? ""}`.trim();
    return { running: true, ...known, run, text: `${text}${storeText(known.store)}` };
  }
  if (run.http === undefined) {
    const running = isAlive(run.pid);
    const text = running ? `running, HTTP is off: ${where}` : `not running: pid ${run.pid} is gone`;
    return { running, healthy: running, ready: running, run, text };
  }
  const [health, readiness] = await Promise.all([
    ask(new URL("/healthz", run.http).href),
    ask(new URL("/readyz", run.http).href),
  ]);
  if (health === undefined && readiness === undefined) {
    return { ...ABSENT, run, text: `not running: ${run.http} does not answer` };
  }
  const healthy = health === 200;
  const ready = readiness === 200;
  const state = healthy ? (ready ? "ready" : "healthy, not ready") : "not healthy";
  return { running: true, healthy, ready, run, text: `${state}: ${where} ${run.http}` };
}

async function runStatus(options: StatusOptions): Promise<number> {
  const data = options.data ?? (process.env["RILLMQ_DATA"] || "./data");
  const { text, run, ...state } = await statusOf(data);
  const line = options.json === true ? JSON.stringify({ ...state, ...run }) : text;
  process.stdout.write(`${line}\n`);
  const isFine = options.ready === true ? state.ready : state.healthy;
  return isFine ? ExitCode.fine : ExitCode.negative;
}

/** `rillmq status`: asks the broker of a data folder how it is. */
export function addStatusCommand(program: Command, done: (exitCode: number) => void): void {
  program
    .command("status")
    .description("Asks the broker of a data folder how it is; exits 0 when it is healthy.")
    .option("--data <dir>", 'data folder (default RILLMQ_DATA, else "./data")')
    .option("--ready", "exit 0 only when it has recovered and accepts")
    .option("--json", "print running, healthy, ready, pid, urls and http as one JSON line")
    .action(async (options: StatusOptions) => done(await runStatus(options)));
}
