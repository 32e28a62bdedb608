/**
 * How queues are kept in the table `meta`, beside their logs `queue/NAME`. Keys (numbers big endian):
 *
 *     70 name                          a queue: JSON, see QueueRecord
 *     71 queue:u32                     head: version:u8, floor (first sequence not settled), bytes and number of what waits (varints)
 *     72 queue:u32 block:u64           state of the 256 sequences of a block, where it is not the plain one
 *     74 due:u64 queue:u32 number:u64  delayed message, see message-record.ts
 *
 * A block is: version:u8, number of runs of settled sequences, per run its distance from the end of the run before and its length;
 * then number of deliveries, per delivery the distance of its sequence from the one before, how often it was
 * handed out, and until when it is hidden (milliseconds since 1970; 0: it is not); varints throughout.
 */
import { ByteWriter } from "../lib/byte-writer.ts";
import { copyBytes } from "../lib/copy-bytes.ts";
import { VarintReader, writeVarint } from "../lib/varint.ts";

const KEY_QUEUE = 0x70;
const KEY_HEAD = 0x71;
const KEY_BLOCK = 0x72;
const KEY_DELAYED = 0x74;
const VERSION = 1;

/** Sequences in one block. */
export const BLOCK_SEQUENCES = 256;

const scratch = new ByteWriter();
const utf8 = new TextEncoder();
const text = new TextDecoder();

export const QUEUE_PREFIX = Uint8Array.of(KEY_QUEUE);
export const DELAYED_PREFIX = Uint8Array.of(KEY_DELAYED);

export function queueKey(name: string): Uint8Array {
  const bytes = utf8.encode(name);
  const key = new Uint8Array(bytes.length + 1);
  key[0] = KEY_QUEUE;
  key.set(bytes, 1);
  return key;
}

export const queueNameOf = (key: Uint8Array): string => text.decode(key.subarray(1));

export function headKey(queue: number): Uint8Array {
  const key = new Uint8Array(5);
  key[0] = KEY_HEAD;
  new DataView(key.buffer).setUint32(1, queue);
  return key;
}

export function blockPrefix(queue: number): Uint8Array {
  const key = headKey(queue);
  key[0] = KEY_BLOCK;
  return key;
}

export function blockKey(queue: number, block: number): Uint8Array {
  const key = new Uint8Array(13);
  key.set(blockPrefix(queue));
  new DataView(key.buffer).setBigUint64(5, BigInt(block));
  return key;
}

export const blockOfKey = (key: Uint8Array): number =>
  Number(new DataView(key.buffer, key.byteOffset, key.byteLength).getBigUint64(5));

export function delayedKey(dueAt: number, queue: number, number: number): Uint8Array {
  const key = new Uint8Array(21);
  key[0] = KEY_DELAYED;
  const view = new DataView(key.buffer);
  view.setBigUint64(1, BigInt(Math.max(0, Math.ceil(dueAt))));
  view.setUint32(9, queue);
  view.setBigUint64(13, BigInt(number));
  return key;
}

/** When, for which queue, and under which number a delayed message waits. */
export function delayedOf(key: Uint8Array): { dueAt: number; queue: number; number: number } {
  const view = new DataView(key.buffer, key.byteOffset, key.byteLength);
  return {
    dueAt: Number(view.getBigUint64(1)),
    queue: view.getUint32(9),
    number: Number(view.getBigUint64(13)),
  };
}

/** What a queue is told; kept as JSON. */
export interface QueueSettings {
  readonly name: string;
  /** Publishes whose topic matches go into the queue too. */
  readonly filters: readonly string[];
  /** Most live bytes; beyond it sending is refused. */
  readonly bytesMax: number;
  /** Most messages that are not settled, delayed ones among them. */
  readonly messagesMax: number;
  /** After so many deliveries without ack a message is given up; 0: never. */
  readonly deliveriesMax: number;
  /** Where what is given up goes; undefined: it is dropped and counted. */
  readonly deadLetterQueue: string | undefined;
  readonly visibilityMs: number;
  /** Of messages that name none; 0: never. */
  readonly expiryMs: number;
  readonly duplicateWindowMs: number;
}

