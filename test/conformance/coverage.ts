/** Statement by statement: shown by tests, not applicable for a reason, or missing. */
import { STATEMENT_COUNTS, type StandardVersion, statementNumbers } from "./clauses.ts";
import type { Statement, Statements } from "./statement.ts";
import { type ClaimingTest, claimingTests } from "./titles.ts";
import { STATEMENTS as V5 } from "./v5/statements.ts";
import { STATEMENTS as V311 } from "./v311/statements.ts";

const STATEMENTS: Readonly<Record<StandardVersion, Statements>> = { "3.1.1": V311, "5": V5 };

/** One statement. */
export interface Row {
  readonly number: string;
  /** Undefined: nobody has written it. */
  readonly statement: Statement | undefined;
  readonly tests: readonly ClaimingTest[];
}

/** Every statement of a version in the order of the standard, with the tests that show it. */
export function rowsOf(version: StandardVersion, tests = claimingTests()): Row[] {
  const byNumber = new Map<string, ClaimingTest[]>();
  for (const test of tests) {
    for (const claim of test.claims) {
      if (claim.version !== version) continue;
      const list = byNumber.get(claim.number) ?? [];
      list.push(test);
      byNumber.set(claim.number, list);
    }
  }
  return statementNumbers(version).map((number) => ({
    number,
    statement: STATEMENTS[version][number],
    tests: byNumber.get(number) ?? [],
  }));
}

/** Neither shown nor excused. */
export const isMissing = ({ statement, tests }: Row): boolean =>
  tests.length === 0 && statement?.reason === undefined;

/** What is wrong with the statements and titles of a version, apart from what is missing; empty: nothing. */
export function mistakesIn(version: StandardVersion, tests = claimingTests()): string[] {
  const rows = rowsOf(version, tests);
  const numbers = new Set(rows.map(({ number }) => number));
  const isCountRight = numbers.size === STATEMENT_COUNTS[version];
  const unknown = Object.keys(STATEMENTS[version]).filter((number) => !numbers.has(number));
  return [
    ...(isCountRight ? [] : [`MQTT ${version} has ${numbers.size} statements`]),
    ...unknown.map((number) => `${number} is not in mqtt-clauses.txt`),
    ...tests.flatMap((test) => unknownClaims(test, version, numbers)),
    ...rows.flatMap(mistakesOf),
  ];
}

function unknownClaims(
  { file, title, claims }: ClaimingTest,
  version: StandardVersion,
  numbers: ReadonlySet<string>,
): string[] {
  return claims
    .filter((claim) => claim.version === version && !numbers.has(claim.number))
    .map(({ number }) => `${file}: "${title}" names ${number}, which does not exist`);
}

/** What is wrong with one row; that it is missing is not among it. */
export function mistakesOf({ number, statement, tests }: Row): string[] {
  if (statement === undefined) return [`${number} has no subject`];
  const mistakes: string[] = [];
  if (statement.subject.trim() === "") mistakes.push(`${number} has an empty subject`);
  if (statement.reason === undefined) return mistakes;
  if (statement.why.trim() === "") mistakes.push(`${number} has a reason without a sentence`);
  if (tests.length > 0) mistakes.push(`${number} has tests, and a reason why it has none`);
  return mistakes;
}
