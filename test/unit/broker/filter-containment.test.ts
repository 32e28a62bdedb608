import assert from "node:assert/strict";
import { test } from "node:test";
import { filterCovers } from "../../../src/broker/filter-containment.ts";

const CASES: readonly (readonly [outer: string, inner: string, covers: boolean])[] = [
  ["#", "a/b", true],
  ["#", "#", true],
  ["#", "+/a", true],
  ["#", "$SYS/uptime", false],
  ["#", "$SYS/#", false],
  ["+/uptime", "$SYS/uptime", false],
  ["$SYS/#", "$SYS/uptime", true],
  ["+/#", "#", true],
  ["+/+/#", "#", false],
  ["a/#", "a", true],
  ["a/#", "a/#", true],
  ["a/#", "a/+/b", true],
  ["a/#", "+/b", false],
  ["a/+/#", "a/#", false],
  ["a/+", "a/#", false],
  ["a/+", "a/b", true],
  ["a/+", "a/", true],
  ["a/+", "a", false],
  ["a/b", "a/+", false],
  ["a/+/c", "a/b/c", true],
  ["a", "a/b", false],
  ["a/b", "a", false],
  ["a/b/#", "a", false],
];

for (const [outer, inner, covers] of CASES) {
  test(`${outer} ${covers ? "covers" : "does not cover"} ${inner}`, () => {
    assert.equal(filterCovers(outer, inner), covers);
  });
}

test("a filter of 65,000 levels is compared without recursion", () => {
  const deep = "/".repeat(65_000);
  assert.equal(filterCovers(`${deep}#`, deep), true);
  assert.equal(filterCovers(deep, `${deep}#`), false);
});
