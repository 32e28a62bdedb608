/** What a client's frame may hold, field by field; the one place where frames from outside are checked. */
import { isName, NAME_RULE } from "../broker/names.ts";
import { isWithinBytes } from "../lib/text-bytes.ts";
import type { ClientFrame, ClientOp, ErrorCode } from "./frame.ts";

/** A frame that makes no sense. `id`: of the request, where one could be read; without it the connection closes. */
export class FrameError extends Error {
  readonly code: ErrorCode;
  readonly id: number | undefined;

  constructor(code: ErrorCode, text: string, id?: number) {
    super(text);
    this.code = code;
    this.id = id;
  }
}

/** Longest identifier of a client, a message or a reply in the cache, in bytes of UTF-8. */
const IDENTIFIER_BYTES_MAX = 256;
/** Longest topic, filter, key or text, in bytes of UTF-8, and longest correlation: MQTT has no room for more. */
const TEXT_BYTES_MAX = 65_535;
/** Properties of one message. */
const PROPERTIES_MAX = 256;
/** Elements of any list in a frame; the connection's `batchMax` is the tighter bound. */
const LIST_MAX = 65_536;
const DURATION_MS_MAX = 10 * 365 * 24 * 3_600_000;

/** Looks at a value; a text says what is wrong with it. */
type Check = (value: unknown) => string | undefined;
type Fields = Readonly<Record<string, Check>>;

/** Without lone surrogates: what comes back from UTF-8 is the same text. */
const isWellFormed = (value: string): boolean => !/\p{Cs}/u.test(value);

const whole =
  (min: number, max: number): Check =>
  (value) =>
    Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max
      ? undefined
      : `expected a whole number from ${min} to ${max}`;

/** What a string of MQTT may hold [MQTT-1.5.4-1, 1.5.4-2]. */
const isText = (value: unknown, bytesMax: number): value is string =>
  typeof value === "string" &&
  isWithinBytes(value, bytesMax) &&
  !value.includes("\0") &&
  isWellFormed(value);

const text =
  (bytesMax: number): Check =>
  (value) =>
    isText(value, bytesMax) ? undefined : `expected text of at most ${bytesMax} bytes without NUL`;

const flag: Check = (value) => (typeof value === "boolean" ? undefined : "expected true or false");
const bytes: Check = (value) => (value instanceof Uint8Array ? undefined : "expected bytes");
const shortBytes: Check = (value) =>
  value instanceof Uint8Array && value.length <= TEXT_BYTES_MAX
    ? undefined
    : `expected at most ${TEXT_BYTES_MAX} bytes`;

const name: Check = (value) =>
  typeof value === "string" && isName(value) ? undefined : `expected a name of ${NAME_RULE}`;

const oneOf =
  (...values: readonly string[]): Check =>
  (value) =>
    typeof value === "string" && values.includes(value)
      ? undefined
      : `expected one of ${values.join(", ")}`;

const list =
  (check: Check, max = LIST_MAX): Check =>
  (value) => {
    if (!Array.isArray(value) || value.length > max) return `expected a list of at most ${max}`;
    for (const element of value) {
      const wrong = check(element);
      if (wrong !== undefined) return wrong;
    }
    return undefined;
  };

const pair: Check = (value) =>
  Array.isArray(value) && value.length === 2 && value.every((part) => isText(part, TEXT_BYTES_MAX))
    ? undefined
    : "expected pairs of texts";

const duration = whole(0, DURATION_MS_MAX);
const number = whole(0, Number.MAX_SAFE_INTEGER);
const anyText = text(TEXT_BYTES_MAX);

const content: Fields = {
  topic: anyText,
  payload: bytes,
  contentType: anyText,
  properties: list(pair, PROPERTIES_MAX),
  responseTopic: anyText,
  correlation: shortBytes,
  expiryMs: duration,
};

