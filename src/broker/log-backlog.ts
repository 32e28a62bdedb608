/**
 * What a durable session has not been sent yet. The truth is on disk: one record of references per session and commit
 * (see session-records.ts), staged with the messages themselves, removed when all of them are settled. In memory are only
 * the chunks next to be sent; behind them the backlog is a position in that table, however long it is.
 */
import type { Clock, Instant } from "../lib/clock.ts";
import { RingBuffer } from "../lib/ring-buffer.ts";
import type { OutboundLimits } from "./limits.ts";
import { type Message, propertyBytes } from "./message.ts";
import type { Owed, ReferenceChunk } from "./owed.ts";
import { owedByReference } from "./owed.ts";
import {
  decodeReferences,
  encodeReferences,
  ordinalOf,
  type ReferencesHead,
  referencesHeadOf,
  referencesKey,
  referencesPrefix,
} from "./session-records.ts";
import { Spill } from "./spill.ts";
import type { LogRecord, Ordinal, Store } from "./store.ts";

/** References in one record, and bytes of their messages beyond the first: bounds what one step loads or copies. */
const CHUNK_REFERENCES_MAX = 256;
const CHUNK_BYTES_MAX = 1_048_576;
/** What a message takes on disk beyond payload, topic and properties, about. */
const MESSAGE_BYTES = 100;
/** What copying one message costs beyond its bytes, in bytes: so that a step of many small ones is bounded too. */
const SPILL_MESSAGE_COST = 1_024;
/** How long what was found young is not looked at again, at most: it may turn out to be older (see `Clock.since`). */
const AGE_RECHECK_MS = 60_000;
/** Records of references looked at in one step. */
const STEP_ROWS = 64;
/** Chunks kept in memory before they are sent. */
const LOADED_CHUNKS_MAX = 16;
const LOOK_AHEAD_RECORDS = 64;
const LOOK_AHEAD_BYTES = 32_768;

export class LogBacklog {
  readonly #store: Store;
  readonly #sessionNumber: number;
  #staged: Owed[] = [];
  /** Chunks whose records go with the open group. */
  #marked: ReferenceChunk[] = [];
  #sealed: ReferenceChunk[] = [];
  /** Chunks whose records are in memory: those of the commit that was just flushed. */
  #fresh: ReferenceChunk[] = [];
  readonly #loaded = new RingBuffer<ReferenceChunk>();
  /** Chunks with something unsettled that are in memory, oldest first. */
  readonly #unsettled = new Map<Ordinal, ReferenceChunk>();
  #referencesOnDisk = 0;
  /** Those of them whose messages are in the spill. */
  #spilledOnDisk = 0;
  /** Chunks on disk from this ordinal on are not in memory. */
  #readFrom = 0 as Ordinal;
  /** Records read ahead, for one log. */
  #lookAhead: readonly LogRecord[] = [];
  #unsent = 0;
  #unsentBytes = 0;
  /** Staged or sealed. */
  #unflushed = 0;
  #unflushedBytes = 0;
  /** What the logs must keep for this session, about. */
  #pinnedBytes = 0;
  readonly #spill: Spill;
  /** No record of references is too old before this time. */
  #agesAt = 0;

  constructor(store: Store, sessionNumber: number) {
    this.#store = store;
    this.#sessionNumber = sessionNumber;
    this.#spill = new Spill(store, sessionNumber);
  }

  /** Messages not handed to the client yet, flushed ones. */
  get size(): number {
    return this.#unsent;
  }

  get isEmpty(): boolean {
    return this.#unsent === 0;
  }

