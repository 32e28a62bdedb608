/**
 * What is on disk about the QoS 2 deliveries of one session that are under way: which packet identifier a message has
 * and how far it came, so that after a crash the delivery goes on under the same packet identifier. The record is drawn
 * in `session-records.ts`.
 */
import { sentKey } from "./session-records.ts";
import type { Ordinal, Store } from "./store.ts";

/** How far a QoS 2 delivery came; `done` until its references record goes. */
export const SENT = { published: 1, released: 2, done: 3 } as const;

/**
 * Beyond all ordinals: with a packet identifier added, under which QoS 2 deliveries of retained messages are kept on
 * disk. No log holds them, but their packet identifiers must not be taken for others after a crash.
 */
export const REPLAY_ORDINALS = 2 ** 52;

/** One of them as it was read; `state` as in `SENT`. */
export interface SentRecord {
  readonly packetId: number;
  readonly state: number;
}

/** A record as it is on disk; undefined when it is damaged. */
export function decodeSent(value: Uint8Array): SentRecord | undefined {
  const [state = 0, high = 0, low = 0] = value;
  const packetId = (high << 8) | low;
  const isKnown = state >= SENT.published && state <= SENT.done;
  return value.length === 3 && isKnown && packetId > 0 ? { state, packetId } : undefined;
}

/** The records of one session: written while it runs, and those that the last run left. */
export class SentRecords {
  readonly #store: Store;
  readonly #sessionNumber: number;
  /** Under way when the last run ended, by ordinal. */
  readonly #recovered = new Map<Ordinal, SentRecord>();

  constructor(store: Store, sessionNumber: number) {
    this.#store = store;
    this.#sessionNumber = sessionNumber;
  }

  get recoveredSize(): number {
    return this.#recovered.size;
  }

  keepRecovered(ordinal: Ordinal, record: SentRecord): void {
    this.#recovered.set(ordinal, record);
  }

  /** The delivery that the last run had begun for this message, once; undefined: none. */
  takeRecovered(ordinal: Ordinal): SentRecord | undefined {
    const record = this.#recovered.get(ordinal);
    if (record !== undefined) this.#recovered.delete(ordinal);
    return record;
  }

  /** Goes with the open group. */
  put(ordinal: Ordinal, state: number, packetId: number): void {
    const value = Uint8Array.of(state, packetId >>> 8, packetId & 0xff);
    this.#store.put("meta", sentKey(this.#sessionNumber, ordinal), value);
  }

  /** Goes with the open group. */
  remove(ordinal: Ordinal): void {
    this.#store.remove("meta", sentKey(this.#sessionNumber, ordinal));
  }
}
