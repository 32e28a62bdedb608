import assert from "node:assert/strict";
import { test } from "node:test";
import { RandomTokens } from "../../src/random-tokens.ts";

test("tokens have 128 bits and differ from each other, also after more than are drawn at once", () => {
  const tokens = new RandomTokens();
  const seen = new Set<string>();
  for (let i = 0; i < 1_000; i++) {
    const token = tokens.next();
    assert.match(token, /^[A-Za-z0-9_-]{22}$/);
    seen.add(token);
  }
  assert.equal(seen.size, 1_000);
  assert.equal(new Set([...seen].map((token) => token.slice(0, 6))).size > 990, true);
});
