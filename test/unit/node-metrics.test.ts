/** What metrics show of a broker at work: the patterns, and names up to a bound. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { newPatternCounts } from "../../src/broker/pattern-counts.ts";
import {
  addPatternsTo,
  consumerViews,
  queueViews,
  requestView,
  streamViews,
} from "../../src/node-metrics.ts";
import type { LogStore } from "../../src/store/log-store.ts";
import { PATTERNS, VirtualNode } from "../support/virtual-node.ts";

const bytes = (text: string): Uint8Array => Buffer.from(text);
const running = ({ broker, store }: VirtualNode): Parameters<typeof streamViews>[0] => ({
  broker,
  store: store as unknown as LogStore,
});

test("What goes through a queue is counted: in, out, again, and how it was settled.", () => {
  const node = new VirtualNode({ connection: { allowsPatternTopics: true } });
  const client = node.native("c");
  const counts = node.broker.patternCounts.queue;
  const payload = bytes("seven 7");
  client.ok({ op: "send", queue: "q", messages: [{ payload }, { payload }, { messageId: "m" }] });
  client.ok({ op: "send", queue: "q", messages: [{ messageId: "m" }] });
  node.connect("device").publish("$queue/q", "1234", { qos: 1, packetId: 1 });
  assert.deepEqual([counts.messagesIn, counts.bytesIn], [4, 18], "a duplicate is none");
  const take = (max: number): number[] => {
    const { deliveries } = client.ok({ op: "receive", queue: "q", max, visibilityMs: 1_000 });
    return (deliveries as { delivery: number }[]).map(({ delivery }) => delivery);
  };
  const settle = (how: string, deliveries: readonly number[]): unknown =>
    client.ask({ op: "settle", queue: "q", how, deliveries, visibilityMs: 1_000 }).op;
  const [first = 0, second = 0] = take(2);
  assert.equal(settle("ack", [first, 99]), "ok");
  settle("extend", [second]);
  settle("reject", [second]);
  const [again = 0] = take(1);
  settle("requeue", [again]);
  take(1);
  node.advance(1_001);
  take(1);
  client.drop();
  assert.deepEqual([counts.messagesOut, counts.bytesOut, counts.redelivered], [5, 21, 2]);
  const { acknowledged, extended, rejected, requeued, timedOut, released, purged } = counts;
  assert.deepEqual([acknowledged, extended, rejected, requeued], [1, 1, 1, 1]);
  assert.deepEqual([timedOut, released, purged], [1, 1, 0]);
  assert.equal(counts.messagesIn, 5, "what is requeued comes in once more");
  node.native("d").ok({ op: "queue.purge", queue: "q" });
  assert.equal(counts.purged, 3);
});

test("What goes through a stream is counted, whoever appends and reads it.", () => {
  const stream = { name: "s", filters: ["t"], bytesMax: 1e6, whenFull: "reject" } as const;
  const node = new VirtualNode({ streams: [stream], connection: { allowsPatternTopics: true } });
  const client = node.native("c");
  const counts = node.broker.patternCounts.stream;
  client.ok({ op: "append", stream: "s", messages: [{ payload: bytes("ab") }, {}] });
  client.ok({ op: "publish", topic: "t", payload: bytes("cde") });
  assert.deepEqual([counts.messagesIn, counts.bytesIn], [3, 5]);
  client.ok({ op: "read", stream: "s", from: { at: "first" } });
  assert.deepEqual([counts.messagesOut, counts.bytesOut], [3, 5]);
  client.ok({ op: "consume", stream: "s", from: { at: "first" }, credit: 2 });
  assert.equal(counts.messagesOut, 5);
  const from = { at: "first" };
  const { sub } = client.ok({ op: "consume", stream: "s", consumer: "c", from, credit: 9 });
  assert.equal(counts.messagesOut, 8);
  client.ok({ op: "ack", sub, upTo: 2 });
  assert.equal(counts.acknowledged, 2);
  node.connect("device").subscribe("$stream/s/first");
  assert.equal(counts.messagesOut, 11);
  const [view] = consumerViews(node.broker);
  assert.deepEqual([view?.name, view?.lag, view?.unacked, view?.members], ["c", 1, 1, 1]);
  node.advance(5_000);
  assert.equal(Math.round(consumerViews(node.broker)[0]?.lagSeconds ?? 0), 5);
  assert.equal(Math.round(streamViews(running(node))[0]?.oldestSeconds ?? 0), 5);
});

test("Requests and replies are counted, and so is what waits and what is kept.", () => {
  const node = new VirtualNode();
  const client = node.native("c");
  const { request, reply } = node.broker.patternCounts;
  client.ok({ op: "respond", filter: "ask", credit: 9 });
  const ask = { op: "request", topic: "ask", timeoutMs: 1_000, payload: bytes("?") };
  client.refused({ ...ask, topic: "nobody" });
  client.begin({ ...ask, cacheKey: "k", cacheTtlMs: 1_000 });
  assert.equal(requestView(node.broker).waiting, 1);
  const [got] = client.takeAll("request");
  client.ok({ op: "reply", request: got?.request, payload: bytes("yes") });
  client.ok({ ...ask, cacheKey: "k", cacheTtlMs: 1_000 });
  assert.deepEqual([request.messagesIn, request.bytesIn, request.messagesOut], [3, 3, 1]);
  assert.deepEqual(
    [reply.messagesIn, reply.bytesIn, reply.messagesOut, reply.bytesOut],
    [1, 3, 2, 6],
  );
  const { waiting, cacheBytes } = requestView(node.broker);
  assert.equal(waiting, 0);
  assert.ok(cacheBytes > 0);
});

test("Labels name a hundred queues, those of the configuration before others, and sum up the rest.", () => {
  const limits = { patterns: { ...PATTERNS, queuesMax: 500, streamsMax: 500 } };
  const node = new VirtualNode({ limits, queues: [{ name: "zz-configured" }] });
  const client = node.native("c");
  for (let i = 0; i < 150; i++) {
    client.ok({ op: "send", queue: `q${i}`, messages: [{}, { delayMs: 60_000 }] });
    client.ok({ op: "stream.create", stream: `s${i}` });
    client.ok({ op: "append", stream: `s${i}`, messages: [{}] });
  }
  node.advance(3_000);
  client.ok({ op: "send", queue: "q149", messages: [{}] });
  const queues = queueViews(node.broker);
  assert.equal(queues.length, 101);
  assert.equal(queues[0]?.name, "zz-configured");
  const other = queues.at(-1);
  assert.deepEqual([other?.name, other?.messages, other?.delayed], ["*other", 103, 51]);
  assert.equal(Math.round(other?.oldestSeconds ?? 0), 3, "the oldest of them, not their sum");
  const streams = streamViews(running(node));
  assert.deepEqual(
    [streams.length, streams.at(-1)?.name, streams.at(-1)?.messages],
    [101, "*other", 50],
  );
});

test("Limits on what is made, and on what one connection may do, are counted when they are reached.", () => {
  const few = { streamsMax: 0, queuesMax: 0, consumersMax: 0 };
  const requests = { ...PATTERNS.requests, requestsMax: 0 };
  const stream = { name: "s", filters: [], bytesMax: 1e6, whenFull: "reject" } as const;
  const node = new VirtualNode({
    streams: [stream],
    limits: { patterns: { ...PATTERNS, ...few, requests } },
  });
  const client = node.native("c");
  const consume = { op: "consume", stream: "s", credit: 1 };
  client.refused({ op: "queue.create", queue: "q" });
  client.refused({ op: "receive", queue: "q" });
  client.refused({ op: "stream.create", stream: "t" });
  client.refused({ ...consume, consumer: "c" });
  client.refused({ op: "request", topic: "a", timeoutMs: 1 });
  client.refused({ op: "append", stream: "s", messages: Array(1_001).fill({}) });
  for (let i = 0; i < 100; i++) client.ok(consume);
  client.refused(consume);
  const { counters } = node.broker;
  assert.deepEqual(
    [counters.limitQueues, counters.limitStreams, counters.limitConsumers, counters.limitRequests],
    [2, 1, 1, 1],
  );
  assert.deepEqual([counters.limitBatch, counters.limitSubs, counters.limitWaits], [1, 1, 0]);
  const other = new VirtualNode();
  const polling = other.native("c");
  for (let i = 0; i < 100; i++) polling.begin({ op: "receive", queue: "q", waitMs: 60_000 });
  polling.refused({ op: "receive", queue: "q", waitMs: 60_000 });
  assert.equal(other.broker.counters.limitWaits, 1);
});

test("Totals outlive the broker that counted them.", () => {
  const [totals, first, second] = [newPatternCounts(), newPatternCounts(), newPatternCounts()];
  first.queue.messagesIn = 3;
  second.queue.messagesIn = 4;
  second.reply.bytesOut = 5;
  addPatternsTo(totals, first);
  addPatternsTo(totals, second);
  assert.deepEqual([totals.queue.messagesIn, totals.reply.bytesOut], [7, 5]);
});
