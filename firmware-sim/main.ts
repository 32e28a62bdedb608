import { CommanderError } from "commander";
import { Fleet } from "./fleet.ts";
import { ProfileFileError } from "./profile-file.ts";
import { ProgressLine } from "./progress-line.ts";
import { progressText, resultJson, type SimResult, summaryText } from "./sim-report.ts";
import {
  buildSimCommand,
  type SimFlags,
  type SimSettings,
  SimSettingsError,
  simSettings,
} from "./sim-settings.ts";

const EXIT_ALL_KEPT = 0;
const EXIT_NOT_KEPT = 1;
const EXIT_USAGE = 2;
const CHECK_MS = 50;

/** Resolves when the fleet is done, the time is over or `signal` fires; calls `onCheck` on the way. */
async function untilDone(
  fleet: Fleet,
  timeoutMs: number,
  signal: AbortSignal,
  onCheck: () => void,
): Promise<void> {
  const endMs = performance.now() + timeoutMs;
  await new Promise<void>((resolve) => {
    const timer = setInterval(() => {
      onCheck();
      if (!fleet.isDone && !signal.aborted && performance.now() < endMs) return;
      clearInterval(timer);
      resolve();
    }, CHECK_MS);
  });
}

async function run(settings: SimSettings, isJson: boolean): Promise<number> {
  const rssAtStartBytes = process.memoryUsage.rss();
  let rssPeakBytes = rssAtStartBytes;
  const fleet = new Fleet({ ...settings.fleet, run: Date.now().toString(36) });
  const interrupted = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => interrupted.abort());
  }
  const out = isJson ? process.stderr : process.stdout;
  const line = new ProgressLine(out, () => progressText(fleet.progress()));
  const startedMs = performance.now();
  fleet.start();
  line.start();
  await untilDone(fleet, settings.timeoutSeconds * 1_000, interrupted.signal, () => {
    rssPeakBytes = Math.max(rssPeakBytes, process.memoryUsage.rss());
  });
  const seconds = (performance.now() - startedMs) / 1_000;
  line.stop();
  const { connected, asleep } = fleet.progress();
  const isDone = fleet.isDone;
  await fleet.stop();
  const progress = { ...fleet.progress(), connected, asleep };
  const { devices, problems, errors } = fleet;
  const memory = { rssAtStartBytes, rssPeakBytes };
  const result: SimResult = { progress, devices, seconds, memory, problems, errors };
  const isComplete = isDone && progress.acknowledged === progress.messages && problems.length === 0;
  if (isJson) process.stdout.write(`${resultJson(result, settings.fleet.seed, isComplete)}\n`);
  else out.write(`${summaryText(result)}\n`);
  return isComplete ? EXIT_ALL_KEPT : EXIT_NOT_KEPT;
}

async function main(): Promise<number> {
  const command = buildSimCommand();
  try {
    command.parse();
    const flags = command.opts<SimFlags>();
    return await run(simSettings(flags), flags.json === true);
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USAGE;
    if (!(error instanceof ProfileFileError || error instanceof SimSettingsError)) throw error;
    process.stderr.write(`sim: ${error.message}\n`);
    return EXIT_USAGE;
  }
}

process.exitCode = await main();
