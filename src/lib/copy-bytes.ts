/** So many are copied by hand: calls into the engine for a view and for the copy cost as much. */
const SHORT_BYTES_MAX = 32;

/**
 * A copy of `bytes[start, end)` that owns its memory. `Buffer.slice`, unlike that of `Uint8Array`, gives a view: use
 * this wherever bytes are kept.
 */
export function copyBytes(bytes: Uint8Array, start = 0, end = bytes.length): Uint8Array {
  const count = end - start;
  const copy = new Uint8Array(count);
  if (count <= SHORT_BYTES_MAX) {
    for (let i = 0; i < count; i++) copy[i] = bytes[start + i] ?? 0;
    return copy;
  }
  copy.set(start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end));
  return copy;
}
