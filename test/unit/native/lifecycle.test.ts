import assert from "node:assert/strict";
import { test } from "node:test";
import type { Delivery } from "../../../src/native/frame.ts";
import { type NativeClient, textOf } from "../../support/native-client.ts";
import { VirtualNode } from "../../support/virtual-node.ts";

const bytes = (text: string): Uint8Array => Buffer.from(text);
const deliveriesOf = (answer: unknown): Delivery[] =>
  (answer as { readonly deliveries: Delivery[] }).deliveries;
const receive = (client: NativeClient, more: object = {}): Delivery[] =>
  deliveriesOf(client.ok({ op: "receive", queue: "q", max: 10, ...more }));
const textsOf = (deliveries: readonly Delivery[]): string[] =>
  deliveries.map(({ payload }) => textOf(payload));

test("A crash at any moment of send, receive and settle loses nothing answered and brings nothing settled back.", () => {
  for (let flushesBeforeCrash = 0; flushesBeforeCrash < 8; flushesBeforeCrash++) {
    const node = new VirtualNode({ flushes: "manual" });
    const client = node.native("c");
    let flushes = 0;
    const step = (): void => {
      if (flushes++ < flushesBeforeCrash) node.flush();
    };
    const sent = client.begin({ op: "send", queue: "q", messages: [{ payload: bytes("m") }] });
    step();
    step();
    const polled = client.begin({ op: "receive", queue: "q", waitMs: 1 });
    step();
    const [delivery] =
      client.answerTo(polled) === undefined ? [] : deliveriesOf(client.answerTo(polled));
    const settled = client.begin({
      op: "settle",
      queue: "q",
      how: "ack",
      deliveries: [delivery?.delivery ?? 0],
    });
    step();
    step();
    const wasSent = client.answerTo(sent)?.op === "ok";
    const wasSettled = client.answerTo(settled)?.op === "ok";
    node.crash();
    node.advance(60_000);
    const after = node.native("c");
    node.flushAll();
    const left = textsOf(receive(after));
    if (wasSettled) assert.deepEqual(left, [], `settled, ${flushesBeforeCrash} flushes`);
    else if (wasSent) assert.deepEqual(left, ["m"], `sent, ${flushesBeforeCrash} flushes`);
  }
});

test("A long poll answers with what comes, in time, or with nothing when its time is over.", () => {
  const node = new VirtualNode();
  const client = node.native("c");
  const empty = client.begin({ op: "receive", queue: "q", waitMs: 5_000 });
  node.advance(4_999);
  assert.equal(client.answerTo(empty), undefined);
  node.advance(1);
  assert.deepEqual(deliveriesOf(client.answerTo(empty)), []);
  const first = client.begin({ op: "receive", queue: "q", waitMs: 5_000 });
  const second = client.begin({ op: "receive", queue: "q", waitMs: 5_000 });
  client.ok({ op: "send", queue: "q", messages: [{ payload: bytes("a") }] });
  assert.deepEqual(textsOf(deliveriesOf(client.answerTo(first))), ["a"]);
  assert.equal(client.answerTo(second), undefined);
  client.drop();
  const other = node.native("o");
  other.ok({ op: "send", queue: "q", messages: [{ payload: bytes("b") }] });
  const again = receive(other);
  assert.deepEqual(
    textsOf(again),
    ["a", "b"],
    "no poll of the dead took it, and what it had is back",
  );
  assert.deepEqual(
    again.map(({ deliveryCount }) => deliveryCount),
    [2, 1],
  );
});

test("Long polls are bounded and hold nothing else back.", () => {
  const node = new VirtualNode();
  const client = node.native("c");
  for (let i = 0; i < 100; i++) client.begin({ op: "receive", queue: "q", waitMs: 60_000 });
  const one = { op: "receive", queue: "q", waitMs: 60_000 };
  assert.equal(client.refused(one), "limit-exceeded");
  assert.equal(client.ask({ op: "ping" }).op, "pong");
});

test("Deliveries come within credit, and a settled one makes no room of its own.", () => {
  const node = new VirtualNode();
  const client = node.native("c");
  const messages = ["a", "b", "c"].map((text) => ({ payload: bytes(text) }));
  client.ok({ op: "send", queue: "q", messages });
  const { sub } = client.ok({ op: "queue.subscribe", queue: "q", credit: 2 });
  const [frame] = client.takeAll("deliveries");
  assert.deepEqual(textsOf(frame?.deliveries ?? []), ["a", "b"]);
  client.send({ op: "credit", sub, add: 1 });
  assert.deepEqual(textsOf(client.takeAll("deliveries")[0]?.deliveries ?? []), ["c"]);
  client.ok({ op: "unsubscribe", sub });
  const names = frame?.deliveries.map(({ delivery }) => delivery);
  client.ok({ op: "settle", queue: "q", how: "ack", deliveries: names });
});

