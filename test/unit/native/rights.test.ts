/** Every op of the native protocol, asked by those who may not: refused with the same words whatever there is, and without any effect. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { Rule } from "../../../src/broker/authorization.ts";
import type { ClientOp } from "../../../src/native/frame.ts";
import { CLIENT_OPS } from "../../../src/native/frame-fields.ts";
import type { NativeClient } from "../../support/native-client.ts";
import { ScriptedAuthenticator } from "../../support/scripted-authenticator.ts";
import { VirtualNode } from "../../support/virtual-node.ts";

type Request = Readonly<Record<string, unknown>>;
/** The right that an op needs; `own`: it is about what this connection has itself. */
type Need = "publish" | "subscribe" | "both" | "own";

const STREAM = "secret-stream";
const QUEUE = "secret-queue";
const TOPIC = "secret/topic";
const EVERYTHING = [
  "#",
  `$stream/${STREAM}`,
  `$queue/${QUEUE}`,
  "$stream/none",
  "$queue/nothing",
  "$queue/elsewhere",
];

const user = (name: string, rights: Partial<Omit<Rule, "subject">>): Rule => ({
  subject: { kind: "user", name },
  publish: [],
  subscribe: [],
  ...rights,
});

const RULES: readonly Rule[] = [
  user("owner", { publish: EVERYTHING, subscribe: EVERYTHING }),
  user("writer", { publish: EVERYTHING }),
  user("reader", { subscribe: EVERYTHING }),
];

const EVERY_WAY = [{ how: "ack" }, { how: "reject" }, { how: "requeue" }, { how: "extend" }];

/** What is asked, and of what: its second argument tells names that there are from such as there are none of. */
type Ask = (stream: string, queue: string, topic: string) => readonly Request[];

const TABLE: Readonly<Record<Exclude<ClientOp, "hello" | "ping" | "pong">, [Need, Ask]>> = {
  publish: ["publish", (_s, _q, topic) => [{ topic, retain: true, payload: Buffer.from("x") }]],
  subscribe: [
    "subscribe",
    (_s, _q, filter) => [
      { filter, credit: 9 },
      { filter, credit: 9, retained: true },
      { filter, credit: 9, group: "g" },
      { filter: "#", credit: 9 },
      { filter: "secret/+", credit: 9 },
    ],
  ],
  unsubscribe: ["own", () => [{ sub: 1 }, { sub: 2 }]],
  credit: ["own", () => [{ sub: 1, add: 5 }]],
  "stream.create": ["both", (stream) => [{ stream }, { stream, filters: ["#"] }]],
  "stream.update": ["both", (stream) => [{ stream, maxMessages: 0 }]],
  "stream.delete": ["both", (stream) => [{ stream }]],
  "stream.info": ["subscribe", (stream) => [{ stream }]],
  "stream.purge": ["both", (stream) => [{ stream }]],
  "stream.list": ["own", () => [{}, { max: 1 }, { after: "a" }]],
  append: ["publish", (stream) => [{ stream, messages: [{}] }]],
  read: ["subscribe", (stream) => [{ stream, from: { at: "first" } }]],
  consume: [
    "subscribe",
    (stream) => [
      { stream, credit: 9, from: { at: "first" } },
      { stream, credit: 9, consumer: "c" },
      { stream, credit: 9, consumer: "c", isGroup: true },
      { stream, credit: 9, consumer: "new", from: { at: "first" } },
    ],
  ],
  ack: [
    "own",
    () => [
      { sub: 1, sequences: [1] },
      { sub: 1, upTo: 99 },
    ],
  ],
  reject: ["own", () => [{ sub: 1, upTo: 99 }]],
  "consumer.delete": ["subscribe", (stream) => [{ stream, consumer: "c" }]],
  "consumer.info": ["subscribe", (stream) => [{ stream, consumer: "c" }]],
  "consumer.list": ["subscribe", (stream) => [{ stream }]],
  "queue.create": ["both", (_s, queue) => [{ queue }, { queue, filters: ["secret/#"] }]],
  "queue.update": ["both", (_s, queue) => [{ queue, maxMessages: 1 }]],
  "queue.delete": ["both", (_s, queue) => [{ queue }]],
  "queue.info": ["subscribe", (_s, queue) => [{ queue }]],
  "queue.purge": ["both", (_s, queue) => [{ queue }]],
  "queue.ackAll": ["subscribe", (_s, queue) => [{ queue }]],
  "queue.list": ["own", () => [{}, { after: "a" }]],
  send: [
    "publish",
    (_s, queue) => [
      { queue, messages: [{}] },
      { queue, messages: [] },
    ],
  ],
  receive: [
    "subscribe",
    (_s, queue) => [
      { queue, max: 9 },
      { queue, waitMs: 60_000 },
    ],
  ],
  "queue.subscribe": ["subscribe", (_s, queue) => [{ queue, credit: 9 }]],
  settle: [
    "subscribe",
    (_s, queue) =>
      EVERY_WAY.flatMap((how) => [
        { queue, ...how, deliveries: [65_537, 131_073] },
        { queue, ...how, deliveries: [] },
        { queue, ...how, deliveries: [65_537], to: "elsewhere" },
      ]),
  ],
  peek: ["subscribe", (_s, queue) => [{ queue, max: 9 }]],
  request: [
    "publish",
    (_s, _q, topic) => [
      { topic, timeoutMs: 1_000 },
      { topic, timeoutMs: 1_000, cacheKey: "known", cacheTtlMs: 9_000 },
    ],
  ],
  respond: [
    "subscribe",
    (_s, _q, filter) => [
      { filter, credit: 9 },
      { filter, credit: 9, group: "g" },
      { filter: "#", credit: 9 },
    ],
  ],
  reply: ["own", () => [{ request: 1 }, { request: 2, error: "no" }]],
  route: [
    "publish",
    (stream, queue, topic) => [
      { to: topic, pattern: "event" },
      { to: `stream:${stream}` },
      { to: `queue:${queue}` },
      { to: `queue:${queue};event:${topic};stream:${stream}` },
      { to: "route:known" },
    ],
  ],
};

