/**
 * MessagePack, as far as frames have it: nil, booleans, whole numbers to 2^53, floats, text, bytes, lists, and maps with text as keys.
 * No extensions. Used by the broker and by the client.
 *
 * Our own because it is the hot path of the native protocol: written straight into the output of a connection, read with a bound on
 * depth and without a second look, names that come again and again not decoded again.
 */
import { ByteWriter } from "../lib/byte-writer.ts";

/** Objects and lists in each other that a message may have: a list of frames, a frame, its messages, their properties, a pair. */
const DEPTH_MAX = 9;
const TWO_TO_32 = 0x1_0000_0000;

const NIL = 0xc0;
const FALSE = 0xc2;
const TRUE = 0xc3;
const BIN_8 = 0xc4;
const FLOAT_32 = 0xca;
const FLOAT_64 = 0xcb;
const UINT_8 = 0xcc;
const UINT_64 = 0xcf;
const INT_8 = 0xd0;
const INT_64 = 0xd3;
const STR_8 = 0xd9;
const ARRAY_16 = 0xdc;
const MAP_16 = 0xde;

const utf8 = new TextEncoder();
const strictText = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const float = new DataView(new ArrayBuffer(8));
const floatBytes = new Uint8Array(float.buffer);

/** Writes a value; fields that are undefined are left out. Hot path: per frame; allocates for long text alone. */
export function writeMessagePack(output: ByteWriter, value: unknown): void {
  if (typeof value === "string") writeText(output, value);
  else if (typeof value === "number") writeNumber(output, value);
  else if (typeof value === "boolean") output.writeByte(value ? TRUE : FALSE);
  else if (typeof value !== "object" || value === null) output.writeByte(NIL);
  else if (value instanceof Uint8Array) writeBin(output, value);
  else if (Array.isArray(value)) writeList(output, value);
  else writeMap(output, value as Readonly<Record<string, unknown>>);
}

/** The bytes of a value. */
export function packMessagePack(value: unknown): Uint8Array {
  const output = new ByteWriter();
  writeMessagePack(output, value);
  return output.bytes.slice(0, output.end);
}

function writeText(output: ByteWriter, text: string): void {
  const { length } = text;
  if (length < 32) {
    output.reserve(1 + length);
    const { bytes } = output;
    const at = output.end + 1;
    let i = 0;
    for (; i < length; i++) {
      const code = text.charCodeAt(i);
      if (code >= 0x80) break;
      bytes[at + i] = code;
    }
    if (i === length) {
      bytes[at - 1] = 0xa0 | length;
      output.end = at + length;
      return;
    }
  }
  writeUtf8(output, utf8.encode(text));
}

function writeBin(output: ByteWriter, bytes: Uint8Array): void {
  writeBinPart(output, bytes, 0, bytes.length);
}

/** `bytes[start, end)` as bytes, without a view of them. Hot path: per delivery. */
export function writeBinPart(
  output: ByteWriter,
  bytes: Uint8Array,
  start: number,
  end: number,
): void {
  writeSize(output, BIN_8, end - start);
  output.writeBytes(bytes, start, end);
}

/** The head of a list of so many values, which follow. */
export function writeListHead(output: ByteWriter, count: number): void {
  if (count < 16) output.writeByte(0x90 | count);
  else writeCount(output, ARRAY_16, count);
}

/** Text that is UTF-8 already. */
export function writeUtf8(output: ByteWriter, encoded: Uint8Array): void {
  if (encoded.length < 32) output.writeByte(0xa0 | encoded.length);
  else writeSize(output, STR_8, encoded.length);
  output.writeBytes(encoded);
}

function writeList(output: ByteWriter, list: readonly unknown[]): void {
  const { length } = list;
  writeListHead(output, length);
  for (let i = 0; i < length; i++) writeMessagePack(output, list[i]);
}

