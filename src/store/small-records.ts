/** Reading the small records of the tables `meta` and `retained`, whose keys may be longer than LMDB takes. */
import type { Table } from "../broker/store.ts";
import type { Backing } from "./backing.ts";
import {
  BROKER_META_MIN,
  PLAIN_KEY_BYTES_MAX,
  prefixEnd,
  restoreEntry,
  startsWith,
  storedKey,
} from "./keys.ts";

/** Records asked of the backing at once. */
const BATCH_MAX = 1_024;

const BROKER_META_START = Uint8Array.of(BROKER_META_MIN);

/** As `Store.get`. */
export function getSmall(backing: Backing, table: Table, key: Uint8Array): Uint8Array | undefined {
  const stored = storedKey(key);
  const value = backing.get(table, stored);
  return value === undefined ? undefined : restoreEntry(stored, value)[1];
}

/** As `Store.scan`; the store's own keys of `meta` are left out. */
export function scanSmall(
  backing: Backing,
  table: Table,
  prefix: Uint8Array,
  from: Uint8Array | undefined,
  limit: number,
): [key: Uint8Array, value: Uint8Array][] {
  const found: [key: Uint8Array, value: Uint8Array][] = [];
  const storedPrefix = prefix.subarray(0, PLAIN_KEY_BYTES_MAX);
  const end = prefixEnd(storedPrefix);
  let start = table === "meta" && prefix.length === 0 ? BROKER_META_START : storedPrefix;
  if (from !== undefined && Buffer.compare(storedKey(from), start) > 0) start = storedKey(from);
  while (found.length < limit) {
    const wanted = Math.min(limit - found.length, BATCH_MAX);
    const entries = backing.entries(table, start, end, wanted);
    for (const [key, value] of entries) {
      const entry = restoreEntry(key, value);
      if (startsWith(entry[0], prefix)) found.push(entry);
    }
    const last = entries.at(-1);
    if (last === undefined || entries.length < wanted) break;
    start = Buffer.concat([last[0], Uint8Array.of(0)]);
  }
  return found;
}
