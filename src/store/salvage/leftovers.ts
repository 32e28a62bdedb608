/**
 * What lies in pages of the file that no tree leads to any more: pages cut off by a damaged one, older copies of pages, and chunks of
 * deleted records. Chunks prove themselves (checksum, log and sequence in their header). Leaves tell their transaction, so that of two
 * copies of a row the newer is known.
 */
import { decodeMessageRecord } from "../../broker/message-record.ts";
import { TopicTable } from "../../broker/topic.ts";
import type { BackingTable } from "../backing.ts";
import { LOG_KEY_BYTES, restoreEntry } from "../keys.ts";
import { decodeChunkHeader } from "../records.ts";
import type { LeafNode, OverflowRun, PageFile } from "./page-file.ts";
import { isWithin, type KeyRange, type PageSet } from "./tree-walk.ts";

/** Where a chunk lies: in a run of its own, or in a leaf under a node. */
export interface FoundChunk {
  readonly log: number;
  readonly first: number;
  readonly end: number;
  readonly transaction: number;
  /** As of `FoundLeaf`. */
  readonly isLive: boolean;
  readonly place: OverflowRun | { readonly page: number; readonly node: number };
}

/** A leaf of one of the small tables. */
export interface FoundLeaf {
  readonly page: number;
  readonly transaction: number;
  readonly first: Uint8Array;
  readonly last: Uint8Array;
  /** True: no copy of something newer; it was in use when the last commit was made. */
  readonly isLive: boolean;
}

export interface Leftovers {
  readonly chunks: readonly FoundChunk[];
  readonly leaves: Readonly<Record<BackingTable, readonly FoundLeaf[]>>;
}

/** The value of a node, wherever it is; undefined: it is not there. */
export function valueOfNode(file: PageFile, { value }: LeafNode): Uint8Array | undefined {
  return value instanceof Uint8Array ? value : file.readOverflow(value);
}

/** The bytes of a chunk found before; undefined when it is not there. */
export function readChunk(file: PageFile, { place }: FoundChunk): Uint8Array | undefined {
  if ("bytes" in place) return file.readOverflow(place);
  const leaf = file.readTreePage(place.page);
  const node = leaf?.kind === "leaf" ? leaf.nodes[place.node] : undefined;
  return node === undefined ? undefined : valueOfNode(file, node);
}

/**
 * Looks at each page that is not in `reached`. `isFree`: known to be out of use; undefined: nothing is known of free pages. Pages of
 * transactions after `transactionMax` were never committed.
 */
export function findLeftovers(
  file: PageFile,
  reached: PageSet,
  isFree: ((page: number) => boolean) | undefined,
  transactionMax: number,
): Leftovers {
  const chunks: FoundChunk[] = [];
  const leaves: Record<BackingTable, FoundLeaf[]> = { log: [], meta: [], retained: [] };
  for (let page = 2; page < file.pages; page++) {
    if (reached.has(page)) continue;
    const isLive = isFree !== undefined && !isFree(page);
    const run = file.overflowAt(page);
    if (run === undefined) addLeaf(file, page, isLive, transactionMax, chunks, leaves);
    else if (run.transaction <= transactionMax) {
      const chunk = chunkInRun(file, run, isLive);
      if (chunk !== undefined) chunks.push(chunk);
    }
  }
  for (const found of Object.values(leaves)) found.sort(byLiveThenNewest);
  chunks.sort(byLiveThenNewest);
  return { chunks, leaves };
}

function addLeaf(
  file: PageFile,
  page: number,
  isLive: boolean,
  transactionMax: number,
  chunks: FoundChunk[],
  leaves: Record<BackingTable, FoundLeaf[]>,
): void {
  const leaf = file.readTreePage(page);
  if (leaf?.kind !== "leaf" || !(leaf.transaction <= transactionMax)) return;
  const { transaction, nodes } = leaf;
  const table = tableOf(file, nodes, transactionMax);
  const first = nodes[0]?.key;
  const last = nodes.at(-1)?.key;
  if (table === undefined || first === undefined || last === undefined) return;
  leaves[table].push({ page, transaction, first: copy(first), last: copy(last), isLive });
  if (table === "log") chunksInLeaf({ page, transaction, isLive }, nodes, chunks);
}

const copy = (bytes: Uint8Array): Uint8Array => new Uint8Array(bytes);

type Dated = Pick<FoundLeaf, "isLive" | "transaction">;

function byLiveThenNewest(a: Dated, b: Dated): number {
  if (a.isLive !== b.isLive) return a.isLive ? -1 : 1;
  return b.transaction - a.transaction;
}

function chunkInRun(
  file: PageFile,
  run: OverflowRun & { readonly transaction: number },
  isLive: boolean,
): FoundChunk | undefined {
  const head = file.read(run.page)?.subarray(24);
  const header = head === undefined ? undefined : decodeChunkHeader(head);
  if (header === undefined) return undefined;
  const { log, firstSequence: first, count, recordBytes } = header;
  const bytes = Math.min(run.bytes, 76 + recordBytes);
  const place = { page: run.page, pages: run.pages, bytes };
  return { log, first, end: first + count, transaction: run.transaction, isLive, place };
}

/** Small chunks lie in the leaf itself; large ones are found where they are. */
function chunksInLeaf(
  { page, transaction, isLive }: Pick<FoundLeaf, "page" | "transaction" | "isLive">,
  nodes: readonly LeafNode[],
  chunks: FoundChunk[],
): void {
  for (const [node, { value }] of nodes.entries()) {
    const header = value instanceof Uint8Array ? decodeChunkHeader(value) : undefined;
    if (header === undefined) continue;
    const { log, firstSequence: first, count } = header;
    chunks.push({ log, first, end: first + count, transaction, isLive, place: { page, node } });
  }
}

/** The table that a leaf belongs to, by what its rows look like; undefined: none of ours. */
function tableOf(
  file: PageFile,
  nodes: readonly LeafNode[],
  transactionMax: number,
): BackingTable | undefined {
  if (nodes.length === 0 || nodes.some(({ isTree }) => isTree)) return undefined;
  if (nodes.every((node) => isFreeList(node, transactionMax))) return undefined;
  if (nodes.every(({ key }) => key.length === LOG_KEY_BYTES && key[0] === 0)) return "log";
  const topics = new TopicTable();
  const retained = nodes.filter((node) => isRetained(file, node, topics)).length;
  if (retained * 2 > nodes.length) return "retained";
  return retained === 0 ? "meta" : undefined;
}

function isFreeList({ key, value }: LeafNode, transactionMax: number): boolean {
  if (key.length !== 8) return false;
  const transaction = Buffer.from(key).readBigUInt64LE(0);
  const bytes = value instanceof Uint8Array ? value.length : value.bytes;
  return transaction <= BigInt(transactionMax) + 1n && bytes % 8 === 0;
}

function isRetained(file: PageFile, node: LeafNode, topics: TopicTable): boolean {
  const value = valueOfNode(file, node);
  if (value === undefined) return false;
  const [key, record] = restoreEntry(node.key, value);
  const message = decodeMessageRecord(record, topics);
  return message !== undefined && Buffer.compare(message.topic.bytes, key) === 0;
}

/** The keys that a leaf covers. */
export const rangeOfLeaf = ({ first, last }: FoundLeaf): { low: Uint8Array; high: Uint8Array } => ({
  low: first,
  high: Buffer.concat([last, Uint8Array.of(0)]),
});

/** True: the row is in one of the ranges. */
export const isInAny = (key: Uint8Array, ranges: readonly KeyRange[]): boolean =>
  ranges.some((range) => isWithin(key, range));
