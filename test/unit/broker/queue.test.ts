import assert from "node:assert/strict";
import { test } from "node:test";
import type { LogId } from "../../../src/broker/store.ts";
import { QueueBench, Taker } from "../../support/queue-bench.ts";

test("What was sent is received once it is flushed, first in first out, and is gone when it is acknowledged.", () => {
  const bench = new QueueBench();
  for (const text of ["a", "b", "c"]) assert.ok(bench.send(text).isTaken);
  assert.deepEqual(bench.take().texts, []);
  bench.flush();
  const taker = bench.take(2);
  assert.deepEqual(taker.texts, ["a", "b"]);
  assert.deepEqual(bench.take().texts, ["c"]);
  assert.deepEqual(bench.take().texts, []);
  assert.deepEqual(
    bench.queue().deliveries.ack(taker.got.map(({ delivery }) => delivery)).expired,
    [],
  );
  bench.flush();
  bench.crash();
  assert.equal(bench.queue().messages, 1);
  bench.advance(30_000);
  assert.deepEqual(
    bench.take().got.map(({ text, count }) => [text, count]),
    [["c", 2]],
  );
});

test("A message comes back in its place when its visibility is over, with its count, and the old delivery is void.", () => {
  const bench = new QueueBench();
  for (const text of ["a", "b", "c"]) bench.send(text);
  bench.flush();
  const first = bench.take(1, "q", 5_000);
  bench.advance(4_999);
  assert.deepEqual(bench.take(1).texts, ["b"]);
  bench.advance(1);
  const again = bench.take();
  assert.deepEqual(
    again.got.map(({ text, count }) => [text, count]),
    [
      ["a", 2],
      ["c", 1],
    ],
  );
  const { delivery } = first.got[0] ?? { delivery: 0 };
  assert.deepEqual(bench.queue().deliveries.ack([delivery]).expired, [delivery]);
});

test("After a restart a message stays hidden as long as it was promised, and its delivery can be settled.", () => {
  const bench = new QueueBench();
  bench.send("a");
  bench.flush();
  const taker = bench.take(1, "q", 5_000);
  bench.flush();
  bench.crash();
  assert.deepEqual(bench.take().texts, []);
  const [got] = taker.got;
  assert.deepEqual(bench.queue().deliveries.ack([got?.delivery ?? 0]).expired, []);
  bench.flush();
  bench.crash();
  assert.equal(bench.queue().messages, 0);
  bench.advance(10_000);
  assert.deepEqual(bench.take().texts, []);
});

test("A delivery that did not get to disk before a crash is handed out as if for the first time.", () => {
  const bench = new QueueBench();
  bench.send("a");
  bench.flush();
  bench.take(1);
  bench.crash();
  assert.deepEqual(
    bench.take().got.map(({ count }) => count),
    [1],
  );
});

test("A receiver that is gone gives back what it had at once, and its count stays: poison becomes a dead letter.", () => {
  const bench = new QueueBench({ deadLetterQueue: "dead", deliveriesMax: 2 });
  bench.send("poison");
  bench.flush();
  for (const count of [1, 2]) {
    const taker = new Taker(1);
    const queue = bench.queue();
    queue.deliveries.addReceiver(taker);
    queue.deliveries.pump();
    assert.deepEqual(
      taker.got.map((got) => got.count),
      [count],
    );
    queue.deliveries.removeReceiver(taker);
    queue.deliveries.release(taker);
  }
  bench.flush();
  assert.deepEqual(bench.take().texts, []);
  bench.crash();
  assert.deepEqual(bench.take(1, "dead").texts, ["poison"]);
  assert.equal(bench.queue().messages, 0);
  assert.deepEqual(bench.givenUp, ["q deliveries dead"]);
});

test("A rejected message goes before newer ones, with a delay it is handed to nobody before.", () => {
  const bench = new QueueBench();
  for (const text of ["a", "b", "c"]) bench.send(text);
  bench.flush();
  const taker = bench.take(2);
  const [a, b] = taker.got;
  bench.queue().deliveries.reject([a?.delivery ?? 0], 0);
  bench.queue().deliveries.reject([b?.delivery ?? 0], 1_000);
  assert.deepEqual(bench.take(10).texts, ["a", "c"]);
  bench.advance(999);
  assert.deepEqual(bench.take().texts, []);
  bench.advance(1);
  assert.deepEqual(bench.take().texts, ["b"]);
});

test("Delayed messages are received when they are due, also after a restart, and count for the limits.", () => {
  const bench = new QueueBench({ messagesMax: 2 });
  bench.send("later", { delayMs: 5_000 });
  bench.send("soon", { delayMs: 1 });
  assert.deepEqual(bench.send("too many"), { isTaken: false, refusal: "full" });
  bench.advance(1);
  const soon = bench.take();
  assert.deepEqual(soon.texts, ["soon"]);
  bench.queue().deliveries.ack(soon.got.map(({ delivery }) => delivery));
  bench.flush();
  bench.crash();
  assert.equal(bench.queue().delayedMessages, 1);
  bench.advance(4_998);
  assert.deepEqual(bench.take(1, "q", 1).texts, []);
  bench.advance(1);
  assert.deepEqual(bench.take().texts, ["later"]);
  bench.advance(100_000);
  assert.equal(bench.queue().delayedMessages, 0);
  assert.equal(bench.queue().delayedBytes, 0);
});

