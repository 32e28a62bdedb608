/**
 * Makes a new store of what can be found in a damaged one. Reads the old file page by page without LMDB, so that no damage can end
 * the process, and writes a new one by the normal recipe.
 *
 * 1. The newest state whose trees can be walked is chosen (snapshot.ts), and every row that can be reached is taken.
 * 2. When a page on the way is damaged, its range of keys is a gap, and pages that no tree leads to are looked at (leftovers.ts):
 *    - chunks of logs, in gaps, not trimmed: each proves itself by its checksums, and never changes once it is written;
 *    - rows of `meta` and `retained`, in gaps: first from pages that the list of free pages does not name, since they were in
 *      use at the last commit; then, unless the tree's count of pages says that nothing is missing any more, from older copies of
 *      pages, the newest copy of each range of keys. These may bring back what was gone: at least once, rather than lost. Of QoS 2
 *      exchanges older rows are left out: a packet identifier that had been released must not swallow a new message.
 * 3. Sequences that are gone get a hole: a chunk with numbers and no records, so that they are reported and never given out
 *    again. Where the end of a log is lost, the hole skips more than could have been there: progress of uplinks and references
 *    of sessions may be beyond what was found, and new records must not fall under them.
 *
 * A little long: one pass after the other over the same findings.
 */
import { IntervalSet } from "../../lib/interval-set.ts";
import type { Backing, BackingTable } from "../backing.ts";
import {
  LAYOUT_KEY,
  LAYOUT_VERSION,
  LOG_KEY_BYTES,
  LOG_NAME_PREFIX,
  logKey,
  logNameKey,
  logOfMetaKey,
  startsWith,
  TRIM_MARK_PREFIX,
} from "../keys.ts";
import { readUint32, readUint64, writeUint32 } from "../numbers.ts";
import { decodeChunkHeader, RECORD_BYTES_MIN } from "../records.ts";
import { LOGS_MAX, SESSION_LOG_NAME } from "../recovery.ts";
import { readFreePages } from "./free-pages.ts";
import { HOLE_RECORDS_MAX, putHoles } from "./holes.ts";
import { KeyCover } from "./key-cover.ts";
import {
  type FoundChunk,
  type FoundLeaf,
  findLeftovers,
  isInAny,
  type Leftovers,
  rangeOfLeaf,
  readChunk,
  valueOfNode,
} from "./leftovers.ts";
import { Output } from "./output.ts";
import { PageFile } from "./page-file.ts";
import type { OnProgress } from "./progress.ts";
import { EXCHANGE_ROWS, isRowSane, SESSION_ROW } from "./row-shape.ts";
import type { SalvagedLog, SalvagedRows, SalvageReport } from "./salvage-report.ts";
import { type Found, findSnapshot, type Snapshot } from "./snapshot.ts";
import { addRange, type DamagedPage, damagedRecords } from "./store-check.ts";
import { type Gap, PageSet, TreeWalk } from "./tree-walk.ts";

/** No chunk holds more bytes, but one larger record alone. */
const CHUNK_BYTES_MAX = 65_536;
/** The largest commit, as for the bound of records that the last one may have had. */
const LAST_COMMIT_BYTES_MAX = 16 * 1_048_576;
const LISTED_MAX = 1_000;
/** What is known of one log. */
interface LogFound {
  readonly present: IntervalSet;
  records: number;
  foundWithoutTree: number;
  readonly damaged: { from: number; to: number }[];
}

interface RowsFound {
  rows: number;
  foundWithoutTree: number;
  older: number;
}

