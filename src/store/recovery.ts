/**
 * What the store knows after it was opened: reads the first and the last chunk of every log and nothing between.
 * Sequences and ordinals go on after the highest there is.
 */
import { type LogId, SESSION_LOG } from "../broker/store.ts";
import { OperatingError } from "../lib/operating-error.ts";
import { footprint } from "./arena.ts";
import type { Backing, BackingWrite } from "./backing.ts";
import {
  LAYOUT_KEY,
  LAYOUT_VERSION,
  LOG_NAME_PREFIX,
  logKey,
  logNameKey,
  logOfMetaKey,
  prefixEnd,
  sequenceOfLogKey,
  trimMarkKey,
} from "./keys.ts";
import { LogState } from "./log-state.ts";
import { readUint32, readUint64, writeUint32 } from "./numbers.ts";
import { type ChunkHeader, decodeChunkHeader } from "./records.ts";
import { STORE_DAMAGED } from "./salvage/store-damage.ts";

/** Name of log 0. */
export const SESSION_LOG_NAME = "$session";

/** Logs there may be. */
export const LOGS_MAX = 65_536;
/** Damaged chunks at a log's end that are stepped over in search of its numbers. */
const DAMAGED_TAIL_MAX = 64;
/** Ordinals skipped when the last chunk of a log cannot tell its own. */
const ORDINALS_SKIPPED = 4_294_967_296;

export interface Recovered {
  /** By log id, without gaps. */
  readonly logs: LogState[];
  readonly nextOrdinal: number;
  readonly latestTime: number | undefined;
  /** To be staged with the first commit: what a new store lacks. */
  readonly missing: readonly BackingWrite[];
}

/**
 * Reads the state of all logs.
 * @throws OperatingError `data-folder-unusable` when the layout is of another version, `store-damaged` when it contradicts itself.
 */
export function recover(backing: Backing): Recovered {
  const missing: BackingWrite[] = [];
  checkLayout(backing, missing);
  const logs = [new LogState(SESSION_LOG, SESSION_LOG_NAME)];
  const names = backing.entries("meta", LOG_NAME_PREFIX, prefixEnd(LOG_NAME_PREFIX), LOGS_MAX);
  for (const [key, name] of names) {
    const id = logOfMetaKey(key);
    if (id !== logs.length) {
      throw new OperatingError(
        STORE_DAMAGED,
        `the store is damaged: log ${logs.length} has no name`,
      );
    }
    logs.push(new LogState(id as LogId, Buffer.from(name).toString("utf8")));
  }
  let nextOrdinal = 1;
  let latestTime: number | undefined;
  for (const log of logs) {
    const last = recoverLog(backing, log);
    if (last.ordinalEnd > nextOrdinal) nextOrdinal = last.ordinalEnd;
    if (last.header !== undefined) {
      latestTime = Math.max(latestTime ?? 0, last.header.latestTime);
    }
  }
  return { logs, nextOrdinal, latestTime, missing };
}

function checkLayout(backing: Backing, missing: BackingWrite[]): void {
  const layout = backing.get("meta", LAYOUT_KEY);
  if (layout === undefined) {
    const value = Buffer.alloc(4);
    writeUint32(value, 0, LAYOUT_VERSION);
    missing.push({ table: "meta", key: LAYOUT_KEY, value });
  } else if (layout.length !== 4 || readUint32(layout, 0) !== LAYOUT_VERSION) {
    throw unusable(`layout version ${Buffer.from(layout).toString("hex")} is not known`);
  }
}

function unusable(why: string): OperatingError {
  return new OperatingError("data-folder-unusable", `the store cannot be read: ${why}`);
}

interface LogEnd {
  /** Of the last intact chunk. */
  readonly header: ChunkHeader | undefined;
  readonly ordinalEnd: number;
}

function recoverLog(backing: Backing, log: LogState): LogEnd {
  const lowest = logKey(log.id, 0);
  const highest = logKey(log.id, Number.MAX_SAFE_INTEGER);
  const [firstKey] = backing.keys("log", lowest, highest, 1);
  const mark = backing.get("meta", trimMarkKey(log.id));
  if (mark?.length === 8) log.trimMark = readUint64(mark, 0);
  log.sealedTrimMark = log.trimMark;
  if (firstKey === undefined) return { header: undefined, ordinalEnd: 1 };
  log.firstChunk = sequenceOfLogKey(firstKey);
  const first = headerOf(backing, firstKey, log).header;
  log.bytesBefore = first?.bytesBefore ?? 0;
  const end = recoverEnd(backing, log, backing.keysDown("log", highest, lowest, DAMAGED_TAIL_MAX));
  log.nextSequence = log.flushedEnd;
  log.sealedBytes = log.flushedBytes;
  log.trimMark = Math.min(Math.max(log.trimMark, log.firstChunk), log.flushedEnd);
  log.firstSequence = log.trimMark;
  return end;
}

/** Finds the log's numbers from its last chunk, or, if that is damaged, from the last intact one before. */
function recoverEnd(backing: Backing, log: LogState, keysDown: Uint8Array[]): LogEnd {
  let bytesAfter = 0;
  let sequenceEnd = 0;
  for (const [index, key] of keysDown.entries()) {
    const { header, valueBytes } = headerOf(backing, key, log);
    bytesAfter += footprint(valueBytes);
    // A record takes more than one byte: the sequences of a damaged chunk end before this.
    if (index === 0) sequenceEnd = sequenceOfLogKey(key) + (header?.count ?? valueBytes);
    if (header === undefined) continue;
    log.flushedEnd = sequenceEnd;
    log.flushedBytes = header.bytesBefore + bytesAfter;
    return { header, ordinalEnd: header.lastOrdinal + 1 + (index === 0 ? 0 : ORDINALS_SKIPPED) };
  }
  log.flushedEnd = sequenceEnd;
  log.flushedBytes = log.bytesBefore + bytesAfter;
  return { header: undefined, ordinalEnd: 1 + ORDINALS_SKIPPED };
}

function headerOf(
  backing: Backing,
  key: Uint8Array,
  log: LogState,
): { header: ChunkHeader | undefined; valueBytes: number } {
  const value = backing.get("log", key);
  if (value === undefined) return { header: undefined, valueBytes: 0 };
  const header = decodeChunkHeader(value);
  const isIntact = header?.log === log.id && header.firstSequence === sequenceOfLogKey(key);
  return { header: isIntact ? header : undefined, valueBytes: value.length };
}

/** The change that gives a new log its name. */
export function logNameChange(log: LogState): [key: Uint8Array, value: Uint8Array] {
  return [logNameKey(log.id), Buffer.from(log.name)];
}
