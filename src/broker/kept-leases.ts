/**
 * QoS 2 messages of shared subscriptions that one durable session has been given: from then on they are its own, whatever
 * becomes of the shared subscription, and end with it [MQTT-4.8.2-4, 4.8.2-5]. One small record each, with a copy of the message until
 * PUBREC, so that no log is kept for them; drawn in `session-records.ts`.
 */
import { ByteWriter } from "../lib/byte-writer.ts";
import { copyBytes } from "../lib/copy-bytes.ts";
import type { Message } from "./message.ts";
import { decodeMessageRecord, encodeMessageRecord } from "./message-record.ts";
import type { Owed } from "./owed.ts";
import { owedByReference } from "./owed.ts";
import { SENT } from "./sent-records.ts";
import {
  decodeReferences,
  encodeReferences,
  keptLeaseKey,
  sharedNumberOf,
} from "./session-records.ts";
import type { Store } from "./store.ts";
import { TopicTable } from "./topic.ts";

const NO_HEAD = { bytes: 0, latestAt: 0, isSpilled: false };
/** State, packet identifier and length of the reference. */
const PREFIX_BYTES = 5;

/** One of them as it was read; `state` as in `SENT`. */
export interface KeptLeaseRecord {
  readonly owed: Owed;
  readonly packetId: number;
  readonly state: number;
}

/** The records of one session. */
export class KeptLeases {
  readonly #store: Store;
  readonly #sessionNumber: number;
  /** Made when something is read. */
  #topics: TopicTable | undefined;

  constructor(store: Store, sessionNumber: number) {
    this.#store = store;
    this.#sessionNumber = sessionNumber;
  }

  /** It is about to be sent; goes with the open group. */
  publish(owed: Owed, packetId: number, message: Message): void {
    this.#put(owed, encode(owed, SENT.published, packetId, encodeMessageRecord(message)));
  }

  /** The client has it; goes with the open group. */
  release(owed: Owed, packetId: number): void {
    this.#put(owed, encode(owed, SENT.released, packetId, new Uint8Array(0)));
  }

  /** It is settled, or goes back; goes with the open group. */
  remove(owed: Owed): void {
    this.#store.remove("meta", this.#keyOf(owed));
  }

  /** The message, once it is flushed and before it is released; it owns its bytes. */
  read(owed: Owed): Message | undefined {
    const value = this.#store.get("meta", this.#keyOf(owed));
    if (value === undefined || value.length <= PREFIX_BYTES) return undefined;
    this.#topics ??= new TopicTable(64);
    const start = PREFIX_BYTES + referenceBytesOf(value);
    return decodeMessageRecord(copyBytes(value, Math.min(start, value.length)), this.#topics);
  }

  #put(owed: Owed, value: Uint8Array): void {
    this.#store.put("meta", this.#keyOf(owed), value);
  }

  #keyOf({ ordinal, keptFor }: Owed): Uint8Array {
    return keptLeaseKey(this.#sessionNumber, ordinal, keptFor);
  }
}

function encode(owed: Owed, state: number, packetId: number, message: Uint8Array): Uint8Array {
  const reference = encodeReferences([owed], NO_HEAD);
  const writer = new ByteWriter();
  writer.writeByte(state);
  writer.writeUint16(packetId);
  writer.writeUint16(reference.length);
  writer.writeBytes(reference);
  writer.writeBytes(message);
  return copyBytes(writer.bytes, 0, writer.end);
}

const referenceBytesOf = (value: Uint8Array): number => ((value[3] ?? 0) << 8) | (value[4] ?? 0);

/** Undefined when it is damaged. */
export function decodeKeptLease(key: Uint8Array, value: Uint8Array): KeptLeaseRecord | undefined {
  const [state = 0, high = 0, low = 0] = value;
  const packetId = (high << 8) | low;
  const end = PREFIX_BYTES + referenceBytesOf(value);
  const [reference] = decodeReferences(value.subarray(PREFIX_BYTES, end)) ?? [];
  const isState = state === SENT.published || state === SENT.released;
  if (reference === undefined || !isState || packetId === 0) return undefined;
  const owed = owedByReference(reference);
  owed.keptFor = sharedNumberOf(key);
  return { owed, packetId, state };
}
