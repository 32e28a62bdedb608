/**
 * Numbers in bytes: big endian of fixed width, and varints (seven bits a byte, lowest first, the top bit says
 * "more"). All are whole numbers from 0 to 2^53 - 1; `zigzag` maps signed ones onto them.
 */

const TWO_32 = 4_294_967_296;
/** Longest varint: 53 bits. */
export const VARINT_BYTES_MAX = 8;

export function writeUint32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

/** The caller has checked that four bytes are there. */
export function readUint32(bytes: Uint8Array, at: number): number {
  return (
    (((bytes[at] ?? 0) << 24) |
      ((bytes[at + 1] ?? 0) << 16) |
      ((bytes[at + 2] ?? 0) << 8) |
      (bytes[at + 3] ?? 0)) >>>
    0
  );
}

export function writeUint64(bytes: Uint8Array, at: number, value: number): void {
  writeUint32(bytes, at, Math.floor(value / TWO_32));
  writeUint32(bytes, at + 4, value >>> 0);
}

/** The caller has checked that eight bytes are there. Beyond 2^53 - 1 the result is not exact. */
export function readUint64(bytes: Uint8Array, at: number): number {
  return readUint32(bytes, at) * TWO_32 + readUint32(bytes, at + 4);
}

/** Writes a varint at `at` and returns where it ends. */
export function writeVarint(bytes: Uint8Array, at: number, value: number): number {
  // Hot path: several per record.
  let end = at;
  let rest = value;
  while (rest >= 0x80_00_00_00) {
    bytes[end++] = (rest % 128) | 0x80;
    rest = Math.floor(rest / 128);
  }
  while (rest >= 0x80) {
    bytes[end++] = rest | 0x80;
    rest >>>= 7;
  }
  bytes[end++] = rest;
  return end;
}

/** A signed whole number as an unsigned one, small when it was near zero. */
export const zigzag = (value: number): number => (value < 0 ? -value * 2 - 1 : value * 2);
export const unzigzag = (value: number): number => (value % 2 === 0 ? value / 2 : -(value + 1) / 2);
