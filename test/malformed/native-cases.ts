/**
 * The corpus of malformed input for the native protocol: frames with one fault each, from the tables of docs/native-protocol.md and not from
 * the broker's own checks, and messages that are no frames. Each frame is right without its fault.
 */

type Frame = Readonly<Record<string, unknown>>;

/**
 * What the broker does:
 *
 *     answers   an error with this code and the request's `id`, and goes on
 *     closes    an error with this code and without `id`, and the end
 */
export interface NativeCase {
  readonly op: string;
  readonly fault: string;
  readonly frame: unknown;
  /** Undefined: there is none, see `fault`. */
  readonly base: Frame | undefined;
  readonly expected: { readonly kind: "answers" | "closes"; readonly code: string };
}

const ID = 7;
const BAD = { kind: "answers", code: "bad-frame" } as const;
const CLOSES = { kind: "closes", code: "bad-frame" } as const;

/** [what it is, value] */
type Bad = readonly (readonly [string, unknown])[];

const TYPES: Bad = [
  ["null", null],
  ["true", true],
  ["a list", []],
  ["an object", { a: 1 }],
];
const NO_TEXT: Bad = [...TYPES, ["a number", 1]];
const BAD_TEXT: Bad = [
  ...NO_TEXT,
  ["text with U+0000", "a\0b"],
  ["text longer than 65,535 bytes", "ü".repeat(32_768)],
];
const NO_NUMBER: Bad = [
  ...TYPES,
  ["text", "1"],
  ["-1", -1],
  ["1.5", 1.5],
  ["2^53", 2 ** 53],
  ["1e300", 1e300],
];
const BAD_NAME: Bad = [
  ...NO_TEXT,
  ["empty", ""],
  ["longer than 256 bytes", "ü".repeat(129)],
  ["with $ in front", "$a"],
  ...["/", "+", "#", "*", ">", ";", ":", "\n", "\u007f", "\0"].map(
    (char) => [`a name with ${JSON.stringify(char)}`, `a${char}b`] as const,
  ),
];
const BAD_FLAG: Bad = [
  ["null", null],
  ["1", 1],
  ["text", "true"],
  ["a list", []],
];
const BAD_LIST: Bad = [
  ["null", null],
  ["text", "a"],
  ["1", 1],
  ["an object", { a: 1 }],
];
const AT_LEAST_1: Bad = [...NO_NUMBER, ["0", 0]];
const DURATION: Bad = [...NO_NUMBER, ["longer than ten years", 10 * 365 * 86_400_000 + 1]];
const VISIBILITY: Bad = [...DURATION, ["0", 0]];
const NUMBERS: Bad = [...BAD_LIST, ["a list of texts", ["1"]], ["a list with -1", [1, -1]]];
const BAD_FILTERS: Bad = [
  ...BAD_LIST,
  ["a list of numbers", [1]],
  ["65 of them", Array(65).fill("a")],
];
/** Bytes: text is such in JSON. */
const BAD_BYTES: Bad = [
  ["null", null],
  ["a number", 1],
  ["true", true],
  ["a list", [1]],
];
const BAD_PROPERTIES: Bad = [
  ...BAD_LIST,
  ["a pair of one", [["a"]]],
  ["a pair of three", [["a", "b", "c"]]],
  ["a pair of numbers", [["a", 1]]],
  ["text in place of a pair", ["ab"]],
  ["257 pairs", Array(257).fill(["a", "b"])],
];
const BAD_START: Bad = [
  ...NO_TEXT,
  ["empty", {}],
  ["two at once", { at: "first", sequence: 1 }],
  ["another word", { at: "middle" }],
  ["a sequence as text", { sequence: "1" }],
  ["a negative sequence", { sequence: -1 }],
  ["a time that is none", { timeAt: "now" }],
  ["a negative age", { agoMs: -1 }],
];
/** Where more is wrong than its type. */
const BAD_TOPIC: Bad = [
  ...BAD_TEXT,
  ["empty", ""],
  ["with a wildcard", "a/+"],
  ["with #", "#"],
  ["$SYS", "$SYS/a"],
  ["a queue", "$queue/q"],
  ["a stream", "$stream/s"],
  ["a reply topic", "$reply/token-1"],
  ["a shared subscription", "$share/g/a"],
];
const BAD_FILTER: Bad = [
  ...BAD_TEXT,
  ["empty", ""],
  ["# not at the end", "#/a"],
  ["a wildcard in a level", "a+"],
  ["a shared one", "$share/g/a"],
  ["a shared one without filter", "$share/g"],
  ["a queue", "$queue/q"],
  ["a stream", "$stream/s/first"],
  ["a shared queue", "$share/g/$queue/q"],
];
const BAD_CAPTURE: Bad = [
  ...BAD_FILTERS,
  ["a broken one", ["#/a"]],
  ["one with $", ["$SYS/#"]],
  ["a queue", ["$queue/q"]],
];
const BAD_ID_TEXT: Bad = [...NO_TEXT, ["longer than 256 bytes", "a".repeat(257)], ["U+0000", "\0"]];
const oneOf = (): Bad => [...NO_TEXT, ["another word", "other"], ["empty", ""]];

