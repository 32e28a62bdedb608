/** Base64 without padding, as PHC strings have it. */

const BYTES_MIN = 8;
const BYTES_MAX = 64;

/** Writes the bytes. */
export const base64 = (bytes: Uint8Array): string =>
  Buffer.from(bytes).toString("base64").replace(/=+$/, "");

/** The bytes; undefined when it is not exactly what `base64` writes, or stands for fewer than 8 or more than 64. */
export function fromBase64(text: string): Uint8Array | undefined {
  const bytes = Buffer.from(text, "base64");
  if (base64(bytes) !== text) return undefined;
  return bytes.length >= BYTES_MIN && bytes.length <= BYTES_MAX ? bytes : undefined;
}
