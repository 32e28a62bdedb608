/** A store in memory for tests and simulation: the same groups, chunks and numbers as on disk, over a sorted table. */
import type { Message } from "../broker/message.ts";
import type {
  CommitNumber,
  LogBatch,
  LogId,
  LogRecord,
  LogStats,
  Ordinal,
  Sequence,
  Store,
  StoreEvents,
  StoreRefusal,
  Table,
} from "../broker/store.ts";
import type { TopicTable } from "../broker/topic.ts";
import type { Instant } from "../lib/clock.ts";
import type { Backing, BackingTable, BackingWrite } from "./backing.ts";
import { LogStore } from "./log-store.ts";

/** A table in order of key. Keys are held as latin1 text, whose order is that of the bytes. */
class SortedTable {
  readonly #names: string[] = [];
  readonly #values = new Map<string, Uint8Array>();
  /** Of keys and values. */
  bytes = 0;

  get(key: Uint8Array): Uint8Array | undefined {
    return this.#values.get(nameOf(key));
  }

  set(key: Uint8Array, value: Uint8Array | undefined): void {
    const name = nameOf(key);
    const before = this.#values.get(name);
    const isThere = before !== undefined;
    if (isThere) this.bytes -= name.length + before.length;
    if (value !== undefined) {
      this.bytes += name.length + value.length;
      if (!isThere) this.#names.splice(this.lowerBound(key), 0, name);
      this.#values.set(name, new Uint8Array(value));
    } else if (isThere) {
      this.#names.splice(this.lowerBound(key), 1);
      this.#values.delete(name);
    }
  }

  /** Index of the first key that is not below `key`. */
  lowerBound(key: Uint8Array): number {
    const name = nameOf(key);
    let low = 0;
    let high = this.#names.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#names[middle] ?? "") < name) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  get size(): number {
    return this.#names.length;
  }

  keyAt(index: number): Uint8Array {
    return Buffer.from(this.#names[index] ?? "", "latin1");
  }
}

function nameOf(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.length).toString("latin1");
}

/** What survives a crash. Give the same one to the next `MemoryStore`. */
export class MemoryDisk {
  readonly tables: Readonly<Record<BackingTable, SortedTable>> = {
    log: new SortedTable(),
    retained: new SortedTable(),
    meta: new SortedTable(),
  };
  /** What `bytesFree` answers. */
  bytesFree = Number.POSITIVE_INFINITY;
  /** Commits written, over all stores. */
  commits = 0;

  /** Replaces or removes one value behind the store's back: damage. */
  overwrite(table: BackingTable, key: Uint8Array, value: Uint8Array | undefined): void {
    this.tables[table].set(key, value);
  }

  /** The keys of a table, in order. */
  keys(table: BackingTable): Uint8Array[] {
    return Array.from({ length: this.tables[table].size }, (_, i) => this.tables[table].keyAt(i));
  }
}

class MemoryBacking implements Backing {
  readonly #disk: MemoryDisk;
  readonly #onCommit: (finish: (error?: Error) => void) => void;

  constructor(disk: MemoryDisk, onCommit: (finish: (error?: Error) => void) => void) {
    this.#disk = disk;
    this.#onCommit = onCommit;
  }

  commit(writes: readonly BackingWrite[], onDone: (error: Error | undefined) => void): void {
    this.#onCommit((error) => {
      if (error === undefined) {
        for (const { table, key, value } of writes) this.#disk.tables[table].set(key, value);
        this.#disk.commits++;
      }
      onDone(error);
    });
  }

  get(table: BackingTable, key: Uint8Array): Uint8Array | undefined {
    const value = this.#disk.tables[table].get(key);
    return value === undefined ? undefined : new Uint8Array(value);
  }

  keys(
    table: BackingTable,
    start: Uint8Array,
    end: Uint8Array | undefined,
    limit: number,
  ): Uint8Array[] {
    const sorted = this.#disk.tables[table];
    const from = sorted.lowerBound(start);
    const to = end === undefined ? sorted.size : sorted.lowerBound(end);
    const keys: Uint8Array[] = [];
    for (let i = from; i < to && keys.length < limit; i++) keys.push(sorted.keyAt(i));
    return keys;
  }

  entries(
    table: BackingTable,
    start: Uint8Array,
    end: Uint8Array | undefined,
    limit: number,
  ): [key: Uint8Array, value: Uint8Array][] {
    const keys = this.keys(table, start, end, limit);
    return keys.map((key) => [key, this.get(table, key) ?? new Uint8Array(0)]);
  }

  keysDown(table: BackingTable, start: Uint8Array, end: Uint8Array, limit: number): Uint8Array[] {
    const sorted = this.#disk.tables[table];
    const from = sorted.lowerBound(end);
    const keys: Uint8Array[] = [];
    for (let i = sorted.lowerBound(start); i >= from && keys.length < limit; i--) {
      if (i < sorted.size && Buffer.compare(sorted.keyAt(i), start) <= 0)
        keys.push(sorted.keyAt(i));
    }
    return keys;
  }

  bytesFree(): number {
    return this.#disk.bytesFree;
  }

  tableBytes(): number {
    return this.#disk.tables.meta.bytes + this.#disk.tables.retained.bytes;
  }

  async close(): Promise<void> {}
}

/** The tables on a disk, without a store over them. Commits are flushed in a microtask. */
export const openMemoryBacking = (disk: MemoryDisk): Backing =>
  new MemoryBacking(disk, (finish) => queueMicrotask(finish));

