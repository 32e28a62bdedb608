/**
 * Coverage by statement: `npm run conformance` runs every test that names statements and says per version how many are covered, not
 * applicable and missing. Ends with 1 when one is missing or a test failed.
 */
import { join } from "node:path";
import { Command, CommanderError } from "commander";
import { integerFrom } from "../../firmware-sim/option-values.ts";
import { STANDARD_VERSIONS, type StandardVersion } from "./clauses.ts";
import { type ConformanceRun, claimKey, runConformance } from "./conformance-run.ts";
import { isMissing, mistakesIn, rowsOf } from "./coverage.ts";
import { writeMqttDoc } from "./mqtt-doc.ts";
import { runMutantsCommand } from "./mutants/command.ts";
import { claimingTests, ROOT } from "./titles.ts";

const say = (line: string): boolean => process.stdout.write(`${line}\n`);

/** Lists what is missing; true: nothing. */
function list(): boolean {
  const tests = claimingTests();
  const missing = STANDARD_VERSIONS.flatMap((version) =>
    rowsOf(version, tests)
      .filter(isMissing)
      .map(({ number, statement }) => `${version} ${number} ${statement?.subject ?? ""}`.trim()),
  );
  for (const line of missing) say(line);
  say(`${missing.length} missing`);
  return missing.length === 0;
}

/** Says how a version fares; true: nothing is missing. A statement is covered when a test that names it passed. */
function summarize(version: StandardVersion, { shown }: ConformanceRun): boolean {
  const rows = rowsOf(version);
  const isShown = (number: string): boolean => shown.has(claimKey({ version, number }));
  const excused = rows.filter(
    ({ number, statement }) => statement?.reason !== undefined && !isShown(number),
  );
  const covered = rows.filter(({ number }) => isShown(number));
  const missing = rows.filter((row) => !excused.includes(row) && !covered.includes(row));
  say(
    `MQTT ${version}: ${rows.length} statements, ${covered.length} covered, ${excused.length} not applicable, ${missing.length} missing`,
  );
  for (const { number, statement } of missing) say(`  ${number} ${statement?.subject ?? ""}`);
  return missing.length === 0;
}

async function runAll(): Promise<boolean> {
  const tests = claimingTests();
  const files = [...new Set(tests.map(({ file }) => join(ROOT, file)))];
  const result = await runConformance(files);
  for (const line of result.failures) say(`failed: ${line}`);
  for (const line of result.skipped) say(`skipped: ${line}`);
  for (const file of result.silent) say(`no test ran: ${file}`);
  const mistakes = STANDARD_VERSIONS.flatMap((version) => mistakesIn(version, tests));
  for (const line of mistakes) say(`mistake: ${line}`);
  say(`${result.passed} tests in ${files.length} files passed, ${result.failures.length} failed`);
  const complete = STANDARD_VERSIONS.map((version) => summarize(version, result));
  const isClean = [result.failures, result.silent, mistakes].every(({ length }) => length === 0);
  return isClean && complete.every(Boolean);
}

interface Flags {
  readonly list?: true;
  readonly write?: true;
  readonly mutants?: true;
  readonly smoke?: true;
  readonly only?: readonly string[];
  readonly jobs?: number;
  readonly json?: true;
}

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;

function buildCommand(): Command {
  return new Command("conformance")
    .description("Runs every test that names a statement of MQTT, and says how many are covered.")
    .option("--list", "list what is missing, and run nothing")
    .option("--write", "write the tables in docs/mqtt.md anew, and run nothing")
    .option(
      "--mutants",
      "break a copy of the broker in each of the ways in mutants/ and run the tests that have to notice",
    )
    .option("--smoke", "with --mutants: a few of them")
    .option("--only <name...>", "with --mutants: these")
    .option("--jobs <n>", "with --mutants: how many at a time", integerFrom(1, 64))
    .option("--json", "with --mutants: a report on standard output")
    .addHelpText(
      "after",
      "\nExits 0 when all is covered or noticed, 1 when something is missing, failed or not noticed, 2 on wrong usage.",
    )
    .allowExcessArguments(false)
    .exitOverride();
}

async function main(): Promise<boolean> {
  const flags = buildCommand().parse().opts<Flags>();
  if (flags.mutants === true) {
    const { only = [], smoke: isSmoke = false, jobs, json: isJson = false } = flags;
    return await runMutantsCommand({ only, isSmoke, jobs, isJson });
  }
  if (flags.list === true) return list();
  if (flags.write !== true) return await runAll();
  writeMqttDoc();
  return true;
}

try {
  if (!(await main())) process.exitCode = EXIT_FAILED;
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : EXIT_USAGE;
  } else if (error instanceof RangeError) {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = EXIT_USAGE;
  } else {
    throw error;
  }
}
