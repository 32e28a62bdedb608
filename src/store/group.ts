import type { Message } from "../broker/message.ts";
import type { LogRecord, Table } from "../broker/store.ts";
import { type Arena, footprint } from "./arena.ts";
import type { BackingWrite } from "./backing.ts";
import { logKey, storedKey, storedValue } from "./keys.ts";
import type { LogState } from "./log-state.ts";
import { CHUNK_HEADER_BYTES, encodeChunkHeader, encodeRecord, viewOf } from "./records.ts";

/** A chunk that is being written: records of one log in one group. */
export interface OpenChunk {
  readonly log: LogState;
  readonly bytes: Buffer;
  /** Of all its bytes. */
  readonly view: DataView;
  /** Where the next record goes. */
  end: number;
  count: number;
  /** Place in the group of its first record, and of its last. */
  readonly firstIndex: number;
  lastIndex: number;
  /** Receive time of its first record, whole ms. */
  readonly baseTime: number;
  latestTime: number;
}

/** Everything that is staged for one commit. Its arena is the buffers of its chunks. */
export class Group {
  /** In order of arrival: the order of ordinals. */
  readonly records: LogRecord[] = [];
  readonly chunks: OpenChunk[] = [];
  /** By table and key; the last change of a key wins. */
  readonly changes = new Map<string, BackingWrite>();
  /** Records and changes. */
  staged = 0;
  /** Bytes staged, with overhead. */
  bytes = 0;
  /** Of them, bytes of small records. */
  changeBytes = 0;

  get isEmpty(): boolean {
    return this.records.length === 0 && this.changes.size === 0;
  }

  /** Starts a chunk of `log` with room for `recordBytes`. */
  startChunk(log: LogState, arena: Arena, recordBytes: number, receivedAt: number): OpenChunk {
    const full = log.openChunk === undefined ? 0 : log.openChunk.bytes.length * 4;
    const wanted = Math.max(full, log.groupBytes);
    const index = this.records.length;
    const baseTime = Math.floor(receivedAt);
    const bytes = arena.take(CHUNK_HEADER_BYTES + recordBytes, wanted);
    const chunk: OpenChunk = {
      log,
      bytes,
      view: viewOf(bytes),
      end: CHUNK_HEADER_BYTES,
      count: 0,
      firstIndex: index,
      lastIndex: index,
      baseTime,
      latestTime: baseTime,
    };
    this.chunks.push(chunk);
    this.bytes += CHUNK_HEADER_BYTES;
    return chunk;
  }

  /** Writes the next record into `chunk` (which has the room) and returns where it ends. */
  write(chunk: OpenChunk, message: Message): number {
    // Hot path: per message.
    const index = this.records.length;
    const start = chunk.end;
    const { bytes, view, count, firstIndex, baseTime } = chunk;
    const end = encodeRecord(bytes, view, start, message, count, index - firstIndex, baseTime);
    chunk.end = end;
    chunk.count = count + 1;
    chunk.lastIndex = index;
    this.staged++;
    if (message.receivedAt > chunk.latestTime) chunk.latestTime = Math.floor(message.receivedAt);
    this.bytes += end - start;
    return end;
  }

  /** Stages a change of a small record; without value: its removal. */
  change(table: Table, key: Uint8Array, value: Uint8Array | undefined): void {
    this.staged++;
    const stored = storedKey(key);
    const name = (table === "meta" ? "m" : "r") + latin1(stored);
    const before = this.changes.get(name);
    if (before !== undefined) this.#addChange(-changeBytes(before));
    const write: BackingWrite = {
      table,
      key: stored,
      value: value === undefined ? undefined : storedValue(key, value),
    };
    this.changes.set(name, write);
    this.#addChange(changeBytes(write));
  }

  #addChange(bytes: number): void {
    this.bytes += bytes;
    this.changeBytes += bytes;
  }
}

/** Sequence of a chunk's first record, once the group is numbered. */
export function firstSequenceOf(group: Group, chunk: OpenChunk): number {
  return group.records[chunk.firstIndex]?.sequence ?? 0;
}

/** Completes the chunks of a numbered group, whose first record has `firstOrdinal`, and adds them to `writes`. */
export function closeChunks(
  group: Group,
  firstOrdinal: number,
  epoch: string,
  writes: BackingWrite[],
): void {
  for (const { log } of group.chunks) {
    log.openChunk = undefined;
    log.groupBytes = 0;
  }
  for (const chunk of group.chunks) {
    const { log, bytes, end } = chunk;
    const firstSequence = firstSequenceOf(group, chunk);
    encodeChunkHeader(bytes, {
      log: log.id,
      epoch,
      firstSequence,
      firstOrdinal: firstOrdinal + chunk.firstIndex,
      lastOrdinal: firstOrdinal + chunk.lastIndex,
      baseTime: chunk.baseTime,
      latestTime: chunk.latestTime,
      bytesBefore: log.sealedBytes,
      count: chunk.count,
      recordBytes: end - CHUNK_HEADER_BYTES,
    });
    log.sealedBytes += footprint(end);
    log.groupBytes += end;
    const key = logKey(log.id, firstSequence);
    writes.push({ table: "log", key, value: bytes.subarray(0, end) });
  }
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
}

const changeBytes = (write: BackingWrite): number =>
  16 + write.key.length + (write.value?.length ?? 0);
