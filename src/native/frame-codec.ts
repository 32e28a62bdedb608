/**
 * Frames to bytes and back. One WebSocket message is one frame, or a list of frames in order. Two forms of one schema:
 *
 *     rill.v1+msgpack   binary; bytes are `bin`
 *     rill.v1+json      text; bytes are `payload` and `correlation` as text where they are UTF-8 without losses, else
 *                       `payload64` and `correlation64` in base64
 *
 * Used by the broker and by the client. Bytes that are decoded are views of what came in: who keeps them copies them.
 */
import { Packr, Unpackr } from "msgpackr";
import type { Subprotocol } from "./frame.ts";
import { FrameError } from "./frame-fields.ts";

/** Objects in objects that a frame may have: a frame, its messages, their properties, a pair. */
const DEPTH_MAX = 8;

/** What one end of a connection speaks. */
export interface FrameCodec {
  /** Whether messages are text. */
  readonly isText: boolean;
  /** One frame, or several as one message. */
  encode(frame: unknown): Uint8Array | string;
  /**
   * All frames of a message.
   * @throws FrameError `bad-frame`
   */
  decode(message: Uint8Array): readonly unknown[];
}

const packr = new Packr({ useRecords: false, variableMapSize: true, largeBigIntToFloat: true });
const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true, int64AsType: "number" });

/**
 * The frames of a decoded message. Extensions of MessagePack can make values that contain themselves: nothing has more
 * parts than its message had bytes.
 */
function framesOf(value: unknown, bytes: number): readonly unknown[] {
  let parts = [value];
  let count = 1;
  for (let depth = 0; parts.length > 0; depth++) {
    if (depth > DEPTH_MAX) throw new FrameError("bad-frame", "nested too deeply");
    const next: unknown[] = [];
    for (const part of parts) {
      if (typeof part !== "object" || part === null || part instanceof Uint8Array) continue;
      const values = Object.values(part);
      count += values.length;
      if (count > bytes + 1) throw new FrameError("bad-frame", "contains itself");
      for (const one of values) next.push(one);
    }
    parts = next;
  }
  return Array.isArray(value) ? value : [value];
}

const messagePackCodec: FrameCodec = {
  isText: false,
  encode: (frame) => packr.pack(frame),
  decode(message) {
    try {
      return framesOf(unpackr.unpack(message), message.length);
    } catch (error) {
      if (error instanceof FrameError) throw error;
      throw new FrameError("bad-frame", "not MessagePack");
    }
  },
};

const strictText = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const utf8 = new TextEncoder();
/** Fields that are bytes. */
const BYTES_FIELDS = ["payload", "correlation"] as const;

function textOf(bytes: Uint8Array): string | undefined {
  try {
    return strictText.decode(bytes);
  } catch {
    return undefined;
  }
}

function base64Of(bytes: Uint8Array): string {
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary);
}

function bytesOfBase64(text: string): Uint8Array {
  let binary: string;
  try {
    binary = atob(text);
  } catch {
    throw new FrameError("bad-frame", "not base64");
  }
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

/** An object as JSON has it: bytes become text. */
function toJson(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(toJson);
  const object: Record<string, unknown> = {};
  for (const [field, part] of Object.entries(value)) {
    if (!(part instanceof Uint8Array)) {
      object[field] = toJson(part);
      continue;
    }
    const text = textOf(part);
    if (text === undefined) object[`${field}64`] = base64Of(part);
    else object[field] = text;
  }
  return object;
}

/** The reverse of `toJson`, in place: objects of frames have bytes where the schema has them. */
function fromJson(value: unknown): void {
  if (typeof value !== "object" || value === null) return;
  if (Array.isArray(value)) {
    for (const part of value) fromJson(part);
    return;
  }
  const object = value as Record<string, unknown>;
  for (const field of BYTES_FIELDS) {
    const encoded = object[`${field}64`];
    const plain = object[field];
    if (typeof encoded === "string") object[field] = bytesOfBase64(encoded);
    else if (typeof plain === "string") object[field] = utf8.encode(plain);
  }
  for (const part of Object.values(object)) {
    if (!(part instanceof Uint8Array)) fromJson(part);
  }
}

const jsonCodec: FrameCodec = {
  isText: true,
  encode: (frame) => JSON.stringify(toJson(frame)),
  decode(message) {
    const text = textOf(message);
    if (text === undefined) throw new FrameError("bad-frame", "not UTF-8");
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      throw new FrameError("bad-frame", "not JSON");
    }
    const frames = framesOf(value, message.length);
    for (const frame of frames) fromJson(frame);
    return frames;
  },
};

/** The codec of a subprotocol. */
export const codecOf = (subprotocol: Subprotocol): FrameCodec =>
  subprotocol === "rill.v1+json" ? jsonCodec : messagePackCodec;
