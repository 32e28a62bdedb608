/** `npm run profile -- SCENARIO`: where the broker's processor time goes. See docs/bench.md. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { Argument, Command } from "commander";
import { numberAbove } from "../firmware-sim/option-values.ts";
import { LoadGenerator } from "./patterns/load-generator.ts";
import type { Pattern } from "./patterns/load-order.ts";
import { measure, OUTSTANDING, PATTERNS } from "./patterns/pattern-figures.ts";
import { startRillmqPatterns } from "./patterns/rillmq-patterns.ts";
import type { Peer } from "./peers/peer.ts";
import { RILLMQ_COMMAND, rillmq, startRillmq } from "./peers/rillmq.ts";
import { buildRillmq } from "./suite/commands.ts";
import { type CpuProfile, type HotFunction, hottestFunctions } from "./suite/cpu-profile.ts";
import { runSuiteScenario } from "./suite/suite-run.ts";
import { SUITE_SCENARIOS } from "./suite/suite-scenario.ts";
import { formatOptional, formatTable } from "./table.ts";

const EXIT_USAGE = 2;
const ROOT = join(import.meta.dirname, "..");
const RESULTS = join(import.meta.dirname, "results");
const SHOWN = 25;
const INTERVAL_US = 200;
const WARMUP_MS = 1_000;

const NAMES = [
  ...SUITE_SCENARIOS.map(({ name }) => name),
  ...PATTERNS.map((pattern) => `patterns-${pattern}`),
];

interface Options {
  readonly name: string;
  readonly seconds: number;
  readonly build: boolean;
}

/** Ends the process after help and on wrong usage. */
function options(): Options {
  const command = new Command("profile")
    .description("Says which functions of the broker take its processor time.")
    .addArgument(new Argument("<scenario>", "what happens meanwhile").choices(NAMES))
    .option("--seconds <n>", "how long it is watched", numberAbove(0, 100), 5)
    .option("--no-build", "profile what was built before")
    .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : EXIT_USAGE))
    .parse();
  const { seconds, build } = command.opts<Omit<Options, "name">>();
  return { name: command.args[0] ?? "", seconds, build };
}

process.on("SIGINT", () => process.exit(130));
process.on("SIGTERM", () => process.exit(143));

/** What a profiled run brought. */
interface Profiled {
  readonly title: string;
  readonly perSecond: number | undefined;
  readonly brokerUs: number | undefined;
  /** In milliseconds on the monotonic clock. */
  readonly window: readonly [number, number] | undefined;
}

const monotonicMs = (): number => Number(process.hrtime.bigint()) / 1e6;

async function profileScenario(
  scenario: (typeof SUITE_SCENARIOS)[number],
  profiler: readonly string[],
  seconds: number,
): Promise<Profiled> {
  const profiled: Peer = {
    ...rillmq,
    start: (data, setup) => startRillmq([...profiler], RILLMQ_COMMAND, data, setup),
  };
  const timing = { warmupMs: WARMUP_MS, windowMs: seconds * 1_000 };
  const { window, perSecond, brokerUs } = await runSuiteScenario(
    profiled,
    scenario,
    timing,
    tmpdir(),
  );
  return { title: scenario.title, window, perSecond, brokerUs };
}

/** Of the patterns; a stream is filled first where it is read. */
async function profilePattern(
  pattern: Pattern,
  profiler: readonly string[],
  seconds: number,
): Promise<Profiled> {
  const folder = mkdtempSync(join(tmpdir(), "rillmq-profile-"));
  const running = await startRillmqPatterns(folder, profiler);
  const generator = await LoadGenerator.start(running.target);
  try {
    const warmUpSeconds = WARMUP_MS / 1_000;
    const timing = { warmUpSeconds, seconds, outstanding: OUTSTANDING };
    if (pattern === "consume") await measure(running, generator, "append", timing);
    const run = await measure(running, generator, pattern, timing);
    const end = monotonicMs();
    const window = [end - seconds * 1_000, end] as const;
    const { perSecond, serverUs: brokerUs } = run;
    return { title: `patterns: ${pattern}`, perSecond, brokerUs, window };
  } finally {
    generator.stop();
    await running.server.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

const { name, seconds, build } = options();
const pattern = PATTERNS.find((one) => `patterns-${one}` === name);
const scenario = SUITE_SCENARIOS.find((one) => one.name === name);
if (build) buildRillmq();
const folder = join(RESULTS, `profile-${process.pid}`);
mkdirSync(folder, { recursive: true });
try {
  const profiler = [
    "--cpu-prof",
    "--cpu-prof-interval",
    `${INTERVAL_US}`,
    "--cpu-prof-dir",
    folder,
  ];
  process.stderr.write(`${name}: ${seconds} s, with the profiler in the broker\n`);
  const { title, perSecond, brokerUs, window } =
    scenario === undefined
      ? await profilePattern(pattern ?? "queue", profiler, seconds)
      : await profileScenario(scenario, profiler, seconds);
  const file = readdirSync(folder).find((one) => one.endsWith(".cpuprofile"));
  if (file === undefined) throw new Error("the broker left no profile");
  const kept = join(RESULTS, `${name}-${new Date().toISOString().replaceAll(":", "-")}`);
  const profile = JSON.parse(readFileSync(join(folder, file), "utf8")) as CpuProfile;
  renameSync(join(folder, file), `${kept}.cpuprofile`);
  const hottest: readonly HotFunction[] = hottestFunctions(profile, SHOWN, ROOT, window);
  const rows = hottest.map((hot) => [hot.name, `${(hot.share * 100).toFixed(1)} %`, hot.place]);
  process.stdout.write(
    `${title}\n${formatOptional(perSecond)} messages/s, ${formatOptional(brokerUs)} µs of broker per message, the profiler's cost included\n\n${formatTable([["function", "self", "place"], ...rows])}\n`,
  );
  process.stderr.write(`kept: ${relative(process.cwd(), kept)}.cpuprofile\n`);
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
