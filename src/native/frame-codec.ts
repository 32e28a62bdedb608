/**
 * Frames to bytes and back. One WebSocket message is one frame, or a list of frames in order. Two forms of one schema:
 *
 *     rill.v1+msgpack   binary; bytes are `bin`
 *     rill.v1+json      text; bytes are `payload` and `correlation` as text where they are UTF-8 without losses, else
 *                       `payload64` and `correlation64` in base64
 *
 * Used by the broker and by the client. Bytes that are decoded are views of what came in: who keeps them copies them.
 */
import type { ByteWriter } from "../lib/byte-writer.ts";
import type { Subprotocol } from "./frame.ts";
import { FrameError } from "./frame-fields.ts";
import {
  MessagePackReader,
  packMessagePack,
  TooDeepError,
  writeMessagePack,
} from "./message-pack.ts";

/** Objects in objects that a frame may have: a frame, its messages, their properties, a pair. */
const DEPTH_MAX = 8;

/** What one end of a connection speaks. */
export interface FrameCodec {
  /** Whether messages are text. */
  readonly isText: boolean;
  /** One frame, or several as one message. */
  encode(frame: unknown): Uint8Array | string;
  /** Encodes one frame behind what is in `output`. */
  write(output: ByteWriter, frame: unknown): void;
  /**
   * All frames of a message.
   * @throws FrameError `bad-frame`
   */
  decode(message: Uint8Array): readonly unknown[];
}

const reader = new MessagePackReader();

/** @throws FrameError for what is nested further than a frame is */
function checkDepth(value: unknown): void {
  let parts = [value];
  for (let depth = 0; parts.length > 0; depth++) {
    if (depth > DEPTH_MAX) throw new FrameError("bad-frame", "nested too deeply");
    const next: unknown[] = [];
    for (const part of parts) {
      if (typeof part !== "object" || part === null || part instanceof Uint8Array) continue;
      for (const one of Object.values(part)) next.push(one);
    }
    parts = next;
  }
}

const framesOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [value]);

const messagePackCodec: FrameCodec = {
  isText: false,
  encode: packMessagePack,
  write: writeMessagePack,
  decode(message) {
    try {
      return framesOf(reader.read(message));
    } catch (error) {
      const isDeep = error instanceof TooDeepError;
      throw new FrameError("bad-frame", isDeep ? error.message : "not MessagePack");
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
  write: (output, frame) => output.writeBytes(utf8.encode(JSON.stringify(toJson(frame)))),
  decode(message) {
    const text = textOf(message);
    if (text === undefined) throw new FrameError("bad-frame", "not UTF-8");
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      throw new FrameError("bad-frame", "not JSON");
    }
    checkDepth(value);
    const frames = framesOf(value);
    for (const frame of frames) fromJson(frame);
    return frames;
  },
};

/** The codec of a subprotocol. */
export const codecOf = (subprotocol: Subprotocol): FrameCodec =>
  subprotocol === "rill.v1+json" ? jsonCodec : messagePackCodec;
