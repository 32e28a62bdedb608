import assert from "node:assert/strict";
import { test } from "node:test";
import { isName } from "../../../src/broker/names.ts";
import type { LogId } from "../../../src/broker/store.ts";
import type { Stream, StreamSettings } from "../../../src/broker/stream.ts";
import { QueueBench, Taker } from "../../support/queue-bench.ts";
import { messageOf } from "../../support/test-requester.ts";
import { VirtualNode } from "../../support/virtual-node.ts";

const MINUTE = 60_000;
const CONSUMER = { stream: "s", name: "c", ackWaitMs: 1_000, unackedMax: 100, deliveriesMax: 0 };

function streamOf(node: VirtualNode, settings: Partial<StreamSettings> = {}): Stream {
  const known = node.broker.streams.get("s");
  if (known !== undefined) return known;
  const made = { name: "s", filters: [], bytesMax: 1_000_000, whenFull: "reject" } as const;
  return node.broker.streams.create({ ...made, duplicateWindowMs: 2 * MINUTE, ...settings });
}

/** Appends a message; its sequence, and whether it was known. */
function append(node: VirtualNode, messageId: string): [sequence: number, isDuplicate: boolean] {
  const message = messageOf("t", messageId, node.now);
  const result = streamOf(node).appendAll([{ message, messageId }], undefined, node.now);
  assert.ok(result.isTaken);
  return [result.sequences[0] ?? 0, result.duplicates === 1];
}

/** Everything there is, settled by a durable consumer. */
function settleAll(node: VirtualNode): void {
  const stream = streamOf(node);
  const consumers = node.broker.consumers;
  const consumer =
    consumers.get(stream, "c") ?? consumers.create(stream, CONSUMER, { at: "first" });
  assert.ok(consumer !== undefined);
  const taker = new Taker();
  consumer.deliveries.addReceiver(taker);
  consumer.deliveries.pump();
  consumer.deliveries.removeReceiver(taker);
  consumer.deliveries.ack(taker.got.map(({ delivery }) => delivery));
}

const recordsOf = (node: VirtualNode, log: LogId): number => {
  const { firstSequence, nextSequence } = node.store.stats(log);
  return nextSequence - firstSequence;
};

const identifierLog = (store: { logNames(): ReadonlyMap<LogId, string> }): LogId => {
  for (const [log, name] of store.logNames()) if (name === "$identifiers") return log;
  throw new Error("there is no log of identifiers");
};

test("What a stream let go because it was consumed is not taken again within the window, over several restarts.", () => {
  const node = new VirtualNode();
  for (const id of ["1", "2", "3"]) append(node, id);
  node.turn();
  settleAll(node);
  node.advance(2_000);
  assert.equal(recordsOf(node, streamOf(node).log), 0, "all of it is trimmed");
  append(node, "4");
  node.turn();
  for (let i = 0; i < 3; i++) {
    node.crash();
    assert.deepEqual(append(node, "2"), [2, true]);
    assert.deepEqual(append(node, "4"), [4, true]);
    settleAll(node);
    node.advance(2_000);
  }
  node.advance(2 * MINUTE);
  node.crash();
  assert.deepEqual(append(node, "2"), [5, false]);
});

test("A record and its identifier do not both go: they are trimmed and copied in one commit.", () => {
  const node = new VirtualNode({ flushes: "manual" });
  streamOf(node);
  for (const id of ["1", "2"]) append(node, id);
  node.flushAll();
  streamOf(node).purge(undefined);
  node.crash();
  node.flushAll();
  assert.equal(recordsOf(node, streamOf(node).log), 2, "nothing was flushed");
  assert.deepEqual(append(node, "1"), [1, true]);
  streamOf(node).purge(undefined);
  node.flushAll();
  node.crash();
  node.flushAll();
  assert.equal(recordsOf(node, streamOf(node).log), 0);
  assert.deepEqual(append(node, "1"), [1, true]);
  assert.deepEqual(append(node, "3"), [3, false]);
});

