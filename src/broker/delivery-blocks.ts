/** What of the state of deliveries is on disk and what has changed since: blocks of sequences, written at most once per commit. */
import type { IntervalSet } from "../lib/interval-set.ts";
import {
  BLOCK_SEQUENCES,
  blockKey,
  blockOfKey,
  type DeliveryBlock,
  decodeBlock,
  decodeHead,
  encodeBlock,
  encodeHead,
  type HandedOut,
} from "./block-records.ts";
import type { Store } from "./store.ts";

const blockOf = (sequence: number): number => Math.floor(sequence / BLOCK_SEQUENCES);

/** Where the state of one queue or consumer is kept. */
export interface BlockKeys {
  readonly head: Uint8Array;
  readonly blockPrefix: Uint8Array;
}

export class DeliveryBlocks {
  readonly #store: Store;
  readonly #keys: BlockKeys;
  readonly #onWanted: () => void;
  readonly #dirty = new Set<number>();
  readonly #onDisk = new Set<number>();
  #floor = 0;
  #isHeadDirty = false;

  /** `onWanted`: something of it goes with the open group; told at least once for each. */
  constructor(store: Store, keys: BlockKeys, onWanted: () => void) {
    this.#store = store;
    this.#keys = keys;
    this.#onWanted = onWanted;
  }

  /** Reads everything. `floor` is 0 when nothing is known of it. */
  recover(): { floor: number; blocks: DeliveryBlock[]; damaged: number } {
    const head = this.#store.get("meta", this.#keys.head);
    this.#floor = (head === undefined ? undefined : decodeHead(head))?.floor ?? 0;
    const blocks: DeliveryBlock[] = [];
    let damaged = 0;
    for (const [key, value] of this.#store.scan("meta", this.#keys.blockPrefix)) {
      const number = blockOfKey(key);
      this.#onDisk.add(number);
      const block = decodeBlock(number, value);
      if (block === undefined) damaged++;
      else blocks.push(block);
    }
    return { floor: this.#floor, blocks, damaged };
  }

  /** The state of a sequence changes with the open group. */
  touch(sequence: number): void {
    this.#want();
    this.#dirty.add(blockOf(sequence));
  }

  /** The same where nobody waits for it. Hot path: per delivery. */
  touchLater(sequence: number): void {
    if (!this.#isHeadDirty) this.#store.sealLater();
    if (this.#dirty.size === 0) this.#onWanted();
    this.#dirty.add(blockOf(sequence));
  }

  touchRange(from: number, to: number): void {
    this.#want();
    for (let block = blockOf(from); block <= blockOf(to); block++) this.#dirty.add(block);
  }

  /** All before `floor` is settled: its blocks go. */
  moveFloor(floor: number): void {
    this.#want();
    const first = blockOf(floor);
    const isSameBlock = first === blockOf(this.#floor);
    this.#floor = floor;
    if (isSameBlock) return;
    for (const block of this.#dirty) if (block < first) this.#dirty.delete(block);
    for (const block of this.#onDisk) {
      if (block >= first) continue;
      this.#onDisk.delete(block);
      this.#store.remove("meta", blockKey(this.#keys.blockPrefix, block));
    }
  }

  /** Writes what changed, with the group that is being sealed. */
  stage(
    floor: number,
    settled: IntervalSet,
    handedOut: (sequence: number) => HandedOut | undefined,
  ): void {
    if (!this.#isHeadDirty && this.#dirty.size === 0) return;
    this.#isHeadDirty = false;
    this.#store.put("meta", this.#keys.head, encodeHead({ floor }));
    for (const block of this.#dirty) this.#stageBlock(block, floor, settled, handedOut);
    this.#dirty.clear();
  }

  /** The queue is deleted. */
  removeAll(): void {
    for (const block of this.#onDisk)
      this.#store.remove("meta", blockKey(this.#keys.blockPrefix, block));
    this.#store.remove("meta", this.#keys.head);
    this.#onDisk.clear();
    this.#dirty.clear();
    this.#isHeadDirty = false;
  }

  #stageBlock(
    block: number,
    floor: number,
    settled: IntervalSet,
    handedOut: (sequence: number) => HandedOut | undefined,
  ): void {
    const from = Math.max(block * BLOCK_SEQUENCES, floor);
    const to = (block + 1) * BLOCK_SEQUENCES - 1;
    const open: HandedOut[] = [];
    const runs: { from: number; to: number }[] = [];
    let at = from;
    for (const gap of settled.missing(from, to)) {
      if (gap.from > at) runs.push({ from: at, to: gap.from - 1 });
      at = gap.to + 1;
      for (let sequence = gap.from; sequence <= gap.to; sequence++) {
        const one = handedOut(sequence);
        if (one !== undefined) open.push(one);
      }
    }
    if (at <= to) runs.push({ from: at, to });
    const key = blockKey(this.#keys.blockPrefix, block);
    if (runs.length === 0 && open.length === 0) {
      if (this.#onDisk.delete(block)) this.#store.remove("meta", key);
      return;
    }
    this.#onDisk.add(block);
    this.#store.put("meta", key, encodeBlock(block, { settled: runs, handedOut: open }));
  }

  /** Something goes with the open group: makes sure that there is one. */
  #want(): void {
    if (this.#isHeadDirty) return;
    this.#isHeadDirty = true;
    this.#store.put("meta", this.#keys.head, encodeHead({ floor: this.#floor }));
    this.#onWanted();
  }
}
