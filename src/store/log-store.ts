/**
 * The store over any backing: groups, commits and numbers. See the port (broker/store.ts) for what holds.
 *
 * A group is sealed at the end of the turn in which its first change was staged, or, while a commit is in
 * flight, as soon as that is flushed. With a linger a lone message waits for company first.
 *
 * A little long: the port is one interface, and each of its methods is a few lines over the parts beside this file.
 */
import type { Message } from "../broker/message.ts";
import {
  type CommitNumber,
  type LogBatch,
  type LogId,
  type LogRecord,
  type LogStats,
  NO_COMMIT,
  type Ordinal,
  type Sequence,
  type Store,
  type StoreEvents,
  type StoreRefusal,
  type Table,
} from "../broker/store.ts";
import { TopicTable } from "../broker/topic.ts";
import type { Instant } from "../lib/clock.ts";
import { Arena, footprint } from "./arena.ts";
import type { Backing } from "./backing.ts";
import { RecordDecoder } from "./chunk.ts";
import { DiskSpace } from "./disk-space.ts";
import { closeChunks, firstSequenceOf, Group } from "./group.ts";
import { GroupGathering } from "./group-gathering.ts";
import { BROKER_META_MIN } from "./keys.ts";
import { LogReader } from "./log-reader.ts";
import { LogState, LogView } from "./log-state.ts";
import { recordBytesMax } from "./records.ts";
import { LOGS_MAX, logNameChange, recover } from "./recovery.ts";
import { getSmall, scanSmall } from "./small-records.ts";
import { StoredRecord } from "./stored-record.ts";
import { TableSpace } from "./table-space.ts";
import { findTrimMark, planTrim, type TrimStep } from "./trim.ts";

/** A full store takes durable work again below this share of its limit: no flapping at the edge. */
const LOW_WATERMARK_SHARE = 0.95;

export interface LogStoreOptions {
  /** Bytes of all logs and tables from which on durable work is refused. */
  readonly bytesMax: number;
  /** Bytes staged and in flight from which on durable work is refused. */
  readonly pendingBytesMax: number;
  /** Space on disk under which durable work is refused. */
  readonly diskReserveBytes: number;
  /** How long a lone message waits for company, 0..50. */
  readonly lingerMs: number;
  /** 16 hexadecimal digits, drawn at random for this opening. */
  readonly epoch: string;
  /** Topics of records that are read are interned here. */
  readonly topics?: TopicTable;
  /** Runs `seal` later, at the end of this turn. */
  readonly schedule: (seal: () => void) => void;
  /** Runs `seal` a millisecond or two later, for what nobody waits for. Undefined: `sealLater` is `sealSoon`. */
  readonly scheduleLater?: (seal: () => void) => void;
  /** A steady clock, ms: answers to a commit are waited for a little (see group-gathering.ts). Undefined: they are not. */
  readonly steadyMs?: () => number;
}

/** A commit in flight. */
interface Flight {
  readonly commit: CommitNumber;
  readonly group: Group;
  readonly trims: readonly TrimStep[];
}

interface Waiter {
  resolve(): void;
  reject(error: Error): void;
}

export class LogStore implements Store {
  readonly epoch: string;
  readonly #backing: Backing;
  readonly #options: LogStoreOptions;
  readonly #reader: LogReader;
  readonly #decoder: RecordDecoder;
  readonly #disk: DiskSpace;
  readonly #tableSpace: TableSpace;
  readonly #arena = new Arena();
  readonly #logs: LogState[];
  readonly #logIds = new Map<string, LogId>();
  readonly #trimming = new Set<LogState>();
  readonly #waiters: Waiter[] = [];
  readonly #onTurnEnd = (): void => this.#turnEnded();
  readonly #readOldest = (log: LogState): Instant | undefined => this.#oldestAt(log);
  readonly #onLater = (): void => this.#laterCame();
  readonly #gathering: GroupGathering | undefined;
  readonly #oldest = new Map<LogState, { first: number; at: Instant | undefined }>();

  #events: StoreEvents | undefined;
  #group = new Group();
  #flight: Flight | undefined;
  #openCommit = 1;
  #flushedCommit: number = NO_COMMIT;
  #nextOrdinal: number;
  #latestTime: number | undefined;
  #liveBytes = 0;
  /** `bytesMax` was reached, and not clearly left since. */
  #isFull = false;
  #inFlightBytes = 0;
  #isSealScheduled = false;
  /** Something will be staged while the open group is sealed. */
  #isAwaited = false;
  /** The same of something that nobody waits for. */
  #isAwaitedLater = false;
  #isLaterScheduled = false;
  #lingerTimer: NodeJS.Timeout | undefined;
  #failure: Error | undefined;
  #isClosed = false;

