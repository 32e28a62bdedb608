/** Keys of small records: a byte that says what it is, and behind it a name or numbers (big endian). */

const utf8 = new TextEncoder();

/** `kind` and a name. */
export function textKey(kind: number, name: string): Uint8Array {
  const bytes = utf8.encode(name);
  const key = new Uint8Array(bytes.length + 1);
  key[0] = kind;
  key.set(bytes, 1);
  return key;
}

/** `kind`, a number:u32, and room for so many bytes more. */
export function numberKey(kind: number, number: number, moreBytes = 0): Uint8Array {
  const key = new Uint8Array(5 + moreBytes);
  key[0] = kind;
  new DataView(key.buffer).setUint32(1, number);
  return key;
}