/** Checks the fields of an object that are there; `required` ones must be. */
function wrongIn(value: unknown, fields: Fields, required: readonly string[]): string | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    return "expected an object";
  const object = value as Readonly<Record<string, unknown>>;
  for (const field of required) {
    if (object[field] === undefined) return `${field} is missing`;
  }
  for (const field of Object.keys(fields)) {
    const found = object[field];
    const wrong = found === undefined ? undefined : fields[field]?.(found);
    if (wrong !== undefined) return `${field}: ${wrong}`;
  }
  return undefined;
}

const objects = (fields: Fields): Check => list((value) => wrongIn(value, fields, []));

const start: Check = (value) => {
  const fields = {
    at: oneOf("first", "last", "new"),
    sequence: number,
    timeAt: number,
    agoMs: number,
  };
  const wrong = wrongIn(value, fields, []);
  if (wrong !== undefined) return wrong;
  const given = Object.keys(fields).filter((field) => field in (value as object));
  return given.length === 1 ? undefined : "expected one of at, sequence, timeAt, agoMs";
};

const appended: Fields = { ...content, messageId: text(IDENTIFIER_BYTES_MAX) };
const sent: Fields = {
  ...appended,
  delayMs: duration,
  deliveriesMax: whole(1, 65_535),
  deadLetterQueue: name,
};
const streamSettings: Fields = {
  stream: name,
  filters: list(anyText, 64),
  maxBytes: number,
  maxMessages: number,
  maxAgeMs: duration,
  whenFull: oneOf("reject", "drop-oldest"),
  retain: oneOf("limits", "until-delivered"),
  duplicateWindowMs: duration,
};
const queueSettings: Fields = {
  queue: name,
  filters: list(anyText, 64),
  maxBytes: number,
  maxMessages: number,
  deliveriesMax: whole(1, 65_535),
  deadLetterQueue: name,
  visibilityMs: whole(1, DURATION_MS_MAX),
  expiryMs: duration,
  duplicateWindowMs: duration,
};
const sub: Fields = { sub: number };
const ofStream: Fields = { stream: name };
const ofConsumer: Fields = { stream: name, consumer: name };
const ofQueue: Fields = { queue: name };
const listing: Fields = { after: name, max: whole(1, LIST_MAX) };
const settledRecords: Fields = {
  ...sub,
  sequences: list(number),
  upTo: number,
  delayMs: duration,
};

interface Shape {
  readonly fields: Fields;
  readonly required: readonly string[];
  /** Whether the frame is a request: must carry an `id`; may; or does not. */
  readonly id: "required" | "optional" | "none";
}

const shape = (
  fields: Fields,
  required: readonly string[],
  id: Shape["id"] = "required",
): Shape => ({ fields, required, id });