test("A queue that is full in bytes refuses, also what comes before a commit is on disk and while it is on its way.", () => {
  const isTaken = (bench: QueueBench): boolean => bench.send("x".repeat(300)).isTaken;
  const atOnce = new QueueBench({ bytesMax: 1_000 });
  assert.deepEqual(
    Array.from({ length: 6 }, () => isTaken(atOnce)),
    [true, true, true, true, false, false],
  );
  const between = new QueueBench({ bytesMax: 1_000 });
  const taken = Array.from({ length: 6 }, () => {
    const one = isTaken(between);
    between.store.seal();
    return one;
  });
  assert.ok(!taken.includes(true, 4), "refused while it is on its way");
  between.flush();
  assert.ok(!isTaken(between), "refused when it is on disk");
});

test("A message that is due before its row is flushed still comes, once.", () => {
  const bench = new QueueBench();
  bench.send("a", { delayMs: 1 });
  bench.store.seal();
  bench.ms += 5;
  bench.deadlines.takeDue(bench.now)?.onDue(bench.now);
  bench.advance(10);
  assert.deepEqual(bench.take().texts, ["a"]);
  bench.advance(1_000);
  assert.deepEqual(bench.take().texts, []);
});

test("Expired messages are not handed out but given up.", () => {
  const bench = new QueueBench({ deadLetterQueue: "dead" });
  bench.send("short", {}, "q", 1_000);
  bench.send("long");
  bench.advance(1_000);
  assert.deepEqual(bench.take().texts, ["long"]);
  bench.advance(1);
  assert.deepEqual(bench.take(9, "dead").texts, ["short"]);
  assert.deepEqual(bench.givenUp, ["q expired dead"]);
});

test("What is sent again with the same identifier is not taken twice, also after a restart.", () => {
  const bench = new QueueBench();
  const first = bench.send("a", { messageId: "1" });
  const second = bench.send("a", { messageId: "1" });
  assert.ok(first.isTaken && second.isTaken);
  assert.equal(second.isDuplicate, true);
  assert.equal(second.sequence, first.sequence);
  bench.send("d", { messageId: "2", delayMs: 50_000 });
  bench.flush();
  bench.crash();
  for (const messageId of ["1", "2"]) {
    const again = bench.send("again", { messageId });
    assert.ok(again.isTaken && again.isDuplicate);
  }
  bench.ms += 120_000;
  const later = bench.send("a", { messageId: "1" });
  assert.ok(later.isTaken && !later.isDuplicate);
});

test("What was settled before a restart and is sent again with the same identifier is not taken again.", () => {
  const bench = new QueueBench();
  for (const messageId of ["1", "2", "3"]) bench.send(messageId, { messageId });
  bench.send("4", { messageId: "4", delayMs: 10 });
  bench.flush();
  bench.advance(20);
  const [one, two, three, four] = bench.take().got.map(({ delivery }) => delivery);
  bench.queue().deliveries.ack([one ?? 0, two ?? 0, four ?? 0]);
  bench.queues.requeue(bench.queue(), [three ?? 0], bench.queue("other"), 0);
  bench.flush();
  bench.crash();
  for (const messageId of ["1", "2", "3", "4"]) {
    const again = bench.send(messageId, { messageId });
    assert.ok(again.isTaken && again.isDuplicate, messageId);
  }
  bench.flush();
  assert.deepEqual([bench.take().texts, bench.take(9, "other").texts], [[], ["3"]]);
});

test("Identifiers of a queue that was deleted are not those of another one, and old ones are let go.", () => {
  const bench = new QueueBench();
  bench.send("a", { messageId: "1" });
  bench.flush();
  bench.queues.delete(bench.queue());
  bench.flush();
  bench.crash();
  const [log = 0] =
    [...bench.store.logNames()].find(([, name]) => name.includes("identifiers")) ?? [];
  const kept = (): number => {
    const { firstSequence, nextSequence } = bench.store.stats(log as LogId);
    return nextSequence - firstSequence;
  };
  assert.equal(bench.queue().number, 1);
  assert.ok(bench.send("a", { messageId: "1" }).isTaken);
  bench.flush();
  bench.crash();
  const again = bench.send("a", { messageId: "1" });
  assert.ok(again.isTaken && again.isDuplicate);
  assert.equal(kept(), 3);
  bench.advance(60_000);
  assert.equal(kept(), 3);
  bench.advance(60_000);
  assert.equal(kept(), 0);
  bench.crash();
  const later = bench.send("a", { messageId: "1" });
  assert.ok(later.isTaken && !later.isDuplicate);
});