for (const [what, settings] of [
  ["its number of messages", { messagesMax: 2, whenFull: "drop-oldest" }],
  ["their age", { ageMaxMs: 10_000 }],
] as const) {
  test(`What a stream let go because of ${what} is known over a restart.`, () => {
    const node = new VirtualNode();
    streamOf(node, settings);
    for (let id = 1; id <= 10; id++) append(node, String(id));
    node.turn();
    node.advance(12_000);
    assert.ok(recordsOf(node, streamOf(node).log) <= 2);
    node.crash();
    for (let id = 1; id <= 10; id++) assert.deepEqual(append(node, String(id)), [id, true]);
  });
}

test("Identifiers of a stream that was deleted are not those of another one that gets its log.", () => {
  const node = new VirtualNode();
  append(node, "1");
  node.turn();
  const { log } = streamOf(node);
  streamOf(node).purge(undefined);
  node.broker.streams.delete(streamOf(node));
  node.turn();
  assert.equal(streamOf(node).log, log);
  node.turn();
  node.crash();
  assert.deepEqual(append(node, "1"), [2, false]);
});

test("When identifiers take too much, who has most forgets its oldest, counted, and the others forget nothing.", () => {
  const bench = new QueueBench({ messagesMax: 10_000 }, 100_000);
  for (let id = 0; id < 10; id++) bench.send("x", { messageId: `few ${id}` }, "few");
  for (let id = 0; id < 2_000; id++) bench.send("x", { messageId: `many ${id}` }, "many");
  assert.ok(bench.duplicates.bytes <= 100_000);
  assert.equal(bench.forgotten, 2_010 - sizeOf(bench));
  assert.equal(bench.queue("few").duplicates.size, 10);
  const isKnown = (id: string, name: string): boolean => {
    const sent = bench.send("x", { messageId: id }, name);
    return sent.isTaken && sent.isDuplicate;
  };
  assert.ok(isKnown("few 0", "few") && isKnown("many 1999", "many") && !isKnown("many 0", "many"));
  bench.advance(120_000);
  assert.equal(bench.duplicates.bytes, 0);
});

const sizeOf = (bench: QueueBench): number =>
  ["few", "many"].reduce((size, name) => size + bench.queue(name).duplicates.size, 0);

test("Identifiers on disk are within the same bound, the newest of them, and known again after a restart.", () => {
  const bench = new QueueBench({ messagesMax: 10_000 }, 100_000);
  for (let turn = 0; turn < 20; turn++) {
    for (let id = 0; id < 200; id++) bench.send("x", { messageId: `${turn} ${id}` });
    bench.advance(1_000);
    bench.flush();
    assert.ok(
      bench.store.stats(identifierLog(bench.store)).bytes <= 125_000,
      "and one second of it",
    );
  }
  bench.crash();
  assert.ok(bench.duplicates.bytes > 50_000 && bench.duplicates.bytes <= 100_000);
  const last = bench.send("x", { messageId: "19 199" });
  assert.ok(last.isTaken && last.isDuplicate);
});

test("A damaged record of identifiers is counted and costs nothing else.", () => {
  const node = new VirtualNode();
  append(node, "1");
  node.turn();
  streamOf(node).purge(undefined);
  const log = identifierLog(node.store);
  node.store.append(log, messageOf("t", "\u0003nonsense", node.now));
  node.store.append(log, messageOf("t", "\u0009", node.now));
  node.turn();
  node.crash();
  assert.equal(node.broker.duplicates.recover(), 2);
  assert.deepEqual(append(node, "1"), [1, true]);
});

test("Logs of the broker's own have names that no stream can have.", () => {
  const node = new VirtualNode();
  assert.deepEqual(
    [...node.store.logNames().values()].filter((name) => isName(name)),
    [],
  );
});

test("Time spent off that is learned later makes no identifier be forgotten: who had no answer asks when the broker is back.", () => {
  const node = new VirtualNode();
  append(node, "1");
  node.turn();
  node.wall.isTrusted = false;
  node.off(10 * MINUTE);
  node.wall.isTrusted = true;
  node.advance(10_000);
  assert.equal(node.time.isTrusted, true);
  assert.deepEqual(append(node, "1"), [1, true]);
  node.advance(2 * MINUTE);
  assert.deepEqual(append(node, "1"), [2, false]);
});