const SHAPES: Readonly<Record<ClientOp, Shape>> = {
  hello: shape(
    {
      versions: list(number, 16),
      clientId: text(IDENTIFIER_BYTES_MAX),
      user: anyText,
      password: anyText,
      client: text(IDENTIFIER_BYTES_MAX),
    },
    ["versions"],
  ),
  ping: shape({}, []),
  pong: shape({}, [], "none"),
  publish: shape({ ...content, retain: flag }, ["topic"], "optional"),
  subscribe: shape(
    { filter: anyText, group: name, credit: number, retained: flag, noLocal: flag },
    ["filter", "credit"],
  ),
  unsubscribe: shape(sub, ["sub"]),
  credit: shape({ ...sub, add: number }, ["sub", "add"], "none"),
  "stream.create": shape(streamSettings, ["stream"]),
  "stream.update": shape(streamSettings, ["stream"]),
  "stream.delete": shape(ofStream, ["stream"]),
  "stream.info": shape(ofStream, ["stream"]),
  "stream.purge": shape({ ...ofStream, before: number }, ["stream"]),
  "stream.list": shape(listing, []),
  append: shape({ ...ofStream, messages: objects(appended), expectedSequence: number }, [
    "stream",
    "messages",
  ]),
  read: shape(
    { ...ofStream, from: start, max: whole(1, LIST_MAX), maxBytes: number, filter: anyText },
    ["stream", "from"],
  ),
  consume: shape(
    {
      ...ofConsumer,
      from: start,
      filter: anyText,
      credit: number,
      isGroup: flag,
      ackWaitMs: whole(1, DURATION_MS_MAX),
      unackedMax: whole(1, LIST_MAX),
      deliveriesMax: whole(1, 65_535),
      deadLetterStream: name,
    },
    ["stream", "credit"],
  ),
  ack: shape(settledRecords, ["sub"], "optional"),
  reject: shape(settledRecords, ["sub"], "optional"),
  "consumer.delete": shape(ofConsumer, ["stream", "consumer"]),
  "consumer.info": shape(ofConsumer, ["stream", "consumer"]),
  "consumer.list": shape(ofStream, ["stream"]),
  "queue.create": shape(queueSettings, ["queue"]),
  "queue.update": shape(queueSettings, ["queue"]),
  "queue.delete": shape(ofQueue, ["queue"]),
  "queue.info": shape(ofQueue, ["queue"]),
  "queue.purge": shape(ofQueue, ["queue"]),
  "queue.ackAll": shape(ofQueue, ["queue"]),
  "queue.list": shape(listing, []),
  send: shape({ ...ofQueue, messages: objects(sent) }, ["queue", "messages"]),
  receive: shape(
    {
      ...ofQueue,
      max: whole(1, LIST_MAX),
      waitMs: duration,
      visibilityMs: whole(1, DURATION_MS_MAX),
    },
    ["queue"],
  ),
  "queue.subscribe": shape(
    { ...ofQueue, credit: number, visibilityMs: whole(1, DURATION_MS_MAX) },
    ["queue", "credit"],
  ),
  settle: shape(
    {
      ...ofQueue,
      how: oneOf("ack", "reject", "requeue", "extend"),
      deliveries: list(number),
      delayMs: duration,
      to: name,
      visibilityMs: whole(1, DURATION_MS_MAX),
    },
    ["queue", "how", "deliveries"],
    "optional",
  ),
  peek: shape({ ...ofQueue, from: number, max: whole(1, LIST_MAX) }, ["queue"]),
  request: shape(
    {
      ...content,
      timeoutMs: whole(1, DURATION_MS_MAX),
      cacheKey: text(IDENTIFIER_BYTES_MAX),
      cacheTtlMs: duration,
    },
    ["topic", "timeoutMs"],
  ),
  respond: shape({ filter: anyText, group: name, credit: number }, ["filter", "credit"]),
  reply: shape({ ...content, request: number, error: anyText }, ["request"], "optional"),
  route: shape(
    {
      ...content,
      to: anyText,
      pattern: oneOf("event", "stream", "queue"),
      messageId: text(IDENTIFIER_BYTES_MAX),
    },
    ["to"],
  ),
};

/** All that a client may ask for. */
export const CLIENT_OPS = Object.keys(SHAPES) as readonly ClientOp[];

/**
 * Checks a frame of a client; unknown fields stay and mean nothing.
 * @throws FrameError `bad-frame` or `unknown-op`, with the request's `id` where it has one
 */
export function checkClientFrame(value: unknown): ClientFrame {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new FrameError("bad-frame", "a frame is an object");
  }
  const { op, id } = value as { readonly op?: unknown; readonly id?: unknown };
  const hasId = id !== undefined;
  if (hasId && number(id) !== undefined) throw new FrameError("bad-frame", `id: ${number(id)}`);
  const known = hasId ? (id as number) : undefined;
  const found =
    typeof op === "string" && Object.hasOwn(SHAPES, op) ? SHAPES[op as ClientOp] : undefined;
  if (found === undefined) throw new FrameError("unknown-op", "there is no such op", known);
  if (found.id === "required" && !hasId) throw new FrameError("bad-frame", "id is missing");
  const wrong = wrongIn(value, found.fields, found.required);
  if (wrong !== undefined) throw new FrameError("bad-frame", wrong, known);
  return value as ClientFrame;
}
