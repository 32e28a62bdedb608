/**
 * Coverage by statement: `npm run conformance` runs every test that names statements and says per version how many are covered, not
 * applicable and missing. Ends with 1 when one is missing or a test failed.
 *
 *     --list      lists what is missing, and runs nothing
 *     --write     writes the tables in docs/mqtt.md anew, and runs nothing
 *     --mutants   breaks a copy of the broker in each of the ways in mutants/ and runs the tests that have to notice; ends with 1 when one
 *                 does not. With --only NAME (several times) those alone, --smoke a few, --jobs N at a time, --json a report
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
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

const { values } = parseArgs({
  options: {
    list: { type: "boolean" },
    write: { type: "boolean" },
    mutants: { type: "boolean" },
    smoke: { type: "boolean" },
    only: { type: "string", multiple: true },
    jobs: { type: "string" },
    json: { type: "boolean" },
  },
});

/** @throws RangeError for a name or number that is none */
function breakIt(): Promise<boolean> {
  const { only = [], smoke: isSmoke = false, json: isJson = false } = values;
  const jobs = values.jobs === undefined ? undefined : Number(values.jobs);
  if (jobs !== undefined && !(Number.isInteger(jobs) && jobs >= 1 && jobs <= 64)) {
    throw new RangeError("--jobs is a number from 1 to 64");
  }
  return runMutantsCommand({ only, isSmoke, jobs, isJson });
}

async function main(): Promise<boolean> {
  if (values.mutants === true) return await breakIt();
  if (values.list === true) return list();
  if (values.write !== true) return await runAll();
  writeMqttDoc();
  return true;
}

try {
  if (!(await main())) process.exitCode = 1;
} catch (error) {
  if (!(error instanceof RangeError)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 2;
}
