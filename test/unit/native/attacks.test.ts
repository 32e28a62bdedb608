/** Frames that are well formed and mean harm: what they cost is bounded, what they find out is nothing, and others are served. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Deliveries } from "../../../src/broker/deliveries.ts";
import type { Destination } from "../../../src/broker/destinations.ts";
import type { Instant } from "../../../src/lib/clock.ts";
import { UnansweredRequests } from "../../../src/native/request-messages.ts";
import type { NativeClient } from "../../support/native-client.ts";
import { messageOf } from "../../support/test-requester.ts";
import { VirtualNode } from "../../support/virtual-node.ts";

const FAR = Number.MAX_SAFE_INTEGER;
const text = (payload: unknown): string => Buffer.from((payload as Uint8Array) ?? []).toString();

interface Got {
  readonly delivery: number;
  readonly payload?: Uint8Array;
}

function receive(client: NativeClient, queue: string, max = 1): readonly Got[] {
  return client.ok({ op: "receive", queue, max })["deliveries"] as readonly Got[];
}

test("A reader may begin wherever numbers reach: it costs nothing, and what comes before it does not come.", () => {
  const starts = [
    { sequence: FAR },
    { sequence: 1e12 },
    { timeAt: FAR },
    { timeAt: 0 },
    { agoMs: FAR },
    { agoMs: 0 },
    { sequence: 0 },
  ];
  const node = new VirtualNode();
  const client = node.native("c");
  client.ok({ op: "stream.create", stream: "s" });
  client.ok({ op: "append", stream: "s", messages: [{ payload: Buffer.from("a") }] });
  node.advance(10);
  const seen = (): string[] =>
    client.takeAll("records").map(({ sub, records }) => `${sub}:${records.length}`);
  for (const from of starts) {
    client.ok({ op: "read", stream: "s", from });
    client.ok({ op: "consume", stream: "s", from, credit: 5 });
    client.ok({
      op: "consume",
      stream: "s",
      consumer: JSON.stringify(from).replace(/\W/g, "-"),
      from,
      credit: 5,
    });
  }
  assert.deepEqual(seen(), ["7:1", "8:1", "9:1", "10:1", "13:1", "14:1"]);
  client.ok({ op: "append", stream: "s", messages: [{ payload: Buffer.from("b") }] });
  // Those that begin in the far future get nothing, the other ten what is new.
  assert.deepEqual(
    seen()
      .map((one) => Number(one.split(":")[0]))
      .sort((a, b) => a - b),
    [5, 6, 7, 8, 9, 10, 11, 12, 13, 14],
  );
  node.crash();
  const again = node.native("c");
  const { floor, unsettled } = again.ok({
    op: "consumer.info",
    stream: "s",
    consumer: `--sequence--${FAR}-`,
  });
  assert.deepEqual([floor, unsettled], [FAR, 0]);
});

test("A name and a number that are stretched to their limits are taken or refused, and change nothing else.", () => {
  const node = new VirtualNode();
  const client = node.native("c");
  for (const name of ["..", ".", "CON", "a b", "ä".repeat(128), "%00", "\\", "' drop"]) {
    client.ok({ op: "queue.create", queue: name });
    client.ok({ op: "send", queue: name, messages: [{ messageId: "m" }, { messageId: "m" }] });
    assert.equal(client.ok({ op: "queue.info", queue: name })["messages"], 1);
  }
  for (const name of [
    "",
    "a/b",
    "../x",
    "\n",
    "\u007f",
    "a\u0000",
    "ä".repeat(129),
    "$a",
    "+",
    "#",
  ]) {
    assert.equal(client.refused({ op: "queue.create", queue: name }), "bad-frame");
    assert.equal(client.refused({ op: "stream.create", stream: name }), "bad-frame");
  }
  const numbers = [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, -0.5, "1", null];
  for (const value of numbers) {
    const frames = [
      { op: "send", queue: "q", messages: [{ delayMs: value }] },
      { op: "send", queue: "q", messages: [{ expiryMs: value }] },
      { op: "receive", queue: "q", visibilityMs: value },
      { op: "receive", queue: "q", waitMs: value },
      { op: "queue.create", queue: "q", visibilityMs: value },
      { op: "settle", queue: "q", how: "ack", deliveries: [value] },
      { op: "peek", queue: "q", from: value },
    ];
    for (const frame of frames) assert.equal(client.refused(frame), "bad-frame", `${value}`);
  }
  assert.equal(client.refused({ op: "receive", queue: "q", visibilityMs: 0 }), "bad-frame");
  assert.equal(node.broker.queues.size, 8);
});

test("A limit of 0 is none for a stream, also when it had one, and leaves what is there.", () => {
  const node = new VirtualNode();
  const client = node.native("c");
  const append = { op: "append", stream: "s", messages: [{}] };
  for (const whenFull of ["reject", "drop-oldest"]) {
    client.ok({ op: "stream.create", stream: "s", whenFull, retain: "limits", maxMessages: 1 });
    client.ok(append);
    for (const settings of [{ maxMessages: 0 }, { maxBytes: 0 }, { maxAgeMs: 0 }]) {
      client.ok({ op: "stream.update", stream: "s", ...settings });
      client.ok(append);
      node.advance(1_000);
    }
    assert.equal(client.ok({ op: "stream.info", stream: "s" })["messages"], 4, whenFull);
    client.ok({ op: "stream.delete", stream: "s" });
  }
  client.ok({ op: "queue.create", queue: "closed", maxMessages: 0 });
  assert.equal(client.refused({ op: "send", queue: "closed", messages: [{}] }), "full");
});

test("What has expired when it is sent is taken and handed to nobody.", () => {
  const node = new VirtualNode();
  const client = node.native("c");
  client.ok({ op: "send", queue: "q", messages: [{ expiryMs: 0 }, { expiryMs: 0, delayMs: 10 }] });
  node.advance(20);
  assert.deepEqual(receive(client, "q", 10), []);
  assert.equal(client.ok({ op: "queue.info", queue: "q" })["messages"], 0);
});

const SECRET: Destination = { kind: "queue", name: "secret" };
const OPEN: Destination = { kind: "event", name: "open/x" };

test("Without the right to what a route stands for nobody finds out whether there is one.", () => {
  const node = new VirtualNode({
    routing: {
      routes: new Map<string, Destination[]>([
        ["some", [SECRET]],
        ["mixed", [OPEN, SECRET]],
        ["mine", [OPEN]],
        ["many", Array.from({ length: 32 }, (_, i) => ({ kind: "event", name: `no/${i}` }))],
      ]),
      rules: [],
    },
  });
  const open = node.native("open");
  assert.equal(open.refused({ op: "route", to: "route:none" }), "bad-frame");
  node.setPolicy({
    rules: [{ subject: { kind: "anonymous" }, publish: ["open/#"], subscribe: [] }],
    users: undefined,
  });
  const client = node.native("c");
  const answersTo = (key: string): unknown[] =>
    [`route:${key}`, `event:open/a;route:${key}`, `route:${key};event:open/b;`].map((to) => {
      const { id: _id, ...answer } = client.ask({ op: "route", to });
      return answer;
    });
  const none = answersTo("none");
  assert.equal((none[0] as { code: string }).code, "not-authorized");
  for (const key of ["some", "mixed", "many"]) assert.deepEqual(answersTo(key), none, key);
  client.ok({ op: "route", to: "route:mine" });
});

test("Moving into another queue keeps within its limits: what finds no room stays in hands.", () => {
  const node = new VirtualNode();
  const client = node.native("c");
  client.ok({ op: "queue.create", queue: "small", maxMessages: 2 });
  client.ok({ op: "send", queue: "q", messages: [{}, {}, {}] });
  const deliveries = receive(client, "q", 3).map(({ delivery }) => delivery);
  const move = { op: "settle", queue: "q", how: "requeue", to: "small" };
  assert.equal(client.refused({ ...move, deliveries }), "full");
  assert.equal(client.ok({ op: "queue.info", queue: "q" })["inHands"], 3);
  client.ok({ ...move, deliveries: deliveries.slice(0, 2) });
  assert.equal(client.refused({ ...move, deliveries: deliveries.slice(2) }), "full");
  assert.equal(client.ok({ op: "queue.info", queue: "small" })["messages"], 2);
  // To its own end a message may always go, and others out of a full queue.
  const [first] = receive(client, "small");
  client.ok({ op: "settle", queue: "small", how: "requeue", deliveries: [first?.delivery ?? 0] });
  client.ok({ op: "settle", queue: "q", how: "requeue", deliveries: deliveries.slice(2) });
  assert.equal(client.ok({ op: "queue.info", queue: "q" })["messages"], 1);
});

test("What is sent again with its identifiers because no answer came needs no room, and no sequence that is free.", () => {
  const node = new VirtualNode();
  const client = node.native("c");
  client.ok({ op: "queue.create", queue: "q", maxMessages: 2 });
  const send = { op: "send", queue: "q", messages: [{ messageId: "a" }, { messageId: "b" }] };
  client.ok(send);
  assert.deepEqual(client.ok(send)["results"], [
    { sequence: 1, duplicate: true },
    { sequence: 2, duplicate: true },
  ]);
  assert.equal(client.refused({ ...send, messages: [{ messageId: "a" }, {}] }), "full");
  client.ok({ op: "stream.create", stream: "s", maxMessages: 2 });
  const messages = [{ messageId: "a" }, { messageId: "b" }];
  const append = { op: "append", stream: "s", messages, expectedSequence: 1 };
  client.ok(append);
  const { sequences, duplicates } = client.ok(append);
  assert.deepEqual([sequences, duplicates], [[1, 2], 2]);
  assert.equal(client.refused({ ...append, expectedSequence: 2 }), "wrong-sequence");
  assert.equal(client.refused({ ...append, messages: [{ messageId: "b" }, {}] }), "wrong-sequence");
  assert.equal(client.refused({ ...append, messages: [{}], expectedSequence: 3 }), "full");
});

test("Queues that are each other's dead letter queues pass a message on only when somebody has failed on it; one that is its own drops.", () => {
  const node = new VirtualNode();
  const client = node.native("c");
  client.ok({ op: "queue.create", queue: "a", deliveriesMax: 1, deadLetterQueue: "b" });
  client.ok({ op: "queue.create", queue: "b", deliveriesMax: 1, deadLetterQueue: "a" });
  client.ok({ op: "queue.create", queue: "own", deliveriesMax: 1, deadLetterQueue: "own" });
  client.ok({ op: "send", queue: "a", messages: [{ expiryMs: 15_000 }] });
  client.ok({ op: "send", queue: "own", messages: [{}] });
  const turns: string[] = [];
  for (const queue of ["a", "b", "a", "b"]) {
    const [got] = receive(client, queue);
    client.ok({ op: "settle", queue, how: "reject", deliveries: [got?.delivery ?? 0] });
    turns.push(
      ...["a", "b"].map(
        (name) => `${name}${client.ok({ op: "queue.info", queue: name })["messages"]}`,
      ),
    );
    node.advance(10_000);
  }
  assert.deepEqual(turns, ["a0", "b1", "a1", "b0", "a0", "b1", "a1", "b0"]);
  const [own] = receive(client, "own");
  client.ok({ op: "settle", queue: "own", how: "reject", deliveries: [own?.delivery ?? 0] });
  assert.equal(client.ok({ op: "queue.info", queue: "own" })["messages"], 0);
  assert.equal(node.givenUp.at(-1), "own deliveries -");
});

test("Queues that are made, worked off and deleted leave nothing with the connection that did it.", () => {
  const node = new VirtualNode();
  const client = node.native("c");
  client.ok({ op: "send", queue: "stays", messages: [{}] });
  receive(client, "stays");
  for (let i = 0; i < 300; i++) {
    const queue = `temporary-${i}`;
    client.ok({ op: "send", queue, messages: [{}] });
    receive(client, queue);
    client.ok({ op: "queue.delete", queue });
  }
  const { release } = Deliveries.prototype;
  let released = 0;
  Deliveries.prototype.release = function (owner) {
    released++;
    release.call(this, owner);
  };
  try {
    client.drop();
  } finally {
    Deliveries.prototype.release = release;
  }
  assert.ok(released <= 2, `${released} were remembered`);
  assert.equal(node.broker.queues.get("stays")?.deliveries.waiting, 1);
});

test("Requests whose time is over are not kept for those who never answer.", () => {
  const unanswered = new UnansweredRequests();
  const asked = (at: number, forMs?: number) => {
    const message = messageOf("a", "?", at as Instant);
    message.properties = { responseTopic: "$reply/x", correlationData: Buffer.alloc(1_000) };
    if (forMs !== undefined) message.expiresAt = (at + forMs) as Instant;
    return unanswered.add(message, at as Instant);
  };
  for (let i = 0; i < 10_000; i++) asked(i, 10);
  assert.ok(unanswered.size * 1_256 < 300_000, `${unanswered.size} are kept`);
  const last = asked(20_000);
  for (let i = 0; i < 20_000; i++) asked(21_000);
  assert.ok(unanswered.size * 1_256 < 17_000_000);
  assert.equal(unanswered.get(last ?? 0), undefined, "the oldest goes");
});

test("Nobody answers what somebody else was asked, nor by guessing.", () => {
  const node = new VirtualNode();
  const [asker, responder, thief] = ["asker", "responder", "thief"].map((name) =>
    node.native(name),
  ) as [NativeClient, NativeClient, NativeClient];
  responder.ok({ op: "respond", filter: "price", credit: 5 });
  thief.ok({ op: "subscribe", filter: "#", credit: 100 });
  const id = asker.begin({ op: "request", topic: "price", timeoutMs: 1_000 });
  const [asked] = responder.takeAll("request");
  assert.equal(thief.refused({ op: "reply", request: asked?.request }), "not-found");
  const token = text(asked?.correlation);
  thief.ok({ op: "subscribe", filter: "$reply/+", credit: 9 });
  for (const guess of [
    { op: "publish", topic: `$reply/${token}` },
    { op: "request", topic: `$reply/${token}`, timeoutMs: 9 },
    { op: "route", to: `event:$reply/${token}` },
    { op: "send", queue: "q", messages: [{ topic: `$reply/${token}` }] },
  ]) {
    assert.equal(thief.refused(guess), "bad-frame");
  }
  assert.deepEqual([thief.take(), asker.answerTo(id)], [[], undefined]);
  responder.ok({ op: "reply", request: asked?.request, payload: Buffer.from("7") });
  assert.equal(text(asker.answerTo(id)?.["payload"]), "7");
  assert.deepEqual(thief.take(), []);
});

test("Acknowledging all of very much keeps nobody waiting, and is answered when it is done.", () => {
  const node = new VirtualNode();
  const [client, other] = [node.native("c"), node.native("other")];
  client.ok({ op: "queue.create", queue: "q", maxMessages: 1_000_000, maxBytes: 1e9 });
  const messages = Array(1_000).fill({});
  for (let i = 0; i < 150; i++) client.ok({ op: "send", queue: "q", messages });
  const id = client.begin({ op: "queue.ackAll", queue: "q" });
  assert.equal(client.answerTo(id), undefined);
  other.ok({ op: "ping" });
  other.ok({ op: "send", queue: "q", messages: [{}] });
  node.advance(10);
  assert.equal(client.answerTo(id)?.["count"], 150_000);
  assert.equal(client.ok({ op: "queue.info", queue: "q" })["messages"], 1);
});

test("Acknowledging all ends with its queue and with its connection, and leaves what is hidden, held or in hands.", () => {
  const node = new VirtualNode();
  const client = node.native("c");
  client.ok({ op: "queue.create", queue: "q", maxMessages: 1_000_000, maxBytes: 1e9 });
  const messages = Array(1_000).fill({});
  for (let i = 0; i < 100; i++) client.ok({ op: "send", queue: "q", messages });
  const deleted = client.begin({ op: "queue.ackAll", queue: "q" });
  client.ok({ op: "queue.delete", queue: "q" });
  node.advance(5);
  assert.equal(client.answerTo(deleted)?.["code"], "not-found");
  client.ok({ op: "queue.create", queue: "full", maxMessages: 1 });
  client.ok({ op: "send", queue: "full", messages: [{}] });
  const content = [{ deliveriesMax: 1, deadLetterQueue: "full" }, {}, {}, { delayMs: 60_000 }, {}];
  client.ok({ op: "send", queue: "p", messages: content });
  const [held, hidden] = receive(client, "p", 3);
  const reject = { op: "settle", queue: "p", how: "reject" };
  client.ok({ ...reject, deliveries: [held?.delivery ?? 0] });
  client.ok({ ...reject, deliveries: [hidden?.delivery ?? 0], delayMs: 5_000 });
  assert.equal(client.ok({ op: "queue.ackAll", queue: "p" })["count"], 1);
  const info = client.ok({ op: "queue.info", queue: "p" });
  const { waiting, inHands, held: stays, delayed } = info;
  assert.deepEqual([waiting, inHands, stays, delayed], [0, 2, 1, 1]);
});

test("A delivery of a queue that was emptied or deleted settles nothing of one that has its name.", () => {
  const node = new VirtualNode();
  const client = node.native("c");
  client.ok({ op: "send", queue: "q", messages: [{}, {}] });
  const old = receive(client, "q", 2).map(({ delivery }) => delivery);
  client.ok({ op: "queue.purge", queue: "q" });
  const ack = { op: "settle", queue: "q", how: "ack", deliveries: old };
  assert.equal(client.refused(ack), "expired-delivery");
  client.ok({ op: "queue.delete", queue: "q" });
  assert.equal(client.refused(ack), "not-found");
  client.ok({ op: "send", queue: "q", messages: [{}, {}] });
  receive(client, "q", 2);
  assert.equal(client.refused(ack), "expired-delivery");
  assert.equal(client.ok({ op: "queue.info", queue: "q" })["inHands"], 2);
});

test("Thousands of subs and polls without credit or room keep no receiver from its messages.", () => {
  const node = new VirtualNode();
  const idle = Array.from({ length: 30 }, (_, i) => node.native(`idle-${i}`));
  for (const client of idle) {
    for (let i = 0; i < 100; i++) client.ok({ op: "queue.subscribe", queue: "q", credit: 0 });
  }
  const worker = node.native("worker");
  worker.ok({ op: "queue.subscribe", queue: "q", credit: 1_000 });
  const sender = node.native("sender");
  sender.ok({ op: "send", queue: "q", messages: Array(500).fill({ payload: Buffer.from("x") }) });
  const got = worker.takeAll("deliveries").flatMap(({ deliveries }) => deliveries);
  assert.equal(got.length, 500);
  assert.ok(got.every(({ payload }) => text(payload) === "x"));
  for (const client of idle) client.drop();
  assert.equal(node.broker.queues.get("q")?.deliveries.receiverCount, 1);
});
