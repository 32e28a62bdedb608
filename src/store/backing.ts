/**
 * What a LogStore stands on: three ordered tables with atomic commits. LMDB on disk, a sorted array in
 * memory for tests.
 */

/** `log`: chunks; `retained` and `meta`: the two tables of the port. */
export type BackingTable = "log" | "retained" | "meta";

/** One change of a commit; without value: a removal. */
export interface BackingWrite {
  readonly table: BackingTable;
  readonly key: Uint8Array;
  readonly value: Uint8Array | undefined;
}

export interface Backing {
  /**
   * Writes all or nothing, and calls back, later and once, when it is on disk or when its outcome is unknown. At most
   * one commit at a time. The bytes must not change until then.
   */
  commit(writes: readonly BackingWrite[], onDone: (error: Error | undefined) => void): void;
  /** A copy of the flushed value. */
  get(table: BackingTable, key: Uint8Array): Uint8Array | undefined;
  /** Flushed keys from `start` up to `end` (exclusive; undefined: to the table's end), in order. Copies. */
  keys(
    table: BackingTable,
    start: Uint8Array,
    end: Uint8Array | undefined,
    limit: number,
  ): Uint8Array[];
  /** As `keys`, with values. */
  entries(
    table: BackingTable,
    start: Uint8Array,
    end: Uint8Array | undefined,
    limit: number,
  ): [key: Uint8Array, value: Uint8Array][];
  /** The last flushed keys from `start` (inclusive) down to `end` (inclusive), highest first. */
  keysDown(table: BackingTable, start: Uint8Array, end: Uint8Array, limit: number): Uint8Array[];
  /** Bytes that can still be stored before the disk is full, as near as can be told. `liveBytes`: what the store counts. */
  bytesFree(liveBytes: number): number;
  /** Bytes that the tables `meta` and `retained` take, as flushed; without reading them. */
  tableBytes(): number;
  /** Releases everything. Waits for a commit in flight. */
  close(): Promise<void>;
}
