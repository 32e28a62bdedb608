/**
 * A copy of `bytes[start, end)` that owns its memory. `Buffer.slice`, unlike that of `Uint8Array`, gives a view: use
 * this wherever bytes are kept.
 */
export function copyBytes(bytes: Uint8Array, start = 0, end = bytes.length): Uint8Array {
  const copy = new Uint8Array(end - start);
  copy.set(start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end));
  return copy;
}
