/**
 * What one session is owed and its logs need not keep for it: copies of the messages, each a small record under the session's
 * number and the message's ordinal. They are written in the commit that lets the logs go, and go with the record of their
 * references, so that they pin nothing. See docs/decisions/0002-logs-and-cursors.md for when that is done.
 */
import type { Message } from "./message.ts";
import { decodeMessageRecord, encodeMessageRecord } from "./message-record.ts";
import type { ReferencesHead } from "./session-records.ts";
import { spilledKey } from "./session-records.ts";
import type { Ordinal, Store } from "./store.ts";
import { TopicTable } from "./topic.ts";

export class Spill {
  readonly #store: Store;
  readonly #sessionNumber: number;
  /** Made when something is read: most sessions never spill. */
  #topics: TopicTable | undefined;
  /** All that is owed below this ordinal is here. */
  before = 0 as Ordinal;
  /** What is here, about, in bytes. */
  bytes = 0;

  constructor(store: Store, sessionNumber: number) {
    this.#store = store;
    this.#sessionNumber = sessionNumber;
  }

  /** After a restart: the record of references at `ordinal` is spilled. The store has counted it. */
  recover(ordinal: Ordinal, head: ReferencesHead): void {
    this.before = (ordinal + 1) as Ordinal;
    this.bytes += head.bytes;
  }

  /** Goes with the open group. */
  write(ordinal: Ordinal, message: Message): void {
    const key = spilledKey(this.#sessionNumber, ordinal);
    this.#store.put("meta", key, encodeMessageRecord(message));
  }

  /** The message, once its commit is flushed; it owns its bytes. */
  read(ordinal: Ordinal): Message | undefined {
    const value = this.#store.get("meta", spilledKey(this.#sessionNumber, ordinal));
    if (value === undefined) return undefined;
    this.#topics ??= new TopicTable(64);
    return decodeMessageRecord(value, this.#topics);
  }

  /** The messages of one record of references have been written. */
  count(bytes: number): void {
    this.bytes += bytes;
  }

  /** One record of references goes, and with it what it has here. */
  remove(references: Iterable<{ readonly ordinal: Ordinal }>, bytes: number): void {
    for (const { ordinal } of references) {
      this.#store.remove("meta", spilledKey(this.#sessionNumber, ordinal));
    }
    this.count(-bytes);
  }
}
