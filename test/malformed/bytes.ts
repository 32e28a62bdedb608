/** A small language for packets that are wrong on purpose: nothing here checks what it is told. */

/** Bytes, or text that stands for its UTF-8 bytes. */
export type Part = Uint8Array | string;

/** Some bytes. */
export const raw = (...bytes: readonly number[]): Buffer => Buffer.from(bytes);

/** Parts behind one another. */
export const join = (...parts: readonly Part[]): Buffer =>
  Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(part) : part)));

/** A two byte integer [MQTT 5.0 section 1.5.2]. */
export const u16 = (value: number): Buffer => raw((value >>> 8) & 0xff, value & 0xff);

/** A four byte integer [MQTT 5.0 section 1.5.3]. */
export const u32 = (value: number): Buffer => join(u16(value >>> 16), u16(value & 0xffff));

/** A variable byte integer in as few bytes as possible [MQTT 5.0 section 1.5.5]. */
export function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  do {
    const low = rest & 0x7f;
    rest >>>= 7;
    bytes.push(rest > 0 ? low | 0x80 : low);
  } while (rest > 0);
  return Buffer.from(bytes);
}

/** A variable byte integer with one byte more than it needs. */
export function longVarint(value: number): Buffer {
  const bytes = varint(value);
  const last = bytes.length - 1;
  return join(bytes.subarray(0, last), raw((bytes[last] ?? 0) | 0x80, 0));
}

/** A string or binary data with its length before it; `length` says something else than there is. */
export function str(content: Part, length?: number): Buffer {
  const bytes = join(content);
  return join(u16(length ?? bytes.length), bytes);
}

/** A packet: first byte, Remaining Length, body. */
export function packet(first: number, ...parts: readonly Part[]): Buffer {
  const body = join(...parts);
  return join(raw(first), varint(body.length), body);
}

/** A property list with its length. */
export function properties(...parts: readonly Part[]): Buffer {
  const list = join(...parts);
  return join(varint(list.length), list);
}
