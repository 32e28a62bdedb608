/** Is the file of a store whole? Reads all of it without LMDB and changes nothing. */
import { type LogId, SESSION_LOG, type SequenceRange } from "../../broker/store.ts";
import type { BackingTable } from "../backing.ts";
import { Chunk } from "../chunk.ts";
import {
  LOG_KEY_BYTES,
  LOG_NAME_PREFIX,
  logOfMetaKey,
  sequenceOfLogKey,
  startsWith,
} from "../keys.ts";
import { readUint32 } from "../numbers.ts";
import { SESSION_LOG_NAME } from "../recovery.ts";
import { readFreePages } from "./free-pages.ts";
import { PageFile, type Tree } from "./page-file.ts";
import type { OnProgress } from "./progress.ts";
import { isRowSane } from "./row-shape.ts";
import { findSnapshot, type Snapshot, TABLES } from "./snapshot.ts";
import { PageSet, TreeWalk } from "./tree-walk.ts";

/** Damaged pages that are listed; more are counted. */
const LISTED_MAX = 1_000;

/** A page that makes no sense where it is. */
export interface DamagedPage {
  readonly table: BackingTable | "free";
  readonly page: number;
  readonly why: string;
}

export interface CheckReport {
  /** Nothing is wrong. */
  readonly isIntact: boolean;
  /** The tree is whole; damaged records are no reason to rebuild it. */
  readonly isTreeIntact: boolean;
  readonly pages: number;
  /** What is wrong with the way to the tables. */
  readonly faults: readonly string[];
  readonly damagedPages: readonly DamagedPage[];
  readonly damagedPagesCount: number;
  readonly logs: readonly {
    readonly log: string;
    readonly records: number;
    readonly damaged: readonly SequenceRange[];
    /** What a salvage did not find: known since then. */
    readonly lost: readonly SequenceRange[];
  }[];
  readonly metaRows: number;
  readonly retained: number;
}

/** The sequences of a chunk whose records are damaged; all of them when the chunk is. */
export function damagedRecords(log: number, first: number, value: Uint8Array): SequenceRange[] {
  const chunk = new Chunk(log as LogId, first, value, first + 1);
  const damaged: SequenceRange[] = [];
  if (chunk.header === undefined) addRange(damaged, first, chunk.end - 1);
  else {
    for (let sequence = first; sequence < chunk.end; sequence++) {
      if (!chunk.isIntact(sequence)) addRange(damaged, sequence, sequence);
    }
  }
  return damaged;
}

/** Adds a run, joined with the last when it goes on from there. */
export function addRange(ranges: SequenceRange[], from: number, to: number): void {
  const last = ranges.at(-1);
  const joins = last !== undefined && last.to === from - 1;
  const range = { from: joins ? last.from : from, to } as SequenceRange;
  if (joins) ranges[ranges.length - 1] = range;
  else ranges.push(range);
}

interface LogFound {
  records: number;
  readonly damaged: SequenceRange[];
  readonly lost: SequenceRange[];
  /** One past the last sequence seen. */
  next: number;
}

class StoreCheck {
  readonly #file: PageFile;
  readonly #onProgress: OnProgress;
  readonly #reached: PageSet;
  readonly #faults: string[] = [];
  readonly #damagedPages: DamagedPage[] = [];
  #damagedPagesCount = 0;
  readonly #names = new Map<number, string>([[SESSION_LOG, SESSION_LOG_NAME]]);
  readonly #logs = new Map<number, LogFound>();
  readonly #rows = { log: 0, meta: 0, retained: 0 };

  constructor(file: PageFile, onProgress: OnProgress) {
    this.#file = file;
    this.#onProgress = onProgress;
    this.#reached = new PageSet(file.pages);
  }

