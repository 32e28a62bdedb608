/**
 * An LMDB file read page by page, without LMDB and without trusting anything in it: whatever does not make sense is `undefined`.
 *
 * The file is pages of one size, 4,096 bytes nearly everywhere. Numbers are little endian; this is data version 2 of the LMDB that
 * the package `lmdb` binds (on 64-bit machines). Every page but the later ones of an overflow run starts with
 *
 *      0  u64  its own page number
 *      8  u64  transaction that wrote it
 *     16  u16  unused here
 *     18  u16  kind: 1 branch, 2 leaf, 4 overflow, 8 meta
 *     20  u16  bytes of the node table = 2 x nodes      | overflow: u32 pages of the run
 *     22  u16  where free space ends
 *     24       content
 *
 * A meta page (pages 0 and 1; transaction n writes page n mod 2):
 *
 *     24  u32  magic 0xBEEFC0DE     28  u32  version 2     32  u64  address, unused     40  u64  size of the map
 *     48  tree of free pages        96  main tree, which holds the named ones          (48 bytes each, see below)
 *    144  u64  last page in use    152  u64  transaction
 *
 * A tree:  u32 (free pages: page size), u16 flags, u16 depth, u64 branch pages, u64 leaf pages, u64 overflow pages,
 * u64 entries, u64 root page (all ones: empty).
 *
 * A branch or leaf page has its node table at 24 (u16 each: where the node is, less 24; in order of key), its nodes at the end. A node:
 *
 *      0  u32  leaf: bytes of the value | branch: low 32 bits of the child's page number
 *      4  u16  leaf: 1 value is in an overflow run, 2 value is a tree | branch: high 16 bits
 *      6  u16  bytes of the key
 *      8       key, then the value (leaf), or u64 first page, u64 transaction, u64 pages of its overflow run
 *
 * The first key of a branch page is not used and may be empty. An overflow run is its value, from byte 24 of its first page on.
 */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";

const PAGE_HEADER_BYTES = 24;
const NODE_HEADER_BYTES = 8;
const TREE_BYTES = 48;
const META_MAGIC = 0xbeefc0de;
const DATA_VERSION = 2;
const PAGE_BYTES_DEFAULT = 4_096;
const PAGE_BYTES_MIN = 512;
const PAGE_BYTES_MAX = 65_536;
const NO_PAGE = 2n ** 64n - 1n;
/** No tree is deeper. */
const DEPTH_MAX = 32;
/** A value is at most so many bytes: the largest MQTT packet, generously. */
const VALUE_BYTES_MAX = 2 ** 29;

const KIND = { branch: 1, leaf: 2, overflow: 4 } as const;
const NODE_OVERFLOW = 1;
const NODE_TREE = 2;

/** Where a tree is, and what is in it. */
export interface Tree {
  /** Undefined: empty. */
  readonly root: number | undefined;
  readonly depth: number;
  readonly leafPages: number;
  readonly entries: number;
}

/** One of the two starting points. */
export interface Meta {
  readonly transaction: number;
  readonly lastPage: number;
  readonly free: Tree;
  readonly main: Tree;
}

/** A value that lies in pages of its own. */
export interface OverflowRun {
  readonly page: number;
  readonly pages: number;
  readonly bytes: number;
}

export interface LeafNode {
  readonly key: Uint8Array;
  /** The value, or where it is. */
  readonly value: Uint8Array | OverflowRun;
  readonly isTree: boolean;
}

export interface BranchNode {
  readonly key: Uint8Array;
  readonly child: number;
}

/** A page of a tree whose parts all lie within it. */
export type TreePage =
  | { readonly kind: "leaf"; readonly transaction: number; readonly nodes: readonly LeafNode[] }
  | {
      readonly kind: "branch";
      readonly transaction: number;
      readonly nodes: readonly BranchNode[];
    };

/** A number that must fit; NaN when it does not. */
function u64(bytes: Buffer, at: number): number {
  const value = bytes.readBigUInt64LE(at);
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : Number.NaN;
}

