import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ANONYMOUS } from "../../src/broker/authenticator.ts";
import type { Message, QoS } from "../../src/broker/message.ts";
import { RetainedMessages } from "../../src/broker/retained-messages.ts";
import { compareTopics } from "../../src/broker/retained-tree.ts";
import { filterMatches, isTopicFilter, isTopicName, TopicTable } from "../../src/broker/topic.ts";
import type { Instant } from "../../src/lib/clock.ts";
import { MemoryDisk, MemoryStore } from "../../src/store/memory-store.ts";
import { plainClock } from "../support/plain-clock.ts";

const LIMITS = { messagesMax: 1_000_000, bytesMax: 1_000_000_000, messagesPerUserMax: 1_000_000 };

const level = fc.constantFrom("", "a", "b", "$", "$a");
const topicName = fc
  .array(level, { minLength: 1, maxLength: 4 })
  .map((levels) => levels.join("/"))
  .filter(isTopicName);
const topicFilter = fc
  .array(fc.oneof(level, fc.constantFrom("+", "#")), { minLength: 1, maxLength: 5 })
  .map((levels) => levels.join("/"))
  .filter(isTopicFilter);

const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("keep" as const),
      topicName,
      payload: fc.constantFrom("", "x", "longer"),
      qos: fc.constantFrom<QoS>(0, 1, 2),
      expiresAt: fc.option(fc.nat(100), { nil: undefined }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("match" as const), topicFilter }) },
  { weight: 1, arbitrary: fc.constant({ kind: "flush" as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: "restart" as const }) },
);

class World {
  readonly #disk = new MemoryDisk();
  readonly topics = new TopicTable();
  store = new MemoryStore(this.#disk, { flushes: "manual" });
  retained = new RetainedMessages(this.store, LIMITS);
  /** By topic, as published. */
  readonly model = new Map<string, Message>();

  keep(name: string, payload: string, qos: QoS, expiresAt: number | undefined): void {
    const bytes = Buffer.from(`..${payload}`);
    const message: Message = {
      topic: this.topics.of(name),
      qos,
      retain: true,
      bytes,
      payloadStart: 2,
      payloadEnd: bytes.length,
      properties: undefined,
      publisherId: "p",
      receivedAt: 0 as Instant,
      expiresAt: expiresAt as Instant | undefined,
    };
    this.retained.keep(message, ANONYMOUS);
    if (payload === "") this.model.delete(name);
    else this.model.set(name, { ...message, bytes: Buffer.from(bytes) });
    bytes.fill(0);
  }

  check(filter: string, now: number): void {
    const found = this.retained
      .match(
        filter,
        plainClock(() => now),
      )
      .map(({ text }) => text);
    const expected = [...this.model.values()].filter(({ topic, expiresAt }) => {
      return filterMatches(filter, topic.text) && (expiresAt === undefined || expiresAt > now);
    });
    assert.deepEqual(found.sort(), expected.map(({ topic }) => topic.text).sort());
    assert.deepEqual(
      this.#pages(filter, now),
      expected.map(({ topic }) => topic.text).sort(compareTopics),
    );
    for (const message of expected) {
      const kept = this.retained.get(message.topic);
      assert.equal(payloadOf(kept), payloadOf(message));
      assert.equal(kept?.qos, message.qos);
    }
  }

  /** The same, three at a time. */
  #pages(filter: string, now: number): string[] {
    const clock = plainClock(() => now);
    const found: string[] = [];
    for (;;) {
      const page = this.retained.page(filter, found.at(-1), 3, clock);
      if (page.length === 0) return found;
      found.push(...page.map(({ text }) => text));
    }
  }

  flush(): void {
    this.retained.stageDirty();
    while (this.store.flush());
    assert.equal(this.retained.dirtySize, 0);
  }

  /** Everything is flushed; the next run reads it. */
  restart(): void {
    this.flush();
    this.store = new MemoryStore(this.#disk, { flushes: "manual" });
    this.retained = new RetainedMessages(this.store, LIMITS);
    assert.equal(this.retained.recover(this.topics), 0);
  }
}

const payloadOf = (message: Message | undefined): string | undefined =>
  message && Buffer.from(message.bytes).toString("utf8", message.payloadStart, message.payloadEnd);

test("Retained messages are the last of each topic, matched as subscriptions are, also after a restart.", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 50, size: "max" }), fc.nat(100), (steps, now) => {
      const world = new World();
      for (const each of steps) {
        if (each.kind === "keep") {
          world.keep(each.topicName, each.payload, each.qos, each.expiresAt);
        } else if (each.kind === "match") world.check(each.topicFilter, now);
        else if (each.kind === "flush") world.flush();
        else world.restart();
        assert.equal(world.retained.size, world.model.size);
      }
      world.restart();
      for (const filter of ["#", "+/#", "$/#", "$a/#"]) world.check(filter, now);
    }),
    { numRuns: 500 },
  );
});

test("There is room up to the limits, a replacement counts its difference, a deletion always has room.", () => {
  const store = new MemoryStore(new MemoryDisk(), { flushes: "manual" });
  const retained = new RetainedMessages(store, {
    messagesMax: 2,
    bytesMax: 20,
    messagesPerUserMax: 2,
  });
  const topics = new TopicTable();
  const message = (topic: string, payload: string): Message => {
    const bytes = Buffer.from(payload);
    return {
      topic: topics.of(topic),
      qos: 0,
      retain: true,
      bytes,
      payloadStart: 0,
      payloadEnd: bytes.length,
      properties: undefined,
      publisherId: "",
      receivedAt: 0 as Instant,
      expiresAt: undefined,
    };
  };
  retained.keep(message("a", "123456789"), ANONYMOUS);
  assert.equal(retained.hasRoom(message("b", "123456789"), ANONYMOUS), true);
  assert.equal(retained.hasRoom(message("b", "1234567890"), ANONYMOUS), false);
  assert.equal(retained.hasRoom(message("a", "1234567890123456789"), ANONYMOUS), true);
  retained.keep(message("b", "1"), ANONYMOUS);
  assert.equal(retained.hasRoom(message("c", "1"), ANONYMOUS), false);
  assert.equal(retained.hasRoom(message("c", ""), ANONYMOUS), true);
  retained.keep(message("a", ""), ANONYMOUS);
  assert.equal(retained.hasRoom(message("c", "1"), ANONYMOUS), true);
});

test("A level with very many topics below it is matched.", () => {
  const world = new World();
  for (let i = 0; i < 200_000; i++) world.keep(`wide/${i}`, "x", 0, undefined);
  assert.equal(
    world.retained.match(
      "#",
      plainClock(() => 0),
    ).length,
    200_000,
  );
  assert.equal(
    world.retained.match(
      "+/+",
      plainClock(() => 0),
    ).length,
    200_000,
  );
});
