import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { STANDARD_VERSIONS, statementNumbers } from "../conformance/clauses.ts";
import { type Mutant, mutate } from "../conformance/mutants/mutant.ts";
import { MUTANTS, SMOKE_MUTANTS } from "../conformance/mutants/mutants.ts";
import { choiceOf } from "../conformance/mutants/test-file-run.ts";
import { ROOT } from "../conformance/titles.ts";

const read = (file: string): string => readFileSync(join(ROOT, file), "utf8");

test("There are enough mutants, each with a name of its own, and the smoke run names some of them.", () => {
  const names = new Set(MUTANTS.map(({ name }) => name));
  assert.ok(MUTANTS.length >= 200);
  assert.equal(names.size, MUTANTS.length);
  assert.deepEqual(
    MUTANTS.map(({ name }) => name).filter((name) => !/^[a-z0-9]+(-[a-z0-9x]+)*$/.test(name)),
    [],
  );
  assert.ok(SMOKE_MUTANTS.size >= 8);
  assert.deepEqual(
    [...SMOKE_MUTANTS].filter((name) => !names.has(name)),
    [],
  );
});

test("The text of every mutant stands in its source file exactly once: none is stale.", () => {
  const stale = MUTANTS.filter((mutant) => mutate(read(mutant.file), mutant) === undefined);
  assert.deepEqual(
    stale.map(({ name, file }) => `${name}: ${file}`),
    [],
  );
});

test("No two mutants are the same, and each changes something under src.", () => {
  const texts = MUTANTS.map(({ file, find, replacement }) => [file, find, replacement].join("\n"));
  assert.equal(new Set(texts).size, MUTANTS.length);
  for (const { file, find, replacement } of MUTANTS) {
    assert.ok(file.startsWith("src/"));
    assert.notEqual(find, replacement);
  }
});

test("The tests that have to notice are there, and so are the statements that a mutant breaks.", () => {
  const statements = new Set(STANDARD_VERSIONS.flatMap((version) => statementNumbers(version)));
  for (const { name, rule, tests } of MUTANTS) {
    assert.ok(tests.length > 0, name);
    for (const { file, title = "" } of tests.map(choiceOf)) {
      assert.ok(existsSync(join(ROOT, file)), `${name}: ${file}`);
      assert.ok(read(file).includes(title), `${name}: no test in ${file} has "${title}"`);
    }
    for (const [number] of rule.matchAll(/MQTT-[\d.-]+/g)) assert.ok(statements.has(number), rule);
    assert.match(rule, /^(MQTT-\d|MQTT 5\.0 section \d|Promise: |Bound: )/);
  }
});

test("A fault is put in where its text stands once, and nowhere else.", () => {
  const fault = { find: "a.b()", replacement: "$&" } as Mutant;
  assert.equal(mutate("x; a.b(); y", fault), "x; $&; y");
  assert.equal(mutate("x; a-b(); y", fault), undefined);
  assert.equal(mutate("a.b(); a.b();", fault), undefined);
});