const CONTENT: Readonly<Record<string, Bad>> = {
  payload: BAD_BYTES,
  contentType: BAD_TEXT,
  properties: BAD_PROPERTIES,
  responseTopic: [...BAD_TEXT, ["with a wildcard", "a/#"], ["empty", ""]],
  correlation: BAD_BYTES,
  expiryMs: DURATION,
};

interface Spec {
  readonly base: Frame;
  readonly required: readonly string[];
  readonly fields: Readonly<Record<string, Bad>>;
  /** Fields of each message in `messages`. */
  readonly messages?: Readonly<Record<string, Bad>>;
}

const STREAM = { stream: BAD_NAME };
const QUEUE = { queue: BAD_NAME };
const SETTINGS = { maxBytes: NO_NUMBER, maxMessages: NO_NUMBER, duplicateWindowMs: DURATION };
const STREAM_SETTINGS = {
  ...STREAM,
  ...SETTINGS,
  filters: BAD_CAPTURE,
  maxAgeMs: DURATION,
  whenFull: oneOf(),
  retain: oneOf(),
};
const QUEUE_SETTINGS = {
  ...QUEUE,
  ...SETTINGS,
  filters: BAD_CAPTURE,
  deliveriesMax: [...AT_LEAST_1, ["65,536", 65_536]] as Bad,
  deadLetterQueue: BAD_NAME,
  visibilityMs: VISIBILITY,
  expiryMs: DURATION,
};
const CONSUMER = { ...STREAM, consumer: BAD_NAME };
const LISTING = { after: BAD_NAME, max: AT_LEAST_1 };
const RECORDS = { sub: NO_NUMBER, sequences: NUMBERS, upTo: NO_NUMBER, delayMs: DURATION };

const spec = (
  base: Frame,
  required: readonly string[],
  fields: Spec["fields"],
  messages?: Spec["messages"],
): Spec => ({ base, required, fields, ...(messages === undefined ? {} : { messages }) });

const ofStream = (): Spec => spec({ stream: "s" }, ["stream"], STREAM);
const ofQueue = (): Spec => spec({ queue: "q" }, ["queue"], QUEUE);
const ofConsumer = (): Spec =>
  spec({ stream: "s", consumer: "c" }, ["stream", "consumer"], CONSUMER);

