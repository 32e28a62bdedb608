/**
 * How sessions and shared subscriptions are kept in the table `meta`. Keys (numbers big endian):
 *
 *     10 clientId                        session: JSON, see SessionRecord
 *     18 $share/NAME/filter              shared subscription with durable members: version:u8 number:u32
 *     1c session:u32 topicFilter         subscription: JSON, see SessionSubscription
 *     20 session:u32 ordinal:u64         references to messages owed, one record per session and commit
 *     24 session:u32 ordinal:u64         spilled message, see message-record.ts
 *     28 session:u32 2^52+number:u64     QoS 2 delivery under way of a retained message: state:u8 packetId:u16 and
 *                                        its origin, see sent-records.ts
 *     2c session:u32 ordinal:u64 shared:u32
 *                                        QoS 2 message of that shared subscription that stays with this session:
 *                                        state:u8 packetId:u16 length:u16 references record with one
 *                                        reference; until it is released the message, see message-record.ts
 *     30 session:u32 packetId:u16        QoS 2 message received, not yet released: one byte
 *     40 clientId                        will: delayMs:f64 messageExpiryMs:f64 (-1: none) message
 *     60 name                            what the broker knows about itself
 *
 * Sessions and shared subscriptions have their numbers from one row: `session` above may be either.
 *
 * A references record is: version, flags (1: its messages are spilled, 2: QoS 2 deliveries are under way), count, bytes of
 * the messages, latest receive time of them, then per reference ordinal (difference), log, sequence, flags
 * (bits 0..1 QoS, 2 retain, 3 has subscription identifiers, 4..5 how far its QoS 2 delivery came), with bit 3 their count and
 * values, and with bits 4..5 the packet identifier; varints throughout. It is written anew when a delivery of its goes on, once
 * per commit: a record for each delivery would be three rows per message. Under the number of a shared subscription
 * `done` says that a member has the message.
 */

import { ByteWriter } from "../lib/byte-writer.ts";
import { copyBytes } from "../lib/copy-bytes.ts";
import { VarintReader, writeVarint } from "../lib/varint.ts";
import type { QoS } from "./message.ts";
import { numberKey, textKey } from "./record-keys.ts";
import type { LogId, Ordinal, Sequence } from "./store.ts";

/** Largest Subscription Identifier [MQTT 5.0 section 3.8.2.1.2]. */
const SUBSCRIPTION_ID_MAX = 268_435_455;

const KEY_SESSION = 0x10;
const KEY_SHARED = 0x18;
const KEY_SUBSCRIPTION = 0x1c;
const KEY_REFERENCES = 0x20;
const KEY_SPILLED = 0x24;
const KEY_SENT = 0x28;
const KEY_KEPT = 0x2c;
const KEY_RECEIVED = 0x30;
const KEY_WILL = 0x40;
const KEY_BROKER = 0x60;
const REFERENCES_VERSION = 3;
const HEAD_SPILLED = 1;
const HEAD_SENT = 2;
/** Of the flags of a reference. */
const SENT_SHIFT = 4;
const PACKET_ID_MAX = 65_535;
const SHARED_VERSION = 1;

/** Used again for each record of references. */
const scratch = new ByteWriter();
const utf8 = new TextEncoder();
const text = new TextDecoder();

/** What is true of all references in one record. */
export interface ReferencesHead {
  readonly count: number;
  /** What their messages take, about. */
  readonly bytes: number;
  /** The latest receive time of their messages. */
  readonly latestAt: number;
  /** The messages are in the session's spill: their logs may have let go of them. */
  readonly isSpilled: boolean;
  /** QoS 2 deliveries of them are under way. */
  readonly hasSent: boolean;
}

/** A message owed to a session: where it is, and how it is to be delivered. */
export interface Reference {
  readonly log: LogId;
  readonly sequence: Sequence;
  readonly ordinal: Ordinal;
  readonly qos: QoS;
  readonly retain: boolean;
  readonly subscriptionIds: readonly number[] | undefined;
  /** How far its QoS 2 delivery came (see SENT), and under which packet identifier; 0: it has not begun. */
  readonly sent: number;
  readonly packetId: number;
}

const ordinalKey = (prefix: number, session: number, ordinal: number): Uint8Array => {
  const key = numberKey(prefix, session, 8);
  new DataView(key.buffer).setBigUint64(5, BigInt(ordinal));
  return key;
};