  /** How much of what may wait does, 0 and up. */
  fill({ backlogMessagesMax, backlogBytesMax }: OutboundLimits): number {
    return Math.max(this.#unsent / backlogMessagesMax, this.#unsentBytes / backlogBytesMax);
  }

  /** The bytes of these messages, about. */
  get bytes(): number {
    return this.#unsentBytes;
  }

  /** What logs must keep for this session, about, in bytes. */
  get pinnedBytes(): number {
    return this.#pinnedBytes;
  }

  /** What is copied so that logs need not keep it, about, in bytes. */
  get spilledBytes(): number {
    return this.#spill.bytes;
  }

  /** The oldest ordinal that is not settled: its log may not lose it. Undefined when no log is needed. */
  get oldestOrdinal(): Ordinal | undefined {
    for (const chunk of this.#unsettled.values()) if (!chunk.isSpilled) return chunk.firstOrdinal;
    if (this.#referencesOnDisk === this.#spilledOnDisk) return undefined;
    return Math.max(this.#readFrom, this.#spill.before) as Ordinal;
  }

  /** After a restart, for each record of references in the table, in order. */
  recover(ordinal: Ordinal, head: ReferencesHead): void {
    if (this.#referencesOnDisk === 0) this.#readFrom = ordinal;
    this.#referencesOnDisk += head.count;
    this.#unsent += head.count;
    this.#unsentBytes += head.bytes;
    if (head.isSpilled) {
      this.#spilledOnDisk += head.count;
      this.#spill.recover(ordinal, head);
    } else {
      this.#pinnedBytes += head.bytes;
    }
  }

  /** A message of the open group is owed. Hot path: per message and durable session. */
  stage(owed: Owed): void {
    this.#staged.push(owed);
    this.#unflushed++;
    if (owed.record !== undefined) this.#unflushedBytes += costOf(owed.record);
  }

  /** With what is not flushed yet there is as much as may wait. Hot path: per message and durable session that may refuse. */
  isFull(limits: OutboundLimits): boolean {
    if (this.#unsent + this.#unflushed >= limits.backlogMessagesMax) return true;
    return this.#unsentBytes + this.#unflushedBytes >= limits.backlogBytesMax;
  }

  /** How far a QoS 2 delivery came: goes with the group that `putMarked` is called for. Hot path: per step of each. */
  mark(owed: Owed, sent: number, packetId: number): void {
    owed.sent = sent;
    owed.packetId = packetId;
    const { chunk } = owed;
    if (chunk !== undefined && !chunk.isMarked) this.#mark(chunk);
  }

  #mark(chunk: ReferenceChunk): void {
    chunk.isMarked = true;
    this.#marked.push(chunk);
  }

  /** The open group is being sealed: all that was marked goes with it. */
  putMarked(): void {
    for (const chunk of this.#marked) {
      chunk.isMarked = false;
      if (chunk.unsettled > 0) this.#putChunk(chunk);
    }
    this.#marked = [];
  }

  /** The group gets its sequences: the references are marked to go with it. Returns what was staged. */
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
    for (let start = 0; start < staged.length; ) {
      let bytes = 0;
      let latestAt = 0;
      let end = start;
      while (end < staged.length && end - start < CHUNK_REFERENCES_MAX) {
        const record = staged[end]?.record;
        const cost = record === undefined ? 0 : costOf(record);
        if (end > start && bytes + cost > CHUNK_BYTES_MAX) break;
        bytes += cost;
        latestAt = Math.max(latestAt, Math.floor(record?.receivedAt ?? 0));
        end++;
      }
      const chunk = chunkOf(staged.slice(start, end), { bytes, latestAt, isSpilled: false });
      this.#mark(chunk);
      this.#sealed.push(chunk);
      start = end;
    }
    return staged;
  }

  #putChunk(chunk: ReferenceChunk): void {
    const key = referencesKey(this.#sessionNumber, chunk.firstOrdinal);
    this.#store.put("meta", key, encodeReferences(chunk.owed, chunk));
  }

  /** The group is on disk: what was sealed is backlog now. `keep`: the client is there and may take it from memory. */
  flushed(keep: boolean): void {
    // What has a packet identifier already stays in memory, and so does all before it: the order holds.
    const assigned = this.#sealed.findLastIndex(isAssigned);
    for (const [index, chunk] of this.#sealed.entries()) {
      this.#unsent += chunk.owed.length;
      this.#unsentBytes += chunk.bytes;
      this.#pinnedBytes += chunk.bytes;
      this.#unflushed -= chunk.owed.length;
      this.#unflushedBytes -= chunk.bytes;
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
   * Drops the oldest that wait on disk as long as the maximum of messages or bytes is left, and those that are too old; returns
   * how many were dropped. Whole records go, so that a record's worth less one may wait beyond a maximum. Bounded: goes on
   * with the next call.
   */
  keepWithin(limits: OutboundLimits, clock: Clock): number {
    let dropped = 0;
    for (let rows = 0; rows < STEP_ROWS && this.#mayExceed(limits, clock.now()); rows++) {
      const [row] = this.#rows(this.#readFrom, 1);
      if (row === undefined) break;
      const [key, value] = row;
      const head = this.#headOf(key, value);
      if (!this.#exceeds(limits, head, clock)) break;
      this.#leaveDisk(key, head);
      this.#store.remove("meta", key);
      this.#forget(decodeReferences(value) ?? [], head);
      this.#unsent -= head.count;
      this.#unsentBytes -= head.bytes;
      dropped += head.count;
    }
    return dropped;
  }

  #mayExceed(limits: OutboundLimits, now: number): boolean {
    if (this.#referencesOnDisk === 0) return false;
    if (this.#unsent > limits.backlogMessagesMax) return true;
    if (this.#unsentBytes > limits.backlogBytesMax) return true;
    return limits.backlogAgeMaxMs !== undefined && now >= this.#agesAt;
  }

  #exceeds(limits: OutboundLimits, head: ReferencesHead, clock: Clock): boolean {
    if (this.#unsent - head.count >= limits.backlogMessagesMax) return true;
    if (this.#unsentBytes - head.bytes >= limits.backlogBytesMax) return true;
    if (limits.backlogAgeMaxMs === undefined) return false;
    const leftMs = limits.backlogAgeMaxMs - clock.since(head.latestAt as Instant);
    this.#agesAt = clock.now() + Math.min(leftMs, AGE_RECHECK_MS);
    return leftMs <= 0;
  }

  /** The record of references at `key`, the next on disk, is not among those any more. */
  #leaveDisk(key: Uint8Array, head: ReferencesHead): void {
    this.#readFrom = (ordinalOf(key) + 1) as Ordinal;
    this.#referencesOnDisk -= head.count;
    if (head.isSpilled) this.#spilledOnDisk -= head.count;
  }

  /** Nothing of a record of references is owed any more. */
  #forget(
    references: Iterable<{ readonly ordinal: Ordinal }>,
    { isSpilled, bytes }: Pick<ReferencesHead, "isSpilled" | "bytes">,
  ): void {
    if (isSpilled) this.#spill.remove(references, bytes);
    else this.#pinnedBytes -= bytes;
  }

  /**
   * Copies what is owed below `before`, oldest first, so that logs need not keep it: staged with the open group, with which
   * they may be trimmed. Stops after what costs `costMax` (see SPILL_MESSAGE_COST) and returns what it cost.
   */
  spill(before: Ordinal, costMax: number): number {
    let cost = 0;
    for (const chunk of this.#unsettled.values()) {
      if (chunk.isSpilled) continue;
      if (chunk.firstOrdinal >= before || cost >= costMax) return cost;
      chunk.isSpilled = true;
      this.#copy(chunk.owed, chunk);
      this.#putChunk(chunk);
      cost += chunk.bytes + chunk.owed.length * SPILL_MESSAGE_COST;
    }
    return cost + this.#spillDisk(before, costMax - cost);
  }

  #spillDisk(before: Ordinal, costMax: number): number {
    let cost = 0;
    while (this.#referencesOnDisk > this.#spilledOnDisk) {
      const rows = this.#rows(Math.max(this.#readFrom, this.#spill.before), STEP_ROWS);
      for (const [key, value] of rows) {
        // What comes before this one is done: logs are needed from here on.
        this.#spill.before = ordinalOf(key);
        if (this.#spill.before >= before || cost >= costMax) return cost;
        cost += this.#spillRow(key, value);
      }
      if (rows.length === 0) break;
    }
    return cost;
  }

  /** Copies the messages of one record of references on disk; returns what that cost. */
  #spillRow(key: Uint8Array, value: Uint8Array): number {
    const head = { ...referencesHeadOf(value), isSpilled: true };
    const references = decodeReferences(value) ?? [];
    this.#copy(references.map(owedByReference), head);
    if (references.length > 0) this.#store.put("meta", key, encodeReferences(references, head));
    this.#spilledOnDisk += head.count;
    this.#spill.before = (ordinalOf(key) + 1) as Ordinal;
    return head.bytes + head.count * SPILL_MESSAGE_COST;
  }

  #copy(owed: readonly Owed[], { bytes }: { readonly bytes: number }): void {
    for (const each of owed) {
      const record = this.#readLog(each);
      if (record !== undefined) this.#spill.write(each.ordinal, record);
    }
    this.#pinnedBytes -= bytes;
    this.#spill.count(bytes);
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
    if (chunk.nextIndex === chunk.owed.length) this.#unsentBytes -= chunk.bytes;
  }

  /**
   * The message of a reference; undefined when its log has lost it (trimmed or damaged). Valid until the next call.
   * What is being spilled is still in its log.
   */
  recordOf(owed: Owed): Message | undefined {
    if (owed.record !== undefined) return owed.record;
    const isSpilled = owed.chunk?.isSpilled === true;
    return (isSpilled ? this.#spill.read(owed.ordinal) : undefined) ?? this.#readLog(owed);
  }

  #readLog(owed: Owed): LogRecord | undefined {
    const known = this.#find(owed);
    if (known !== undefined) return known;
    const { log, sequence } = owed;
    const batch = this.#store.read(log, sequence, LOOK_AHEAD_RECORDS, LOOK_AHEAD_BYTES);
    this.#lookAhead = batch.records;
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
    this.#forget(chunk.owed, chunk);
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

  /** Flushed records of references from an ordinal on. */
  #rows(from: number, limit: number): [key: Uint8Array, value: Uint8Array][] {
    const prefix = referencesPrefix(this.#sessionNumber);
    return this.#store.scan("meta", prefix, referencesKey(this.#sessionNumber, from), limit);
  }

  /** Its messages may be on their way into the spill. */
  #headOf(key: Uint8Array, value: Uint8Array): ReferencesHead {
    return { ...referencesHeadOf(value), isSpilled: ordinalOf(key) < this.#spill.before };
  }

  #load(): boolean {
    if (this.#referencesOnDisk === 0) return false;
    const rows = this.#rows(this.#readFrom, LOADED_CHUNKS_MAX);
    for (const [key, value] of rows) {
      const head = this.#headOf(key, value);
      this.#leaveDisk(key, head);
      const references = decodeReferences(value) ?? [];
      if (references.length > 0) {
        this.#keep(chunkOf(references.map(owedByReference), head));
        continue;
      }
      // Damaged: it can only go.
      this.#forget([], head);
      this.#unsent -= head.count;
      this.#unsentBytes -= head.bytes;
      this.#store.remove("meta", key);
    }
    if (rows.length === 0) this.#forgetDisk();
    return rows.length > 0;
  }

  /** What should be on disk is not there: damage. */
  #forgetDisk(): void {
    this.#unsent -= this.#referencesOnDisk;
    this.#referencesOnDisk = 0;
    this.#spilledOnDisk = 0;
  }
}

const isAssigned = (chunk: ReferenceChunk): boolean => chunk.owed.some(hasPacketId);

const hasPacketId = (owed: Owed): boolean => owed.packetId !== 0;

const costOf = ({ payloadStart, payloadEnd, topic, properties }: Message): number =>
  payloadEnd - payloadStart + topic.bytes.length + propertyBytes(properties) + MESSAGE_BYTES;

function chunkOf(owed: Owed[], head: Omit<ReferencesHead, "count" | "hasSent">): ReferenceChunk {
  const { bytes, latestAt, isSpilled } = head;
  const firstOrdinal = owed[0]?.ordinal ?? (0 as Ordinal);
  const unsettled = owed.length;
  const chunk: ReferenceChunk = {
    firstOrdinal,
    owed,
    bytes,
    latestAt,
    isSpilled,
    nextIndex: 0,
    unsettled,
    isMarked: false,
  };
  for (const item of owed) item.chunk = chunk;
  return chunk;
}