/** Every op but `hello`, which is the first alone, and those that have no fields or are not answered. */
export const SPECS: Readonly<Record<string, Spec>> = {
  publish: spec({ topic: "a" }, ["topic"], { ...CONTENT, topic: BAD_TOPIC, retain: BAD_FLAG }),
  subscribe: spec({ filter: "a", credit: 1 }, ["filter", "credit"], {
    filter: BAD_FILTER,
    credit: NO_NUMBER,
    group: BAD_NAME,
    retained: BAD_FLAG,
    noLocal: BAD_FLAG,
  }),
  unsubscribe: spec({ sub: 1 }, ["sub"], { sub: NO_NUMBER }),
  "stream.create": spec({ stream: "s" }, ["stream"], STREAM_SETTINGS),
  "stream.update": spec({ stream: "s" }, ["stream"], STREAM_SETTINGS),
  "stream.delete": ofStream(),
  "stream.info": ofStream(),
  "stream.purge": spec({ stream: "s" }, ["stream"], { ...STREAM, before: NO_NUMBER }),
  "stream.list": spec({}, [], LISTING),
  append: spec(
    { stream: "s", messages: [{}] },
    ["stream", "messages"],
    { ...STREAM, messages: BAD_LIST, expectedSequence: NO_NUMBER },
    { ...CONTENT, topic: BAD_TOPIC, messageId: BAD_ID_TEXT },
  ),
  read: spec({ stream: "s", from: { at: "first" } }, ["stream", "from"], {
    ...STREAM,
    from: BAD_START,
    max: AT_LEAST_1,
    maxBytes: NO_NUMBER,
    filter: BAD_FILTER,
  }),
  consume: spec({ stream: "s", credit: 1 }, ["stream", "credit"], {
    ...CONSUMER,
    from: BAD_START,
    filter: BAD_FILTER,
    credit: NO_NUMBER,
    isGroup: BAD_FLAG,
    ackWaitMs: VISIBILITY,
    unackedMax: AT_LEAST_1,
    deliveriesMax: AT_LEAST_1,
    deadLetterStream: BAD_NAME,
  }),
  ack: spec({ sub: 1 }, ["sub"], RECORDS),
  reject: spec({ sub: 1 }, ["sub"], RECORDS),
  "consumer.delete": ofConsumer(),
  "consumer.info": ofConsumer(),
  "consumer.list": ofStream(),
  "queue.create": spec({ queue: "q" }, ["queue"], QUEUE_SETTINGS),
  "queue.update": spec({ queue: "q" }, ["queue"], QUEUE_SETTINGS),
  "queue.delete": ofQueue(),
  "queue.info": ofQueue(),
  "queue.purge": ofQueue(),
  "queue.ackAll": ofQueue(),
  "queue.list": spec({}, [], LISTING),
  send: spec(
    { queue: "q", messages: [{}] },
    ["queue", "messages"],
    { ...QUEUE, messages: BAD_LIST },
    {
      ...CONTENT,
      topic: BAD_TOPIC,
      messageId: BAD_ID_TEXT,
      delayMs: DURATION,
      deliveriesMax: AT_LEAST_1,
      deadLetterQueue: BAD_NAME,
    },
  ),
  receive: spec({ queue: "q" }, ["queue"], {
    ...QUEUE,
    max: AT_LEAST_1,
    waitMs: DURATION,
    visibilityMs: VISIBILITY,
  }),
  "queue.subscribe": spec({ queue: "q", credit: 1 }, ["queue", "credit"], {
    ...QUEUE,
    credit: NO_NUMBER,
    visibilityMs: VISIBILITY,
  }),
  settle: spec({ queue: "q", how: "ack", deliveries: [] }, ["queue", "how", "deliveries"], {
    ...QUEUE,
    how: oneOf(),
    deliveries: NUMBERS,
    delayMs: DURATION,
    to: BAD_NAME,
    visibilityMs: VISIBILITY,
  }),
  peek: spec({ queue: "q" }, ["queue"], { ...QUEUE, from: NO_NUMBER, max: AT_LEAST_1 }),
  request: spec({ topic: "a", timeoutMs: 10 }, ["topic", "timeoutMs"], {
    ...CONTENT,
    topic: BAD_TOPIC,
    timeoutMs: VISIBILITY,
    cacheKey: BAD_ID_TEXT,
    cacheTtlMs: DURATION,
  }),
  respond: spec({ filter: "a", credit: 1 }, ["filter", "credit"], {
    filter: BAD_FILTER,
    credit: NO_NUMBER,
    group: BAD_NAME,
  }),
  reply: spec({ request: 1 }, ["request"], { ...CONTENT, request: NO_NUMBER, error: BAD_TEXT }),
  route: spec({ to: "event:a" }, ["to"], {
    ...CONTENT,
    topic: BAD_TOPIC,
    messageId: BAD_ID_TEXT,
    pattern: oneOf(),
    to: [
      ...BAD_TEXT,
      ["empty", ""],
      ["an empty destination", "event:a;;event:b"],
      ["no kind", "a"],
      ["another kind", "mail:a"],
      ["$ topic", "event:$SYS/a"],
      ["a wildcard", "event:a/+"],
      ["no route", "route:none"],
      ["a broken queue", "queue:a/b"],
      ["a broken stream", "stream:"],
      ["33 of them", Array.from({ length: 33 }, (_, i) => `event:t${i}`).join(";")],
    ],
  }),
};

const MAY_BE_SILENT = new Set(["publish", "ack", "reject", "settle", "reply"]);

