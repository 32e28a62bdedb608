import { crc32 as nativeCrc32 } from "node:zlib";
import { readUint32 } from "./numbers.ts";

/** Below this many bytes the tables are faster than a call into zlib and the view that it needs (measured). */
const NATIVE_BYTES_MIN = 192;

/** Eight tables of 256: the n-th is the effect of a byte that is n places before the last of eight. */
const TABLES = new Uint32Array(8 * 256);
for (let byte = 0; byte < 256; byte++) {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  TABLES[byte] = value;
}
for (let at = 256; at < TABLES.length; at++) {
  const before = TABLES[at - 256] ?? 0;
  TABLES[at] = (before >>> 8) ^ (TABLES[before & 0xff] ?? 0);
}

const look = (table: number, byte: number): number => TABLES[(table << 8) | (byte & 0xff)] ?? 0;

/**
 * CRC-32 (as in zlib) of `bytes[start, end)`, started from `seed`: an earlier CRC to continue, or a number
 * that says where the bytes belong, so that the right bytes in the wrong place do not pass.
 */
export function crc32(bytes: Uint8Array, start: number, end: number, seed = 0): number {
  // Hot path: per record; long runs allocate one view.
  if (end - start >= NATIVE_BYTES_MIN) return nativeCrc32(bytes.subarray(start, end), seed);
  let crc = ~seed;
  let at = start;
  for (; at + 8 <= end; at += 8) {
    // Lowest byte first: what readUint32 gives as its highest.
    const low = readUint32(bytes, at);
    const high = readUint32(bytes, at + 4);
    crc =
      look(7, crc ^ (low >>> 24)) ^
      look(6, (crc >>> 8) ^ (low >>> 16)) ^
      look(5, (crc >>> 16) ^ (low >>> 8)) ^
      look(4, (crc >>> 24) ^ low) ^
      look(3, high >>> 24) ^
      look(2, high >>> 16) ^
      look(1, high >>> 8) ^
      look(0, high);
  }
  for (; at < end; at++) crc = look(0, crc ^ (bytes[at] ?? 0)) ^ (crc >>> 8);
  return ~crc >>> 0;
}
