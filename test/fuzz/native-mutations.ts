/** Ways to spoil a conversation of the native protocol: its frames while they are values, and its messages once they are bytes. */
import type { Subprotocol } from "../../src/native/frame.ts";
import { codecOf } from "../../src/native/frame-codec.ts";
import type { Chance } from "./chance.ts";
import type { Frame } from "./native-conversation.ts";

type FrameMutation = (messages: Frame[][], chance: Chance) => void;
type ByteMutation = (bytes: Buffer, chance: Chance, subprotocol: Subprotocol) => Buffer;

/** An object with a property of its own that is named as what all objects have. */
function polluting(key: string): unknown {
  const object = {};
  const value = { polluted: true, op: "ping", id: 1, length: 3 };
  Object.defineProperty(object, key, {
    value,
    enumerable: true,
    writable: true,
    configurable: true,
  });
  return object;
}

function nested(depth: number, make: (inner: unknown) => unknown): unknown {
  let value: unknown = 1;
  for (let i = 0; i < depth; i++) value = make(value);
  return value;
}

const HUGE: readonly unknown[] = [
  -1,
  1.5,
  2 ** 31,
  2 ** 32,
  2 ** 53,
  2 ** 53 - 1,
  -(2 ** 53),
  1e300,
  Number.MAX_VALUE,
  65_536,
  4_294_967_295,
];
const VALUES: readonly unknown[] = [
  ...HUGE,
  null,
  "",
  "\0",
  "\ud800",
  "ü".repeat(200),
  "x".repeat(66_000),
  "#",
  "$reply/token-1",
  "$queue/q0",
  "$stream/s0",
  "$share/g/$queue/q0",
  "$SYS/broker",
  "__proto__",
  "constructor",
  "a;;b",
  "route:known;route:none;queue:",
  true,
  [],
  [[]],
  [null, 1, "x"],
  {},
  Array(300).fill(0),
  Array(70_000).fill(1),
];
const POLLUTING = ["__proto__", "constructor", "prototype", "toString", "hasOwnProperty", "then"];

const frameIn = (messages: Frame[][], chance: Chance): Frame => {
  const at = messages.length > 1 && !chance.oneIn(8) ? chance.between(1, messages.length - 1) : 0;
  const message = messages[at] ?? [];
  const frame: unknown = message.length === 0 ? {} : chance.pick(message);
  return typeof frame === "object" && frame !== null ? (frame as Frame) : {};
};

const fieldOf = (frame: Frame, chance: Chance): string => {
  const fields = Object.keys(frame);
  return fields.length === 0 ? "op" : chance.pick(fields);
};

/** Sets one value somewhere in a frame, also deep in it. */
function setDeep(frame: Frame, chance: Chance, value: unknown): void {
  const field = fieldOf(frame, chance);
  const inner = frame[field];
  const isDeep = typeof inner === "object" && inner !== null && !(inner instanceof Uint8Array);
  if (isDeep && chance.oneIn(2)) setDeep(inner as Frame, chance, value);
  else frame[field] = value;
}

export const FRAME_MUTATIONS: Readonly<Record<string, FrameMutation>> = {
  "a value replaced": (messages, chance) =>
    setDeep(frameIn(messages, chance), chance, structuredClone(chance.pick(VALUES))),
  "a number huge": (messages, chance) =>
    setDeep(frameIn(messages, chance), chance, chance.pick(HUGE)),
  "a field left out": (messages, chance) => {
    const frame = frameIn(messages, chance);
    delete frame[fieldOf(frame, chance)];
  },
  "fields of another frame": (messages, chance) => {
    Object.assign(frameIn(messages, chance), { ...frameIn(messages, chance) });
  },
  "another op": (messages, chance) => {
    frameIn(messages, chance)["op"] = frameIn(messages, chance)["op"];
  },
  "request ids used twice": (messages, chance) => {
    for (const frame of messages.flat()) {
      if (typeof frame === "object" && chance.oneIn(2)) frame["id"] = 1;
    }
  },
  "frames repeated": (messages, chance) => {
    const frame = frameIn(messages, chance);
    messages.push(Array.from({ length: chance.between(1, 200) }, () => ({ ...frame })));
  },
  "messages repeated": (messages, chance) => {
    const message = chance.pick(messages);
    messages.splice(chance.below(messages.length + 1), 0, structuredClone(message));
  },
  "order changed": (messages, chance) => {
    const [a, b] = [chance.below(messages.length), chance.below(messages.length)];
    [messages[a], messages[b]] = [messages[b] ?? [], messages[a] ?? []];
  },
  "credit without end": (messages, chance) => {
    for (let i = 0; i < 50; i++) {
      const add = chance.pick([65_535, 2 ** 53 - 1, 1]);
      messages.push([{ op: "credit", sub: chance.between(1, 3), add }]);
    }
  },
  "names that objects have": (messages, chance) => {
    const key = chance.pick(POLLUTING);
    const frame = frameIn(messages, chance);
    if (chance.oneIn(2)) Object.assign(frame, { [fieldOf(frame, chance)]: polluting(key) });
    else
      Object.defineProperty(frame, key, {
        value: { polluted: true },
        enumerable: true,
        writable: true,
        configurable: true,
      });
  },
  "nested deeply": (messages, chance) => {
    const depth = chance.pick([3, 9, 40, 400]);
    const make = chance.oneIn(2) ? (inner: unknown) => [inner] : (a: unknown) => ({ a });
    setDeep(frameIn(messages, chance), chance, nested(depth, make));
  },
  "what is no frame": (messages, chance) => {
    const value = chance.pick([1, "x", [], [[]], true]) as unknown as Frame;
    messages.splice(chance.below(messages.length + 1), 0, [value]);
  },
  "an empty list": (messages, chance) => {
    messages.splice(chance.below(messages.length + 1), 0, []);
  },
};

