/** Retention is logical: a mark says where a log starts. Chunks wholly before the mark die with later commits. */
import type { Backing, BackingWrite } from "./backing.ts";
import type { Chunk, RecordDecoder } from "./chunk.ts";
import { logKey, sequenceOfLogKey, trimMarkKey } from "./keys.ts";
import type { LogReader } from "./log-reader.ts";
import type { LogState } from "./log-state.ts";
import { writeUint64 } from "./numbers.ts";
import { decodeChunkHeader } from "./records.ts";

/** Chunks of one log deleted with one commit: bounds what a commit takes. */
const CHUNKS_DELETED_MAX = 256;

/**
 * The first record that may not be deleted when those before `before` with ordinals below `beforeOrdinal` may. At
 * most a binary search over the log's chunks; ordinals grow with sequences.
 */
export function findTrimMark(
  reader: LogReader,
  decoder: RecordDecoder,
  log: LogState,
  before: number,
  beforeOrdinal: number,
): number {
  let low = log.trimMark;
  let high = Math.min(before, log.flushedEnd);
  let probe = high - 1;
  while (low < high) {
    const chunk = reader.chunkOf(log, probe);
    if (chunk?.header === undefined || chunk.header.firstOrdinal >= beforeOrdinal) {
      high = chunk?.header === undefined ? probe : Math.max(low, chunk.first);
    } else if (chunk.header.lastOrdinal < beforeOrdinal) {
      low = Math.min(high, Math.max(probe + 1, chunk.end));
    } else {
      return findInChunk(decoder, log, chunk, low, high, beforeOrdinal);
    }
    probe = low + Math.floor((high - low) / 2);
  }
  return low;
}

function findInChunk(
  decoder: RecordDecoder,
  log: LogState,
  chunk: Chunk,
  low: number,
  high: number,
  beforeOrdinal: number,
): number {
  const end = Math.min(high, chunk.end);
  for (let sequence = Math.max(low, chunk.first); sequence < end; sequence++) {
    const record = decoder.decode(log.id, chunk, sequence);
    if (record !== undefined && record.ordinal >= beforeOrdinal) return sequence;
  }
  return end;
}

/** What a commit deletes of one log, to be applied when it is flushed. */
export interface TrimStep {
  readonly log: LogState;
  readonly trimMark: number;
  readonly firstChunk: number | undefined;
  readonly bytesBefore: number;
  /** True: more chunks may die with the next commit. */
  readonly isPartial: boolean;
}

/** Adds to `writes` the log's trim mark and the deletion of chunks wholly before it; the last chunk stays. */
export function planTrim(backing: Backing, log: LogState, writes: BackingWrite[]): TrimStep {
  const { trimMark } = log;
  if (trimMark !== log.sealedTrimMark) {
    const value = Buffer.allocUnsafe(8);
    writeUint64(value, 0, trimMark);
    writes.push({ table: "meta", key: trimMarkKey(log.id), value });
    log.sealedTrimMark = trimMark;
  }
  const start = logKey(log.id, log.firstChunk ?? 0);
  const end = logKey(log.id, trimMark + 1);
  const keys = backing.keys("log", start, end, CHUNKS_DELETED_MAX + 1);
  const kept = keys.pop();
  for (const key of keys) writes.push({ table: "log", key, value: undefined });
  let { firstChunk, bytesBefore } = log;
  if (kept !== undefined && keys.length > 0) {
    firstChunk = sequenceOfLogKey(kept);
    const value = backing.get("log", kept);
    const header = value === undefined ? undefined : decodeChunkHeader(value);
    bytesBefore = header?.bytesBefore ?? bytesBefore;
  }
  return { log, trimMark, firstChunk, bytesBefore, isPartial: keys.length === CHUNKS_DELETED_MAX };
}
