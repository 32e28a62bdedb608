/**
 * What a durable session has not been sent yet. The truth is on disk: one record of references per session and commit
 * (see session-records.ts), staged with the messages themselves, removed when all of them are settled. In memory are only
 * the chunks next to be sent; behind them the backlog is a position in that table, however long it is.
 */
import { RingBuffer } from "../lib/ring-buffer.ts";
import type { Owed, ReferenceChunk } from "./owed.ts";
import { owedByReference } from "./owed.ts";
import {
  countReferences,
  decodeReferences,
  encodeReferences,
  ordinalOf,
  referencesKey,
  referencesPrefix,
  sentKey,
} from "./session-records.ts";
import type { LogRecord, Ordinal, Store } from "./store.ts";

/** References in one record: bounds what one step loads. */
const CHUNK_REFERENCES_MAX = 256;
/** Chunks kept in memory before they are sent. */
const LOADED_CHUNKS_MAX = 16;
const LOOK_AHEAD_RECORDS = 64;
const LOOK_AHEAD_BYTES = 32_768;

export class LogBacklog {
  readonly #store: Store;
  readonly #sessionNumber: number;
  #staged: Owed[] = [];
  #sealed: ReferenceChunk[] = [];
  /** Chunks whose records are in memory: those of the commit that was just flushed. */
  #fresh: ReferenceChunk[] = [];
  readonly #loaded = new RingBuffer<ReferenceChunk>();
  /** Chunks with something unsettled that are in memory, oldest first. */
  readonly #unsettled = new Map<Ordinal, ReferenceChunk>();
  #referencesOnDisk = 0;
  /** Chunks on disk from this ordinal on are not in memory. */
  #readFrom = 0 as Ordinal;
  /** Records read ahead, for one log. */
  #lookAhead: readonly LogRecord[] = [];
  #unsent = 0;

  constructor(store: Store, sessionNumber: number) {
    this.#store = store;
    this.#sessionNumber = sessionNumber;
  }

  /** Messages not handed to the client yet, flushed ones. */
  get size(): number {
    return this.#unsent;
  }

  get isEmpty(): boolean {
    return this.#unsent === 0;
  }