export interface MemoryStoreOptions {
  readonly bytesMax?: number;
  readonly pendingBytesMax?: number;
  readonly diskReserveBytes?: number;
  /** 16 hexadecimal digits; by default told from the number of commits on the disk. */
  readonly epoch?: string;
  readonly topics?: TopicTable;
  /** `auto` (default): a group is flushed in a microtask. `manual`: when `flush` is called. */
  readonly flushes?: "auto" | "manual";
}

const UNBOUNDED = Number.MAX_SAFE_INTEGER;

/**
 * `Store` in memory. A crash is simply to forget the store and to open another one on the same disk: what was
 * not flushed is gone.
 */
export class MemoryStore implements Store {
  readonly epoch: string;
  readonly #store: LogStore;
  readonly #isManual: boolean;
  #seal: (() => void) | undefined;
  #finish: ((error?: Error) => void) | undefined;

  constructor(disk: MemoryDisk = new MemoryDisk(), options: MemoryStoreOptions = {}) {
    this.#isManual = options.flushes === "manual";
    const backing = new MemoryBacking(disk, (finish) => this.#onCommit(finish));
    this.epoch = options.epoch ?? (disk.commits + 1).toString(16).padStart(16, "0");
    this.#store = new LogStore(backing, {
      bytesMax: options.bytesMax ?? UNBOUNDED,
      pendingBytesMax: options.pendingBytesMax ?? UNBOUNDED,
      diskReserveBytes: options.diskReserveBytes ?? 0,
      lingerMs: 0,
      epoch: this.epoch,
      schedule: (seal) => this.#onSchedule(seal),
      ...(options.topics === undefined ? {} : { topics: options.topics }),
    });
  }

  #onSchedule(seal: () => void): void {
    if (this.#isManual) this.#seal = seal;
    else queueMicrotask(seal);
  }

  #onCommit(finish: (error?: Error) => void): void {
    if (this.#isManual) this.#finish = finish;
    else queueMicrotask(finish);
  }

  /** Seals what is staged, if no commit is in flight. True: a commit is in flight now. Manual only. */
  seal(): boolean {
    const seal = this.#seal;
    this.#seal = undefined;
    seal?.();
    return this.#finish !== undefined;
  }

  /** Completes the commit in flight; without one, that of what is staged. True: something was flushed. Manual only. */
  flush(): boolean {
    if (!this.seal()) return false;
    const finish = this.#finish;
    this.#finish = undefined;
    finish?.();
    return true;
  }

  /** Fails the commit in flight, or that of what is staged; nothing of it is on the disk. Manual only. */
  fail(error: Error): boolean {
    if (!this.seal()) return false;
    const finish = this.#finish;
    this.#finish = undefined;
    finish?.(error);
    return true;
  }

  get flushedCommit(): CommitNumber {
    return this.#store.flushedCommit;
  }

  get openCommit(): CommitNumber {
    return this.#store.openCommit;
  }

  get pendingBytes(): number {
    return this.#store.pendingBytes;
  }

  get hasChanges(): boolean {
    return this.#store.hasChanges;
  }

  get nextOrdinal(): Ordinal {
    return this.#store.nextOrdinal;
  }

  get bytesRead(): number {
    return this.#store.bytesRead;
  }

  get latestAt(): Instant | undefined {
    return this.#store.latestAt;
  }

  listen(events: StoreEvents): void {
    this.#store.listen(events);
  }

  openLog(name: string): LogId {
    return this.#store.openLog(name);
  }

  logNames(): ReadonlyMap<LogId, string> {
    return this.#store.logNames();
  }

  refusal(): StoreRefusal | undefined {
    return this.#store.refusal();
  }

  append(log: LogId, message: Message): LogRecord {
    return this.#store.append(log, message);
  }

  put(table: Table, key: Uint8Array, value: Uint8Array): void {
    this.#store.put(table, key, value);
  }

  sealSoon(): void {
    this.#store.sealSoon();
  }

  sealLater(): void {
    this.#store.sealLater();
  }

  remove(table: Table, key: Uint8Array): void {
    this.#store.remove(table, key);
  }

  get(table: Table, key: Uint8Array): Uint8Array | undefined {
    return this.#store.get(table, key);
  }

  scan(
    table: Table,
    prefix: Uint8Array,
    from?: Uint8Array,
    limit?: number,
  ): [key: Uint8Array, value: Uint8Array][] {
    return this.#store.scan(table, prefix, from, limit);
  }

  read(log: LogId, from: Sequence, recordsMax: number, bytesMax: number): LogBatch {
    return this.#store.read(log, from, recordsMax, bytesMax);
  }

  stats(log: LogId): LogStats {
    return this.#store.stats(log);
  }

  renameLog(log: LogId, name: string): void {
    this.#store.renameLog(log, name);
  }

  nextSequence(log: LogId): Sequence {
    return this.#store.nextSequence(log);
  }

  trim(log: LogId, before: Sequence, beforeOrdinal: Ordinal): Sequence {
    return this.#store.trim(log, before, beforeOrdinal);
  }

  async drain(): Promise<void> {
    const drained = this.#store.drain();
    if (this.#isManual) while (this.flush());
    await drained;
  }

  /** Closes; forgets what was not flushed. */
  async close(): Promise<void> {
    await this.#store.close();
  }
}
