/**
 * How streams made while the broker runs, and durable consumers of any stream, are kept in the table `meta`. Keys (numbers big endian):
 *
 *     78 name              a stream: JSON, see StreamRecord
 *     7a consumer:u32      a durable consumer: JSON, see ConsumerRecord
 *     7b consumer:u32      head of its deliveries, see block-records.ts
 *     7c consumer:u32 …    blocks of them
 */
import type { BlockKeys } from "./delivery-blocks.ts";
import { numberKey, textKey } from "./record-keys.ts";
import type { StreamSettings } from "./stream.ts";

const KEY_STREAM = 0x78;
const KEY_CONSUMER = 0x7a;
const KEY_HEAD = 0x7b;
const KEY_BLOCK = 0x7c;

const utf8 = new TextEncoder();
const text = new TextDecoder();

export const STREAM_PREFIX = Uint8Array.of(KEY_STREAM);
export const CONSUMER_PREFIX = Uint8Array.of(KEY_CONSUMER);

export const streamKey = (name: string): Uint8Array => textKey(KEY_STREAM, name);
export const consumerKey = (consumer: number): Uint8Array => numberKey(KEY_CONSUMER, consumer);

/** Where the state of its deliveries is kept. */
export const consumerBlockKeys = (consumer: number): BlockKeys => ({
  head: numberKey(KEY_HEAD, consumer),
  blockPrefix: numberKey(KEY_BLOCK, consumer),
});

export interface StreamRecord {
  readonly version: 1;
  /** In the order in which they were made. */
  readonly number: number;
  readonly settings: StreamSettings;
}

/** What a durable consumer is told; kept as JSON. */
export interface ConsumerSettings {
  readonly stream: string;
  readonly name: string;
  /** Undefined: all records. */
  readonly filter?: string | undefined;
  /** How long a record may be unacknowledged before it is delivered again. */
  readonly ackWaitMs: number;
  readonly unackedMax: number;
  /** After so many deliveries without ack a record is given up; 0: never. */
  readonly deliveriesMax: number;
  /** Where what is given up goes; undefined: it is counted and passed over. */
  readonly deadLetterStream?: string | undefined;
}

export interface ConsumerRecord {
  readonly version: 1;
  readonly number: number;
  readonly settings: ConsumerSettings;
}

const encode = (record: StreamRecord | ConsumerRecord): Uint8Array =>
  utf8.encode(JSON.stringify(record));

export const encodeStream = (record: StreamRecord): Uint8Array => encode(record);
export const encodeConsumer = (record: ConsumerRecord): Uint8Array => encode(record);

const isText = (value: unknown): boolean => value === undefined || typeof value === "string";
const isNumber = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;
const isNumberOrAbsent = (value: unknown): boolean => value === undefined || isNumber(value);

function decode<R extends StreamRecord | ConsumerRecord>(value: Uint8Array): Partial<R> {
  try {
    const record: unknown = JSON.parse(text.decode(value));
    return typeof record === "object" && record !== null ? (record as Partial<R>) : {};
  } catch {
    return {};
  }
}

/** Undefined when it is damaged. */
export function decodeStream(value: Uint8Array): StreamRecord | undefined {
  const record = decode<StreamRecord>(value);
  const { settings } = record;
  const isFine =
    record.version === 1 &&
    isNumber(record.number) &&
    typeof settings?.name === "string" &&
    Array.isArray(settings.filters) &&
    settings.filters.every((filter) => typeof filter === "string") &&
    isNumber(settings.bytesMax) &&
    [settings.messagesMax, settings.ageMaxMs, settings.duplicateWindowMs].every(isNumberOrAbsent) &&
    (settings.whenFull === "reject" || settings.whenFull === "drop-oldest");
  return isFine ? (record as StreamRecord) : undefined;
}

/** Undefined when it is damaged. */
export function decodeConsumer(value: Uint8Array): ConsumerRecord | undefined {
  const record = decode<ConsumerRecord>(value);
  const { settings } = record;
  const isFine =
    record.version === 1 &&
    isNumber(record.number) &&
    typeof settings?.name === "string" &&
    typeof settings.stream === "string" &&
    [settings.filter, settings.deadLetterStream].every(isText) &&
    [settings.ackWaitMs, settings.unackedMax, settings.deliveriesMax].every(isNumber);
  return isFine ? (record as ConsumerRecord) : undefined;
}