function writeMap(output: ByteWriter, map: Readonly<Record<string, unknown>>): void {
  let count = 0;
  for (const field in map) if (map[field] !== undefined) count++;
  writeMapHead(output, count);
  writeFields(output, map);
}

/** The head of a map of so many fields, which follow. */
export function writeMapHead(output: ByteWriter, count: number): void {
  if (count < 16) output.writeByte(0x80 | count);
  else writeCount(output, MAP_16, count);
}

/** Names and values, without a head. */
export function writeFields(output: ByteWriter, map: Readonly<Record<string, unknown>>): void {
  for (const field in map) {
    const value = map[field];
    if (value === undefined) continue;
    writeText(output, field);
    writeMessagePack(output, value);
  }
}

/** A size or number below 2^32; `type8` is the type with one byte of it, and the next two have two and four. */
function writeSize(output: ByteWriter, type8: number, size: number): void {
  if (size < 0x100) {
    output.writeByte(type8);
    output.writeByte(size);
  } else writeCount(output, type8 + 1, size);
}

/** The same where there is none with one byte. */
function writeCount(output: ByteWriter, type16: number, count: number): void {
  if (count < 0x1_0000) {
    output.writeByte(type16);
    output.writeUint16(count);
  } else {
    output.writeByte(type16 + 1);
    output.writeUint32(count);
  }
}

/** Hot path: per number. */
export function writeNumber(output: ByteWriter, value: number): void {
  if (value >= 0 && value < 0x80 && Number.isInteger(value)) output.writeByte(value);
  else if (value >= 0 && value < TWO_TO_32 && Number.isInteger(value)) {
    writeSize(output, UINT_8, value);
  } else if (value < 0 && value >= -0x20 && Number.isInteger(value)) {
    output.writeByte(value & 0xff);
  } else {
    // Up to 2^53 a float is exact, and every language has it.
    output.reserve(9);
    const { bytes, end } = output;
    bytes[end] = FLOAT_64;
    float.setFloat64(0, value);
    bytes.set(floatBytes, end + 1);
    output.end = end + 9;
  }
}

/** Text of up to so many bytes is remembered: names of fields, ops, queues. */
const NAME_BYTES_MAX = 32;
const NAMES = 1_024;

/** Reads one message at a time. What it gives has views of the message where it has bytes. */
export class MessagePackReader {
  /** Text that was read before, by its bytes; the latest of those with the same place. */
  readonly #names: (string | undefined)[] = new Array<string | undefined>(NAMES).fill(undefined);
  #bytes: Uint8Array = new Uint8Array(0);
  #at = 0;

  /**
   * The one value that a message is.
   * @throws Error for what is none: cut off, too deep, with extensions, with text that is not UTF-8
   */
  read(message: Uint8Array): unknown {
    this.#bytes = message;
    this.#at = 0;
    try {
      const value = this.#value(0);
      if (this.#at !== message.length) throw new Error("more than one value");
      return value;
    } finally {
      this.#bytes = EMPTY;
    }
  }

  /** Hot path: per value. */
  #value(depth: number): unknown {
    const type = this.#byte();
    if (type < 0x80) return type;
    if (type < 0x90) return this.#map(type & 0x0f, depth);
    if (type < 0xa0) return this.#list(type & 0x0f, depth);
    if (type < 0xc0) return this.#text(type & 0x1f);
    if (type >= 0xe0) return type - 0x100;
    return this.#long(type, depth);
  }