class Salvage {
  readonly #file: PageFile;
  readonly #backing: Backing;
  readonly #output: Output;
  readonly #onProgress: OnProgress;
  readonly #found: Found;
  readonly #reached: PageSet;
  readonly #gaps: Record<BackingTable, Gap[]> = { log: [], meta: [], retained: [] };
  readonly #walked: Record<BackingTable, { leafPages: number; entries: number }> = {
    log: { leafPages: 0, entries: 0 },
    meta: { leafPages: 0, entries: 0 },
    retained: { leafPages: 0, entries: 0 },
  };
  readonly #rows = {
    meta: { rows: 0, foundWithoutTree: 0, older: 0 },
    retained: { rows: 0, foundWithoutTree: 0, older: 0 },
  };
  readonly #names = new Map<number, string>();
  readonly #trimMarks = new Map<number, number>();
  readonly #logs = new Map<number, LogFound>();
  #lastOrdinal = 0;
  #chunksWithoutTree = 0;
  #sessions = 0;
  #exchangesLeftOut = 0;

  constructor(file: PageFile, backing: Backing, onProgress: OnProgress) {
    this.#file = file;
    this.#backing = backing;
    this.#output = new Output(backing);
    this.#onProgress = onProgress;
    this.#found = findSnapshot(file);
    this.#reached = new PageSet(file.pages);
  }

  async run(now: Date): Promise<SalvageReport> {
    const { snapshot, faults } = this.#found;
    const layout = Buffer.alloc(4);
    writeUint32(layout, 0, LAYOUT_VERSION);
    this.#output.put("meta", LAYOUT_KEY, layout);
    for (const table of ["meta", "retained", "log"] as const) await this.#walkTable(table);
    const damagedPages = Object.entries(this.#gaps).flatMap(([table, gaps]) =>
      gaps.map(({ page, why }): DamagedPage => ({ table: table as BackingTable, page, why })),
    );
    if (damagedPages.length > 0 || faults.length > 0) await this.#addLeftovers(snapshot);
    await this.#output.commit();
    this.#nameLogs();
    const logs = [...this.#names.keys()].sort((a, b) => a - b).map((id) => this.#closeLog(id));
    await this.#output.commit();
    return {
      at: now.toISOString(),
      damagedPages: damagedPages.slice(0, LISTED_MAX),
      faults,
      lastCommitMayBeMissing: !this.#found.isLatest,
      logs,
      meta: {
        ...this.#rowsReport("meta"),
        sessions: this.#sessions,
        exchangesLeftOut: this.#exchangesLeftOut,
      },
      retained: this.#rowsReport("retained"),
    };
  }

  async #walkTable(table: BackingTable): Promise<void> {
    const { snapshot } = this.#found;
    const tree = snapshot?.tables.get(table);
    if (snapshot === undefined || tree === undefined) {
      this.#gaps[table].push({ low: undefined, high: undefined, page: 0, why: "no such table" });
      return;
    }
    const walk = new TreeWalk(this.#file, this.#reached, snapshot.transaction);
    for (const step of walk.steps(tree)) {
      if (step.kind === "gap") {
        this.#gaps[table].push(step.gap);
        continue;
      }
      this.#onProgress(step.key.length + step.value.length);
      if (table === "log") this.#takeWalkedChunk(step.key, step.value);
      else this.#takeRow(table, step.key, step.value);
      if (this.#output.isFull) await this.#output.commit();
    }
    this.#walked[table] = { leafPages: walk.leafPages, entries: walk.entries };
  }

  #takeRow(table: "meta" | "retained", key: Uint8Array, value: Uint8Array): void {
    if (table === "meta" && !isRowSane(key)) return;
    this.#rows[table].rows++;
    if (table === "meta") {
      if (key.length === 6 && startsWith(key, LOG_NAME_PREFIX)) {
        this.#names.set(logOfMetaKey(key), Buffer.from(value).toString("utf8"));
      }
      if (key.length === 6 && startsWith(key, TRIM_MARK_PREFIX) && value.length === 8) {
        this.#trimMarks.set(logOfMetaKey(key), readUint64(value, 0));
      }
      if (key[0] === SESSION_ROW) this.#sessions++;
    }
    this.#output.put(table, key, value);
  }

  #takeWalkedChunk(key: Uint8Array, value: Uint8Array): void {
    const header = decodeChunkHeader(value);
    if (header !== undefined) {
      this.#takeChunk(header.log, header.firstSequence, value);
    } else if (key.length === LOG_KEY_BYTES && readUint32(key, 0) < LOGS_MAX) {
      this.#takeChunk(readUint32(key, 0), readUint64(key, 4), value);
    }
  }

  /** Takes a chunk if nothing of it is there yet; returns whether it did. */
  #takeChunk(id: number, first: number, value: Uint8Array): boolean {
    if (id >= LOGS_MAX || !Number.isSafeInteger(first)) return false;
    const log = this.#logOf(id);
    const header = decodeChunkHeader(value);
    const last = first + (header?.count ?? 1) - 1;
    if (!Number.isSafeInteger(last)) return false;
    const [missing] = log.present.missing(first, last);
    if (missing?.from !== first || missing.to !== last) return false;
    log.present.add(first, last);
    const damaged = damagedRecords(id, first, value);
    log.records += last - first + 1;
    for (const { from, to } of damaged) {
      log.damaged.push({ from, to });
      log.records -= to - from + 1;
    }
    if (header !== undefined) this.#lastOrdinal = Math.max(this.#lastOrdinal, header.lastOrdinal);
    this.#output.put("log", logKey(id, first), value);
    return true;
  }

  #logOf(id: number): LogFound {
    let log = this.#logs.get(id);
    if (log === undefined) {
      log = { present: new IntervalSet(), records: 0, foundWithoutTree: 0, damaged: [] };
      this.#logs.set(id, log);
    }
    return log;
  }

  async #addLeftovers(snapshot: Snapshot | undefined): Promise<void> {
    // Pages of the trees of names and of free pages are no leftovers.
    for (const page of snapshot?.mainPages ?? []) this.#reached.add(page);
    const free = snapshot && readFreePages(this.#file, snapshot, this.#reached);
    const isFree = free && ((page: number): boolean => free.has(page));
    const transactionMax = this.#found.isLatest
      ? (snapshot?.transaction ?? Number.MAX_SAFE_INTEGER)
      : Number.MAX_SAFE_INTEGER;
    const leftovers = findLeftovers(this.#file, this.#reached, isFree, transactionMax);
    await this.#addRows("meta", leftovers);
    await this.#addRows("retained", leftovers);
    await this.#addChunks(leftovers);
  }

  async #addRows(table: "meta" | "retained", { leaves }: Leftovers): Promise<void> {
    await this.#addLaterRows(table, leaves[table]);
    const gaps = this.#gaps[table];
    if (gaps.length === 0) return;
    const wanted = this.#found.snapshot?.tables.get(table)?.leafPages;
    let { leafPages } = this.#walked[table];
    const done = new KeyCover();
    for (const leaf of leaves[table]) {
      // Every page that was in use is found: older copies have nothing to add.
      if (!leaf.isLive && wanted !== undefined && leafPages >= wanted) break;
      if (leaf.isLive) leafPages++;
      this.#addRowsOfLeaf(table, leaf, gaps, done);
      if (this.#output.isFull) await this.#output.commit();
    }
  }

  /**
   * When the state that could be walked is not the latest: rows of pages that were written after it go over those that were walked. Not
   * those of QoS 2 exchanges: that commit may not be whole, and a packet identifier must not be known without its message.
   */
  async #addLaterRows(table: "meta" | "retained", leaves: readonly FoundLeaf[]): Promise<void> {
    const { snapshot, isLatest } = this.#found;
    if (isLatest || snapshot === undefined) return;
    await this.#output.commit();
    const seen = new Set<string>();
    for (const leaf of [...leaves].sort((a, b) => b.transaction - a.transaction)) {
      if (leaf.transaction <= snapshot.transaction) break;
      const page = this.#file.readTreePage(leaf.page);
      for (const node of page?.kind === "leaf" ? page.nodes : []) {
        const name = Buffer.from(node.key).toString("latin1");
        const value = valueOfNode(this.#file, node);
        const isExchange = table === "meta" && EXCHANGE_ROWS.has(node.key[0] ?? 0);
        if (value === undefined || isExchange || seen.has(name)) continue;
        seen.add(name);
        this.#takeLaterRow(table, node.key, value);
      }
      if (this.#output.isFull) await this.#output.commit();
    }
  }

  #takeLaterRow(table: "meta" | "retained", key: Uint8Array, value: Uint8Array): void {
    const before = this.#backing.get(table, key);
    if (before !== undefined && Buffer.compare(before, value) === 0) return;
    if (before === undefined) this.#rows[table].foundWithoutTree++;
    else {
      // Counted once.
      this.#rows[table].rows--;
      if (table === "meta" && key[0] === SESSION_ROW) this.#sessions--;
    }
    this.#takeRow(table, key, value);
  }

  #addRowsOfLeaf(
    table: "meta" | "retained",
    leaf: FoundLeaf,
    gaps: readonly Gap[],
    done: KeyCover,
  ): void {
    const page = this.#file.readTreePage(leaf.page);
    if (page?.kind !== "leaf") return;
    const rows = this.#rows[table];
    for (const node of page.nodes) {
      const { key } = node;
      if (!isInAny(key, gaps) || done.has(key)) continue;
      if (!leaf.isLive && table === "meta" && EXCHANGE_ROWS.has(key[0] ?? 0)) {
        this.#exchangesLeftOut++;
        continue;
      }
      const value = valueOfNode(this.#file, node);
      if (value === undefined || startsWith(key, LAYOUT_KEY)) continue;
      if (leaf.isLive) rows.foundWithoutTree++;
      else rows.older++;
      this.#takeRow(table, key, value);
    }
    done.add(rangeOfLeaf(leaf));
  }

  async #addChunks({ chunks }: Leftovers): Promise<void> {
    const gaps = this.#gaps.log;
    const wanted = chunks.filter(
      (chunk) =>
        chunk.end > (this.#trimMarks.get(chunk.log) ?? 0) &&
        (!this.#found.isLatest || isInAny(logKey(chunk.log, chunk.first), gaps)),
    );
    // Whole ones first: of two copies one may have been written over in part.
    for (const isWholeWanted of [true, false]) {
      for (const chunk of wanted) {
        this.#addChunk(chunk, isWholeWanted);
        if (this.#output.isFull) await this.#output.commit();
      }
    }
  }

  #addChunk(chunk: FoundChunk, isWholeWanted: boolean): void {
    const { log: id, first, end } = chunk;
    if (id >= LOGS_MAX || !Number.isSafeInteger(end)) return;
    const log = this.#logOf(id);
    if (log.present.has(first)) return;
    const value = readChunk(this.#file, chunk);
    if (value === undefined) return;
    const damaged = damagedRecords(id, first, value);
    const damagedCount = damaged.reduce((sum, { from, to }) => sum + to - from + 1, 0);
    if (isWholeWanted ? damagedCount > 0 : damagedCount >= end - first) return;
    if (!this.#takeChunk(id, first, value)) return;
    log.foundWithoutTree += end - first - damagedCount;
    this.#chunksWithoutTree++;
  }

  /** Log ids have no gaps: a log whose name is lost gets one. */
  #nameLogs(): void {
    this.#names.set(0, SESSION_LOG_NAME);
    const idMax = Math.max(...this.#names.keys(), ...this.#logs.keys());
    for (let id = 1; id <= idMax; id++) {
      if (this.#names.has(id)) continue;
      const name = `$unnamed-${id}`;
      this.#names.set(id, name);
      this.#output.put("meta", logNameKey(id), Buffer.from(name));
    }
  }

  /** Puts holes where sequences are gone. The chunks of the log are on disk. */
  #closeLog(id: number): SalvagedLog {
    const log = this.#logOf(id);
    const lost: { from: number; to: number }[] = [...log.damaged];
    const runs = log.present.runs();
    const start = Math.max(1, this.#trimMarks.get(id) ?? 1);
    const last = runs.at(-1)?.to ?? start - 1;
    for (const { from, to } of log.present.missing(start, last)) {
      putHoles(this.#backing, this.#output, this.#lastOrdinal, id, { from, to });
      lost.push({ from, to });
    }
    const skipped = this.#skippedAtEnd(id, Math.max(last + 1, start));
    if (skipped > 0) {
      const from = Math.max(last + 1, start);
      const to = from + skipped - 1;
      putHoles(this.#backing, this.#output, this.#lastOrdinal, id, { from, to });
      lost.push({ from, to });
    }
    lost.sort((a, b) => a.from - b.from);
    const joined: SalvagedLog["lost"][number][] = [];
    for (const { from, to } of lost) addRange(joined, from, to);
    const { records, foundWithoutTree } = log;
    const name = this.#names.get(id) ?? "";
    return { log: name, records, foundWithoutTree, lost: joined, isEndUnknown: skipped > 0 };
  }

  /** Sequences to skip at the end of a log; 0: nothing can be missing there. */
  #skippedAtEnd(id: number, next: number): number {
    const { isLatest, snapshot } = this.#found;
    const tree = snapshot?.tables.get("log");
    const isInGap = isInAny(logKey(id, next), this.#gaps.log);
    const missing =
      tree === undefined
        ? Number.POSITIVE_INFINITY
        : tree.entries - this.#walked.log.entries - this.#chunksWithoutTree;
    if (isLatest && (!isInGap || missing <= 0)) return 0;
    const pages = Math.max(this.#file.pages, (snapshot?.lastPage ?? 0) + 1);
    const inGap = isInGap ? Math.max(0, missing) * CHUNK_BYTES_MAX : 0;
    const inLastCommit = isLatest ? 0 : LAST_COMMIT_BYTES_MAX;
    const bytes = Math.min(inGap + inLastCommit, pages * this.#file.pageBytes + inLastCommit);
    return Math.min(HOLE_RECORDS_MAX, Math.ceil(bytes / RECORD_BYTES_MIN));
  }

  #rowsReport(table: "meta" | "retained"): SalvagedRows {
    const { rows, foundWithoutTree, older }: RowsFound = this.#rows[table];
    const entries = this.#found.snapshot?.tables.get(table)?.entries;
    const lost = entries === undefined ? undefined : Math.max(0, entries - rows);
    return { rows, foundWithoutTree, older, lost };
  }
}

/**
 * Writes what is found in the file at `path` to `backing`, which is empty. The caller closes it.
 * @throws when the file cannot be opened, or the new store not be written
 */
export async function salvage(
  path: string,
  backing: Backing,
  onProgress: OnProgress = () => undefined,
  now: Date = new Date(),
): Promise<SalvageReport> {
  const file = new PageFile(path);
  try {
    return await new Salvage(file, backing, onProgress).run(now);
  } finally {
    file.close();
  }
}
