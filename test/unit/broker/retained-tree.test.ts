import assert from "node:assert/strict";
import { test } from "node:test";
import { ANONYMOUS } from "../../../src/broker/authenticator.ts";
import { RetainedMessages } from "../../../src/broker/retained-messages.ts";
import { compareTopics } from "../../../src/broker/retained-tree.ts";
import { TopicTable } from "../../../src/broker/topic.ts";
import type { Instant } from "../../../src/lib/clock.ts";
import { MemoryDisk, MemoryStore } from "../../../src/store/memory-store.ts";
import { plainClock } from "../../support/plain-clock.ts";

const LIMITS = { messagesMax: 1_000_000, bytesMax: 1_000_000_000, messagesPerUserMax: 1_000_000 };

test("A topic comes before those below it, and these before what comes behind it by name.", () => {
  const inOrder = ["/", "/a", "a", "a/", "a//", "a/b", "a/b/c", "a/b!", "a!", "a!/b", "b"];
  assert.deepEqual(inOrder.toReversed().sort(compareTopics), inOrder);
});

test("A page looks at what it holds, and not at all there is.", () => {
  const retained = new RetainedMessages(
    new MemoryStore(new MemoryDisk(), { flushes: "manual" }),
    LIMITS,
  );
  const topics = new TopicTable();
  for (let i = 0; i < 5_000; i++) {
    const bytes = Buffer.from("x");
    const message = {
      topic: topics.of(`r/${i % 50}/${i}`),
      qos: 0 as const,
      retain: true,
      bytes,
      payloadStart: 0,
      payloadEnd: 1,
      properties: undefined,
      publisherId: "p",
      receivedAt: 0 as Instant,
      expiresAt: 1_000 as Instant,
    };
    retained.keep(message, ANONYMOUS);
  }
  // The clock is asked about each message that is looked at.
  let looks = 0;
  const clock = plainClock(() => {
    looks++;
    return 1;
  });
  let after: string | undefined;
  for (let page = 0; page < 50; page++) {
    const found = retained.page("r/#", after, 100, clock);
    assert.equal(found.length, 100);
    after = found.at(-1)?.text;
  }
  assert.deepEqual(retained.page("r/#", after, 100, clock), []);
  assert.ok(looks <= 5_000, `${looks} looks`);
});
