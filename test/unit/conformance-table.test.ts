import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import {
  CLAUSES_FILE,
  STANDARD_VERSIONS,
  STATEMENT_COUNTS,
  statementNumbers,
} from "../conformance/clauses.ts";
import { isMissing, mistakesIn, mistakesOf, type Row, rowsOf } from "../conformance/coverage.ts";
import { mqttDoc } from "../conformance/mqtt-doc.ts";
import { claimsOf, testsIn } from "../conformance/titles.ts";

const CLAUSES_SHA256 = "96cf9148e1a37237a12724c2540af48e8a475ffb5bd38b937546e1dea3b867da";

test("The list of statements is the one that was given.", () => {
  const digest = createHash("sha256").update(readFileSync(CLAUSES_FILE)).digest("hex");
  assert.equal(digest, CLAUSES_SHA256);
});

for (const version of STANDARD_VERSIONS) {
  test(`MQTT ${version} has as many statements as it should, each once.`, () => {
    const numbers = statementNumbers(version);
    assert.equal(numbers.length, STATEMENT_COUNTS[version]);
    assert.equal(new Set(numbers).size, numbers.length);
  });
}

for (const version of STANDARD_VERSIONS) {
  test(`Every statement of MQTT ${version} has a subject, no test names one that is not there, and none has both tests and a reason.`, () => {
    assert.deepEqual(mistakesIn(version), []);
  });
}

for (const version of STANDARD_VERSIONS) {
  test(`Every statement of MQTT ${version} is shown by a test or has a reason why not.`, () => {
    const missing = rowsOf(version).filter(isMissing);
    assert.deepEqual(
      missing.map(({ number }) => number),
      [],
    );
  });
}

test("A statement is missing without test and reason, and a mistake with both or without subject.", () => {
  const number = "MQTT-3.1.2-4";
  const shown = [{ file: "a.test.ts", title: "It is so", claims: [] }];
  const plain = { subject: "It is so" };
  const excused = { ...plain, reason: "client", why: "The client does it." } as const;
  const cases: readonly (readonly [Row, isMissing: boolean, mistakes: number])[] = [
    [{ number, statement: plain, tests: shown }, false, 0],
    [{ number, statement: plain, tests: [] }, true, 0],
    [{ number, statement: excused, tests: [] }, false, 0],
    [{ number, statement: excused, tests: shown }, false, 1],
    [{ number, statement: { ...excused, why: " " }, tests: [] }, false, 1],
    [{ number, statement: { subject: "" }, tests: shown }, false, 1],
    [{ number, statement: undefined, tests: shown }, false, 1],
  ];
  for (const [row, isOwed, mistakes] of cases) {
    assert.equal(isMissing(row), isOwed);
    assert.equal(mistakesOf(row).length, mistakes);
  }
});

test("A title that names a statement that does not exist is a mistake.", () => {
  const claims = [{ version: "3.1.1", number: "MQTT-3.1.2-25" }] as const;
  const tests = [{ file: "a.test.ts", title: "It is so", claims }];
  assert.deepEqual(mistakesIn("3.1.1", tests), [
    'a.test.ts: "It is so" names MQTT-3.1.2-25, which does not exist',
  ]);
});

test("docs/mqtt.md has the statements and tests as they are.", () => {
  const { present, wanted } = mqttDoc();
  assert.ok(present === wanted, "write it again: npm run conformance -- --write");
});

test("A title names statements of the version of its folder, or of a version it says.", () => {
  const number = "MQTT-3.1.2-4";
  const v311 = { version: "3.1.1", number };
  const v5 = { version: "5", number };
  const other = "MQTT-3.1.2-5";
  const cases = [
    ["test/conformance/v311/a.test.ts", `It is so [${number}]`, [v311]],
    ["test/conformance/v5/a.test.ts", `It is so [${number}].`, [v5]],
    ["test/conformance/v5/a.test.ts", `It is so [${number}] [v3.1.1 ${number}]`, [v5, v311]],
    ["test/unit/a.test.ts", `It is so [${number}]`, []],
    ["test/unit/a.test.ts", `It is so [v5 ${number}, ${other}]`, [v5, { ...v5, number: other }]],
    ["test/conformance/v5/a.test.ts", `[${number}] is not at the end`, []],
  ] as const;
  for (const [file, title, claims] of cases) assert.deepEqual(claimsOf(title, file), claims, title);
});

test("A title is found in a literal, one in a comment is not.", () => {
  const title = "It is so [MQTT-3.1.2-4]";
  const lines = [
    `test("${title}", () => {});`,
    `  // test("${title}", () => {});`,
    ` * "${title}"`,
  ];
  const [found, ...others] = lines.map((line) => testsIn(line, "test/conformance/v5/a.test.ts"));
  assert.deepEqual(
    found?.map((test) => test.title),
    ["It is so"],
  );
  assert.deepEqual(others, [[], []]);
  const dynamic = testsIn(
    `  [\`$\{what} is so [MQTT-3.1.2-4]\`, 1],`,
    "test/conformance/v5/a.test.ts",
  );
  assert.deepEqual(
    dynamic.map((test) => test.title),
    ["… is so"],
  );
});

test("Brackets that nobody could count are a mistake in the folders of the versions.", () => {
  const file = "test/conformance/v311/a.test.ts";
  for (const text of ["MQTT-3.1.2-4, 3.1.2-5", "MQTT-3.1.2", "5 MQTT-3.1.2-4"]) {
    assert.throws(() => claimsOf(`It is so [${text}]`, file), SyntaxError, text);
  }
});