  /** Takes over `backing`. Reads what is there. */
  constructor(backing: Backing, options: LogStoreOptions) {
    this.#backing = backing;
    this.#options = options;
    this.#disk = new DiskSpace(backing, options.diskReserveBytes);
    this.#tableSpace = new TableSpace(backing);
    if (options.steadyMs !== undefined) this.#gathering = new GroupGathering(options.steadyMs);
    this.epoch = options.epoch;
    const topics = options.topics ?? new TopicTable();
    this.#reader = new LogReader(backing, topics);
    this.#decoder = new RecordDecoder(topics);
    const recovered = recover(backing);
    this.#logs = recovered.logs;
    this.#nextOrdinal = recovered.nextOrdinal;
    this.#latestTime = recovered.latestTime;
    for (const log of this.#logs) {
      this.#logIds.set(log.name, log.id);
      this.#liveBytes += log.liveBytes;
      if (log.firstChunk !== undefined && log.firstChunk < log.trimMark) this.#trimming.add(log);
    }
    for (const { key, value } of recovered.missing) this.#group.change("meta", key, value);
  }

  get flushedCommit(): CommitNumber {
    return this.#flushedCommit as CommitNumber;
  }

  get openCommit(): CommitNumber {
    return this.#openCommit as CommitNumber;
  }

  get pendingBytes(): number {
    return this.#inFlightBytes + this.#group.bytes;
  }

  get hasChanges(): boolean {
    return this.#group.changes.size > 0;
  }

  /** Bytes in use on disk: all logs, and the tables of sessions and retained messages. */
  get usedBytes(): number {
    return this.#liveBytes + this.#tableSpace.bytes;
  }

  /** Those of the tables alone. */
  get tableBytes(): number {
    return this.#tableSpace.bytes;
  }

  get nextOrdinal(): Ordinal {
    return this.#nextOrdinal as Ordinal;
  }

  get bytesRead(): number {
    return this.#reader.bytesRead;
  }

  get latestAt(): Instant | undefined {
    return this.#latestTime as Instant | undefined;
  }

