/** `npm run bench`, `npm run bench -- COMMAND`: measures RillMQ beside other brokers. See docs/bench.md. */
import { mkdirSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative, resolve } from "node:path";
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { patternsText } from "./patterns/patterns-text.ts";
import { runPatternBench } from "./patterns/run-patterns.ts";
import { selftestText, smokeJson, smokeText } from "./report.ts";
import { SMOKE_SCENARIOS } from "./scenario.ts";
import { runSelftest } from "./selftest.ts";
import { faultsOf, PEERS, runSmoke } from "./smoke.ts";
import { runCeiling } from "./suite/ceiling.ts";
import {
  buildRillmq,
  reportOn,
  type SuiteOutput,
  suiteList,
  writeSuite,
} from "./suite/commands.ts";
import { runSuite, suiteFaults } from "./suite/suite.ts";
import { SUITE_PEERS } from "./suite/suite-peers.ts";
import { SUITE_SCENARIOS } from "./suite/suite-scenario.ts";
import { suiteText } from "./suite/suite-text.ts";

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;
const ROUNDS_MAX = 100;
const SECONDS_MAX = 600;
const MINUTES_MAX = 1_440;
const SUITE_SECONDS = 1.2;
const SUITE_MINUTES = 29;
const RESULTS = join(import.meta.dirname, "results");

interface CommonOptions {
  readonly seconds: number;
  readonly scenario: readonly string[];
  readonly data: string;
  readonly json: boolean;
}

interface SmokeCommandOptions extends CommonOptions {
  readonly rounds: number;
  readonly peer: readonly string[];
}

interface SuiteCommandOptions extends CommonOptions {
  readonly rounds: number;
  readonly minutes: number;
  readonly peer: readonly string[];
  readonly list: boolean;
  readonly build: boolean;
}

function numberUpTo(max: number, isWhole: boolean): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!(value > 0 && value <= max) || (isWhole && !Number.isInteger(value))) {
      throw new InvalidArgumentError(`Expected a number up to ${max}.`);
    }
    return value;
  };
}

function existingFolder(path: string): string {
  if (!statSync(path, { throwIfNoEntry: false })?.isDirectory()) {
    throw new InvalidArgumentError("Expected an existing folder.");
  }
  return resolve(path);
}

