import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { filterCovers } from "../../src/broker/filter-containment.ts";
import { filterMatches, isTopicFilter } from "../../src/broker/topic.ts";

const LEVELS_MAX = 3;
/** "z" stands for all names that no filter here mentions; "" and "$x" are names, too. */
const NAMES = ["a", "b", "z", "", "$x"];
const FILTER_LEVELS = ["a", "b", "", "$x", "+", "#"];

/** All topics of one level more than the filters have: deeper ones match no differently. */
function allTopics(): string[] {
  let topics = [...NAMES];
  const all = [...topics];
  for (let depth = 1; depth <= LEVELS_MAX; depth++) {
    topics = topics.flatMap((topic) => NAMES.map((name) => `${topic}/${name}`));
    all.push(...topics);
  }
  return all.filter((topic) => topic !== "");
}

const topics = allTopics();

function coversByTrying(outer: string, inner: string): boolean {
  return topics.every((topic) => !filterMatches(inner, topic) || filterMatches(outer, topic));
}

const filter = fc
  .array(fc.constantFrom(...FILTER_LEVELS), { minLength: 1, maxLength: LEVELS_MAX })
  .map((levels) => levels.join("/"))
  .filter(isTopicFilter);

test("a filter covers another exactly when it matches every topic that the other matches", () => {
  fc.assert(
    fc.property(filter, filter, (outer, inner) => {
      assert.equal(filterCovers(outer, inner), coversByTrying(outer, inner));
    }),
    { numRuns: 3_000 },
  );
});

test("every filter covers itself, and covering is transitive", () => {
  fc.assert(
    fc.property(filter, filter, filter, (a, b, c) => {
      assert.ok(filterCovers(a, a));
      if (filterCovers(a, b) && filterCovers(b, c)) assert.ok(filterCovers(a, c));
    }),
    { numRuns: 2_000 },
  );
});
