import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { inSteps, pageIn, pageOf } from "../../src/admin-page.ts";
import { AdminError } from "../../src/net/admin-server.ts";

const own = (text: string): string => text;
const byCode = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

test("All pages together are all entries, each once and in order, whatever the limit and the order they come in.", async () => {
  const property = fc.asyncProperty(
    fc.array(fc.string({ maxLength: 3 }), { maxLength: 60 }),
    fc.integer({ min: 1, max: 20 }),
    async (names, limit) => {
      const seen: string[] = [];
      let after: string | undefined;
      do {
        const page = await pageOf(names, own, { after, limit });
        assert.ok(page.entries.length <= limit);
        seen.push(...page.entries);
        after = page.next;
      } while (after !== undefined);
      assert.deepEqual(seen, [...new Set(names)].sort(byCode));
    },
  );
  await fc.assert(property, { numRuns: 300 });
});

test("A page out of very many is the right one.", async () => {
  const names = Array.from({ length: 25_000 }, (_, i) =>
    String((i * 7_919) % 25_000).padStart(5, "0"),
  );
  const page = await pageOf(names, (name) => (name.endsWith("0") ? name : undefined), {
    after: "01000",
    limit: 3,
  });
  assert.deepEqual(page, { entries: ["01010", "01020", "01030"], next: "01030" });
});

test("Between steps the event loop goes on.", async () => {
  let turns = 0;
  const timer = setInterval(() => undefined, 1_000);
  const count = (): void => {
    turns++;
    immediate = setImmediate(count);
  };
  let immediate = setImmediate(count);
  await inSteps(Array(10_000).fill(0), () => undefined);
  clearImmediate(immediate);
  clearInterval(timer);
  assert.ok(turns >= 9, `${turns} turns`);
});

test("A page is of 100 unless asked otherwise and of 1,000 at most; what is no page is refused.", () => {
  assert.deepEqual(pageIn(undefined), { after: undefined, limit: 100 });
  assert.deepEqual(pageIn({ after: "x", limit: 5_000 }), { after: "x", limit: 1_000 });
  for (const body of [{ limit: 0 }, { limit: 1.5 }, { limit: "7" }, { after: 7 }, [], "x", null]) {
    assert.throws(() => pageIn(body), AdminError, JSON.stringify(body));
  }
});