/** What each answers to what is about somebody else's things. */
const OF_OTHERS: Readonly<Partial<Record<ClientOp, string>>> = {
  unsubscribe: "not-found",
  ack: "not-found",
  reject: "not-found",
  reply: "not-found",
};

interface Scene {
  readonly node: VirtualNode;
  readonly owner: NativeClient;
  join(name: string): NativeClient;
}

/** There is something of everything, and it is the owner's. */
function scene(): Scene {
  const secret = { kind: "queue", name: QUEUE } as const;
  const node = new VirtualNode({
    native: { authenticator: new ScriptedAuthenticator() },
    routing: { routes: new Map([["known", [secret]]]), rules: [] },
  });
  node.setPolicy({ rules: RULES, users: undefined });
  const join = (name: string): NativeClient =>
    node.native(`${name}-client`, { user: name, password: name });
  const owner = join("owner");
  owner.ok({ op: "stream.create", stream: STREAM });
  owner.ok({ op: "append", stream: STREAM, messages: [{}, {}, {}] });
  owner.ok({ op: "consume", stream: STREAM, consumer: "c", from: { at: "first" }, credit: 2 });
  owner.ok({ op: "queue.create", queue: QUEUE, deliveriesMax: 5 });
  owner.ok({ op: "send", queue: QUEUE, messages: [{}, {}] });
  owner.ok({ op: "receive", queue: QUEUE });
  owner.ok({ op: "publish", topic: TOPIC, retain: true, payload: Buffer.from("s") });
  owner.ok({ op: "respond", filter: TOPIC, credit: 9 });
  const ask = { op: "request", topic: TOPIC, timeoutMs: 600_000 };
  const cached = owner.begin({ ...ask, cacheKey: "known", cacheTtlMs: 600_000 });
  const [first] = owner.takeAll("request");
  owner.ok({ op: "reply", request: first?.request, payload: Buffer.from("the answer") });
  assert.equal(owner.answerTo(cached)?.op, "ok");
  owner.begin(ask);
  assert.equal(owner.takeAll("request").length, 1);
  owner.take().length = 0;
  return { node, owner, join };
}

/** All that a request could change. */
function stateOf({ broker, store }: VirtualNode): unknown {
  const queues = [...broker.queues.all()].map(({ name, messages, settings, deliveries }) => {
    const { inHands, waiting, receiverCount, floor } = deliveries;
    return { name, messages, settings, inHands, waiting, receiverCount, floor };
  });
  const streams = broker.streams.all.map((stream) => ({
    name: stream.name,
    settings: stream.settings,
    stats: store.stats(stream.log),
    consumers: [...broker.consumers.of(stream)].map(({ name, deliveries, holders, settings }) => {
      const { floor, size, inHands } = deliveries;
      return { name, floor, size, inHands, holders: holders.size, settings };
    }),
  }));
  const { retained, requests, subscriptionCount, readers } = broker;
  return {
    queues,
    streams,
    retained: retained.bytes,
    waiting: requests.size,
    subscriptionCount,
    readers: readers.size,
  };
}

