import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { Mutant } from "../conformance/mutants/mutant.ts";
import { runMutants, type Verdict } from "../conformance/mutants/mutant-run.ts";
import { ROOT } from "../conformance/titles.ts";

const FILE = "src/broker/acknowledgements.ts";
const TESTS = "test/unit/broker/acknowledgements.test.ts";
const SEND = "this.#send(next.acknowledgement);";
const CLOSE = "close(): void {";
/** One of those that do not close anything. */
const TITLE = "What is pushed while acknowledgements leave";

const mutant = (name: string, find: string, replacement: string, tests = TESTS): Mutant => ({
  name,
  breaks: "It is one of a test.",
  rule: "Promise: mutants are noticed",
  file: FILE,
  find,
  replacement,
  tests: [tests],
});

const verdictsOf = async (
  mutants: readonly Mutant[],
): Promise<{ verdicts: Record<string, Verdict>; controlFailures: readonly string[] }> => {
  const ignore = (): void => undefined;
  const options = { origin: ROOT, jobs: 2, onControl: ignore, onResult: ignore };
  const { results, controlFailures } = await runMutants(mutants, options);
  const verdicts = Object.fromEntries(
    results.map((result) => [result.mutant.name, result.verdict]),
  );
  return { verdicts, controlFailures };
};

const leftovers = (): string[] =>
  readdirSync(tmpdir()).filter((name) => name.startsWith("rillmq-mutants-"));

test("A mutant is killed, alive, stale or broken, the sources stay as they are, and nothing is left behind.", async () => {
  const source = readFileSync(join(ROOT, FILE), "utf8");
  const before = leftovers();
  const { verdicts, controlFailures } = await verdictsOf([
    mutant("noticed", SEND, ""),
    mutant("unnoticed", SEND, `${SEND} // well`),
    mutant("gone", "there is no such text", ""),
    mutant("no-code", SEND, "this.("),
    mutant("elsewhere", CLOSE, `${CLOSE} throw new Error();`, `${TESTS}: ${TITLE}`),
  ]);
  assert.deepEqual(controlFailures, []);
  assert.deepEqual(verdicts, {
    noticed: "killed",
    unnoticed: "alive",
    gone: "stale",
    "no-code": "broken",
    elsewhere: "alive",
  });
  assert.equal(readFileSync(join(ROOT, FILE), "utf8"), source);
  assert.deepEqual(leftovers(), before);
});

test("Where the tests fail without a fault, or there are none of that title, no mutant is judged.", async () => {
  const nobody = mutant("nobody", SEND, "", `${TESTS}: no such title`);
  const { verdicts, controlFailures } = await verdictsOf([nobody]);
  assert.deepEqual(verdicts, {});
  assert.equal(controlFailures.length, 1);
});