  /** The oldest ordinal that is not settled: its log may not lose it. Undefined when nothing is owed. */
  get oldestOrdinal(): Ordinal | undefined {
    for (const ordinal of this.#unsettled.keys()) return ordinal;
    return this.#referencesOnDisk > 0 ? this.#readFrom : undefined;
  }

  /** After a restart: what the table holds. */
  recover(references: number, firstOrdinal: Ordinal): void {
    this.#referencesOnDisk = references;
    this.#unsent = references;
    this.#readFrom = firstOrdinal;
  }

  /** A message of the open group is owed. Hot path: per message and durable session. */
  stage(owed: Owed): void {
    this.#staged.push(owed);
  }

  /** The group gets its sequences: the references go with it. Returns what was staged. */
  seal(): readonly Owed[] {
    const staged = this.#staged;
    this.#staged = [];
    for (const owed of staged) {
      const { record } = owed;
      if (record === undefined) continue;
      owed.log = record.log;
      owed.sequence = record.sequence;
      owed.ordinal = record.ordinal;
    }
    for (let i = 0; i < staged.length; i += CHUNK_REFERENCES_MAX) {
      const part = staged.slice(i, i + CHUNK_REFERENCES_MAX);
      const chunk = chunkOf(part);
      const key = referencesKey(this.#sessionNumber, chunk.firstOrdinal);
      this.#store.put("meta", key, encodeReferences(part));
      this.#sealed.push(chunk);
    }
    return staged;
  }

  /** The group is on disk: what was sealed is backlog now. `keep`: the client is there and may take it from memory. */
  flushed(keep: boolean): void {
    // What has a packet identifier already stays in memory, and so does all before it: the order holds.
    const assigned = this.#sealed.findLastIndex(isAssigned);
    for (const [index, chunk] of this.#sealed.entries()) {
      this.#unsent += chunk.owed.length;
      const hasPlace = keep && this.#loaded.size < LOADED_CHUNKS_MAX;
      if (this.#referencesOnDisk === 0 && (hasPlace || index <= assigned)) {
        this.#keep(chunk);
        this.#fresh.push(chunk);
      } else {
        if (this.#referencesOnDisk === 0) this.#readFrom = chunk.firstOrdinal;
        this.#referencesOnDisk += chunk.owed.length;
      }
    }
    this.#sealed = [];
  }

  /** The bytes of the commit are about to become invalid. */
  forgetRecords(): void {
    for (const chunk of this.#fresh) {
      for (const owed of chunk.owed) owed.record = undefined;
    }
    this.#fresh = [];
  }

  /**
   * Drops the oldest that wait on disk as long as `messagesMax` are left; returns how many were dropped. Whole records go,
   * so that a record's worth less one may wait beyond the maximum.
   */
  keepWithin(messagesMax: number): number {
    let dropped = 0;
    while (this.#unsent > messagesMax && this.#referencesOnDisk > 0) {
      const before = this.#referencesOnDisk;
      const prefix = referencesPrefix(this.#sessionNumber);
      const from = referencesKey(this.#sessionNumber, this.#readFrom);
      const [row] = this.#store.scan("meta", prefix, from, 1);
      if (row === undefined) break;
      const [key, value] = row;
      if (this.#unsent - countReferences(value) < messagesMax) break;
      this.#store.remove("meta", key);
      for (const { qos, ordinal } of decodeReferences(value) ?? []) {
        if (qos === 2) this.#store.remove("meta", sentKey(this.#sessionNumber, ordinal));
      }
      this.#readFrom = (ordinalOf(key) + 1) as Ordinal;
      this.#referencesOnDisk -= countReferences(value);
      this.#unsent -= before - this.#referencesOnDisk;
      dropped += before - this.#referencesOnDisk;
    }
    return dropped;
  }

  /** What is to be sent next; it stays until `take`. */
  peek(): Owed | undefined {
    for (;;) {
      const chunk = this.#loaded.peek();
      if (chunk === undefined) {
        if (!this.#load()) return undefined;
      } else if (chunk.nextIndex >= chunk.owed.length) {
        this.#loaded.shift();
      } else {
        return chunk.owed[chunk.nextIndex];
      }
    }
  }

  /** What `peek` gave is in the client's hands (or settled) now. */
  take(): void {
    const chunk = this.#loaded.peek();
    if (chunk === undefined) return;
    chunk.nextIndex++;
    this.#unsent--;
  }

  /** The message of a reference; undefined when its log has lost it (trimmed or damaged). Valid until the next call. */
  recordOf(owed: Owed): LogRecord | undefined {
    if (owed.record !== undefined) return owed.record;
    const known = this.#find(owed);
    if (known !== undefined) return known;
    const from = owed.sequence;
    this.#lookAhead = this.#store.read(
      owed.log,
      from,
      LOOK_AHEAD_RECORDS,
      LOOK_AHEAD_BYTES,
    ).records;
    return this.#find(owed);
  }

  /** One message is settled; when its chunk is, the chunk's records go with the next commit. */
  settle(owed: Owed): void {
    const { chunk } = owed;
    if (chunk === undefined) return;
    chunk.unsettled--;
    if (chunk.unsettled > 0) return;
    this.#unsettled.delete(chunk.firstOrdinal);
    this.#store.remove("meta", referencesKey(this.#sessionNumber, chunk.firstOrdinal));
    for (const { qos, ordinal } of chunk.owed) {
      if (qos === 2) this.#store.remove("meta", sentKey(this.#sessionNumber, ordinal));
    }
  }

  #find(owed: Owed): LogRecord | undefined {
    const first = this.#lookAhead[0];
    if (first === undefined || first.log !== owed.log) return undefined;
    const guess = this.#lookAhead[owed.sequence - first.sequence];
    if (guess?.sequence === owed.sequence) return guess;
    return this.#lookAhead.find((record) => record.sequence === owed.sequence);
  }

  #keep(chunk: ReferenceChunk): void {
    this.#loaded.push(chunk);
    this.#unsettled.set(chunk.firstOrdinal, chunk);
  }

  #load(): boolean {
    if (this.#referencesOnDisk === 0) return false;
    const prefix = referencesPrefix(this.#sessionNumber);
    const from = referencesKey(this.#sessionNumber, this.#readFrom);
    const rows = this.#store.scan("meta", prefix, from, LOADED_CHUNKS_MAX);
    for (const [key, value] of rows) {
      this.#readFrom = (ordinalOf(key) + 1) as Ordinal;
      const references = decodeReferences(value) ?? [];
      const count = countReferences(value);
      this.#referencesOnDisk -= count;
      if (references.length > 0 && references.length === count) {
        this.#keep(chunkOf(references.map(owedByReference)));
      } else {
        // Damaged: it can only go.
        this.#unsent -= count;
        this.#store.remove("meta", key);
      }
    }
    if (rows.length === 0) {
      this.#unsent -= this.#referencesOnDisk;
      this.#referencesOnDisk = 0;
    }
    return rows.length > 0;
  }
}

const isAssigned = (chunk: ReferenceChunk): boolean =>
  chunk.owed.some((owed) => owed.packetId !== 0);

function chunkOf(owed: Owed[]): ReferenceChunk {
  const firstOrdinal = owed[0]?.ordinal ?? (0 as Ordinal);
  const chunk: ReferenceChunk = { firstOrdinal, owed, nextIndex: 0, unsettled: owed.length };
  for (const item of owed) item.chunk = chunk;
  return chunk;
}
