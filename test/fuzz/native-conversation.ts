/** Conversations of the native protocol that are right: what is spoiled afterwards. */
import type { Chance } from "./chance.ts";

export type Frame = Record<string, unknown>;

const TOPICS = ["t/a", "t/b", "t", "ask/x", "cmd/a/{requestId}", "t/é", "other/x"];
const FILTERS = ["t/a", "t/+", "#", "ask/+", "+/+", "cmd/#", "$SYS/#", "t/é/#"];
const QUEUES = ["q0", "q1", "dead", "ü"];
const STREAMS = ["captured", "s0", "s1"];
const CONSUMERS = ["c0", "c1"];
const STARTS = [
  { at: "first" },
  { at: "last" },
  { at: "new" },
  { sequence: 2 },
  { timeAt: 1_700_000_000_000 },
  { agoMs: 500 },
];
const MESSAGES_MAX = 8;

const maybe = (chance: Chance, field: string, value: unknown): Frame =>
  chance.oneIn(3) ? { [field]: value } : {};

const contentOf = (chance: Chance): Frame => ({
  ...maybe(chance, "payload", chance.bytes(chance.oneIn(20) ? 3_000 : chance.below(12))),
  ...maybe(chance, "contentType", "text/plain"),
  ...maybe(chance, "properties", [
    ["a", "b"],
    ["a", "c"],
  ]),
  ...maybe(chance, "responseTopic", chance.pick(["t/answer", "$reply/token-1"])),
  ...maybe(chance, "correlation", chance.bytes(4)),
  ...maybe(chance, "expiryMs", chance.below(3_000)),
});

const messagesOf = (chance: Chance, extra: () => Frame): Frame[] =>
  Array.from({ length: chance.below(4) }, () => ({
    ...contentOf(chance),
    ...maybe(chance, "messageId", `m${chance.below(5)}`),
    ...extra(),
  }));

const creditOf = (chance: Chance): number => chance.pick([0, 1, 3, 50, 65_535]);
const numbers = (chance: Chance): number[] =>
  Array.from({ length: chance.below(4) }, () => chance.between(1, 4));
/** Names of first and second deliveries of the first messages. */
const deliveries = (chance: Chance): number[] =>
  Array.from(
    { length: chance.below(4) },
    () => 65_536 * chance.between(1, 9) + chance.between(1, 3),
  );

