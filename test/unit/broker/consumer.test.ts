import assert from "node:assert/strict";
import { test } from "node:test";
import type { Consumer } from "../../../src/broker/consumer.ts";
import { plainMessage } from "../../../src/broker/message.ts";
import type { Stream } from "../../../src/broker/stream.ts";
import type { ConsumerSettings } from "../../../src/broker/stream-records.ts";
import { consumerKey, encodeConsumer } from "../../../src/broker/stream-records.ts";
import type { Instant } from "../../../src/lib/clock.ts";
import { Taker } from "../../support/queue-bench.ts";
import { VirtualNode } from "../../support/virtual-node.ts";

const SETTINGS: ConsumerSettings = {
  stream: "s",
  name: "c",
  ackWaitMs: 1_000,
  unackedMax: 10,
  deliveriesMax: 2,
  deadLetterStream: "dead",
};

function made(node: VirtualNode, name = "s"): Stream {
  const known = node.broker.streams.get(name);
  return (
    known ??
    node.broker.streams.create({ name, filters: [], bytesMax: 1_000_000, whenFull: "reject" })
  );
}

function append(
  node: VirtualNode,
  texts: readonly string[],
  messageIds: readonly string[] = [],
  expiryMs?: number,
) {
  const messages = texts.map((text, i) => {
    const bytes = Buffer.from(text);
    const message = {
      ...plainMessage(node.broker.topics.of(`t/${text}`), bytes, node.now),
      publisherId: "p",
      expiresAt: expiryMs === undefined ? undefined : ((node.now + expiryMs) as Instant),
    };
    return { message, messageId: messageIds[i] };
  });
  return made(node).appendAll(messages, undefined, node.now);
}

function consume(node: VirtualNode, settings = SETTINGS): Consumer {
  const stream = made(node, settings.stream);
  const known = node.broker.consumers.get(stream, settings.name);
  const consumer = known ?? node.broker.consumers.create(stream, settings, { at: "first" });
  if (consumer === undefined) throw new Error("too many consumers");
  return consumer;
}

function take(consumer: Consumer, room = 100): Taker {
  const taker = new Taker(room, consumer.settings.ackWaitMs);
  consumer.deliveries.addReceiver(taker);
  consumer.deliveries.pump();
  consumer.deliveries.removeReceiver(taker);
  return taker;
}

test("A durable consumer goes on where it was settled, over a crash, and what is unacknowledged comes again.", () => {
  const node = new VirtualNode();
  append(node, ["a", "b", "c"]);
  node.turn();
  const taker = take(consume(node), 2);
  assert.deepEqual(taker.texts, ["a", "b"]);
  consume(node).deliveries.ack([taker.got[0]?.delivery ?? 0]);
  node.turn();
  node.crash();
  assert.deepEqual(take(consume(node)).texts, ["c"]);
  node.advance(1_000);
  assert.deepEqual(
    take(consume(node)).got.map(({ text, count }) => [text, count]),
    [
      ["b", 2],
      ["c", 2],
    ],
  );
});

test("What was taken back is settled by who has it now, and by nobody else.", () => {
  const node = new VirtualNode();
  append(node, ["a"]);
  node.turn();
  const [first] = take(consume(node)).got;
  node.advance(1_000);
  const [second] = take(consume(node)).got;
  assert.deepEqual([first?.count, second?.count], [1, 2]);
  const { deliveries } = consume(node);
  const late = [first?.delivery ?? 0];
  assert.deepEqual(deliveries.ack(late).expired, late);
  assert.equal(deliveries.inHands, 1);
  assert.deepEqual(deliveries.ack([second?.delivery ?? 0]).expired, []);
  assert.equal(deliveries.inHands, 0);
});

test("Time spent off counts against the time to acknowledge, also when it is learned later.", () => {
  const node = new VirtualNode();
  const settings = { ...SETTINGS, ackWaitMs: 60_000 };
  append(node, ["a"]);
  node.turn();
  assert.deepEqual(take(consume(node, settings)).texts, ["a"]);
  // What says how often it was delivered goes with a commit of its own.
  node.advance(1_000);
  node.wall.isTrusted = false;
  node.off(60_000);
  assert.deepEqual(take(consume(node, settings)).texts, [], "nobody knows how long it was off");
  node.wall.isTrusted = true;
  node.advance(10_000);
  assert.equal(node.time.isTrusted, true);
  assert.deepEqual(
    take(consume(node, settings)).got.map(({ text, count }) => [text, count]),
    [["a", 2]],
  );
});

test("What is not acknowledged in time too often goes to the dead letter stream.", () => {
  const node = new VirtualNode();
  made(node, "dead");
  append(node, ["poison"]);
  node.turn();
  for (let i = 0; i < 2; i++) {
    assert.deepEqual(take(consume(node)).texts, ["poison"]);
    node.advance(1_000);
  }
  assert.deepEqual(take(consume(node)).texts, []);
  assert.deepEqual(node.givenUp, ["s deliveries dead"]);
  const dead = take(consume(node, { ...SETTINGS, stream: "dead", name: "d" }));
  assert.deepEqual(dead.texts, ["poison"]);
});