const allowed: Readonly<Record<string, ReadonlySet<Need>>> = {
  stranger: new Set(["own"]),
  writer: new Set(["own", "publish"]),
  reader: new Set(["own", "subscribe"]),
};

function refusedWithoutEffect(
  { node, owner }: Scene,
  client: NativeClient,
  [op, request]: readonly [ClientOp, Request],
): string {
  const before = stateOf(node);
  const answer = client.ask({ op, ...request });
  assert.equal(answer.op, "error", `${op} ${JSON.stringify(request)}`);
  assert.deepEqual(stateOf(node), before, `${op} ${JSON.stringify(request)}`);
  assert.deepEqual(owner.take(), [], `${op} told the owner something`);
  return `${answer["code"]}: ${answer["text"]}`;
}

test("Every op is in the table.", () => {
  const known = ["hello", "ping", "pong", ...Object.keys(TABLE)];
  assert.deepEqual([...CLIENT_OPS].sort(), known.sort());
});

for (const [name, may] of Object.entries(allowed)) {
  test(`What a ${name} may not do is refused, without effect, and tells nothing about what there is.`, (t: TestContext) => {
    let count = 0;
    for (const [op, [need, ask]] of Object.entries(TABLE) as [ClientOp, [Need, Ask]][]) {
      if (may.has(need)) continue;
      const there = scene();
      const client = there.join(name);
      const known = ask(STREAM, QUEUE, TOPIC);
      const unknown = ask("none", "nothing", "secret/nothing");
      for (const [index, request] of known.entries()) {
        const said = refusedWithoutEffect(there, client, [op, request]);
        assert.match(said, /^not-authorized/, `${op} ${JSON.stringify(request)}`);
        const elsewhere = refusedWithoutEffect(there, client, [op, unknown[index] ?? {}]);
        const shown = said.replaceAll(STREAM, "none").replaceAll(QUEUE, "nothing");
        assert.equal(shown.replaceAll(TOPIC, "secret/nothing"), elsewhere, op);
        count++;
      }
    }
    t.diagnostic(`${count} requests`);
    assert.ok(count > 20);
  });
}

test("What is of another connection cannot be named, and lists show nothing.", () => {
  const there = scene();
  for (const name of ["stranger", "writer"]) {
    const client = there.join(name);
    for (const [op, code] of Object.entries(OF_OTHERS) as [ClientOp, string][]) {
      for (const request of TABLE[op as keyof typeof TABLE][1](STREAM, QUEUE, TOPIC)) {
        assert.match(refusedWithoutEffect(there, client, [op, request]), new RegExp(`^${code}`));
      }
    }
    const before = stateOf(there.node);
    client.send({ op: "credit", sub: 1, add: 100 });
    assert.deepEqual(client.ok({ op: "stream.list" })["streams"], []);
    assert.deepEqual(client.ok({ op: "queue.list" })["queues"], []);
    assert.deepEqual(stateOf(there.node), before);
    assert.deepEqual(there.owner.take(), []);
  }
});

test("The broker's own topics are reached by nobody, whatever the rules say.", () => {
  const { node, join } = scene();
  const all = ["#", "$SYS/#", "$reply/#", "$queue/+", "$stream/+", "$share/#", "$other"];
  node.setPolicy({
    rules: [...RULES, user("root", { publish: all, subscribe: all })],
    users: undefined,
  });
  const root = join("root");
  const topics = ["$SYS/x", "$reply/token-2", `$queue/${QUEUE}`, `$stream/${STREAM}`, "$other"];
  const device = node.connect("device");
  device.subscribe("#");
  const before = stateOf(node);
  for (const topic of topics) {
    const requests = [
      { op: "publish", topic },
      { op: "request", topic, timeoutMs: 1_000 },
      { op: "route", to: topic, pattern: "event" },
      { op: "route", to: `event:${topic}` },
      { op: "route", to: "event:a", topic },
      { op: "append", stream: STREAM, messages: [{ topic }] },
      { op: "send", queue: QUEUE, messages: [{ topic }] },
      { op: "queue.create", queue: "catch", filters: [topic] },
      { op: "stream.create", stream: "catch", filters: [topic] },
    ];
    for (const request of requests) assert.equal(root.refused(request), "bad-frame", topic);
  }
  for (const filter of [`$queue/${QUEUE}`, `$stream/${STREAM}/first`, `$share/g/$queue/${QUEUE}`]) {
    assert.equal(root.refused({ op: "subscribe", filter, credit: 1 }), "bad-frame", filter);
    assert.equal(root.refused({ op: "respond", filter, credit: 1 }), "bad-frame", filter);
  }
  assert.deepEqual(stateOf(node), before);
});

