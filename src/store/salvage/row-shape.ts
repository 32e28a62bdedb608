/** What a salvage knows of the broker's rows in `meta`; they are drawn in broker/session-records.ts. */

/** First byte of a session's key. */
export const SESSION_ROW = 0x10;
/** First bytes of the keys of QoS 2 exchanges: sent, received. */
export const EXCHANGE_ROWS: ReadonlySet<number> = new Set([0x28, 0x30]);
/** Keys of one length, by first byte; the store's own are two or six bytes. */
const KEY_BYTES: ReadonlyMap<number, number> = new Map([
  [0x20, 13],
  [0x24, 13],
  [0x28, 13],
  [0x30, 7],
]);

/** False: the key has a length that its kind never has, and whoever reads it would stumble. */
export function isRowSane(key: Uint8Array): boolean {
  const kind = key[0] ?? 0;
  if (kind === 0) return key.length === 2 || key.length === 6;
  const length = KEY_BYTES.get(kind);
  return length === undefined || key.length === length;
}