  run(): CheckReport {
    const { snapshot, faults } = findSnapshot(this.#file);
    this.#faults.push(...faults);
    if (snapshot === undefined) this.#faults.push("no table can be found");
    else this.#checkSnapshot(snapshot);
    const isTreeIntact = this.#faults.length === 0 && this.#damagedPagesCount === 0;
    const logs = [...this.#logs].map(([id, { records, damaged, lost }]) => ({
      log: this.#names.get(id) ?? `log ${id}`,
      records,
      damaged,
      lost,
    }));
    return {
      isIntact: isTreeIntact && logs.every(({ damaged }) => damaged.length === 0),
      isTreeIntact,
      pages: this.#file.pages,
      faults: this.#faults,
      damagedPages: this.#damagedPages,
      damagedPagesCount: this.#damagedPagesCount,
      logs,
      metaRows: this.#rows.meta,
      retained: this.#rows.retained,
    };
  }

  #checkSnapshot(snapshot: Snapshot): void {
    if (snapshot.lastPage >= this.#file.pages) {
      this.#faults.push(`the file ends at page ${this.#file.pages} of ${snapshot.lastPage + 1}`);
    }
    for (const page of snapshot.mainPages) this.#reached.add(page);
    for (const table of TABLES) {
      const tree = snapshot.tables.get(table);
      if (tree !== undefined) this.#checkTable(table, tree, snapshot.transaction);
    }
    const free = readFreePages(this.#file, snapshot, new PageSet(this.#file.pages), (page, why) =>
      this.#addDamage({ table: "free", page, why }),
    );
    for (let page = 2; free !== undefined && page < this.#file.pages; page++) {
      if (free.has(page) && this.#reached.has(page)) {
        this.#addDamage({ table: "free", page, why: "free, but in use" });
      }
    }
  }

  #checkTable(table: BackingTable, tree: Tree, transaction: number): void {
    const walk = new TreeWalk(this.#file, this.#reached, transaction);
    let gaps = 0;
    for (const step of walk.steps(tree)) {
      if (step.kind === "gap") {
        gaps++;
        this.#addDamage({ table, page: step.gap.page, why: step.gap.why });
        continue;
      }
      this.#onProgress(step.value.length + step.key.length);
      this.#rows[table]++;
      if (table === "meta" && !isRowSane(step.key)) {
        this.#addDamage({ table, page: 0, why: "a row under a key of a length that there is not" });
      }
      if (table === "meta" && startsWith(step.key, LOG_NAME_PREFIX)) {
        this.#names.set(logOfMetaKey(step.key), Buffer.from(step.value).toString("utf8"));
      }
      if (table === "log") this.#checkChunk(step.key, step.value);
    }
    if (gaps === 0 && walk.entries !== tree.entries) {
      this.#faults.push(`${table}: ${walk.entries} entries, ${tree.entries} expected`);
    }
  }

  #checkChunk(key: Uint8Array, value: Uint8Array): void {
    if (key.length !== LOG_KEY_BYTES) {
      this.#faults.push("log: a key of another length");
      return;
    }
    const id = readUint32(key, 0);
    const first = sequenceOfLogKey(key);
    let log = this.#logs.get(id);
    if (log === undefined) {
      log = { records: 0, damaged: [], lost: [], next: first };
      this.#logs.set(id, log);
    }
    // Sequences are dense: what is between two chunks was there.
    if (first > log.next) addRange(log.damaged, log.next, first - 1);
    const chunk = new Chunk(id as LogId, first, value, first + 1);
    if (chunk.isHole) {
      addRange(log.lost, first, chunk.end - 1);
    } else {
      log.records += chunk.end - first;
      for (const { from, to } of damagedRecords(id, first, value)) addRange(log.damaged, from, to);
    }
    log.next = Math.max(log.next, chunk.end);
  }

  #addDamage(damage: DamagedPage): void {
    this.#damagedPagesCount++;
    if (this.#damagedPages.length < LISTED_MAX) this.#damagedPages.push(damage);
  }
}

/**
 * Checks the file at `path`.
 * @throws when it cannot be opened
 */
export function checkStore(path: string, onProgress: OnProgress = () => undefined): CheckReport {
  const file = new PageFile(path);
  try {
    return new StoreCheck(file, onProgress).run();
  } finally {
    file.close();
  }
}