test("Requeue moves to the end or to another queue in one commit.", () => {
  const bench = new QueueBench();
  for (const text of ["a", "b", "c"]) bench.send(text);
  bench.flush();
  const [a, b] = bench.take(2).got;
  bench.queues.requeue(bench.queue(), [a?.delivery ?? 0], bench.queue(), 0);
  bench.queues.requeue(bench.queue(), [b?.delivery ?? 0], bench.queue("other"), 0);
  bench.crash();
  bench.advance(30_000);
  assert.deepEqual(bench.take().texts, ["a", "b", "c"], "nothing of it was flushed");
  const again = new QueueBench();
  for (const text of ["a", "b", "c"]) again.send(text);
  again.flush();
  const [one, two] = again.take(2).got;
  again.queues.requeue(again.queue(), [one?.delivery ?? 0], again.queue(), 0);
  again.queues.requeue(again.queue(), [two?.delivery ?? 0], again.queue("other"), 0);
  again.flush();
  again.crash();
  assert.deepEqual(again.take().texts, ["c", "a"]);
  assert.deepEqual(again.take(9, "other").texts, ["b"]);
});

test("Purging settles all, acknowledging all what nobody has; the log lets go, deleted queues leave nothing.", () => {
  const bench = new QueueBench();
  for (const text of ["a", "b", "c"]) bench.send(text);
  bench.send("d", { delayMs: 1_000 });
  bench.flush();
  const [a] = bench.take(1).got;
  const { deliveries } = bench.queue();
  assert.equal(deliveries.ackWaiting(deliveries.end).count, 2);
  assert.equal(bench.queue().messages, 2, "what is in hands and what is delayed");
  assert.deepEqual(bench.queue().deliveries.ack([a?.delivery ?? 0]).expired, []);
  bench.send("e");
  assert.equal(bench.queues.purge(bench.queue()).count, 2);
  bench.advance(2_000);
  assert.deepEqual(bench.take().texts, []);
  bench.crash();
  assert.deepEqual(bench.take().texts, []);
  bench.send("f", { delayMs: 10 });
  bench.send("g");
  bench.flush();
  bench.queues.delete(bench.queue());
  bench.advance(1_000);
  const rows = bench.disk.keys("meta").filter((key) => (key[0] ?? 0) >= 0x70);
  assert.deepEqual(rows.map(String), []);
  bench.send("h", {}, "another");
  bench.flush();
  bench.crash();
  assert.deepEqual(bench.take(9, "another").texts, ["h"]);
  // Beside those of the queue and of identifiers.
  assert.equal(bench.store.logNames().size, 3, "the log of the deleted queue is used again");
});

test("Receivers get messages in turn.", () => {
  const bench = new QueueBench();
  const takers = [new Taker(), new Taker(), new Taker(1)];
  for (const taker of takers) bench.queue().deliveries.addReceiver(taker);
  for (let i = 0; i < 9; i++) bench.send(`${i}`);
  bench.flush();
  assert.deepEqual(
    takers.map(({ got }) => got.length),
    [4, 4, 1],
  );
});

test("What was in hands for the last time when the broker ended is given up, not handed out once more.", () => {
  const bench = new QueueBench({ deadLetterQueue: "dead", deliveriesMax: 1 });
  bench.send("poison");
  bench.flush();
  assert.deepEqual(bench.take(1).texts, ["poison"]);
  bench.flush();
  bench.ms += 60_000;
  bench.crash();
  assert.deepEqual(bench.take().texts, []);
  bench.flush();
  assert.deepEqual(bench.take(1, "dead").texts, ["poison"]);
});

test("What was in a queue, or on its way into it, when it was deleted comes to no other queue, also after a crash.", () => {
  for (const isFlushed of [true, false]) {
    const bench = new QueueBench();
    bench.send("secret");
    if (isFlushed) bench.flush();
    bench.queues.delete(bench.queue());
    for (const name of ["at once", "later", "latest"]) {
      assert.equal(bench.queue(name).messages, 0);
      assert.deepEqual(bench.take(1, name).texts, []);
      // What was on its way is let go with the chores.
      bench.advance(1_000);
    }
    bench.crash();
    bench.send("new", {}, "latest");
    bench.flush();
    assert.deepEqual(bench.take(2, "latest").texts, ["new"]);
    assert.equal(bench.queue("later").messages, 0);
    // Its log is one of theirs.
    const names = [...bench.store.logNames().values()];
    assert.ok(!names.some((name) => name.startsWith("free/")), names.join());
  }
});

test("Messages with the same delay, sent in the same millisecond before and after a crash, are two.", () => {
  const bench = new QueueBench();
  bench.send("before", { delayMs: 10_000 });
  bench.flush();
  bench.crash();
  bench.send("after", { delayMs: 10_000 });
  bench.advance(10_000);
  assert.deepEqual(bench.take().texts, ["before", "after"]);
});
