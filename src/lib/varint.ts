/**
 * Unsigned integers up to 2^53 - 1 in 1 to 8 bytes, seven bits each, least significant first (LEB128). For records;
 * MQTT's own variable byte integer is in the codec.
 */

import type { ByteWriter } from "./byte-writer.ts";

/** The longest encoding, in bytes. */
export const VARINT_BYTES_MAX = 8;

export function writeVarint(writer: ByteWriter, value: number): void {
  writer.reserve(VARINT_BYTES_MAX);
  writer.end = putVarint(writer.bytes, writer.end, value);
}

/** Stores `value` at `offset` and returns the offset behind it. There must be room for 8 bytes. */
export function putVarint(bytes: Uint8Array, offset: number, value: number): number {
  let rest = value;
  let end = offset;
  while (rest >= 0x80) {
    bytes[end++] = (rest % 0x80) | 0x80;
    rest = Math.floor(rest / 0x80);
  }
  bytes[end++] = rest;
  return end;
}

/** Reads forward through bytes that are not trusted: past the end it gives zeros and says so in `isBroken`. */
export class VarintReader {
  readonly bytes: Uint8Array;
  offset: number;
  readonly end: number;
  isBroken = false;

  constructor(bytes: Uint8Array, offset = 0, end = bytes.length) {
    this.bytes = bytes;
    this.offset = offset;
    this.end = end;
  }

  readByte(): number {
    if (this.offset >= this.end) {
      this.isBroken = true;
      return 0;
    }
    return this.bytes[this.offset++] ?? 0;
  }

  readVarint(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < VARINT_BYTES_MAX; i++) {
      const byte = this.readByte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (!Number.isSafeInteger(value)) break;
        return value;
      }
      scale *= 0x80;
    }
    this.isBroken = true;
    return 0;
  }
}