const SYNTAX = ["{", "}", "[", "]", '"', ",", ":", "\\u0000", "\\", "1e999", "-", "null"];
/** Types of MessagePack that are not used, extensions, wrong lengths. */
const MESSAGE_PACK = ["c1", "c7", "d4", "d6ff", "d47200", "dfffffffff", "ddffffffff", "c6ffffffff"]
  .concat("db7fffffff", "cf7fffffffffffffff", "d8", "d7ff0000000000000000", "cb7ff8000000000000")
  .map((hex) => Buffer.from(hex, "hex"));
/** UTF-8 that is none. */
const ILL_FORMED = ["c080", "c0af", "eda080", "f4908080", "e282", "ff", "fe"].map((hex) =>
  Buffer.from(hex, "hex"),
);

const insertAt = (bytes: Buffer, at: number, what: Buffer): Buffer =>
  Buffer.concat([bytes.subarray(0, at), what, bytes.subarray(at)]);

export const BYTE_MUTATIONS: Readonly<Record<string, ByteMutation>> = {
  "bits turned over": (bytes, chance) => {
    const changed = Buffer.from(bytes);
    for (let i = chance.between(1, 4); i > 0 && changed.length > 0; i--) {
      const at = chance.below(changed.length);
      changed[at] = (changed[at] ?? 0) ^ (1 << chance.below(8));
    }
    return changed;
  },
  truncated: (bytes, chance) => bytes.subarray(0, chance.below(bytes.length + 1)),
  "bytes behind it": (bytes, chance) => Buffer.concat([bytes, chance.bytes(chance.between(1, 9))]),
  "a piece repeated": (bytes, chance) => {
    const start = chance.below(bytes.length + 1);
    return insertAt(bytes, start, bytes.subarray(start, start + chance.below(40)));
  },
  "ill-formed UTF-8": (bytes, chance) =>
    insertAt(bytes, chance.below(bytes.length + 1), chance.pick(ILL_FORMED)),
  "syntax put in": (bytes, chance, subprotocol) => {
    const what =
      subprotocol === "rill.v1+json" ? Buffer.from(chance.pick(SYNTAX)) : chance.pick(MESSAGE_PACK);
    return insertAt(bytes, chance.below(bytes.length + 1), what);
  },
  noise: (_bytes, chance) => chance.bytes(chance.below(60)),
};

/** By name. */
export const NATIVE_MUTATIONS: readonly string[] = [
  ...Object.keys(FRAME_MUTATIONS),
  ...Object.keys(BYTE_MUTATIONS),
];

/** A conversation spoiled in up to three ways: frames that are still values, and what is to be done to bytes of some messages. */
function spoilFrames(messages: Frame[][], chance: Chance): string[] {
  const ways: string[] = [];
  for (let i = chance.pick([0, 1, 1, 1, 2, 3]); i > 0; i--) {
    const way = chance.pick(Object.keys(FRAME_MUTATIONS));
    FRAME_MUTATIONS[way]?.(messages, chance);
    ways.push(way);
  }
  return ways;
}

/** One message, spoiled now and then; the way, if it was. */
function spoilBytes(
  bytes: Buffer,
  chance: Chance,
  subprotocol: Subprotocol,
): { readonly bytes: Buffer; readonly way: string | undefined } {
  if (!chance.oneIn(24)) return { bytes, way: undefined };
  const way = chance.pick(Object.keys(BYTE_MUTATIONS));
  return { bytes: BYTE_MUTATIONS[way]?.(bytes, chance, subprotocol) ?? bytes, way };
}

/** A conversation as the bytes of its messages, spoiled. */
export function spoiledMessages(
  messages: Frame[][],
  chance: Chance,
  subprotocol: Subprotocol,
): { readonly messages: readonly Buffer[]; readonly ways: readonly string[] } {
  const ways = spoilFrames(messages, chance);
  const spoiled = messages.map((message) => {
    const encoded = codecOf(subprotocol).encode(message.length === 1 ? message[0] : message);
    const valid = typeof encoded === "string" ? Buffer.from(encoded) : Buffer.from(encoded);
    const { bytes, way } = spoilBytes(valid, chance, subprotocol);
    if (way !== undefined) ways.push(way);
    return bytes;
  });
  return { messages: spoiled, ways };
}
