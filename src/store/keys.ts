/**
 * Keys of the three tables.
 *
 *     log        u32 log id, u64 first sequence of the chunk
 *     meta       0x00 0x00                  version of the layout (u32)
 *                0x00 0x01, u32 log id      name of the log (UTF-8)
 *                0x00 0x02, u32 log id      u64 first sequence still there (trimmed before it)
 *                0x10.. and above           the broker's
 *     retained   topic (UTF-8), shortened when it is too long for a key
 */
import { createHash } from "node:crypto";
import { readUint32, readUint64, writeUint32, writeUint64 } from "./numbers.ts";

export const LOG_KEY_BYTES = 12;

export function logKey(log: number, sequence: number): Buffer {
  const key = Buffer.allocUnsafe(LOG_KEY_BYTES);
  writeUint32(key, 0, log);
  writeUint64(key, 4, sequence);
  return key;
}

export const sequenceOfLogKey = (key: Uint8Array): number => readUint64(key, 4);

/** First byte of every key that the broker may use in `meta`, at least. */
export const BROKER_META_MIN = 0x10;

export const LAYOUT_KEY: Uint8Array = Uint8Array.of(0, 0);
/** The version of the layout that this code reads and writes. */
export const LAYOUT_VERSION = 2;

function storeMetaKey(kind: number, log: number): Buffer {
  const key = Buffer.alloc(6);
  key[1] = kind;
  writeUint32(key, 2, log);
  return key;
}

export const LOG_NAME_PREFIX: Uint8Array = Uint8Array.of(0, 1);
export const TRIM_MARK_PREFIX: Uint8Array = Uint8Array.of(0, 2);
export const logNameKey = (log: number): Buffer => storeMetaKey(1, log);
export const trimMarkKey = (log: number): Buffer => storeMetaKey(2, log);
/** The log id in a key made by `logNameKey` or `trimMarkKey`. */
export const logOfMetaKey = (key: Uint8Array): number => readUint32(key, 2);

/** Longest key of a small record that is stored as it is; LMDB takes 1,978 bytes. */
export const PLAIN_KEY_BYTES_MAX = 1_900;
const HASH_BYTES = 32;
const SHORTENED_KEY_BYTES = PLAIN_KEY_BYTES_MAX + HASH_BYTES;

/** The key under which a small record is stored: itself, or its first 1,900 bytes and the SHA-256 of all of it. */
export function storedKey(key: Uint8Array): Uint8Array {
  if (key.length <= PLAIN_KEY_BYTES_MAX) return key;
  const hash = createHash("sha256").update(key).digest();
  return Buffer.concat([key.subarray(0, PLAIN_KEY_BYTES_MAX), hash], SHORTENED_KEY_BYTES);
}

/** The value to store under `storedKey(key)`: a shortened key puts its length and the whole key in front. */
export function storedValue(key: Uint8Array, value: Uint8Array): Uint8Array {
  if (key.length <= PLAIN_KEY_BYTES_MAX) return value;
  const length = Buffer.alloc(4);
  writeUint32(length, 0, key.length);
  return Buffer.concat([length, key, value]);
}

/** Key and value as they were before `storedKey` and `storedValue`. */
export function restoreEntry(
  key: Uint8Array,
  value: Uint8Array,
): [key: Uint8Array, value: Uint8Array] {
  if (key.length <= PLAIN_KEY_BYTES_MAX) return [key, value];
  const keyEnd = 4 + readUint32(value, 0);
  return [value.subarray(4, keyEnd), value.subarray(keyEnd)];
}

/** The first key after all that start with `prefix`; undefined: there is none. */
export function prefixEnd(prefix: Uint8Array): Uint8Array | undefined {
  for (let i = prefix.length - 1; i >= 0; i--) {
    const byte = prefix[i] ?? 0;
    if (byte === 0xff) continue;
    const end = new Uint8Array(prefix.subarray(0, i + 1));
    end[i] = byte + 1;
    return end;
  }
  return undefined;
}

export function startsWith(key: Uint8Array, prefix: Uint8Array): boolean {
  if (key.length < prefix.length) return false;
  for (let i = 0; i < prefix.length; i++) if (key[i] !== prefix[i]) return false;
  return true;
}
