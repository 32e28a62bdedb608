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
import { mqttDoc } from "../conformance/mqtt-doc.ts";
import { claimsOf } from "../conformance/titles.ts";

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

test("Brackets that nobody could count are a mistake in the folders of the versions.", () => {
  const file = "test/conformance/v311/a.test.ts";
  for (const text of ["MQTT-3.1.2-4, 3.1.2-5", "MQTT-3.1.2", "5 MQTT-3.1.2-4"]) {
    assert.throws(() => claimsOf(`It is so [${text}]`, file), SyntaxError, text);
  }
});
