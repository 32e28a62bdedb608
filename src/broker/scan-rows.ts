import type { Store } from "./store.ts";

/** Rows of the first page; each page after it has four times as many. */
const FIRST_ROWS = 16;
const GROWTH = 4;

/**
 * All flushed rows of `meta` whose key starts with `prefix`, in order, read in pages of at most `rowsMax` (2 or more): who stops early has read
 * little, and who reads all of them never holds more than a page.
 */
export function* scanRows(
  store: Store,
  prefix: Uint8Array,
  rowsMax: number,
): Generator<[key: Uint8Array, value: Uint8Array]> {
  let from: Uint8Array | undefined;
  for (let wanted = Math.min(FIRST_ROWS, rowsMax); ; wanted = Math.min(wanted * GROWTH, rowsMax)) {
    const rows = store.scan("meta", prefix, from, wanted);
    for (const row of rows) if (!isSameKey(row[0], from)) yield row;
    const last = rows[rows.length - 1];
    if (last === undefined || rows.length < wanted) return;
    // A key that was found: long ones are not in their order (see `Store.scan`).
    from = last[0];
  }
}

const isSameKey = (a: Uint8Array, b: Uint8Array | undefined): boolean =>
  b !== undefined && a.length === b.length && a.every((byte, i) => byte === b[i]);