/** The tree described at `at`; undefined: it makes no sense in a file of so many pages. */
export function decodeTree(bytes: Uint8Array, at: number, pages: number): Tree | undefined {
  if (bytes.length < at + TREE_BYTES) return undefined;
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const isEmpty = view.readBigUInt64LE(at + 40) === NO_PAGE;
  const root = isEmpty ? undefined : u64(view, at + 40);
  const depth = view.readUInt16LE(at + 6);
  const leafPages = u64(view, at + 16);
  const entries = u64(view, at + 32);
  if (root !== undefined && !(root >= 2 && root < pages)) return undefined;
  if (depth > DEPTH_MAX || !(leafPages <= pages) || Number.isNaN(entries)) return undefined;
  return { root, depth, leafPages, entries };
}

/** An open file; close it. All reads are synchronous: this is for a process of its own. */
export class PageFile {
  readonly pageBytes: number;
  /** Whole pages in the file. */
  readonly pages: number;
  readonly #fd: number;

  /** @throws when the file cannot be opened */
  constructor(path: string) {
    this.#fd = openSync(path, "r");
    const { size } = fstatSync(this.#fd);
    this.pageBytes = this.#findPageBytes(size);
    this.pages = Math.floor(size / this.pageBytes);
  }

  close(): void {
    closeSync(this.#fd);
  }

  /** Bytes of `count` pages; undefined where the file ends before, or cannot be read (a bad sector). */
  read(page: number, count = 1): Buffer | undefined {
    if (!(page >= 0 && count >= 1 && page + count <= this.pages)) return undefined;
    return this.#readAt(page * this.pageBytes, count * this.pageBytes);
  }

  /** The meta page 0 or 1; undefined: it is damaged. */
  readMeta(page: 0 | 1): Meta | undefined {
    const bytes = this.read(page);
    if (bytes === undefined || bytes.readUInt16LE(18) !== 8 || u64(bytes, 0) !== page) {
      return undefined;
    }
    if (bytes.readUInt32LE(24) !== META_MAGIC || bytes.readUInt32LE(28) !== DATA_VERSION) {
      return undefined;
    }
    const lastPage = u64(bytes, 144);
    const transaction = u64(bytes, 152);
    const free = decodeTree(bytes, 48, lastPage + 1);
    const main = decodeTree(bytes, 96, lastPage + 1);
    if (free === undefined || main === undefined || Number.isNaN(transaction)) return undefined;
    if (!(lastPage >= 1 && lastPage <= 2 ** 40)) return undefined;
    return { transaction, lastPage, free, main };
  }

  /** The branch or leaf with this number; undefined: it is something else, or damaged. */
  readTreePage(page: number): TreePage | undefined {
    const bytes = this.read(page);
    return bytes === undefined ? undefined : decodeTreePage(bytes, page);
  }

  /** A value in an overflow run: undefined when the run is not one of so many pages. */
  readOverflow(run: OverflowRun): Uint8Array | undefined {
    const head = this.overflowAt(run.page);
    if (head === undefined || head.pages !== run.pages) return undefined;
    if (PAGE_HEADER_BYTES + run.bytes > run.pages * this.pageBytes) return undefined;
    const bytes = this.read(run.page, run.pages);
    return bytes?.subarray(PAGE_HEADER_BYTES, PAGE_HEADER_BYTES + run.bytes);
  }

  /** The head of an overflow run at a page, with all that fits in it as its bytes; undefined: there is none. */
  overflowAt(page: number): (OverflowRun & { readonly transaction: number }) | undefined {
    const head = this.read(page);
    if (head === undefined || head.readUInt16LE(18) !== KIND.overflow) return undefined;
    const pages = head.readUInt32LE(20);
    if (u64(head, 0) !== page || pages < 1 || page + pages > this.pages) return undefined;
    const bytes = pages * this.pageBytes - PAGE_HEADER_BYTES;
    if (bytes > VALUE_BYTES_MAX) return undefined;
    return { page, pages, bytes, transaction: u64(head, 8) };
  }

  #readAt(position: number, length: number): Buffer | undefined {
    const bytes = Buffer.allocUnsafe(length);
    try {
      for (let done = 0; done < length; ) {
        const count = readSync(this.#fd, bytes, done, length - done, position + done);
        if (count === 0) return undefined;
        done += count;
      }
    } catch {
      return undefined;
    }
    return bytes;
  }

  /** Page size as either meta page tells, if it makes sense. */
  #findPageBytes(size: number): number {
    for (let pageBytes = PAGE_BYTES_MIN; pageBytes <= PAGE_BYTES_MAX; pageBytes *= 2) {
      for (const at of [0, pageBytes]) {
        const bytes = at + 64 <= size ? this.#readAt(at, 64) : undefined;
        if (bytes?.readUInt32LE(24) !== META_MAGIC) continue;
        if (bytes.readUInt32LE(48) === pageBytes) return pageBytes;
      }
    }
    return PAGE_BYTES_DEFAULT;
  }
}

/** Decodes a page that should have this number. */
export function decodeTreePage(bytes: Buffer, page: number): TreePage | undefined {
  const kind = bytes.readUInt16LE(18);
  const transaction = u64(bytes, 8);
  if (u64(bytes, 0) !== page || Number.isNaN(transaction)) return undefined;
  const tableBytes = bytes.readUInt16LE(20);
  const upper = bytes.readUInt16LE(22);
  const room = bytes.length - PAGE_HEADER_BYTES;
  if (tableBytes % 2 !== 0 || tableBytes > upper || upper > room) return undefined;
  const starts: number[] = [];
  for (let at = 0; at < tableBytes; at += 2) {
    const start = bytes.readUInt16LE(PAGE_HEADER_BYTES + at);
    if (start < upper || start + NODE_HEADER_BYTES > room) return undefined;
    starts.push(start + PAGE_HEADER_BYTES);
  }
  if (kind === KIND.leaf) {
    const nodes = all(starts, (start) => decodeLeafNode(bytes, start));
    return nodes === undefined ? undefined : { kind: "leaf", transaction, nodes };
  }
  if (kind === KIND.branch && starts.length > 0) {
    const nodes = all(starts, (start) => decodeBranchNode(bytes, start));
    return nodes === undefined ? undefined : { kind: "branch", transaction, nodes };
  }
  return undefined;
}

/** All or nothing. */
function all<Node>(starts: number[], decode: (start: number) => Node | undefined) {
  const nodes: Node[] = [];
  for (const start of starts) {
    const node = decode(start);
    if (node === undefined) return undefined;
    nodes.push(node);
  }
  return nodes;
}

function keyOf(bytes: Buffer, start: number): Uint8Array | undefined {
  const keyStart = start + NODE_HEADER_BYTES;
  const keyEnd = keyStart + bytes.readUInt16LE(start + 6);
  return keyEnd > bytes.length ? undefined : bytes.subarray(keyStart, keyEnd);
}

function decodeBranchNode(bytes: Buffer, start: number): BranchNode | undefined {
  const key = keyOf(bytes, start);
  const child = bytes.readUInt32LE(start) + bytes.readUInt16LE(start + 4) * 2 ** 32;
  return key === undefined || child < 2 ? undefined : { key, child };
}

function decodeLeafNode(bytes: Buffer, start: number): LeafNode | undefined {
  const key = keyOf(bytes, start);
  if (key === undefined || key.length === 0) return undefined;
  const valueBytes = bytes.readUInt32LE(start);
  const flags = bytes.readUInt16LE(start + 4);
  const at = start + NODE_HEADER_BYTES + key.length;
  if (flags > NODE_TREE) return undefined;
  if (flags === NODE_OVERFLOW) {
    if (at + 24 > bytes.length) return undefined;
    const page = u64(bytes, at);
    const pages = u64(bytes, at + 16);
    const isSane = page >= 2 && pages >= 1 && valueBytes <= VALUE_BYTES_MAX;
    return isSane ? { key, value: { page, pages, bytes: valueBytes }, isTree: false } : undefined;
  }
  if (at + valueBytes > bytes.length) return undefined;
  return { key, value: bytes.subarray(at, at + valueBytes), isTree: flags === NODE_TREE };
}