test("Events beyond credit or room are dropped, and that is told once a second.", () => {
  const node = new VirtualNode();
  const client = node.native("c");
  const other = node.native("o");
  const { sub } = client.ok({ op: "subscribe", filter: "a", credit: 2 });
  for (let i = 0; i < 5; i++) other.ok({ op: "publish", topic: "a" });
  client.send({ op: "credit", sub, add: 10 });
  client.link.hasRoom = false;
  other.ok({ op: "publish", topic: "a" });
  client.link.hasRoom = true;
  assert.equal(client.takeAll("event").length, 2);
  node.advance(1_000);
  assert.deepEqual(
    client.takeAll("dropped").map(({ count }) => count),
    [4],
  );
  node.advance(5_000);
  assert.deepEqual(client.takeAll("dropped"), []);
});

test("In a group the member with credit gets the event.", () => {
  const node = new VirtualNode();
  const [poor, rich] = [node.native("poor"), node.native("rich")];
  poor.ok({ op: "subscribe", filter: "a", group: "g", credit: 1 });
  rich.ok({ op: "subscribe", filter: "a", group: "g", credit: 100 });
  for (let i = 0; i < 10; i++) rich.ok({ op: "publish", topic: "a" });
  const counts = [poor, rich].map((client) => client.takeAll("event").length);
  assert.equal(counts[0], 1);
  assert.equal(counts[1], 9);
});

test("Retained messages come first as there is credit, page by page.", () => {
  const node = new VirtualNode();
  const client = node.native("c");
  for (let i = 0; i < 600; i++) {
    client.send({ op: "publish", topic: `r/${i}`, payload: bytes("x"), retain: true });
  }
  const { sub } = client.ok({ op: "subscribe", filter: "r/#", retained: true, credit: 300 });
  const first = client.takeAll("event");
  assert.equal(first.length, 300);
  client.send({ op: "credit", sub, add: 1_000 });
  const all = [...first, ...client.takeAll("event")];
  assert.equal(new Set(all.map(({ topic }) => topic)).size, 600);
  assert.ok(all.every(({ retained }) => retained === true));
});

test("A clientId is taken over across protocols, and the one before is told.", () => {
  const node = new VirtualNode();
  const first = node.native("same");
  const member = node.native("member");
  first.ok({ op: "subscribe", filter: "a", credit: 9 });
  for (const one of [first, member])
    one.ok({ op: "subscribe", filter: "g", group: "g", credit: 9 });
  const device = node.connect("same");
  assert.equal(first.takeAll("error")[0]?.code, "taken-over");
  assert.ok(first.isClosed);
  const second = node.native("same");
  assert.ok(device.link.isClosed);
  second.ok({ op: "subscribe", filter: "a", credit: 9 });
  assert.equal(node.broker.subscriptionCount, 2);
  second.ok({ op: "publish", topic: "a" });
  assert.equal(second.takeAll("event").length, 1);
  second.ok({ op: "publish", topic: "g" });
  assert.equal(member.takeAll("event").length, 1);
});

test("A kick is told, and silence is asked and ended.", () => {
  const node = new VirtualNode();
  const kicked = node.native("kicked");
  node.broker.sessions.get("kicked")?.owner?.end("administrative-action");
  assert.equal(kicked.takeAll("error")[0]?.code, "kicked");
  const silent = node.native("silent");
  node.advance(30_000);
  assert.equal(silent.takeAll("ping").length, 1);
  silent.send({ op: "pong" });
  node.advance(59_999);
  assert.equal(silent.isClosed, false);
  node.advance(1);
  assert.equal(silent.takeAll("error")[0]?.code, "timeout");
  assert.ok(silent.isClosed);
  assert.equal(node.broker.sessions.get("silent"), undefined);
});

test("While the store has no room a request is held and what is behind it, until there is, or it is refused.", () => {
  const node = new VirtualNode({ flushes: "manual", pendingBytesMax: 2_000 });
  const client = node.native("c");
  const messages = [{ payload: new Uint8Array(3_000) }];
  const first = client.begin({ op: "send", queue: "q", messages });
  const second = client.begin({ op: "send", queue: "q", messages });
  const ping = client.begin({ op: "ping" });
  assert.equal(client.answerTo(ping), undefined);
  assert.ok(client.link.isPaused);
  node.flushAll();
  for (const id of [first, second]) assert.equal(client.answerTo(id)?.op, "ok");
  assert.equal(client.answerTo(ping)?.op, "pong");
  assert.equal(client.link.isPaused, false);
  client.begin({ op: "send", queue: "q", messages });
  const late = client.begin({ op: "send", queue: "q", messages });
  node.advance(30_000);
  assert.equal(client.answerTo(late)?.["code"], "held");
});

test("When the store fails the client is told that the outcome is unknown, and nothing is answered.", () => {
  const node = new VirtualNode({ flushes: "manual" });
  const client = node.native("c");
  client.begin({ op: "receive", queue: "q", waitMs: 60_000 });
  const id = client.begin({ op: "send", queue: "q", messages: [{}] });
  node.store.fail(new Error("the disk is gone"));
  assert.equal(client.answerTo(id), undefined);
  assert.equal(client.takeAll("error")[0]?.code, "store-failed");
  assert.ok(client.isClosed);
});

