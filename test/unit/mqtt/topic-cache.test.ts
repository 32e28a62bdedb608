import assert from "node:assert/strict";
import { test } from "node:test";
import { TopicTable } from "../../../src/broker/topic.ts";
import { TopicCache } from "../../../src/mqtt/topic-cache.ts";

test("A connection remembers short names and no long ones: each may have its own.", () => {
  const asked: number[] = [];
  const cache = new TopicCache(new TopicTable(), ({ text }) => {
    asked.push(text.length);
    return true;
  });
  for (const length of [10, 10, 256, 256, 257, 257]) {
    const bytes = Buffer.alloc(length, "t");
    assert.equal(cache.of(bytes, 0, length)?.text, "t".repeat(length));
  }
  assert.deepEqual(asked, [10, 256, 257, 257]);
});
