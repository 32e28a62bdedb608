/** `npm run bench -- COMMAND`: measures RillMQ beside other brokers. See docs/bench.md. */
import { mkdirSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative, resolve } from "node:path";
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { selftestText, smokeJson, smokeText } from "./report.ts";
import { SMOKE_SCENARIOS } from "./scenario.ts";
import { runSelftest } from "./selftest.ts";
import { faultsOf, PEERS, runSmoke } from "./smoke.ts";

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;
const ROUNDS_MAX = 100;
const SECONDS_MAX = 600;
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

async function selftest(options: CommonOptions): Promise<void> {
  const { seconds, data: dataFolder } = options;
  const scenarios = named(SMOKE_SCENARIOS, options.scenario);
  const report = await runSelftest({ seconds, scenarios, dataFolder, onProgress });
  deliver("selftest", selftestText(report), { kind: "selftest", ...report }, options.json);
  if (report.entries.some(({ forwarder }) => forwarder.faults.length > 0)) {
    process.exitCode = EXIT_FAILED;
  }
}

function choice(flag: string, description: string, choices: readonly string[]): Option {
  return new Option(flag, description).choices(choices).default([], "all");
}

function addCommonOptions(command: Command): Command {
  const names = SMOKE_SCENARIOS.map(({ name }) => name);
  return command
    .option("--seconds <S>", "length of a measured window", numberUpTo(SECONDS_MAX, false), 3)
    .addOption(choice("--scenario <name...>", "only these scenarios", names))
    .option("--data <folder>", "where brokers keep their files meanwhile", existingFolder, tmpdir())
    .option("--json", "print JSON instead of a table", false);
}

function createProgram(): Command {
  const program = new Command("bench")
    .description("Measures RillMQ beside other brokers, on loopback. Never judges a time.")
    .exitOverride();
  const peers = PEERS.map(({ name }) => name);
  addCommonOptions(
    program.command("smoke").description("three scenarios beside mosquitto and aedes"),
  )
    .option("--rounds <N>", "interleaved runs of each scenario", numberUpTo(ROUNDS_MAX, true), 3)
    .addOption(choice("--peer <name...>", "only these brokers", peers))
    .action(smoke);
  addCommonOptions(
    program.command("selftest").description("the load generator's own ceiling, without a broker"),
  ).action(selftest);
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
