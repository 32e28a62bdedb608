/**
 * The small records that are kept under a number: references to what a session is owed, its QoS 2 deliveries and receptions, and the
 * same of shared subscriptions. Numbers are given out here, what an ended owner left is swept, and after a restart each
 * owner gets what is its own (`session-records.ts` draws the keys).
 */
import { decodeKeptLease, type KeptLeaseRecord } from "./kept-leases.ts";
import { scanRows } from "./scan-rows.ts";
import { decodeSent, type SentRecord } from "./sent-records.ts";
import {
  decodeReferences,
  NUMBERED_PREFIXES,
  ordinalOf,
  packetIdOf,
  type Reference,
  type ReferencesHead,
  referencesHeadOf,
  SUBSCRIPTION_PREFIX,
  sessionNumberOf,
  topicFilterOf,
} from "./session-records.ts";
import { SessionSweep } from "./session-sweep.ts";
import type { Ordinal, Store } from "./store.ts";

/** Keys read in one step of a long scan; fewer of those with messages in them. */
const STEP_KEYS = 1_000;
const STEP_MESSAGES = 16;

/** Whose records they are; told of them after a restart. */
export interface NumberedOwner {
  readonly number: number;
  /** A record of references, in order. */
  recoverReferences(ordinal: Ordinal, head: ReferencesHead): void;
  /** QoS 2 deliveries are under way among these, which are references of the record before. */
  recoverDeliveries(references: readonly Reference[]): void;
  /** A QoS 2 delivery of a retained message that is under way. */
  recoverSent(ordinal: Ordinal, record: SentRecord): void;
  /** A QoS 2 message of a shared subscription that stays with this session. */
  recoverKept(lease: KeptLeaseRecord): void;
  /** A QoS 2 message received and not released. */
  recoverReceived(packetId: number): void;
}

/** All numbers there are, and what is under them. */
export class NumberedRecords {
  readonly #store: Store;
  readonly #sweeper: SessionSweep;
  #lastNumber = 0;
  /** Found by a recovery under way, without owner. */
  readonly #orphans = new Set<number>();

  constructor(store: Store) {
    this.#store = store;
    this.#sweeper = new SessionSweep(store);
  }

  /** A number that nothing is kept under. */
  next(): number {
    return ++this.#lastNumber;
  }

  /** After a restart: this number is in use. */
  noteUsed(number: number): void {
    this.#lastNumber = Math.max(this.#lastNumber, number);
  }

  /** The number's owner has ended: what is under it goes, at leisure. */
  release(number: number): void {
    this.#sweeper.add(number);
  }

  /** Removes some of what ended owners left in the store; to be called again and again. */
  sweep(): void {
    this.#sweeper.run();
  }

  /** Gives out all subscriptions; `take` says whether a number has an owner. To be called before `recover`. */
  recoverSubscriptions(
    take: (number: number, topicFilter: string, value: Uint8Array) => boolean,
  ): void {
    for (const [key, value] of scanRows(this.#store, SUBSCRIPTION_PREFIX, STEP_KEYS)) {
      const number = sessionNumberOf(key);
      if (!take(number, topicFilterOf(key), value)) this.#orphans.add(number);
    }
  }

  /** Gives each owner what is its own, in pages; what has no owner is swept. */
  recover(owners: Iterable<NumberedOwner>): void {
    const byNumber = new Map<number, NumberedOwner>();
    for (const owner of owners) byNumber.set(owner.number, owner);
    const orphans = this.#orphans;
    const ownerOf = (key: Uint8Array): NumberedOwner | undefined => {
      const number = sessionNumberOf(key);
      const owner = byNumber.get(number);
      if (owner === undefined) orphans.add(number);
      return owner;
    };
    const [references, sent, kept, received] = NUMBERED_PREFIXES;
    const rowsOf = (prefix: number, rowsMax: number) =>
      scanRows(this.#store, Uint8Array.of(prefix), rowsMax);
    for (const [key, value] of rowsOf(references, STEP_KEYS)) {
      const owner = ownerOf(key);
      const head = referencesHeadOf(value);
      owner?.recoverReferences(ordinalOf(key), head);
      if (head.hasSent) owner?.recoverDeliveries(decodeReferences(value) ?? []);
    }
    for (const [key, value] of rowsOf(sent, STEP_KEYS)) {
      const owner = ownerOf(key);
      const record = decodeSent(value);
      // Damaged: the message is sent as if it had not been before.
      if (record !== undefined) owner?.recoverSent(ordinalOf(key), record);
    }
    for (const [key, value] of rowsOf(kept, STEP_MESSAGES)) {
      this.#recoverKept(ownerOf(key), key, value);
    }
    for (const [key] of rowsOf(received, STEP_KEYS)) {
      ownerOf(key)?.recoverReceived(packetIdOf(key));
    }
    for (const number of orphans) {
      this.noteUsed(number);
      this.#sweeper.addRecovered(number);
    }
    orphans.clear();
  }

  #recoverKept(owner: NumberedOwner | undefined, key: Uint8Array, value: Uint8Array): void {
    if (owner === undefined) return;
    const lease = decodeKeptLease(key, value);
    if (lease !== undefined) {
      owner.recoverKept(lease);
      return;
    }
    // Damaged: it can only go.
    this.#store.remove("meta", key);
  }
}
