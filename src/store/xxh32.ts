/** XXH32, the public 32-bit hash, in four lanes of 32-bit words. See docs/decisions/0016 for why it and not CRC-32. */

const PRIME_1 = 0x9e3779b1 | 0;
const PRIME_2 = 0x85ebca77 | 0;
const PRIME_3 = 0xc2b2ae3d | 0;
const PRIME_4 = 0x27d4eb2f;
const PRIME_5 = 0x165667b1;

/**
 * XXH32 of the bytes `[start, end)` of a view, which the caller has checked to be there; unsigned. `seed`, of 32 bits, says where the bytes
 * belong, so that the right bytes in the wrong place do not pass. A change within one aligned word always changes the result.
 */
export function xxh32(view: DataView, start: number, end: number, seed: number): number {
  // Hot path: per record; allocates nothing.
  let at = start;
  let hash: number;
  if (end - start >= 16) {
    let one = (seed + PRIME_1 + PRIME_2) | 0;
    let two = (seed + PRIME_2) | 0;
    let three = seed | 0;
    let four = (seed - PRIME_1) | 0;
    for (const last = end - 16; at <= last; at += 16) {
      one = (one + Math.imul(view.getInt32(at, true), PRIME_2)) | 0;
      one = Math.imul((one << 13) | (one >>> 19), PRIME_1);
      two = (two + Math.imul(view.getInt32(at + 4, true), PRIME_2)) | 0;
      two = Math.imul((two << 13) | (two >>> 19), PRIME_1);
      three = (three + Math.imul(view.getInt32(at + 8, true), PRIME_2)) | 0;
      three = Math.imul((three << 13) | (three >>> 19), PRIME_1);
      four = (four + Math.imul(view.getInt32(at + 12, true), PRIME_2)) | 0;
      four = Math.imul((four << 13) | (four >>> 19), PRIME_1);
    }
    hash =
      ((one << 1) | (one >>> 31)) +
      ((two << 7) | (two >>> 25)) +
      ((three << 12) | (three >>> 20)) +
      ((four << 18) | (four >>> 14));
  } else {
    hash = seed + PRIME_5;
  }
  hash = (hash + (end - start)) | 0;
  for (; at + 4 <= end; at += 4) {
    hash = (hash + Math.imul(view.getInt32(at, true), PRIME_3)) | 0;
    hash = Math.imul((hash << 17) | (hash >>> 15), PRIME_4);
  }
  for (; at < end; at++) {
    hash = (hash + Math.imul(view.getUint8(at), PRIME_5)) | 0;
    hash = Math.imul((hash << 11) | (hash >>> 21), PRIME_1);
  }
  hash = Math.imul(hash ^ (hash >>> 15), PRIME_2);
  hash = Math.imul(hash ^ (hash >>> 13), PRIME_3);
  return (hash ^ (hash >>> 16)) >>> 0;
}