test("Rules with wildcards give no right to a queue or stream, nor to see its name.", () => {
  const { node, join } = scene();
  const wide = ["#", "+/#", "+/+"];
  node.setPolicy({
    rules: [...RULES, user("wide", { publish: wide, subscribe: wide })],
    users: undefined,
  });
  const client = join("wide");
  for (const request of [
    { op: "send", queue: QUEUE, messages: [] },
    { op: "peek", queue: QUEUE },
    { op: "append", stream: STREAM, messages: [] },
    { op: "read", stream: STREAM, from: { at: "first" } },
    { op: "route", to: `queue:${QUEUE};stream:${STREAM}` },
  ]) {
    assert.equal(client.refused(request), "not-authorized");
  }
  assert.deepEqual(client.ok({ op: "queue.list" })["queues"], []);
  assert.deepEqual(client.ok({ op: "stream.list" })["streams"], []);
});

test("What somebody may write to takes no label of a topic that they may not publish to.", () => {
  const { node, join } = scene();
  const own = [`$stream/${STREAM}`, `$queue/${QUEUE}`, "mine/#"];
  node.setPolicy({ rules: [...RULES, user("app", { publish: own })], users: undefined });
  const client = join("app");
  const requests = (topic: string): Request[] => [
    { op: "append", stream: STREAM, messages: [{}, { topic }] },
    { op: "send", queue: QUEUE, messages: [{}, { topic }] },
    { op: "route", to: `queue:${QUEUE};stream:${STREAM}`, topic },
  ];
  const before = stateOf(node);
  for (const request of requests(TOPIC)) assert.equal(client.refused(request), "not-authorized");
  assert.deepEqual(stateOf(node), before);
  for (const request of requests("mine/a")) client.ok(request);
  client.ok({ op: "append", stream: STREAM, messages: [{ topic: STREAM }] });
  client.ok({ op: "send", queue: QUEUE, messages: [{ topic: QUEUE }] });
});

test("Who may read topics may not capture them where that could hold up their publishers.", () => {
  const { node, join } = scene();
  const own = ["$stream/mine", "$queue/mine"];
  const rights = (publish: readonly string[]): void => {
    const app = user("app", { publish: [...own, ...publish], subscribe: [...own, "line/#"] });
    node.setPolicy({ rules: [...RULES, app], users: undefined });
  };
  rights([]);
  const client = join("app");
  const filters = ["line/+/temperature"];
  const stream = { op: "stream.create", stream: "mine", filters };
  const queue = { op: "queue.create", queue: "mine", filters };
  assert.equal(client.refused(stream), "not-authorized");
  assert.equal(client.refused(queue), "not-authorized");
  client.ok({ ...stream, whenFull: "drop-oldest" });
  const update = { op: "stream.update", stream: "mine", whenFull: "reject" };
  assert.equal(client.refused(update), "not-authorized");
  client.ok({ op: "queue.create", queue: "mine" });
  assert.equal(client.refused({ op: "queue.update", queue: "mine", filters }), "not-authorized");
  rights(["line/#"]);
  client.ok(update);
  client.ok({ op: "queue.update", queue: "mine", filters });
  // Somebody else made it: limits of what captures are limits of those who publish.
  rights([]);
  const smaller = { op: "queue.update", queue: "mine", maxMessages: 0 };
  assert.equal(client.refused(smaller), "not-authorized");
});

test("Queues of the configuration are changed and deleted there only.", () => {
  const node = new VirtualNode({ queues: [{ name: "jobs" }] });
  const client = node.native("c");
  client.ok({ op: "send", queue: "jobs", messages: [{}] });
  for (const op of ["queue.update", "queue.delete"]) {
    assert.equal(client.refused({ op, queue: "jobs" }), "not-authorized");
  }
  client.ok({ op: "queue.purge", queue: "jobs" });
});

test("What a route stands for is not told to who may not write there.", () => {
  const { join } = scene();
  const answer = join("stranger").ask({ op: "route", to: "route:known" });
  assert.equal(answer["code"], "not-authorized");
  assert.ok(!String(answer["text"]).includes(QUEUE));
});