test("Rules hold for every pattern, and what they do not allow any more ends.", () => {
  const node = new VirtualNode();
  const client = node.native("c");
  const { sub } = client.ok({ op: "subscribe", filter: "a", credit: 1 });
  const pull = client.ok({ op: "queue.subscribe", queue: "q", credit: 1 });
  const poll = client.begin({ op: "receive", queue: "q", waitMs: 60_000 });
  client.ok({ op: "stream.create", stream: "s" });
  client.ok({ op: "consume", stream: "s", credit: 1 });
  const subject = { kind: "anonymous" } as const;
  const rule = { subject, publish: ["$queue/q"], subscribe: ["b/#", "$stream/t"] };
  node.setPolicy({ rules: [rule], users: undefined });
  const ended = client.takeAll("ended");
  assert.deepEqual(
    ended.map(({ code }) => code),
    Array(3).fill("not-authorized"),
  );
  assert.ok(
    ended.some((frame) => frame.sub === sub) && ended.some((frame) => frame.sub === pull["sub"]),
  );
  assert.equal(client.answerTo(poll)?.["code"], "not-authorized");
  client.ok({ op: "send", queue: "q", messages: [{}] });
  const denied = [
    { op: "send", queue: "q", messages: [{ deadLetterQueue: "other" }] },
    { op: "receive", queue: "q" },
    { op: "peek", queue: "q" },
    { op: "settle", queue: "q", how: "ack", deliveries: [1] },
    { op: "queue.purge", queue: "q" },
    { op: "queue.create", queue: "q", filters: ["#"] },
    { op: "append", stream: "s", messages: [{}] },
    { op: "read", stream: "s", from: { at: "first" } },
    { op: "stream.delete", stream: "s" },
    { op: "publish", topic: "a" },
    { op: "subscribe", filter: "#", credit: 1 },
    { op: "respond", filter: "a", credit: 1 },
    { op: "request", topic: "a", timeoutMs: 1 },
    { op: "route", to: "queue:other" },
  ];
  for (const request of denied) {
    assert.equal(client.refused(request), "not-authorized", JSON.stringify(request));
  }
  assert.deepEqual(client.ok({ op: "queue.list" })["queues"], []);
});

test("Who may read a stream or queue may not make one that captures what it may not read.", () => {
  const node = new VirtualNode();
  const client = node.native("c");
  const subject = { kind: "anonymous" } as const;
  const own = ["$queue/mine", "$stream/mine"];
  node.setPolicy({ rules: [{ subject, publish: own, subscribe: own }], users: undefined });
  for (const filters of [["#"], ["secret"]]) {
    assert.equal(client.refused({ op: "queue.create", queue: "mine", filters }), "not-authorized");
    assert.equal(
      client.refused({ op: "stream.create", stream: "mine", filters }),
      "not-authorized",
    );
  }
  client.ok({ op: "queue.create", queue: "mine" });
});

test("Text that MQTT could not carry is refused before it is published.", () => {
  const node = new VirtualNode();
  const client = node.native("c");
  const device = node.connect("d");
  device.subscribe("a");
  for (const contentType of ["ü".repeat(40_000), "a\0b"]) {
    assert.equal(client.refused({ op: "publish", topic: "a", contentType }), "bad-frame");
  }
  const correlation = new Uint8Array(65_536);
  assert.equal(client.refused({ op: "publish", topic: "a", correlation }), "bad-frame");
  assert.equal(client.refused({ op: "send", queue: "ü".repeat(200), messages: [] }), "bad-frame");
});

test("Requests are counted by what was asked and what was said.", () => {
  const node = new VirtualNode();
  const client = node.native("c");
  client.ask({ op: "ping" });
  client.refused({ op: "queue.info", queue: "none" });
  client.refused({ op: "nonsense" });
  const counted = [...node.requestCounts.all()].map(
    ([op, code, count]) => `${op} ${code} ${count}`,
  );
  assert.deepEqual(counted.sort(), [
    "hello ok 1",
    "invalid unknown-op 1",
    "ping ok 1",
    "queue.info not-found 1",
  ]);
});

test("A client that does not read gets nothing into its polls until it does.", () => {
  const node = new VirtualNode();
  const client = node.native("c");
  const polls = [1, 2].map(() => client.begin({ op: "receive", queue: "q", waitMs: 60_000 }));
  client.link.hasRoom = false;
  node.native("o").ok({ op: "send", queue: "q", messages: [{}, {}] });
  assert.deepEqual(
    polls.map((id) => client.answerTo(id)),
    [undefined, undefined],
  );
  client.link.hasRoom = true;
  client.connection.onRoom();
  assert.deepEqual(
    polls.map((id) => deliveriesOf(client.answerTo(id)).length),
    [1, 1],
  );
});
