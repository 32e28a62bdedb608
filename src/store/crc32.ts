import { crc32 as nativeCrc32 } from "node:zlib";

/** Below this many bytes the table is faster than a call into zlib and the view that it needs (measured). */
const NATIVE_BYTES_MIN = 96;

const TABLE = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value >>> 0;
});

/**
 * CRC-32 (as in zlib) of `bytes[start, end)`, started from `seed`: an earlier CRC to continue, or a number
 * that says where the bytes belong, so that the right bytes in the wrong place do not pass.
 */
export function crc32(bytes: Uint8Array, start: number, end: number, seed = 0): number {
  // Hot path: per record; long runs allocate one view.
  if (end - start >= NATIVE_BYTES_MIN) return nativeCrc32(bytes.subarray(start, end), seed);
  let crc = ~seed;
  for (let i = start; i < end; i++) {
    crc = (TABLE[(crc ^ (bytes[i] ?? 0)) & 0xff] ?? 0) ^ (crc >>> 8);
  }
  return ~crc >>> 0;
}