/** One of each op, as a client that means well would send it, without `id`. */
const MAKE: Readonly<Record<string, (chance: Chance) => Frame>> = {
  ping: () => ({}),
  publish: (chance) => ({
    topic: chance.pick(TOPICS),
    ...contentOf(chance),
    ...maybe(chance, "retain", true),
  }),
  subscribe: (chance) => ({
    filter: chance.pick(FILTERS),
    credit: creditOf(chance),
    ...(chance.oneIn(3)
      ? { group: "g" }
      : { ...maybe(chance, "retained", true), ...maybe(chance, "noLocal", true) }),
  }),
  unsubscribe: (chance) => ({ sub: chance.between(1, 4) }),
  "stream.create": (chance) => ({
    stream: chance.pick(STREAMS),
    maxBytes: 20_000,
    maxMessages: 100,
    ...maybe(chance, "filters", [chance.pick(FILTERS.slice(0, 3))]),
    ...maybe(chance, "whenFull", "drop-oldest"),
  }),
  "stream.update": (chance) => ({
    stream: chance.pick(STREAMS),
    ...maybe(chance, "maxMessages", 50),
    ...maybe(chance, "maxAgeMs", 1_000),
  }),
  "stream.delete": (chance) => ({ stream: chance.pick(STREAMS) }),
  "stream.info": (chance) => ({ stream: chance.pick(STREAMS) }),
  "stream.purge": (chance) => ({ stream: chance.pick(STREAMS), ...maybe(chance, "before", 3) }),
  "stream.list": (chance) => maybe(chance, "max", 2),
  append: (chance) => ({
    stream: chance.pick(STREAMS),
    messages: messagesOf(chance, () => maybe(chance, "topic", chance.pick(TOPICS))),
    ...maybe(chance, "expectedSequence", chance.between(1, 9)),
  }),
  read: (chance) => ({
    stream: chance.pick(STREAMS),
    from: chance.pick(STARTS),
    max: 20,
    ...maybe(chance, "filter", chance.pick(FILTERS)),
    ...maybe(chance, "maxBytes", 100),
  }),
  consume: (chance) => ({
    stream: chance.pick(STREAMS),
    credit: creditOf(chance),
    from: chance.pick(STARTS),
    ...maybe(chance, "consumer", chance.pick(CONSUMERS)),
    ...maybe(chance, "isGroup", true),
    ...maybe(chance, "deliveriesMax", 2),
    ...maybe(chance, "ackWaitMs", 500),
    ...maybe(chance, "deadLetterStream", "s1"),
  }),
  ack: (chance) => ({ sub: chance.between(1, 4), sequences: numbers(chance) }),
  reject: (chance) => ({ sub: chance.between(1, 4), upTo: 3, ...maybe(chance, "delayMs", 100) }),
  "consumer.delete": (chance) => ({
    stream: chance.pick(STREAMS),
    consumer: chance.pick(CONSUMERS),
  }),
  "consumer.info": (chance) => ({ stream: chance.pick(STREAMS), consumer: chance.pick(CONSUMERS) }),
  "consumer.list": (chance) => ({ stream: chance.pick(STREAMS) }),
  "queue.create": (chance) => ({
    queue: chance.pick(QUEUES),
    maxBytes: 20_000,
    maxMessages: 100,
    ...maybe(chance, "filters", ["t/b"]),
    ...maybe(chance, "deadLetterQueue", "dead"),
    ...maybe(chance, "deliveriesMax", 2),
  }),
  "queue.update": (chance) => ({ queue: chance.pick(QUEUES), visibilityMs: 300, maxMessages: 50 }),
  "queue.delete": (chance) => ({ queue: chance.pick(QUEUES) }),
  "queue.info": (chance) => ({ queue: chance.pick(QUEUES) }),
  "queue.purge": (chance) => ({ queue: chance.pick(QUEUES) }),
  "queue.ackAll": (chance) => ({ queue: chance.pick(QUEUES) }),
  "queue.list": (chance) => maybe(chance, "after", "q0"),
  send: (chance) => ({
    queue: chance.pick(QUEUES),
    messages: messagesOf(chance, () => ({
      ...maybe(chance, "delayMs", chance.below(2_000)),
      ...maybe(chance, "deadLetterQueue", "dead"),
    })),
  }),
  receive: (chance) => ({
    queue: chance.pick(QUEUES),
    max: chance.between(1, 5),
    ...maybe(chance, "waitMs", chance.below(2_000)),
    ...maybe(chance, "visibilityMs", 200),
  }),
  "queue.subscribe": (chance) => ({ queue: chance.pick(QUEUES), credit: creditOf(chance) }),
  settle: (chance) => ({
    queue: chance.pick(QUEUES),
    how: chance.pick(["ack", "reject", "requeue", "extend"]),
    deliveries: deliveries(chance),
    ...maybe(chance, "to", chance.pick(QUEUES)),
    ...maybe(chance, "delayMs", 100),
  }),
  peek: (chance) => ({ queue: chance.pick(QUEUES), max: 5, ...maybe(chance, "from", 2) }),
  request: (chance) => ({
    topic: chance.pick(TOPICS),
    timeoutMs: chance.between(1, 2_000),
    ...contentOf(chance),
    ...(chance.oneIn(3) ? { cacheKey: "k", cacheTtlMs: 1_000 } : {}),
  }),
  respond: (chance) => ({
    filter: chance.pick(FILTERS),
    credit: creditOf(chance),
    ...maybe(chance, "group", "g"),
  }),
  reply: (chance) => ({
    request: chance.between(1, 3),
    ...contentOf(chance),
    ...maybe(chance, "error", "no"),
  }),
  route: (chance) => ({
    to: chance.pick(["t/a;queue:q0", "stream:captured;queue:q1;event:t/b", "route:known"]),
    pattern: "event",
    ...contentOf(chance),
    ...maybe(chance, "messageId", "m1"),
  }),
};

/** Frames that are never answered. */
const SILENT: Readonly<Record<string, (chance: Chance) => Frame>> = {
  pong: () => ({}),
  credit: (chance) => ({ sub: chance.between(1, 4), add: creditOf(chance) }),
};
/** Those that may go without `id`. */
const MAY_BE_SILENT = new Set(["publish", "ack", "reject", "settle", "reply"]);

/** Every op that is drawn. */
export const DRAWN_OPS: readonly string[] = ["hello", ...Object.keys(MAKE), ...Object.keys(SILENT)];

function frameOf(chance: Chance, id: number): Frame {
  if (chance.oneIn(12)) {
    const op = chance.pick(Object.keys(SILENT));
    return { op, ...SILENT[op]?.(chance) };
  }
  const op = chance.pick(Object.keys(MAKE));
  const isSilent = MAY_BE_SILENT.has(op) && chance.oneIn(3);
  return { op, ...(isSilent ? {} : { id }), ...MAKE[op]?.(chance) };
}

/** Messages of one or more frames, `hello` first; each `id` is there once. */
export function nativeConversation(chance: Chance): Frame[][] {
  const clientId = chance.pick(["n0", "n1", "n2", ""]);
  const hello = {
    op: "hello",
    id: 0,
    versions: [1],
    ...(clientId === "" ? {} : { clientId }),
  };
  const messages: Frame[][] = [[hello]];
  let id = 0;
  for (let i = chance.below(MESSAGES_MAX); i > 0; i--) {
    const count = chance.oneIn(3) ? chance.between(1, 5) : 1;
    messages.push(Array.from({ length: count }, () => frameOf(chance, ++id)));
  }
  return messages;
}
