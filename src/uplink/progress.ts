/**
 * How far a lane has come: which sequences are done, and where that is in the remote's own numbers.
 *
 * Record in `meta`, version 1 (varint: base 128, low groups first, high bit says that more follow):
 *
 *     +---------+-----------+------------------------------+--------+----------------------------+-------+
 *     | version | run count | per run: gap before, length  | has    | position, highest, origin  | crc32 |
 *     | 1 byte  | varint    | - 1, both varint             | remote | varint, varint, varint +   | 4, BE |
 *     |         |           |                              | 1 byte | UTF-8 bytes; if has remote |       |
 *     +---------+-----------+------------------------------+--------+----------------------------+-------+
 */
import { Buffer } from "node:buffer";
import { crc32 } from "node:zlib";
import { IntervalSet } from "../lib/interval-set.ts";
import type { RemotePosition } from "./remote.ts";

/** First byte of every progress key in `meta`. */
export const PROGRESS_KEY_PREFIX = 0x50;
const VERSION = 1;
const CRC_BYTES = 4;

/** Key of a lane's progress: 0x50, then uplink and stream name, each with its length in two bytes before it. */
export function progressKey(uplink: string, stream: string): Uint8Array {
  const uplinkBytes = Buffer.from(uplink, "utf8");
  const streamBytes = Buffer.from(stream, "utf8");
  const key = Buffer.alloc(1 + 2 + uplinkBytes.length + 2 + streamBytes.length);
  let at = key.writeUInt8(PROGRESS_KEY_PREFIX, 0);
  at = key.writeUInt16BE(uplinkBytes.length, at);
  at += uplinkBytes.copy(key, at);
  at = key.writeUInt16BE(streamBytes.length, at);
  streamBytes.copy(key, at);
  return key;
}

/** Progress of one lane, in memory. */
export class Progress {
  /** Sequences that need no more sending: acknowledged, skipped or accounted as dropped. */
  readonly done: IntervalSet;
  #remote: RemotePosition | undefined;
  #highestSent = 0;
  /**
   * When everything up to `sent` is done, what is not done was sent after `position` had been acknowledged, so
   * the remote stored it later: cause before effect, whatever it reorders.
   */
  #checkpoint: { readonly sent: number; readonly position: number } | undefined;

  constructor(done: IntervalSet = new IntervalSet(), remote?: RemotePosition) {
    this.done = done;
    this.#remote = remote;
  }

  /** The highest sequence below which, inclusive, everything is done; 0: nothing. */
  get mark(): number {
    return this.done.firstMissing(1) - 1;
  }

  get remote(): RemotePosition | undefined {
    return this.#remote;
  }

  /** The highest sequence handed to the driver since this object was made. */
  get highestSent(): number {
    return this.#highestSent;
  }

  sent(sequence: number): void {
    if (sequence > this.#highestSent) this.#highestSent = sequence;
  }

  /** The remote has it, at `position` in its numbers. Returns false when that was known. */
  acknowledged(sequence: number, position: number | undefined): boolean {
    const isNew = this.done.add(sequence) === 1;
    const remote = this.#remote;
    if (position === undefined || remote === undefined) return isNew;
    const highest = Math.max(remote.highest, position);
    this.#checkpoint ??= { sent: this.#highestSent, position: highest };
    let reached = remote.position;
    if (this.mark >= this.#checkpoint.sent) {
      reached = Math.max(reached, this.#checkpoint.position);
      this.#checkpoint = undefined;
    }
    this.#remote = { origin: remote.origin, position: reached, highest };
    return isNew;
  }

  /** After a reconcile: everything not done lies after `remote.position`. */
  reconciled(remote: RemotePosition | undefined): void {
    this.#remote = remote;
    this.#checkpoint = undefined;
  }
}

/** The record of this progress. */
export function encodeProgress(progress: Progress): Uint8Array {
  const bytes: number[] = [VERSION];
  const runs = progress.done.runs();
  writeVarint(bytes, runs.length);
  let end = 0;
  for (const run of runs) {
    writeVarint(bytes, run.from - end);
    writeVarint(bytes, run.to - run.from);
    end = run.to;
  }
  const { remote } = progress;
  bytes.push(remote === undefined ? 0 : 1);
  if (remote !== undefined) {
    const origin = Buffer.from(remote.origin, "utf8");
    writeVarint(bytes, remote.position);
    writeVarint(bytes, remote.highest);
    writeVarint(bytes, origin.length);
    bytes.push(...origin);
  }
  const record = Buffer.alloc(bytes.length + CRC_BYTES);
  record.set(bytes);
  record.writeUInt32BE(crc32(record.subarray(0, bytes.length)), bytes.length);
  return record;
}

/** Reads a record back; undefined when it is damaged or of a version that we do not know. */
export function decodeProgress(record: Uint8Array): Progress | undefined {
  const bytes = Buffer.from(record.buffer, record.byteOffset, record.byteLength);
  const bodyEnd = bytes.length - CRC_BYTES;
  if (bodyEnd < 3 || bytes[0] !== VERSION) return undefined;
  const body = bytes.subarray(0, bodyEnd);
  if (crc32(body) !== bytes.readUInt32BE(bodyEnd)) return undefined;
  const reader = new VarintReader(body, 1);
  const done = decodeRuns(reader);
  if (done === undefined) return undefined;
  const hasRemote = reader.readByte();
  if (hasRemote === 0) return reader.isAtEnd ? new Progress(done) : undefined;
  if (hasRemote !== 1) return undefined;
  const position = reader.read();
  const highest = reader.read();
  const origin = reader.readText();
  if (position === undefined || highest === undefined || origin === undefined) return undefined;
  return reader.isAtEnd ? new Progress(done, { origin, position, highest }) : undefined;
}

function decodeRuns(reader: VarintReader): IntervalSet | undefined {
  const done = new IntervalSet();
  const runCount = reader.read();
  if (runCount === undefined) return undefined;
  let end = 0;
  for (let run = 0; run < runCount; run++) {
    const gap = reader.read();
    const length = reader.read();
    if (gap === undefined || length === undefined || gap === 0) return undefined;
    const from = end + gap;
    end = from + length;
    if (!Number.isSafeInteger(end)) return undefined;
    done.add(from, end);
  }
  return done.runCount === runCount ? done : undefined;
}

function writeVarint(bytes: number[], value: number): void {
  let rest = value;
  while (rest >= 0x80) {
    bytes.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  bytes.push(rest);
}

class VarintReader {
  readonly #bytes: Buffer;
  #at: number;

  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes;
    this.#at = at;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  readByte(): number | undefined {
    return this.#bytes[this.#at++];
  }

  /** Undefined at the end of the bytes or beyond a safe integer. */
  read(): number | undefined {
    let value = 0;
    let factor = 1;
    for (let group = 0; group < 8; group++) {
      const byte = this.readByte();
      if (byte === undefined) return undefined;
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return Number.isSafeInteger(value) ? value : undefined;
      factor *= 0x80;
    }
    return undefined;
  }

  readText(): string | undefined {
    const length = this.read();
    if (length === undefined || this.#at + length > this.#bytes.length) return undefined;
    const text = this.#bytes.toString("utf8", this.#at, this.#at + length);
    this.#at += length;
    return text;
  }
}