  listen(events: StoreEvents): void {
    if (this.#events !== undefined) throw new Error("the store has its listener");
    this.#events = events;
  }

  openLog(name: string): LogId {
    const known = this.#logIds.get(name);
    if (known !== undefined) return known;
    if (this.#logs.length >= LOGS_MAX) throw new Error("too many logs");
    const log = new LogState(this.#logs.length as LogId, name);
    this.#logs.push(log);
    this.#logIds.set(name, log.id);
    this.#change("meta", ...logNameChange(log));
    return log.id;
  }

  renameLog(log: LogId, name: string): void {
    if (this.#logIds.has(name)) throw new Error(`there is a log ${name} already`);
    const state = this.#log(log);
    this.#logIds.delete(state.name);
    state.name = name;
    this.#logIds.set(name, log);
    this.#change("meta", ...logNameChange(state));
  }

  logNames(): ReadonlyMap<LogId, string> {
    return new Map(this.#logs.map((log) => [log.id, log.name]));
  }

  refusal(): StoreRefusal | undefined {
    // Hot path: per durable message.
    if (this.#failure !== undefined || this.#isClosed) return "failed";
    const { bytesMax, pendingBytesMax } = this.#options;
    if (this.pendingBytes >= pendingBytesMax) return "pending-full";
    const limit = this.#isFull ? bytesMax * LOW_WATERMARK_SHARE : bytesMax;
    const usedBytes = this.usedBytes + this.pendingBytes;
    this.#isFull = usedBytes >= limit;
    if (this.#isFull) {
      // The next time it may have more room.
      this.#tableSpace.refresh();
      return "store-full";
    }
    return this.#disk.isFull(usedBytes) ? "disk-full" : undefined;
  }

  append(log: LogId, message: Message): LogRecord {
    // Hot path: per durable message; allocates the record.
    const state = this.#logs[log];
    if (state === undefined) throw new Error(`there is no log ${log}`);
    this.#assertOpen();
    const group = this.#group;
    const room = recordBytesMax(message);
    let chunk = state.openChunk;
    if (chunk === undefined || chunk.end + room > chunk.bytes.length) {
      chunk = group.startChunk(state, this.#arena, room, message.receivedAt);
      state.openChunk = chunk;
    }
    const start = chunk.end;
    const end = group.write(chunk, message);
    this.#disk.countWritten(end - start);
    const payloadStart = end - (message.payloadEnd - message.payloadStart);
    const record = new StoredRecord(message, chunk.bytes, payloadStart, end, log, this.epoch);
    group.records.push(record);
    state.unnumbered++;
    if (!this.#isSealScheduled) this.#scheduleSeal();
    return record;
  }

  put(table: Table, key: Uint8Array, value: Uint8Array): void {
    assertKey(table, key);
    this.#change(table, key, value);
  }

  remove(table: Table, key: Uint8Array): void {
    assertKey(table, key);
    this.#change(table, key, undefined);
  }

  sealSoon(): void {
    // Hot path: per step of a QoS 2 delivery.
    this.#assertOpen();
    this.#isAwaited = true;
    this.#group.staged++;
    if (!this.#isSealScheduled) this.#scheduleSeal();
  }

  sealLater(): void {
    // Hot path: per delivery.
    const { scheduleLater } = this.#options;
    if (scheduleLater === undefined) {
      this.sealSoon();
      return;
    }
    this.#assertOpen();
    this.#isAwaitedLater = true;
    if (this.#isLaterScheduled) return;
    this.#isLaterScheduled = true;
    scheduleLater(this.#onLater);
  }

  #laterCame(): void {
    this.#isLaterScheduled = false;
    // A group that was sealed meanwhile has taken it along.
    if (!this.#isAwaitedLater) return;
    this.#isAwaited = true;
    this.#sealOrLinger();
  }

  #change(table: Table, key: Uint8Array, value: Uint8Array | undefined): void {
    this.#assertOpen();
    this.#group.change(table, key, value);
    if (!this.#isSealScheduled) this.#scheduleSeal();
  }

  get(table: Table, key: Uint8Array): Uint8Array | undefined {
    return getSmall(this.#backing, table, key);
  }

  scan(
    table: Table,
    prefix: Uint8Array,
    from?: Uint8Array,
    limit = Number.MAX_SAFE_INTEGER,
  ): [key: Uint8Array, value: Uint8Array][] {
    return scanSmall(this.#backing, table, prefix, from, limit);
  }

  read(log: LogId, from: Sequence, recordsMax: number, bytesMax: number): LogBatch {
    const state = this.#logs[log];
    // A damaged reference may name any log.
    if (state === undefined) return { records: [], next: from, damaged: [] };
    return this.#reader.read(state, from, recordsMax, bytesMax);
  }

  stats(log: LogId): LogStats {
    // Hot path: per delivery of a queue.
    const state = this.#log(log);
    state.view ??= new LogView(state, this.#readOldest);
    return state.view;
  }

  nextSequence(log: LogId): Sequence {
    const state = this.#log(log);
    return (state.nextSequence + state.unnumbered) as Sequence;
  }

  trim(log: LogId, before: Sequence, beforeOrdinal: Ordinal): Sequence {
    this.#assertOpen();
    const state = this.#log(log);
    if (before <= state.trimMark) return state.trimMark as Sequence;
    const mark = findTrimMark(this.#reader, this.#decoder, state, before, beforeOrdinal);
    if (mark > state.trimMark) {
      state.trimMark = mark;
      this.#trimming.add(state);
      if (!this.#isSealScheduled) this.#scheduleSeal();
    }
    return state.trimMark as Sequence;
  }

  drain(): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    this.#isAwaited ||= this.#isAwaitedLater;
    if (this.#flight === undefined) this.#seal();
    if (this.#flight === undefined) return Promise.resolve();
    return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }));
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearTimeout(this.#lingerTimer);
    await this.#backing.close();
  }

  #log(log: LogId): LogState {
    const state = this.#logs[log];
    if (state === undefined) throw new Error(`there is no log ${log}`);
    return state;
  }

  #assertOpen(): void {
    if (this.#isClosed) throw new Error("the store is closed");
    if (this.#failure !== undefined) {
      throw new Error("the store has failed", { cause: this.#failure });
    }
  }

  #scheduleSeal(): void {
    if (this.#flight !== undefined) return;
    this.#isSealScheduled = true;
    this.#options.schedule(this.#onTurnEnd);
  }

  #turnEnded(): void {
    this.#isSealScheduled = false;
    this.#sealOrLinger();
  }

  #sealOrLinger(): void {
    if (this.#flight !== undefined || this.#isClosed || this.#failure !== undefined) return;
    if (this.#gathering?.waits(this.#group.staged) === true) {
      this.#scheduleSeal();
      return;
    }
    const { lingerMs } = this.#options;
    if (lingerMs === 0 || this.#group.records.length !== 1) this.#seal();
    else this.#lingerTimer ??= setTimeout(() => this.#seal(), lingerMs);
  }

  /** Seals the open group and sends it to disk. */
  #seal(): void {
    clearTimeout(this.#lingerTimer);
    this.#lingerTimer = undefined;
    if (this.#flight !== undefined || this.#isClosed || this.#failure !== undefined) return;
    if (this.#group.isEmpty && this.#trimming.size === 0 && !this.#isAwaited) return;
    this.#isAwaited = false;
    this.#isAwaitedLater = false;
    const group = this.#group;
    const commit = this.openCommit;
    const numbered = this.#number(group, 0);
    this.#events?.onSealing(commit);
    this.#number(group, numbered);
    const writes = [...group.changes.values()];
    const trims: TrimStep[] = [];
    for (const log of this.#trimming) trims.push(planTrim(this.#backing, log, writes));
    this.#trimming.clear();
    closeChunks(group, this.#nextOrdinal, this.epoch, writes);
    this.#nextOrdinal += group.records.length;
    this.#flight = { commit, group, trims };
    this.#inFlightBytes = group.bytes;
    this.#gathering?.onSealed(group.staged);
    this.#disk.onSealed();
    this.#group = new Group();
    this.#openCommit++;
    if (this.#disk.lacks(group.bytes, this.usedBytes)) {
      this.#options.schedule(() => this.#done(new Error("the disk has no space for the commit")));
    } else if (writes.length === 0) {
      this.#options.schedule(() => this.#done(undefined));
    } else {
      this.#backing.commit(writes, (error) => this.#done(error));
    }
  }

  /** Gives sequences and ordinals to the group's records from `start` on, in order of arrival. */
  #number(group: Group, start: number): number {
    const { records } = group;
    for (let index = start; index < records.length; index++) {
      const record = records[index];
      const log = record === undefined ? undefined : this.#logs[record.log];
      if (record === undefined || log === undefined) continue;
      record.sequence = log.nextSequence++ as Sequence;
      log.unnumbered--;
      record.ordinal = (this.#nextOrdinal + index) as Ordinal;
    }
    return records.length;
  }

  #done(error: Error | undefined): void {
    const flight = this.#flight;
    if (flight === undefined) return;
    this.#flight = undefined;
    this.#inFlightBytes = 0;
    if (this.#isClosed) {
      this.#settle(error);
      return;
    }
    if (error !== undefined) {
      this.#fail(flight.commit, error);
      return;
    }
    this.#applyFlushed(flight);
    this.#tableSpace.countFlushed(flight.group.changeBytes);
    this.#flushedCommit = flight.commit;
    this.#gathering?.onFlushed(flight.group.staged, this.#group.staged);
    this.#events?.onFlushed(flight.commit);
    for (const chunk of flight.group.chunks) this.#arena.giveBack(chunk.bytes);
    if (this.#waiters.length > 0) this.#isAwaited ||= this.#isAwaitedLater;
    if (this.#lingerTimer === undefined && !this.#isSealScheduled) this.#sealOrLinger();
    if (this.#flight === undefined && this.#group.isEmpty && !this.#isAwaited) {
      this.#settle(undefined);
    } else if (this.#waiters.length > 0) {
      this.#seal();
    }
  }

  #fail(commit: CommitNumber, error: Error): void {
    this.#failure = error;
    clearTimeout(this.#lingerTimer);
    this.#events?.onFailed(commit, error);
    this.#settle(error);
  }

  /** Tells whoever waits in `drain`. */
  #settle(error: Error | undefined): void {
    for (const waiter of this.#waiters.splice(0)) {
      if (error === undefined) waiter.resolve();
      else waiter.reject(error);
    }
  }

  /** Moves what readers may see. */
  #applyFlushed(flight: Flight): void {
    const touched = new Set<LogState>();
    for (const { log } of flight.group.chunks) touched.add(log);
    for (const { log } of flight.trims) touched.add(log);
    for (const log of touched) this.#liveBytes -= log.liveBytes;
    for (const chunk of flight.group.chunks) {
      const { log } = chunk;
      const first = firstSequenceOf(flight.group, chunk);
      log.firstChunk ??= first;
      log.flushedEnd = first + chunk.count;
      log.flushedBytes += footprint(chunk.end);
      if (chunk.latestTime > (this.#latestTime ?? 0)) this.#latestTime = chunk.latestTime;
    }
    for (const { log, trimMark, firstChunk, bytesBefore, isPartial } of flight.trims) {
      log.firstSequence = trimMark;
      log.firstChunk = firstChunk ?? log.firstChunk;
      log.bytesBefore = bytesBefore;
      if (isPartial) this.#trimming.add(log);
    }
    for (const log of touched) this.#liveBytes += log.liveBytes;
  }

  #oldestAt(log: LogState): Instant | undefined {
    if (log.firstSequence === log.flushedEnd) return undefined;
    const known = this.#oldest.get(log);
    if (known?.first === log.firstSequence) return known.at;
    const { records } = this.#reader.read(log, log.firstSequence, 1, 0);
    const at = records[0]?.receivedAt;
    this.#oldest.set(log, { first: log.firstSequence, at });
    return at;
  }
}

function assertKey(table: Table, key: Uint8Array): void {
  if (key.length === 0) throw new Error("a key has at least one byte");
  if (table === "meta" && (key[0] ?? 0) < BROKER_META_MIN)
    throw new Error("this key is the store's own");
}
