/** Data types of MQTT written to a ByteWriter, and their sizes in bytes. */
import type { ByteWriter } from "../lib/byte-writer.ts";
import { REMAINING_BYTES_MAX } from "./packet.ts";
import { STRING_BYTES_MAX } from "./utf8.ts";

const utf8 = new TextEncoder();

/** Bytes of a variable byte integer; the shortest form [MQTT-1.5.5-1]. */
export function variableIntegerSize(value: number): number {
  if (value < 0x80) return 1;
  if (value < 0x4000) return 2;
  return value < 0x20_0000 ? 3 : 4;
}

/** [MQTT 5.0 section 1.5.5]. The caller has reserved the room. @throws RangeError beyond 268,435,455. */
export function writeVariableInteger(writer: ByteWriter, value: number): void {
  if (value > REMAINING_BYTES_MAX)
    throw new RangeError(`variable byte integer ${value} is too large`);
  const { bytes } = writer;
  let end = writer.end;
  let rest = value;
  while (rest >= 0x80) {
    bytes[end++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  bytes[end++] = rest;
  writer.end = end;
}

/** Bytes of a string with its length field. */
export const stringSize = (text: string): number => 2 + Buffer.byteLength(text);

/** A UTF-8 encoded string [MQTT 5.0 section 1.5.4]. @throws RangeError beyond 65,535 bytes. */
export function writeString(writer: ByteWriter, text: string): void {
  const byteLength = Buffer.byteLength(text);
  if (byteLength > STRING_BYTES_MAX) throw new RangeError(`string of ${byteLength} bytes`);
  writer.reserve(2 + byteLength);
  writer.writeUint16(byteLength);
  const { bytes, end } = writer;
  if (byteLength === text.length && byteLength < 64) {
    // One byte per character: ASCII.
    for (let i = 0; i < byteLength; i++) bytes[end + i] = text.charCodeAt(i);
  } else {
    utf8.encodeInto(text, bytes.subarray(end, end + byteLength));
  }
  writer.end = end + byteLength;
}

/** Binary data [MQTT 5.0 section 1.5.6]. @throws RangeError beyond 65,535 bytes. */
export function writeBinary(writer: ByteWriter, data: Uint8Array): void {
  if (data.length > STRING_BYTES_MAX) throw new RangeError(`binary data of ${data.length} bytes`);
  writer.writeUint16(data.length);
  writer.writeBytes(data);
}
