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

const filter = fc
  .array(fc.constantFrom(...FILTER_LEVELS), { minLength: 1, maxLength: LEVELS_MAX })
  .map((levels) => levels.join("/"))
  .filter(isTopicFilter);

/** All filters of up to so many levels, with the places of the topics that each matches. */
function allFilters(): { filter: string; matched: Set<number> }[] {
  let filters = [...FILTER_LEVELS];
  const all = [...filters];
  for (let depth = 1; depth < LEVELS_MAX; depth++) {
    filters = filters.flatMap((start) => FILTER_LEVELS.map((level) => `${start}/${level}`));
    all.push(...filters);
  }
  return all.filter(isTopicFilter).map((one) => {
    const places = topics.flatMap((topic, place) => (filterMatches(one, topic) ? [place] : []));
    return { filter: one, matched: new Set(places) };
  });
}

test("a filter covers another exactly when it matches every topic that the other matches", () => {
  const filters = allFilters();
  assert.ok(filters.length > 150);
  for (const outer of filters) {
    for (const inner of filters) {
      const expected = [...inner.matched].every((place) => outer.matched.has(place));
      const found = filterCovers(outer.filter, inner.filter);
      assert.equal(found, expected, `${outer.filter} over ${inner.filter}`);
    }
  }
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
