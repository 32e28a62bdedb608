/**
 * How queues are kept in the table `meta`, beside their logs `queue/NAME`. Keys (numbers big endian):
 *
 *     70 name                          a queue: JSON, see QueueRecord
 *     71 queue:u32                     head of its deliveries, see block-records.ts
 *     72 queue:u32 block:u64           a block of them
 *     73 queue:u32                     number:u64 up to which its delayed messages were purged, as long as there may be such
 *     74 due:u64 queue:u32 number:u64  delayed message, see message-record.ts
 */
import type { BlockKeys } from "./delivery-blocks.ts";
import { numberKey, textKey } from "./record-keys.ts";

const KEY_QUEUE = 0x70;
const KEY_HEAD = 0x71;
const KEY_BLOCK = 0x72;
const KEY_PURGED = 0x73;
const KEY_DELAYED = 0x74;

const utf8 = new TextEncoder();
const text = new TextDecoder();

export const QUEUE_PREFIX = Uint8Array.of(KEY_QUEUE);
export const DELAYED_PREFIX = Uint8Array.of(KEY_DELAYED);
export const PURGED_PREFIX = Uint8Array.of(KEY_PURGED);

export const queueKey = (name: string): Uint8Array => textKey(KEY_QUEUE, name);

/** Where the state of its deliveries is kept. */
export const queueBlockKeys = (queue: number): BlockKeys => ({
  head: numberKey(KEY_HEAD, queue),
  blockPrefix: numberKey(KEY_BLOCK, queue),
});

export function delayedKey(dueAt: number, queue: number, number: number): Uint8Array {
  const key = new Uint8Array(21);
  key[0] = KEY_DELAYED;
  const view = new DataView(key.buffer);
  view.setBigUint64(1, BigInt(Math.max(0, Math.ceil(dueAt))));
  view.setUint32(9, queue);
  view.setBigUint64(13, BigInt(number));
  return key;
}

export const purgedKey = (queue: number): Uint8Array => numberKey(KEY_PURGED, queue);

export function encodePurged(number: number): Uint8Array {
  const value = new Uint8Array(8);
  new DataView(value.buffer).setBigUint64(0, BigInt(number));
  return value;
}

/** Of which queue delayed messages were purged, and up to which number. Damaged: up to none. */
export function purgedOf(key: Uint8Array, value: Uint8Array): { queue: number; number: number } {
  const queue = new DataView(key.buffer, key.byteOffset, key.byteLength).getUint32(1);
  const isWhole = value.length === 8;
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
  return { queue, number: isWhole ? Number(view.getBigUint64(0)) : 0 };
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