function onProgress(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** Writes both forms of a report to bench/results/ and one of them to standard output. */
function deliver(name: string, text: string, report: object, isJson: boolean): void {
  mkdirSync(RESULTS, { recursive: true });
  const json = `${JSON.stringify(report, null, 2)}\n`;
  const stem = join(RESULTS, `${name}-${new Date().toISOString().replaceAll(":", "-")}`);
  writeFileSync(`${stem}.txt`, text);
  writeFileSync(`${stem}.json`, json);
  process.stdout.write(isJson ? json : text);
  onProgress(`written to ${relative(process.cwd(), stem)}.txt and .json`);
}

function named<Item extends { readonly name: string }>(
  items: readonly Item[],
  names: readonly string[],
): readonly Item[] {
  return names.length === 0 ? items : items.filter(({ name }) => names.includes(name));
}

async function smoke(options: SmokeCommandOptions): Promise<void> {
  const { rounds, seconds, data: dataFolder } = options;
  const scenarios = named(SMOKE_SCENARIOS, options.scenario);
  const peers = named(PEERS, options.peer);
  const report = await runSmoke({ rounds, seconds, scenarios, peers, dataFolder, onProgress });
  deliver("smoke", smokeText(report), smokeJson(report), options.json);
  if (faultsOf(report).length > 0) process.exitCode = EXIT_FAILED;
}

async function patterns(
  options: CommonOptions & { readonly rounds: number; readonly build: boolean },
): Promise<void> {
  if (options.build) buildRillmq();
  const { rounds, seconds, data: dataFolder } = options;
  const report = await runPatternBench({ rounds, seconds, dataFolder, onProgress });
  deliver("patterns", patternsText(report), { kind: "patterns", ...report }, options.json);
  if (report.faults.length > 0) process.exitCode = EXIT_FAILED;
}

async function selftest(options: CommonOptions): Promise<void> {
  const { seconds, data: dataFolder } = options;
  const scenarios = named(SMOKE_SCENARIOS, options.scenario);
  const report = await runSelftest({ seconds, scenarios, dataFolder, onProgress });
  const ceiling = await runCeiling({ seconds, dataFolder, onProgress });
  const text = `${selftestText(report)}\n${ceiling.text}`;
  const json = { kind: "selftest", ...report, ceiling: ceiling.report };
  deliver("selftest", text, json, options.json);
  if (report.entries.some(({ forwarder }) => forwarder.faults.length > 0)) {
    process.exitCode = EXIT_FAILED;
  }
}

async function suite(options: SuiteCommandOptions): Promise<void> {
  if (options.list) {
    process.stdout.write(suiteList());
    return;
  }
  if (options.build) buildRillmq();
  const { rounds, seconds, minutes: minutesMax, data: dataFolder } = options;
  const scenarios = named(SUITE_SCENARIOS, options.scenario);
  const peers = named(SUITE_PEERS, options.peer);
  const what = { rounds, seconds, minutesMax, scenarios, peers, dataFolder, onProgress };
  const report = await runSuite(what);
  const output: SuiteOutput = writeSuite(report, RESULTS);
  process.stdout.write(options.json ? output.json : suiteText(report));
  for (const line of output.lines) onProgress(line);
  if (suiteFaults(report).length > 0) process.exitCode = EXIT_FAILED;
}

/** Names with commas or spaces between them. */
function list(flag: string, description: string, known: readonly string[]): Option {
  const parse = (text: string, before: readonly string[]): string[] => {
    const names = text.split(",");
    const unknown = names.find((name) => !known.includes(name));
    if (unknown === undefined) return [...before, ...names];
    throw new InvalidArgumentError(`There is no ${unknown}; see --list.`);
  };
  return new Option(flag, description).argParser(parse).default([], "all");
}

function addCommonOptions(command: Command, names: readonly string[], seconds: number): Command {
  return command
    .option("--seconds <S>", "length of a measured window", numberUpTo(SECONDS_MAX, false), seconds)
    .addOption(list("--scenario <name...>", "only these scenarios", names))
    .option("--data <folder>", "where brokers keep their files meanwhile", existingFolder, tmpdir())
    .option("--json", "print JSON instead of a table", false);
}

function namesOf(items: readonly { readonly name: string }[]): string[] {
  return items.map(({ name }) => name);
}

function addSuite(program: Command): void {
  const command = program
    .command("suite", { isDefault: true })
    .description("all scenarios beside all brokers (the default): under half an hour");
  addCommonOptions(command, namesOf(SUITE_SCENARIOS), SUITE_SECONDS)
    .option("--rounds <N>", "interleaved runs of each scenario", numberUpTo(ROUNDS_MAX, true), 3)
    .option(
      "--minutes <M>",
      "begin no round that would end later",
      numberUpTo(MINUTES_MAX, false),
      SUITE_MINUTES,
    )
    .addOption(list("--peer <name...>", "only these brokers", namesOf(SUITE_PEERS)))
    .option("--list", "name scenarios and brokers, and run nothing", false)
    .option("--no-build", "measure RillMQ as it is, built or not")
    .action(suite);
}

function createProgram(): Command {
  const program = new Command("bench")
    .description("Measures RillMQ beside other brokers, on loopback. Never judges a time.")
    .exitOverride();
  const smokeNames = SMOKE_SCENARIOS.map(({ name }) => name);
  addSuite(program);
  addCommonOptions(
    program.command("smoke").description("three scenarios beside mosquitto and aedes"),
    smokeNames,
    3,
  )
    .option("--rounds <N>", "interleaved runs of each scenario", numberUpTo(ROUNDS_MAX, true), 3)
    .addOption(list("--peer <name...>", "only these brokers", namesOf(PEERS)))
    .action(smoke);
  addCommonOptions(
    program.command("selftest").description("the load generators' own ceiling, without a broker"),
    smokeNames,
    3,
  ).action(selftest);
  program
    .command("patterns")
    .description("queues, streams and requests over the native protocol beside JetStream")
    .option("--rounds <N>", "interleaved runs", numberUpTo(ROUNDS_MAX, true), 3)
    .option("--seconds <S>", "length of a measured window", numberUpTo(SECONDS_MAX, false), 3)
    .option("--data <folder>", "where servers keep their files meanwhile", existingFolder, tmpdir())
    .option("--json", "print JSON instead of a table", false)
    .option("--no-build", "measure RillMQ as it is, from its sources if need be")
    .action(patterns);
  program
    .command("report")
    .description(
      "docs/performance.md and its charts, or docs/performance-patterns.md, from the JSON of a bench",
    )
    .argument("<file>", "what a bench wrote to bench/results/")
    .option("--docs <folder>", "where to", join(import.meta.dirname, "..", "docs"))
    .action((file: string, { docs }: { docs: string }) => {
      for (const line of reportOn(file, docs)) onProgress(line);
    });
  return program;
}

// Brokers are stopped by the exit handler of broker-process.ts, which a signal alone would not run.
process.on("SIGINT", () => process.exit(130));
process.on("SIGTERM", () => process.exit(143));

try {
  await createProgram().parseAsync();
} catch (error) {
  const isUsage = error instanceof CommanderError;
  if (!isUsage) process.stderr.write(`${(error as Error).message}\n`);
  if (!isUsage || error.exitCode !== 0) process.exitCode = isUsage ? EXIT_USAGE : EXIT_FAILED;
}
