/** A hole is a chunk of numbers without records: where records were that nobody found. It is read as damaged, in one step. */
import { footprint } from "../arena.ts";
import type { Backing } from "../backing.ts";
import { logKey } from "../keys.ts";
import {
  CHUNK_HEADER_BYTES,
  decodeChunkHeader,
  encodeChunkHeader,
  RECORD_BYTES_MIN,
} from "../records.ts";
import type { Output } from "./output.ts";

/** Sequences in one hole: a chunk's header has room for so many. */
export const HOLE_RECORDS_MAX = 300_000_000;
const ORDINALS_SKIPPED = 4_294_967_296;
const NO_EPOCH = "0".repeat(16);

/**
 * Puts holes over the sequences of `range` of a log. The chunks around them are in `backing` already. A hole has one ordinal:
 * between those of its neighbours, or, at the end of the log, beyond all that may have been given out after `lastOrdinal`.
 */
export function putHoles(
  backing: Backing,
  output: Output,
  lastOrdinal: number,
  log: number,
  range: { readonly from: number; readonly to: number },
): void {
  const { from, to } = range;
  const next = chunkAfter(backing, log, to);
  const before = chunkBefore(backing, log, from);
  const nextHeader = next && decodeChunkHeader(next);
  const beforeHeader = before && decodeChunkHeader(before);
  const ordinal =
    nextHeader === undefined
      ? lastOrdinal + ORDINALS_SKIPPED
      : Math.max(nextHeader.firstOrdinal - 1, 0);
  const bytesUpToHere =
    (beforeHeader?.bytesBefore ?? 0) + (before === undefined ? 0 : footprint(before.length));
  const time = nextHeader?.baseTime ?? beforeHeader?.latestTime ?? 0;
  for (let first = from; first <= to; first += HOLE_RECORDS_MAX) {
    const count = Math.min(to - first + 1, HOLE_RECORDS_MAX);
    const value = Buffer.alloc(CHUNK_HEADER_BYTES);
    encodeChunkHeader(value, {
      log,
      epoch: NO_EPOCH,
      firstSequence: first,
      firstOrdinal: ordinal,
      lastOrdinal: ordinal,
      baseTime: time,
      latestTime: time,
      bytesBefore: nextHeader?.bytesBefore ?? bytesUpToHere,
      count,
      recordBytes: count * RECORD_BYTES_MIN,
    });
    output.put("log", logKey(log, first), value);
  }
}

function chunkAfter(backing: Backing, log: number, sequence: number): Uint8Array | undefined {
  const end = logKey(log, Number.MAX_SAFE_INTEGER);
  const [key] = backing.keys("log", logKey(log, sequence + 1), end, 1);
  return key === undefined ? undefined : backing.get("log", key);
}

function chunkBefore(backing: Backing, log: number, sequence: number): Uint8Array | undefined {
  const [key] = backing.keysDown("log", logKey(log, sequence), logKey(log, 0), 1);
  return key === undefined ? undefined : backing.get("log", key);
}