  #long(type: number, depth: number): unknown {
    switch (type) {
      case NIL:
        return null;
      case FALSE:
        return false;
      case TRUE:
        return true;
      case BIN_8:
      case BIN_8 + 1:
      case BIN_8 + 2:
        return this.#view(this.#size(type - BIN_8));
      case STR_8:
      case STR_8 + 1:
      case STR_8 + 2:
        return this.#text(this.#size(type - STR_8));
      case ARRAY_16:
      case ARRAY_16 + 1:
        return this.#list(this.#size(type - ARRAY_16 + 1), depth);
      case MAP_16:
      case MAP_16 + 1:
        return this.#map(this.#size(type - MAP_16 + 1), depth);
      case FLOAT_32:
        float.setUint32(0, this.#size(2));
        return float.getFloat32(0);
      case FLOAT_64:
        float.setUint32(0, this.#size(2));
        float.setUint32(4, this.#size(2));
        return float.getFloat64(0);
      default:
        return this.#whole(type);
    }
  }

  #whole(type: number): number {
    if (type >= UINT_8 && type < UINT_64) return this.#size(type - UINT_8);
    if (type === UINT_64) return this.#size(2) * TWO_TO_32 + this.#size(2);
    switch (type) {
      case INT_8:
        return (this.#size(0) << 24) >> 24;
      case INT_8 + 1:
        return (this.#size(1) << 16) >> 16;
      case INT_8 + 2:
        return this.#size(2) | 0;
      case INT_64:
        return (this.#size(2) | 0) * TWO_TO_32 + this.#size(2);
      default:
        throw new Error("an extension, or nothing that there is");
    }
  }

  /** A number of 1, 2 or 4 bytes: 0, 1 or 2. */
  #size(log2: number): number {
    let value = this.#byte();
    for (let more = (1 << log2) - 1; more > 0; more--) value = value * 0x100 + this.#byte();
    return value;
  }

  #byte(): number {
    const byte = this.#bytes[this.#at++];
    if (byte === undefined) throw new Error("cut off");
    return byte;
  }

  #list(length: number, depth: number): unknown[] {
    if (depth >= DEPTH_MAX) throw new TooDeepError("nested too deeply");
    const list: unknown[] = [];
    for (let i = 0; i < length; i++) list.push(this.#value(depth + 1));
    return list;
  }

  #map(length: number, depth: number): Record<string, unknown> {
    if (depth >= DEPTH_MAX) throw new TooDeepError("nested too deeply");
    const map: Record<string, unknown> = {};
    for (let i = 0; i < length; i++) {
      const field = this.#value(DEPTH_MAX);
      if (typeof field !== "string") throw new Error("a field whose name is no text");
      const value = this.#value(depth + 1);
      // Would be something else than a field.
      if (field !== "__proto__") map[field] = value;
    }
    return map;
  }

  #view(length: number): Uint8Array {
    const start = this.#at;
    this.#at += length;
    if (this.#at > this.#bytes.length) throw new Error("cut off");
    return this.#bytes.subarray(start, this.#at);
  }

  #text(length: number): string {
    const start = this.#at;
    const end = start + length;
    if (end > this.#bytes.length) throw new Error("cut off");
    this.#at = end;
    if (length > NAME_BYTES_MAX) return strictText.decode(this.#bytes.subarray(start, end));
    return this.#name(start, length);
  }

  /** Hot path: per field; text that came before is found by its bytes. */
  #name(start: number, length: number): string {
    const bytes = this.#bytes;
    let hash = length;
    for (let i = 0; i < length; i++) hash = (Math.imul(hash, 31) + (bytes[start + i] ?? 0)) | 0;
    const place = hash & (NAMES - 1);
    const known = this.#names[place];
    if (known !== undefined && isSame(known, bytes, start, length)) return known;
    const text = strictText.decode(bytes.subarray(start, start + length));
    if (text.length === length) this.#names[place] = text;
    return text;
  }
}

const EMPTY = new Uint8Array(0);

/** Objects and lists that are in each other further than any frame has them. */
export class TooDeepError extends Error {}

/** Whether ASCII text has these bytes. */
function isSame(text: string, bytes: Uint8Array, start: number, length: number): boolean {
  if (text.length !== length) return false;
  for (let i = 0; i < length; i++) if (text.charCodeAt(i) !== bytes[start + i]) return false;
  return true;
}