/** The prefix of all sessions' keys. */
export const SESSION_PREFIX = Uint8Array.of(KEY_SESSION);
export const SHARED_PREFIX = Uint8Array.of(KEY_SHARED);
export const WILL_PREFIX = Uint8Array.of(KEY_WILL);
export const sessionKey = (clientId: string): Uint8Array => textKey(KEY_SESSION, clientId);
/** `name`: the whole topic filter, with `$share` in front. */
export const sharedKey = (name: string): Uint8Array => textKey(KEY_SHARED, name);
export const willKey = (clientId: string): Uint8Array => textKey(KEY_WILL, clientId);
export const brokerKey = (name: string): Uint8Array => textKey(KEY_BROKER, name);
/** The Client Identifier in a session's or a will's key. */
export const clientIdOf = (key: Uint8Array): string => text.decode(key.subarray(1));

/** The name in a shared subscription's key. */
export const sharedNameOf = (key: Uint8Array): string => text.decode(key.subarray(1));

/** The prefix of all subscriptions' keys. */
export const SUBSCRIPTION_PREFIX = Uint8Array.of(KEY_SUBSCRIPTION);
export const subscriptionsPrefix = (session: number): Uint8Array =>
  numberKey(KEY_SUBSCRIPTION, session);
export function subscriptionKey(session: number, topicFilter: string): Uint8Array {
  const bytes = utf8.encode(topicFilter);
  const key = numberKey(KEY_SUBSCRIPTION, session, bytes.length);
  key.set(bytes, 5);
  return key;
}
export const topicFilterOf = (key: Uint8Array): string => text.decode(key.subarray(5));

export const referencesPrefix = (session: number): Uint8Array => numberKey(KEY_REFERENCES, session);
export const referencesKey = (session: number, firstOrdinal: number): Uint8Array =>
  ordinalKey(KEY_REFERENCES, session, firstOrdinal);
export const spilledPrefix = (session: number): Uint8Array => numberKey(KEY_SPILLED, session);
export const spilledKey = (session: number, ordinal: number): Uint8Array =>
  ordinalKey(KEY_SPILLED, session, ordinal);
export const sentPrefix = (session: number): Uint8Array => numberKey(KEY_SENT, session);
export const sentKey = (session: number, ordinal: number): Uint8Array =>
  ordinalKey(KEY_SENT, session, ordinal);
/** The ordinal in a references key or a sent key. */
export const ordinalOf = (key: Uint8Array): Ordinal =>
  Number(new DataView(key.buffer, key.byteOffset, key.byteLength).getBigUint64(5)) as Ordinal;
export const receivedPrefix = (session: number): Uint8Array => numberKey(KEY_RECEIVED, session);
export const keptPrefix = (session: number): Uint8Array => numberKey(KEY_KEPT, session);
/** Of a QoS 2 message that the session keeps for the shared subscription with the number `shared`. */
export function keptLeaseKey(session: number, ordinal: number, shared: number): Uint8Array {
  const key = numberKey(KEY_KEPT, session, 12);
  const view = new DataView(key.buffer);
  view.setBigUint64(5, BigInt(ordinal));
  view.setUint32(13, shared);
  return key;
}
/** The number of the shared subscription in such a key. */
export const sharedNumberOf = (key: Uint8Array): number =>
  new DataView(key.buffer, key.byteOffset, key.byteLength).getUint32(13);
export function receivedKey(session: number, packetId: number): Uint8Array {
  const key = numberKey(KEY_RECEIVED, session, 2);
  new DataView(key.buffer).setUint16(5, packetId);
  return key;
}
export const packetIdOf = (key: Uint8Array): number =>
  new DataView(key.buffer, key.byteOffset, key.byteLength).getUint16(5);

/** The prefixes under which a number occurs: references, QoS 2 under way, kept for a shared subscription, QoS 2 received. */
export const NUMBERED_PREFIXES = [KEY_REFERENCES, KEY_SENT, KEY_KEPT, KEY_RECEIVED] as const;
export const sessionNumberOf = (key: Uint8Array): number =>
  new DataView(key.buffer, key.byteOffset, key.byteLength).getUint32(1);

/** The record of a shared subscription. */
export function encodeShared(number: number): Uint8Array {
  const value = new Uint8Array(5);
  value[0] = SHARED_VERSION;
  new DataView(value.buffer).setUint32(1, number);
  return value;
}