function casesOf([op, { base, required, fields, messages = {} }]: [string, Spec]): NativeCase[] {
  const whole = { op, id: ID, ...base };
  const one = (
    fault: string,
    frame: unknown,
    expected: NativeCase["expected"] = BAD,
  ): NativeCase => ({
    op,
    fault,
    frame,
    base: whole,
    expected,
  });
  const without = (field: string): Frame =>
    Object.fromEntries(Object.entries(whole).filter(([name]) => name !== field));
  const ids: Bad = [...TYPES, ["text", "7"], ["-1", -1], ["1.5", 1.5], ["2^53", 2 ** 53]];
  return [
    ...required.map((field) => one(`without ${field}`, without(field))),
    ...Object.entries(fields).flatMap(([field, values]) =>
      values.map(([what, value]) => one(`${field}: ${what}`, { ...whole, [field]: value })),
    ),
    ...Object.entries(messages).flatMap(([field, values]) =>
      values.map(([what, value]) => {
        const spoilt = { ...whole, messages: [{}, { [field]: value }] };
        return one(`${field} of a message: ${what}`, spoilt);
      }),
    ),
    ...Object.keys(messages)
      .slice(0, 1)
      .flatMap(() =>
        NO_TEXT.map(([what, value]) => one(`a message: ${what}`, { ...whole, messages: [value] })),
      )
      .filter(({ fault }) => fault !== "a message: an object"),
    ...ids.map(([what, value]) => one(`id: ${what}`, { ...whole, id: value }, CLOSES)),
    ...(MAY_BE_SILENT.has(op) ? [] : [one("without id", without("id"), CLOSES)]),
  ];
}

const closes = (fault: string, frame: unknown, code = "bad-frame"): NativeCase => ({
  op: "-",
  fault,
  frame,
  base: undefined,
  expected: { kind: "closes", code },
});

const WITHOUT_OP: readonly NativeCase[] = [
  closes("null", null),
  closes("a number", 7),
  closes("text", "ping"),
  closes("a list in a list", [[{ op: "ping", id: 1 }]]),
  closes("true", true),
  closes("an empty object", {}, "unknown-op"),
  closes("no such op, without id", { op: "none" }, "unknown-op"),
  closes("the broker's own op", { op: "welcome" }, "unknown-op"),
  closes("an op of an object", { op: "constructor" }, "unknown-op"),
  closes("an op that is a number", { op: 1 }, "unknown-op"),
  ...["none", "ok", "event", "deliveries", "__proto__", "toString", "PING", ""].map((op) => ({
    op: "-",
    fault: `op ${JSON.stringify(op)}`,
    frame: { op, id: ID },
    base: undefined,
    expected: { kind: "answers", code: "unknown-op" } as const,
  })),
  closes("a second hello", { op: "hello", id: ID, versions: [1] }),
  closes("credit without sub", { op: "credit", add: 1 }),
  closes("credit below 0", { op: "credit", sub: 1, add: -1 }),
  closes("credit as text", { op: "credit", sub: 1, add: "1" }),
  closes("nested deeply", { op: "ping", id: 1, a: JSON.parse("[".repeat(40) + "]".repeat(40)) }),
];

/** All cases. */
export const NATIVE_CASES: readonly NativeCase[] = [
  ...Object.entries(SPECS).flatMap(casesOf),
  ...WITHOUT_OP,
];

/** Messages that cannot be decoded, by encoding. */
export const UNDECODABLE: Readonly<Record<"rill.v1+json" | "rill.v1+msgpack", readonly Buffer[]>> =
  {
    "rill.v1+json": [
      ...[
        "",
        "{",
        "}",
        "[",
        '{"op":"ping"',
        '{"op":"ping","id":1}}',
        "{op:1}",
        "'a'",
        "NaN",
        "1 2",
      ],
      ...['{"op":"ping",}', "[,]", "\u0000", "\ufeff{}", '{"op":"publish","payload64":"%%"}'],
    ]
      .map((text) => Buffer.from(text))
      .concat(
        ["22c328 22", "22eda08022", "22ff22", "c0"].map((hex) =>
          Buffer.from(hex.replaceAll(" ", ""), "hex"),
        ),
      ),
    "rill.v1+msgpack": [
      "",
      "c1",
      "92",
      "81",
      "a5616263",
      "dd00000002c0",
      "df7fffffff",
      "c6ffffffff01",
    ]
      .concat("db7fffffff61", "82a26f70", "81a26f70a470696e67c0", "ddffffffff", "a2c328")
      .map((hex) => Buffer.from(hex, "hex")),
  };
