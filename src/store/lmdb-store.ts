/**
 * The store on disk: LMDB by the recipe of docs/decisions/0005. One `batch` in flight at a time is one
 * transaction, and its promise resolves after both syncs, of the data and of the meta page.
 */
import { randomBytes } from "node:crypto";
import { statfsSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { type Database, open, type RootDatabase } from "lmdb";
import type { TopicTable } from "../broker/topic.ts";
import type { Backing, BackingTable, BackingWrite } from "./backing.ts";
import { LogStore } from "./log-store.ts";

const MIB = 1_048_576;
const PENDING_BYTES_MAX = 8 * MIB;
const DISK_RESERVE_BYTES = 32 * MIB;
/** Share of a small file system that is kept free. */
const DISK_RESERVE_SHARE = 0.05;
/** Trees, free pages and fragmentation: LMDB's file is at most about this much larger than what is live in it. */
const FILE_GROWTH = 1.5;

export interface LmdbStoreOptions {
  /** The file, by custom `store.mdb`; its folder is there. */
  readonly path: string;
  /** Live bytes of all logs from which on durable work is refused (default: no limit but the disk). */
  readonly bytesMax?: number;
  /** Bytes staged and in flight from which on durable work is refused (default 8 MiB). */
  readonly pendingBytesMax?: number;
  /** Free bytes on the file system under which durable work is refused (default 32 MiB, at most 5 % of the file system). */
  readonly diskReserveBytes?: number;
  /** How long a lone message waits for company, 0..50 ms (default 0). */
  readonly lingerMs?: number;
  /** Draws 16 hexadecimal digits for this opening. */
  readonly drawEpoch?: () => string;
  /** Topics of records that are read are interned here. */
  readonly topics?: TopicTable;
  /** For the power-cut control alone: leaves out the sync of the meta page, which loses acknowledged records. */
  readonly unsafeNoMetaSync?: boolean;
}

/** Its types do not know it: from how many writes on its writer is woken at once and not in the next turn. */
const WRITER_OPTIONS = { txnStartThreshold: 1 };

type BinaryDatabase = Database<Uint8Array, Uint8Array>;

class LmdbBacking implements Backing {
  readonly #path: string;
  readonly #env: RootDatabase<Uint8Array, Uint8Array>;
  readonly #tables: Readonly<Record<BackingTable, BinaryDatabase>>;

  constructor(path: string, noMetaSync: boolean) {
    this.#path = path;
    this.#env = open<Uint8Array, Uint8Array>({
      path,
      noSubdir: true,
      overlappingSync: false,
      eventTurnBatching: false,
      ...WRITER_OPTIONS,
      encoding: "binary",
      keyEncoding: "binary",
      maxDbs: 3,
      noMetaSync,
    });
    const openTable = (name: string): BinaryDatabase =>
      this.#env.openDB<Uint8Array, Uint8Array>({
        name,
        encoding: "binary",
        keyEncoding: "binary",
      });
    this.#tables = {
      log: openTable("log"),
      retained: openTable("retained"),
      meta: openTable("meta"),
    };
  }

  commit(writes: readonly BackingWrite[], onDone: (error: Error | undefined) => void): void {
    const done = this.#env.batch(() => {
      for (const write of writes) this.#write(write);
    });
    // Wakes the writer with the batch and not in the next turn, which may be long. Nothing of the group may come behind its batch: while a
    // large one is written down the writer begins, and ends the transaction with what the batch has.
    this.#env.batch(() => undefined).catch(commitFailure);
    done
      .then(
        () => onDone(undefined),
        (error: unknown) => onDone(commitFailure(error)),
      )
      .catch((error: unknown) => {
        // A mistake of ours in a listener: end the process, whoever guards against rejections.
        queueMicrotask(() => {
          throw error;
        });
      });
  }

  /** Its promise is that of the batch, or resolved already. */
  #write(write: BackingWrite): void {
    const { table, key, value } = write;
    const database = this.#tables[table];
    if (value === undefined) void database.remove(key);
    else void database.put(key, value);
  }

  get(table: BackingTable, key: Uint8Array): Uint8Array | undefined {
    const value = this.#tables[table].get(key);
    return value === undefined ? undefined : plain(value);
  }

  keys(
    table: BackingTable,
    start: Uint8Array,
    end: Uint8Array | undefined,
    limit: number,
  ): Uint8Array[] {
    return [...this.#tables[table].getKeys(rangeOf(start, end, limit))];
  }

  entries(
    table: BackingTable,
    start: Uint8Array,
    end: Uint8Array | undefined,
    limit: number,
  ): [key: Uint8Array, value: Uint8Array][] {
    const entries: [key: Uint8Array, value: Uint8Array][] = [];
    for (const { key, value } of this.#tables[table].getRange(rangeOf(start, end, limit))) {
      entries.push([key, plain(value)]);
    }
    return entries;
  }

  keysDown(table: BackingTable, start: Uint8Array, end: Uint8Array, limit: number): Uint8Array[] {
    const range = { start, end, limit, reverse: true, inclusiveEnd: true };
    return [...this.#tables[table].getKeys(range)];
  }

  bytesFree(liveBytes: number): number {
    const { bavail, bsize } = statfsSync(dirname(this.#path));
    const reusable = statSync(this.#path).size - liveBytes * FILE_GROWTH;
    return bavail * bsize + Math.max(0, reusable);
  }

  tableBytes(): number {
    return pageBytesOf(this.#tables.meta) + pageBytesOf(this.#tables.retained);
  }

  close(): Promise<void> {
    return this.#env.close();
  }
}

/** What the binding says of one table, as far as it is used here. */
interface TableStats {
  readonly pageSize: number;
  readonly treeBranchPageCount: number;
  readonly treeLeafPageCount: number;
  readonly overflowPages: number;
}

/** The tree keeps the count of its pages. */
function pageBytesOf(database: BinaryDatabase): number {
  const stats = database.getStats() as TableStats;
  const pages = stats.treeBranchPageCount + stats.treeLeafPageCount + stats.overflowPages;
  return pages * stats.pageSize;
}

/** A plain view of a value: the binding hands out buffers with properties of their own. */
function plain(value: Uint8Array): Uint8Array {
  return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
}

function rangeOf(
  start: Uint8Array,
  end: Uint8Array | undefined,
  limit: number,
): { start?: Uint8Array; end?: Uint8Array; limit: number } {
  return {
    limit,
    ...(start.length === 0 ? {} : { start }),
    ...(end === undefined ? {} : { end }),
  };
}

/** The error of a failed batch, with its cause; keeps the binding's second promise from ending the process. */
function commitFailure(error: unknown): Error {
  const { commitError } = error as { readonly commitError?: Promise<unknown> };
  commitError?.catch(() => {});
  return error instanceof Error ? error : new Error("the commit failed", { cause: error });
}

/** The reserve on the file system of `folder` when none is configured. */
function defaultDiskReserve(folder: string): number {
  const { blocks, bsize } = statfsSync(folder);
  return Math.min(DISK_RESERVE_BYTES, Math.floor(blocks * bsize * DISK_RESERVE_SHARE));
}

/** The tables in a file, made when it is not there, without a store over them. The caller closes them. */
export function openLmdbBacking(path: string): Backing {
  return new LmdbBacking(path, false);
}

/**
 * Opens the store in a file, made when it is not there. The data folder's lock is the caller's duty.
 * @throws when LMDB cannot open the file; `OperatingError` when its layout is not known.
 */
export function openLmdbStore(options: LmdbStoreOptions): LogStore {
  const backing = new LmdbBacking(options.path, options.unsafeNoMetaSync === true);
  try {
    return openOn(backing, options);
  } catch (error) {
    backing.close().catch(() => undefined);
    throw error;
  }
}

function openOn(backing: Backing, options: LmdbStoreOptions): LogStore {
  const drawEpoch = options.drawEpoch ?? ((): string => randomBytes(8).toString("hex"));
  return new LogStore(backing, {
    bytesMax: options.bytesMax ?? Number.MAX_SAFE_INTEGER,
    pendingBytesMax: options.pendingBytesMax ?? PENDING_BYTES_MAX,
    diskReserveBytes: options.diskReserveBytes ?? defaultDiskReserve(dirname(options.path)),
    lingerMs: options.lingerMs ?? 0,
    epoch: drawEpoch(),
    schedule: (seal) => {
      setImmediate(seal);
    },
    scheduleLater: (seal) => {
      setTimeout(seal, 1);
    },
    steadyMs: () => performance.now(),
    ...(options.topics === undefined ? {} : { topics: options.topics }),
  });
}