/** Its number; undefined when the record is damaged. */
export function decodeShared(value: Uint8Array): number | undefined {
  if (value.length !== 5 || value[0] !== SHARED_VERSION) return undefined;
  const number = new DataView(value.buffer, value.byteOffset, value.byteLength).getUint32(1);
  return number === 0 ? undefined : number;
}

/** `count` of the head is that of the references. Hot path: per durable session and commit. */
export function encodeReferences(
  references: readonly Reference[],
  head: Omit<ReferencesHead, "count" | "hasSent">,
): Uint8Array {
  const writer = scratch;
  writer.clear();
  writer.writeByte(REFERENCES_VERSION);
  const hasSent = references.some(isSent);
  writer.writeByte((head.isSpilled ? HEAD_SPILLED : 0) | (hasSent ? HEAD_SENT : 0));
  writeVarint(writer, references.length);
  writeVarint(writer, head.bytes);
  writeVarint(writer, head.latestAt);
  let ordinal = 0;
  for (const reference of references) {
    writeVarint(writer, reference.ordinal - ordinal);
    ordinal = reference.ordinal;
    writeVarint(writer, reference.log);
    writeVarint(writer, reference.sequence);
    const { subscriptionIds: ids, sent } = reference;
    const idsFlag = ids === undefined ? 0 : 8;
    writer.writeByte(reference.qos | (reference.retain ? 4 : 0) | idsFlag | (sent << SENT_SHIFT));
    if (ids !== undefined) {
      writeVarint(writer, ids.length);
      for (const id of ids) writeVarint(writer, id);
    }
    if (sent !== 0) writeVarint(writer, reference.packetId);
  }
  return copyBytes(writer.bytes, 0, writer.end);
}

const isSent = (reference: Reference): boolean => reference.sent !== 0;

/** The references in a record; undefined when it is damaged. */
export function decodeReferences(value: Uint8Array): Reference[] | undefined {
  const reader = new VarintReader(value);
  const { count } = readHead(reader);
  const references: Reference[] = [];
  let ordinal = 0;
  for (let i = 0; i < count && !reader.isBroken; i++) {
    ordinal += reader.readVarint();
    const log = reader.readVarint() as LogId;
    const sequence = reader.readVarint() as Sequence;
    const flags = reader.readByte();
    const qos = (flags & 3) as QoS;
    if ((qos as number) === 3) reader.isBroken = true;
    const subscriptionIds = (flags & 8) === 0 ? undefined : readIds(reader);
    const retain = (flags & 4) !== 0;
    const sent = (flags >>> SENT_SHIFT) & 3;
    const packetId = sent === 0 ? 0 : reader.readVarint();
    // Sent with anything but QoS 2, or without an identifier: no broker wrote that.
    if (sent !== 0 && (qos !== 2 || packetId === 0)) reader.isBroken = true;
    if (packetId > PACKET_ID_MAX) reader.isBroken = true;
    references.push({
      log,
      sequence,
      ordinal: ordinal as Ordinal,
      qos,
      retain,
      subscriptionIds,
      sent,
      packetId,
    });
  }
  return reader.isBroken ? undefined : references;
}

/** Whether a Subscription Identifier has a value that can be sent [MQTT 5.0 section 3.3.2.3.8]. */
export const isSubscriptionId = (id: number): boolean =>
  Number.isInteger(id) && id >= 1 && id <= SUBSCRIPTION_ID_MAX;

function readIds(reader: VarintReader): number[] {
  const ids: number[] = [];
  const count = reader.readVarint();
  for (let i = 0; i < count && !reader.isBroken; i++) {
    const id = reader.readVarint();
    if (!isSubscriptionId(id)) reader.isBroken = true;
    ids.push(id);
  }
  return ids;
}

/** The head of a record without its references; all zeros when that is damaged. */
export function referencesHeadOf(value: Uint8Array): ReferencesHead {
  return readHead(new VarintReader(value));
}

/** Marks the reader as broken when the version is not known. */
function readHead(reader: VarintReader): ReferencesHead {
  const isKnown = reader.readByte() === REFERENCES_VERSION;
  const flags = reader.readByte();
  const isSpilled = (flags & HEAD_SPILLED) !== 0;
  const hasSent = (flags & HEAD_SENT) !== 0;
  const count = reader.readVarint();
  const bytes = reader.readVarint();
  const latestAt = reader.readVarint();
  if (isKnown && !reader.isBroken) return { count, bytes, latestAt, isSpilled, hasSent };
  reader.isBroken = true;
  return { count: 0, bytes: 0, latestAt: 0, isSpilled: false, hasSent: false };
}
