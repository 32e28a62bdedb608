/**
 * What is on disk about the QoS 2 deliveries of one session that are under way: which packet identifier a message has
 * and how far it came, so that after a crash the delivery goes on under the same packet identifier. Of messages in logs it is in the
 * record of references; retained messages have records of their own, drawn in `session-records.ts`, too.
 */
import { sentKey } from "./session-records.ts";
import type { Ordinal, Store } from "./store.ts";

/** How far a QoS 2 delivery came; `done` until its references record goes. */
export const SENT = { published: 1, released: 2, done: 3 } as const;

/**
 * Beyond all ordinals: with a number added, under which QoS 2 deliveries of retained messages are kept on disk. No log holds
 * them; their record goes on with what they are.
 */
export const REPLAY_ORDINALS = 2 ** 52;

/** Which retained message it was, for which subscription: receivedAt:f64 filter (length:u16, UTF-8) topic (UTF-8). */
export interface ReplayOrigin {
  readonly receivedAt: number;
  readonly topicFilter: string;
  readonly topic: string;
}

/** State and packet identifier. */
const SENT_BYTES = 3;
const HEAD_BYTES = 10;
const utf8 = new TextEncoder();
const text = new TextDecoder();

export function encodeOrigin({ receivedAt, topicFilter, topic }: ReplayOrigin): Uint8Array {
  const filterBytes = utf8.encode(topicFilter);
  const topicBytes = utf8.encode(topic);
  const bytes = new Uint8Array(HEAD_BYTES + filterBytes.length + topicBytes.length);
  const view = new DataView(bytes.buffer);
  view.setFloat64(0, receivedAt);
  view.setUint16(8, filterBytes.length);
  bytes.set(filterBytes, HEAD_BYTES);
  bytes.set(topicBytes, HEAD_BYTES + filterBytes.length);
  return bytes;
}

/** Undefined: damaged. */
export function decodeOrigin(bytes: Uint8Array): ReplayOrigin | undefined {
  if (bytes.length < HEAD_BYTES) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const filterEnd = HEAD_BYTES + view.getUint16(8);
  if (filterEnd > bytes.length) return undefined;
  return {
    receivedAt: view.getFloat64(0),
    topicFilter: text.decode(bytes.subarray(HEAD_BYTES, filterEnd)),
    topic: text.decode(bytes.subarray(filterEnd)),
  };
}

/** One of them as it was read; `state` as in `SENT`. */
export interface SentRecord {
  readonly packetId: number;
  readonly state: number;
  /** What follows in the record of a retained message. */
  readonly origin: Uint8Array;
}

/** A record as it is on disk; undefined when it is damaged. */
export function decodeSent(value: Uint8Array): SentRecord | undefined {
  const [state = 0, high = 0, low = 0] = value;
  const packetId = (high << 8) | low;
  const isKnown = state >= SENT.published && state <= SENT.done;
  if (value.length < SENT_BYTES || !isKnown || packetId === 0) return undefined;
  return { state, packetId, origin: value.subarray(SENT_BYTES) };
}

/** The records of one session. */
export class SentRecords {
  readonly #store: Store;
  readonly #sessionNumber: number;

  constructor(store: Store, sessionNumber: number) {
    this.#store = store;
    this.#sessionNumber = sessionNumber;
  }

  /** Goes with the open group. */
  put(ordinal: Ordinal, state: number, packetId: number, origin?: Uint8Array): void {
    const value = new Uint8Array(SENT_BYTES + (origin?.length ?? 0));
    value[0] = state;
    value[1] = packetId >>> 8;
    value[2] = packetId & 0xff;
    if (origin !== undefined) value.set(origin, SENT_BYTES);
    this.#store.put("meta", sentKey(this.#sessionNumber, ordinal), value);
  }

  /** Goes with the open group. */
  remove(ordinal: Ordinal): void {
    this.#store.remove("meta", sentKey(this.#sessionNumber, ordinal));
  }
}
