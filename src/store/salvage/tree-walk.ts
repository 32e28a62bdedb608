/** Walks one tree of an LMDB file and steps over what is damaged: a page that makes no sense costs its range of keys, nothing else. */
import type { BranchNode, LeafNode, OverflowRun, PageFile, Tree, TreePage } from "./page-file.ts";

/** Keys from `low` (inclusive; undefined: the first) to `high` (exclusive; undefined: the last). */
export interface KeyRange {
  readonly low: Uint8Array | undefined;
  readonly high: Uint8Array | undefined;
}

/** Keys that could not be reached, and the page that is to blame. */
export interface Gap extends KeyRange {
  readonly page: number;
  readonly why: string;
}

/** One step of a walk, in order of key. `value` is valid until the next step. */
export type Step =
  | {
      readonly kind: "entry";
      readonly key: Uint8Array;
      readonly value: Uint8Array;
      readonly isTree: boolean;
    }
  | { readonly kind: "gap"; readonly gap: Gap };

/** A set of page numbers: one bit each. */
export class PageSet {
  readonly #bits: Uint8Array;

  constructor(pages: number) {
    this.#bits = new Uint8Array(Math.ceil(pages / 8));
  }

  has(page: number): boolean {
    return ((this.#bits[page >>> 3] ?? 0) & (1 << (page & 7))) !== 0;
  }

  /** False: it was there already. */
  add(page: number): boolean {
    if (this.has(page)) return false;
    this.#bits[page >>> 3] = (this.#bits[page >>> 3] ?? 0) | (1 << (page & 7));
    return true;
  }
}

/** True: `key` lies in the range. */
export function isWithin(key: Uint8Array, { low, high }: KeyRange): boolean {
  if (low !== undefined && Buffer.compare(key, low) < 0) return false;
  return high === undefined || Buffer.compare(key, high) < 0;
}

/** The key after `key`: the range of one key ends there. */
export const after = (key: Uint8Array): Uint8Array => Buffer.concat([key, Uint8Array.of(0)]);

export class TreeWalk {
  readonly #file: PageFile;
  readonly #reached: PageSet;
  readonly #transactionMax: number;
  readonly #isNative: boolean;
  /** Leaf pages seen so far. */
  leafPages = 0;
  entries = 0;

  /**
   * Every page that is used is added to `reached`; one that is in it already is damage. Pages of transactions after
   * `transactionMax` were written later over what this tree needs. `isNative`: keys are numbers of the machine, not bytes in order.
   */
  constructor(file: PageFile, reached: PageSet, transactionMax: number, isNative = false) {
    this.#file = file;
    this.#reached = reached;
    this.#transactionMax = transactionMax;
    this.#isNative = isNative;
  }

  *steps(tree: Tree): Generator<Step, void, undefined> {
    if (tree.root === undefined) return;
    yield* this.#visit(tree.root, tree.depth, { low: undefined, high: undefined });
  }

  /** `level`: 1 is a leaf. */
  *#visit(page: number, level: number, range: KeyRange): Generator<Step, void, undefined> {
    const found = this.#file.readTreePage(page);
    const why = this.#fault(page, level, range, found);
    if (why !== undefined || found === undefined) {
      yield { kind: "gap", gap: { ...range, page, why: why ?? NOT_A_PAGE } };
      return;
    }
    this.#reached.add(page);
    if (found.kind === "leaf") {
      this.leafPages++;
      yield* this.#visitLeaf(page, found.nodes, range);
      return;
    }
    for (const [index, { key, child }] of found.nodes.entries()) {
      const low = index === 0 ? range.low : key;
      yield* this.#visit(child, level - 1, {
        low,
        high: found.nodes[index + 1]?.key ?? range.high,
      });
    }
  }

  /** What is wrong with a page; undefined: nothing. */
  #fault(
    page: number,
    level: number,
    range: KeyRange,
    found: TreePage | undefined,
  ): string | undefined {
    if (found === undefined) return NOT_A_PAGE;
    if (this.#reached.has(page)) return "used twice";
    if (found.transaction > this.#transactionMax) return "written later";
    if (found.kind !== (level <= 1 ? "leaf" : "branch")) return "of another level";
    if (found.kind === "branch" && !this.#isOrdered(found.nodes.slice(1), range))
      return OUT_OF_ORDER;
    return undefined;
  }

  #isOrdered(nodes: readonly BranchNode[], range: KeyRange): boolean {
    if (this.#isNative) return true;
    return nodes.every(({ key }, index) => {
      const before = nodes[index - 1]?.key;
      return isWithin(key, range) && (before === undefined || Buffer.compare(before, key) < 0);
    });
  }

  *#visitLeaf(
    page: number,
    nodes: readonly LeafNode[],
    range: KeyRange,
  ): Generator<Step, void, undefined> {
    const { high } = range;
    let { low } = range;
    let isBroken = false;
    for (const [index, { key, value, isTree }] of nodes.entries()) {
      if (!this.#isNative && isOutOfOrder(key, nodes[index + 1]?.key, { low, high })) {
        isBroken = true;
        continue;
      }
      if (isBroken) yield { kind: "gap", gap: { low, high: key, page, why: OUT_OF_ORDER } };
      isBroken = false;
      low = after(key);
      const bytes = value instanceof Uint8Array ? value : this.#readRun(value);
      if (bytes === undefined) {
        const why = "its value is not there";
        yield { kind: "gap", gap: { low: key, high: low, page, why } };
        continue;
      }
      this.entries++;
      yield { kind: "entry", key, value: bytes, isTree };
    }
    if (isBroken) yield { kind: "gap", gap: { low, high, page, why: OUT_OF_ORDER } };
  }

  #readRun(run: OverflowRun): Uint8Array | undefined {
    const bytes = this.#file.readOverflow(run);
    const head = this.#file.overflowAt(run.page);
    if (bytes === undefined || !((head?.transaction ?? 0) <= this.#transactionMax))
      return undefined;
    for (let page = run.page; page < run.page + run.pages; page++) {
      if (this.#reached.has(page)) return undefined;
    }
    for (let page = run.page; page < run.page + run.pages; page++) this.#reached.add(page);
    return bytes;
  }
}

const NOT_A_PAGE = "not a page of a tree";
const OUT_OF_ORDER = "keys out of order";

/** True: not in the range, or the key after it (which is) shows that this one is too large. */
function isOutOfOrder(key: Uint8Array, next: Uint8Array | undefined, range: KeyRange): boolean {
  if (!isWithin(key, range)) return true;
  return next !== undefined && isWithin(next, range) && Buffer.compare(key, next) >= 0;
}
