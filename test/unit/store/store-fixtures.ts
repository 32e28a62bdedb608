/** Messages, places and listeners for tests of stores. */
import assert from "node:assert/strict";
import type { Message, MessageProperties, QoS } from "../../../src/broker/message.ts";
import type {
  CommitNumber,
  LogId,
  LogRecord,
  LogStats,
  Ordinal,
  Sequence,
  Store,
} from "../../../src/broker/store.ts";
import { Topic } from "../../../src/broker/topic.ts";
import type { Instant } from "../../../src/lib/clock.ts";

export interface StoreLimits {
  readonly bytesMax?: number;
  readonly pendingBytesMax?: number;
}

/** A place where a store can be opened again and again. */
export interface StorePlace {
  /** Opens a store on what the last one flushed. */
  open(limits?: StoreLimits): Store;
  /** Removes the place. */
  dispose(): void;
}

const utf8 = new TextEncoder();
export const bytesOf = (text: string): Uint8Array => utf8.encode(text);
export const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString("utf8");
export const payloadOf = (message: Message): string =>
  textOf(message.bytes.subarray(message.payloadStart, message.payloadEnd));

interface Extra {
  readonly payload?: Uint8Array;
  readonly qos?: QoS;
  readonly retain?: boolean;
  readonly properties?: MessageProperties;
  readonly publisherId?: string;
  readonly receivedAt?: number;
  readonly expiresAt?: number;
}

export function messageOf(topic: string, text: string, extra: Extra = {}): Message {
  const payload = extra.payload ?? bytesOf(text);
  return {
    topic: new Topic(topic),
    qos: extra.qos ?? 1,
    retain: extra.retain ?? false,
    bytes: payload,
    payloadStart: 0,
    payloadEnd: payload.length,
    properties: extra.properties,
    publisherId: extra.publisherId ?? "device-1",
    receivedAt: (extra.receivedAt ?? 1_700_000_000_000) as Instant,
    expiresAt: extra.expiresAt as Instant | undefined,
  };
}

/** Records what a store tells. */
export class Listener {
  readonly log: string[] = [];
  readonly flushed: CommitNumber[] = [];
  readonly failed: Error[] = [];
  whenSealing: ((commit: CommitNumber) => void) | undefined;
  whenFlushed: ((commit: CommitNumber) => void) | undefined;

  onSealing(commit: CommitNumber): void {
    this.log.push(`sealing ${commit}`);
    this.whenSealing?.(commit);
  }

  onFlushed(commit: CommitNumber): void {
    this.log.push(`flushed ${commit}`);
    this.flushed.push(commit);
    this.whenFlushed?.(commit);
  }

  onFailed(_commit: CommitNumber, error: Error): void {
    this.failed.push(error);
  }
}

export const seq = (value: number): Sequence => value as Sequence;
export const ord = (value: number): Ordinal => value as Ordinal;
export const MANY = 1_000_000;

/** The numbers of a log as they are now. */
export function statsOf(store: Store, log: LogId): LogStats {
  const { firstSequence, nextSequence, bytes, oldestAt } = store.stats(log);
  return { firstSequence, nextSequence, bytes, oldestAt };
}

export function readAll(store: Store, log: LogId, from = 1): LogRecord[] {
  const records: LogRecord[] = [];
  for (let next = seq(from); ; ) {
    const batch = store.read(log, next, 100, MANY);
    assert.deepEqual(batch.damaged, []);
    if (batch.next === next) return records;
    records.push(...batch.records);
    next = batch.next;
  }
}

export const payloads = (store: Store, log: LogId): string[] => readAll(store, log).map(payloadOf);

/** What a store must do, by sentence. */
export type Contract = Readonly<Record<string, (place: StorePlace) => Promise<void>>>;