export interface QueueRecord {
  readonly version: 1;
  /** Its number in keys; never used again. */
  readonly number: number;
  readonly settings: QueueSettings;
}

export const encodeQueue = (record: QueueRecord): Uint8Array => utf8.encode(JSON.stringify(record));

/** The queue in a record; undefined when it is damaged. */
export function decodeQueue(value: Uint8Array): QueueRecord | undefined {
  try {
    const record = JSON.parse(text.decode(value)) as Partial<QueueRecord> | null;
    const settings = record?.settings;
    const isFine =
      record?.version === 1 &&
      Number.isSafeInteger(record.number) &&
      typeof settings?.name === "string" &&
      Array.isArray(settings.filters) &&
      settings.filters.every((filter) => typeof filter === "string") &&
      [
        settings.bytesMax,
        settings.messagesMax,
        settings.deliveriesMax,
        settings.visibilityMs,
        settings.expiryMs,
        settings.duplicateWindowMs,
      ].every((value) => Number.isSafeInteger(value) && value >= 0);
    return isFine ? (record as QueueRecord) : undefined;
  } catch {
    return undefined;
  }
}

export interface QueueHead {
  readonly floor: number;
}

export function encodeHead({ floor }: QueueHead): Uint8Array {
  scratch.clear();
  scratch.writeByte(VERSION);
  writeVarint(scratch, floor);
  return copyBytes(scratch.bytes, 0, scratch.end);
}

export function decodeHead(value: Uint8Array): QueueHead | undefined {
  const reader = new VarintReader(value);
  const version = reader.readByte();
  const floor = reader.readVarint();
  return version === VERSION && !reader.isBroken ? { floor } : undefined;
}

/** A sequence that was handed out before and is not settled. */
export interface HandedOut {
  readonly sequence: number;
  readonly count: number;
  /** Others do not get it before; 0: they do. */
  readonly hiddenUntil: number;
}

export interface QueueBlock {
  /** Runs of settled sequences, both ends included, in order. */
  readonly settled: readonly { readonly from: number; readonly to: number }[];
  /** In order of sequence. */
  readonly handedOut: readonly HandedOut[];
}

/** `block`: its number; what it holds lies within it. */
export function encodeBlock(block: number, { settled, handedOut }: QueueBlock): Uint8Array {
  scratch.clear();
  scratch.writeByte(VERSION);
  let at = block * BLOCK_SEQUENCES;
  writeVarint(scratch, settled.length);
  for (const { from, to } of settled) {
    writeVarint(scratch, from - at);
    writeVarint(scratch, to - from + 1);
    at = to + 1;
  }
  at = block * BLOCK_SEQUENCES;
  writeVarint(scratch, handedOut.length);
  for (const { sequence, count, hiddenUntil } of handedOut) {
    writeVarint(scratch, sequence - at);
    writeVarint(scratch, count);
    writeVarint(scratch, Math.ceil(hiddenUntil));
    at = sequence;
  }
  return copyBytes(scratch.bytes, 0, scratch.end);
}

/** Undefined when it is damaged. */
export function decodeBlock(block: number, value: Uint8Array): QueueBlock | undefined {
  const reader = new VarintReader(value);
  if (reader.readByte() !== VERSION) return undefined;
  const end = (block + 1) * BLOCK_SEQUENCES;
  const settled: { from: number; to: number }[] = [];
  let at = block * BLOCK_SEQUENCES;
  for (let runs = reader.readVarint(); runs > 0 && !reader.isBroken; runs--) {
    const from = at + reader.readVarint();
    const to = from + reader.readVarint() - 1;
    if (to < from || to >= end) return undefined;
    settled.push({ from, to });
    at = to + 1;
  }
  const handedOut: HandedOut[] = [];
  at = block * BLOCK_SEQUENCES;
  for (let rest = reader.readVarint(); rest > 0 && !reader.isBroken; rest--) {
    at += reader.readVarint();
    const count = reader.readVarint();
    const hiddenUntil = reader.readVarint();
    if (at >= end) return undefined;
    handedOut.push({ sequence: at, count, hiddenUntil });
  }
  return reader.isBroken ? undefined : { settled, handedOut };
}
