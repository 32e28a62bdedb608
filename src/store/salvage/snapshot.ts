/**
 * Which state of the store a file has to offer. LMDB copies on write: what the last commit replaced stays where it was until a later
 * one takes the space, so that there is often more than one state to start from. Taken is the newest that can be walked.
 */
import type { BackingTable } from "../backing.ts";
import { decodeTree, type Meta, type PageFile, type Tree } from "./page-file.ts";
import { PageSet, TreeWalk } from "./tree-walk.ts";

export const TABLES: readonly BackingTable[] = ["meta", "retained", "log"];
/** Newest leaf pages of the main tree that are tried when the meta pages do not tell. */
const CANDIDATES_MAX = 4;

export interface Snapshot {
  /** The commit that this is the state after. */
  readonly transaction: number;
  readonly lastPage: number;
  /** Absent: the main tree does not name it, or what it says makes no sense. */
  readonly tables: ReadonlyMap<BackingTable, Tree>;
  /** Pages that are not in use; undefined: not known. */
  readonly free: Tree | undefined;
  /** Pages of the main tree. */
  readonly mainPages: readonly number[];
  /** What is wrong with the way to it, for people. */
  readonly faults: readonly string[];
}

/** All metas and the snapshot to read; undefined: there is none. */
export interface Found {
  readonly snapshot: Snapshot | undefined;
  /** False: a later commit than that of the snapshot may have been acknowledged. */
  readonly isLatest: boolean;
  readonly faults: readonly string[];
}

/** Looks at the meta pages alone: a new file has a tree without tables. */
export function findSnapshot(file: PageFile): Found {
  const metas = ([0, 1] as const).map((page) => file.readMeta(page));
  const faults = metas.flatMap((meta, page) => (meta === undefined ? [`meta page ${page}`] : []));
  const known = metas.filter((meta) => meta !== undefined);
  known.sort((a, b) => b.transaction - a.transaction);
  const [newest] = known;
  const snapshot = newest === undefined ? undefined : snapshotOf(file, newest);
  const isWhole = snapshot !== undefined && snapshot.faults.length === 0;
  if (isWhole && known.length === 2) return { snapshot, isLatest: true, faults };
  const candidates = known.map((meta) => snapshotOf(file, meta));
  const { found, transactionMax } = mainLeaves(file);
  const best = bestOf(file, [...candidates, ...found]);
  // With both meta pages intact no later commit was acknowledged, whatever else lies in the file.
  const latest = known.length === 2 ? newest?.transaction : transactionMax;
  const isLatest = best !== undefined && best.transaction === latest;
  return { snapshot: best, isLatest, faults: [...faults, ...(snapshot?.faults ?? [])] };
}

function snapshotOf(file: PageFile, meta: Meta): Snapshot {
  const reached = new PageSet(file.pages);
  const faults: string[] = [];
  const tables = new Map<BackingTable, Tree>();
  const mainPages: number[] = [];
  if (meta.main.root !== undefined) mainPages.push(meta.main.root);
  for (const step of new TreeWalk(file, reached, meta.transaction).steps(meta.main)) {
    if (step.kind === "gap") faults.push(`main tree, page ${step.gap.page}: ${step.gap.why}`);
    else if (step.isTree) addTable(tables, step.key, step.value, meta.lastPage + 1);
  }
  if (tables.size !== meta.main.entries) {
    faults.push(`main tree: ${tables.size} of ${meta.main.entries} tables`);
  }
  const { transaction, lastPage, free } = meta;
  return { transaction, lastPage, tables, free, mainPages, faults };
}

function addTable(
  tables: Map<BackingTable, Tree>,
  key: Uint8Array,
  value: Uint8Array,
  pages: number,
): void {
  const name = Buffer.from(key).toString("latin1").replace(/\0$/, "");
  const table = TABLES.find((known) => known === name);
  const tree = decodeTree(value, 0, pages);
  if (table !== undefined && tree !== undefined) tables.set(table, tree);
}

/**
 * Leaves of main trees anywhere in the file that name all tables, the newest first; and the latest transaction that wrote any page of
 * a tree. Only the transaction after the newest intact meta page can have been committed: the one after that overwrites it.
 */
function mainLeaves(file: PageFile): { found: Snapshot[]; transactionMax: number } {
  const found: Snapshot[] = [];
  let transactionMax = -1;
  for (let page = 2; page < file.pages; page++) {
    const leaf = file.readTreePage(page);
    if (leaf === undefined) continue;
    transactionMax = Math.max(transactionMax, leaf.transaction);
    if (leaf.kind !== "leaf" || leaf.nodes.length > TABLES.length) continue;
    const tables = new Map<BackingTable, Tree>();
    for (const { key, value, isTree } of leaf.nodes) {
      if (isTree && value instanceof Uint8Array) addTable(tables, key, value, file.pages);
    }
    if (tables.size < TABLES.length) continue;
    const { transaction } = leaf;
    const lastPage = file.pages - 1;
    found.push({ transaction, lastPage, tables, free: undefined, mainPages: [page], faults: [] });
    found.sort((a, b) => b.transaction - a.transaction);
    found.length = Math.min(found.length, CANDIDATES_MAX);
  }
  return { found, transactionMax };
}

/** The one with all its tables and the fewest gaps; of several the newest. */
function bestOf(file: PageFile, candidates: readonly Snapshot[]): Snapshot | undefined {
  const newestFirst = [...candidates].sort((a, b) => b.transaction - a.transaction);
  let best: Snapshot | undefined;
  let fewest = Number.POSITIVE_INFINITY;
  for (const candidate of newestFirst) {
    const gaps = gapsOf(file, candidate);
    if (gaps >= fewest) continue;
    best = candidate;
    fewest = gaps;
  }
  return best;
}

function gapsOf(file: PageFile, { transaction, tables }: Snapshot): number {
  const reached = new PageSet(file.pages);
  // A table that is not named counts like all of its pages.
  let gaps = (TABLES.length - tables.size) * file.pages;
  for (const tree of tables.values()) {
    for (const step of new TreeWalk(file, reached, transaction).steps(tree)) {
      if (step.kind === "gap") gaps++;
    }
  }
  return gaps;
}
