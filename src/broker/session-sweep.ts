/** What ended sessions and shared subscriptions left on disk, removed in steps: one may end with a million records. */
import { RingBuffer } from "../lib/ring-buffer.ts";
import {
  decodeReferences,
  keptPrefix,
  receivedPrefix,
  referencesHeadOf,
  referencesPrefix,
  sentPrefix,
  spilledKey,
  spilledPrefix,
  subscriptionsPrefix,
} from "./session-records.ts";
import { type CommitNumber, NO_COMMIT, type Store } from "./store.ts";

/** Keys removed in one step. */
const STEP_KEYS = 1_000;
/** Kept messages, and spilled ones that no record of references tells of (it was damaged), looked at in one step: they may be large. */
const STEP_SPILLED = 16;

export class SessionSweep {
  readonly #store: Store;
  /** Numbers of ended sessions, each with the commit after which the last of their records is on disk. */
  readonly #ended = new RingBuffer<{ number: number; commit: CommitNumber }>();

  constructor(store: Store) {
    this.#store = store;
  }

  /** A session has ended just now. */
  add(number: number): void {
    this.#ended.push({ number, commit: this.#store.openCommit });
  }

  /** A session had ended before the restart. */
  addRecovered(number: number): void {
    this.#ended.push({ number, commit: NO_COMMIT });
  }

  /** One step; to be called again and again. */
  run(): void {
    const store = this.#store;
    let room = STEP_KEYS;
    for (let next = this.#ended.peek(); next !== undefined; next = this.#ended.peek()) {
      // What is not flushed yet is not found yet.
      if (next.commit > store.flushedCommit) return;
      room -= this.#sweepReferences(next.number, room);
      room -= this.#sweepKeys(subscriptionsPrefix(next.number), room);
      room -= this.#sweepKeys(sentPrefix(next.number), room);
      room -= this.#sweepKeys(receivedPrefix(next.number), room);
      room -= this.#sweepKept(next.number, room);
      room -= this.#sweepSpilled(next.number, room);
      if (room <= 0) {
        next.commit = store.openCommit;
        return;
      }
      this.#ended.shift();
      // A session costs something to look at, however little it left.
      room--;
    }
  }

  /** Records of references and the spilled messages they tell of. Returns how many keys, `room` at least if there may be more. */
  #sweepReferences(number: number, room: number): number {
    const store = this.#store;
    let removed = 0;
    for (const [key, value] of store.scan("meta", referencesPrefix(number), undefined, room)) {
      if (removed >= room) break;
      store.remove("meta", key);
      removed++;
      const { isSpilled } = referencesHeadOf(value);
      if (!isSpilled) continue;
      const references = decodeReferences(value) ?? [];
      for (const { ordinal } of references) store.remove("meta", spilledKey(number, ordinal));
      removed += references.length;
    }
    return removed;
  }

  #sweepKeys(prefix: Uint8Array, room: number): number {
    if (room <= 0) return 0;
    const rows = this.#store.scan("meta", prefix, undefined, room);
    for (const [key] of rows) this.#store.remove("meta", key);
    return rows.length;
  }

  #sweepKept(number: number, room: number): number {
    if (room <= 0) return 0;
    const rows = this.#store.scan("meta", keptPrefix(number), undefined, STEP_SPILLED);
    for (const [key] of rows) this.#store.remove("meta", key);
    return rows.length < STEP_SPILLED ? rows.length : room;
  }

  #sweepSpilled(number: number, room: number): number {
    if (room <= 0) return 0;
    // What goes with the open group is still found here, and removed twice; that is rare and does no harm.
    const removed = this.#sweepKeys(spilledPrefix(number), STEP_SPILLED);
    return removed < STEP_SPILLED ? removed : room;
  }
}