test("A consumer with a filter passes over the rest, and a stream lets go behind its consumers.", () => {
  const node = new VirtualNode();
  const consumer = consume(node, { ...SETTINGS, filter: "t/b" });
  append(node, ["a", "b", "c"]);
  node.turn();
  const taker = take(consumer);
  assert.deepEqual(taker.texts, ["b"]);
  consumer.deliveries.ack(taker.got.map(({ delivery }) => delivery));
  append(node, ["d"]);
  node.turn();
  node.advance(2_000);
  assert.equal(node.store.stats(made(node).log).firstSequence, 4);
});

test("Unacknowledged records are bounded, and a new consumer begins where it is told.", () => {
  const node = new VirtualNode();
  append(node, ["a", "b", "c"]);
  node.turn();
  assert.deepEqual(take(consume(node, { ...SETTINGS, unackedMax: 1 })).texts, ["a"]);
  const { broker } = node;
  for (const [start, texts] of [
    [{ at: "last" }, ["c"]],
    [{ sequence: 2 }, ["b", "c"]],
    [{ at: "new" }, []],
    [{ agoMs: 60_000 }, ["a", "b", "c"]],
  ] as const) {
    const settings = { ...SETTINGS, name: JSON.stringify(start) };
    const consumer = broker.consumers.create(made(node), settings, start);
    assert.ok(consumer !== undefined);
    assert.deepEqual(take(consumer).texts, [...texts]);
  }
});

test("An append with the wrong expected sequence is refused, and identifiers are not taken twice, over a crash.", () => {
  const node = new VirtualNode();
  const stream = node.broker.streams.create({
    name: "s",
    filters: [],
    bytesMax: 1_000_000,
    whenFull: "reject",
    duplicateWindowMs: 60_000,
  });
  assert.ok(append(node, ["a"], ["1"]).isTaken);
  const again = append(node, ["a", "b"], ["1", "2"]);
  assert.ok(again.isTaken);
  assert.deepEqual([again.sequences, again.duplicates], [[1, 2], 1]);
  const refused = stream.appendAll([], 7, node.now);
  assert.deepEqual(refused, { isTaken: false, refusal: "wrong-sequence", nextSequence: 3 });
  node.turn();
  node.crash();
  const after = append(node, ["b"], ["2"]);
  assert.ok(after.isTaken);
  assert.deepEqual([after.sequences, after.duplicates], [[2], 1]);
});

test("A deleted stream leaves nothing, and its log is used again.", () => {
  const node = new VirtualNode();
  append(node, ["a"]);
  const consumer = consume(node);
  node.turn();
  take(consumer);
  node.turn();
  node.broker.consumers.delete(consumer);
  node.broker.streams.delete(made(node));
  node.turn();
  const kinds = new Set(node.disk.keys("meta").map((key) => key[0] ?? 0));
  assert.ok(![0x78, 0x7a, 0x7b, 0x7c].some((kind) => kinds.has(kind)), [...kinds].join());
  const logs = node.store.logNames().size;
  made(node, "other");
  assert.equal(node.store.logNames().size, logs);
});

test("Of two consumers of one name on disk, as a stream that came back to the configuration may have, the newer one stays.", () => {
  const node = new VirtualNode();
  append(node, ["a", "b"]);
  const { number } = consume(node);
  node.turn();
  const settings = { ...SETTINGS, unackedMax: 1 };
  const newer = { version: 1, number: number + 1, settings } as const;
  node.store.put("meta", consumerKey(newer.number), encodeConsumer(newer));
  node.turn();
  node.crash();
  const { consumers } = node.broker;
  assert.equal(consumers.size, 1);
  assert.equal(consumers.get(made(node), SETTINGS.name)?.number, newer.number);
  assert.equal(node.metaKeys(0x7a).length, 1);
});

test("What has expired is settled without being handed out, counted for each consumer that it was meant for, and no dead letter.", () => {
  const node = new VirtualNode();
  const dead = made(node, "dead");
  append(node, ["a", "b", "c"], [], 1_000);
  append(node, ["d"]);
  node.turn();
  const early = consume(node, { ...SETTINGS, ackWaitMs: 500, unackedMax: 1 });
  const other = consume(node, { ...SETTINGS, name: "other", filter: "t/b" });
  assert.deepEqual(take(early).texts, ["a"]);
  node.advance(1_000);
  assert.deepEqual(take(early).texts, ["d"]);
  assert.deepEqual(take(other).texts, []);
  assert.equal(node.broker.counters.droppedExpired, 4, "a, b and c for the one, b for the other");
  assert.deepEqual(node.givenUp, []);
  node.turn();
  assert.equal(node.store.nextSequence(dead.log), 1);
  node.crash();
  assert.equal(consume(node).deliveries.floor, 4, "it is settled on disk");
});
