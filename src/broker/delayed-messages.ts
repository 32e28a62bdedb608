/**
 * Messages of queues that nobody gets yet: rows in the order in which they are due (queue-records.ts). When one is due it moves to its
 * queue's log, in one commit. In memory is only when the next is due, however many there are.
 */
import { type Clock, type Instant, missedSince } from "../lib/clock.ts";
import type { Deadline, DeadlineHeap } from "../lib/deadline-heap.ts";
import type { Due } from "./due.ts";
import type { Message } from "./message.ts";
import { decodeMessageRecord, encodeMessageRecord } from "./message-record.ts";
import { DELAYED_PREFIX, delayedKey, delayedOf } from "./queue-records.ts";
import { scanRows } from "./scan-rows.ts";
import type { CommitNumber, Store } from "./store.ts";
import type { TopicTable } from "./topic.ts";

/** Rows moved or read in one step. */
const STEP_ROWS = 500;
const NUMBERS_PER_MS = 1_024;
/** Between steps when there is more that is due. */
const STEP_MS = 1;

export interface DelayedContext {
  readonly store: Store;
  readonly topics: TopicTable;
  readonly deadlines: DeadlineHeap<Due>;
  readonly clock: Clock;
  /** A message of a queue is due; its row goes in the same group. `bytes` as `add` said. */
  readonly onDue: (queue: number, message: Message, bytes: number) => void;
}

interface Staged {
  readonly key: Uint8Array;
  readonly queue: number;
  readonly dueAt: Instant;
  readonly commit: CommitNumber;
}

const latin1 = new TextDecoder("latin1");
const nameOf = (key: Uint8Array): string => latin1.decode(key);

export class DelayedMessages implements Due {
  readonly #context: DelayedContext;
  /** Rows that are not flushed, so that no scan finds them. */
  #staged: Staged[] = [];
  /** Rows that are moved or removed, until that is flushed and no scan finds them any more: by key, the commit. */
  readonly #gone = new Map<string, CommitNumber>();
  #lastNumber = 0;
  #deadline: Deadline<Due> | undefined;

  constructor(context: DelayedContext) {
    this.#context = context;
  }

  /** Stages a message that is due at `dueAt`; returns what it takes, in bytes. */
  add(dueAt: Instant, queue: number, message: Message): number {
    return this.#put(dueAt, queue, encodeMessageRecord(message));
  }

  #put(dueAt: Instant, queue: number, value: Uint8Array): number {
    const { store, clock } = this.#context;
    // Two with one number, queue and time would be one row; after a restart it goes on above all there are.
    const number = Math.floor(clock.now()) * NUMBERS_PER_MS;
    this.#lastNumber = Math.max(this.#lastNumber + 1, number);
    const key = delayedKey(dueAt, queue, this.#lastNumber);
    store.put("meta", key, value);
    this.#forgetFlushed();
    this.#staged.push({ key, queue, dueAt, commit: store.openCommit });
    this.#schedule(dueAt);
    return key.length + value.length;
  }

  /** After a restart. `visit` is told all there are and answers false for those of a queue that is gone. Returns how many were damaged. */
  recover(visit: (queue: number, bytes: number) => boolean): number {
    const { store, topics } = this.#context;
    let damaged = 0;
    let first: Instant | undefined;
    for (const [key, value] of this.#rows()) {
      const { dueAt, queue, number } = delayedOf(key);
      this.#lastNumber = Math.max(this.#lastNumber, number);
      const message = decodeMessageRecord(value, topics);
      if (message === undefined) damaged++;
      if (message === undefined || !visit(queue, key.length + value.length)) {
        store.remove("meta", key);
      } else {
        first ??= dueAt as Instant;
      }
    }
    if (first !== undefined) this.#schedule(first);
    this.onAged();
    return damaged;
  }

  /** Time spent off has become known: what was sent before is due earlier by it, and has a row there. */
  onAged(): void {
    const { clock, store } = this.#context;
    for (const [key, value] of [...this.#rows()]) {
      if (this.#gone.has(nameOf(key))) continue;
      const { dueAt, queue, number } = delayedOf(key);
      // Numbers are made of the time at which a row is written.
      const missedMs = missedSince(clock, Math.floor(number / NUMBERS_PER_MS) as Instant);
      if (missedMs < 1) continue;
      this.#remove(key);
      this.#put(Math.max(clock.now(), dueAt - missedMs) as Instant, queue, value);
    }
    if (store.refusal() !== "failed") this.#forgetFlushed();
  }

  /** Removes all of a queue. */
  removeAll(queue: number): void {
    for (const [key] of this.#rows()) if (delayedOf(key).queue === queue) this.#remove(key);
    for (const staged of this.#staged) if (staged.queue === queue) this.#remove(staged.key);
    this.#staged = this.#staged.filter((staged) => staged.queue !== queue);
  }

  onDue(now: Instant): void {
    this.#deadline = undefined;
    this.#forgetFlushed();
    const { store, topics } = this.#context;
    let moved = 0;
    let next = Number.POSITIVE_INFINITY;
    for (const [key, value] of this.#rows()) {
      const { dueAt, queue } = delayedOf(key);
      if (dueAt > now) {
        next = dueAt;
        break;
      }
      if (this.#gone.has(nameOf(key))) continue;
      if (moved++ === STEP_ROWS) {
        next = now + STEP_MS;
        break;
      }
      this.#remove(key);
      const message = decodeMessageRecord(value, topics);
      if (message !== undefined) this.#context.onDue(queue, message, key.length + value.length);
    }
    // A row that is due and not flushed yet is looked for again soon.
    for (const { dueAt } of this.#staged) next = Math.min(next, Math.max(dueAt, now + STEP_MS));
    if (next < Number.POSITIVE_INFINITY && store.refusal() !== "failed") {
      this.#schedule(next as Instant);
    }
  }

  #remove(key: Uint8Array): void {
    const { store } = this.#context;
    store.remove("meta", key);
    this.#gone.set(nameOf(key), store.openCommit);
  }

  #forgetFlushed(): void {
    const { flushedCommit } = this.#context.store;
    const isOpen = ({ commit }: Staged): boolean => commit > flushedCommit;
    if (this.#staged[0] !== undefined && !isOpen(this.#staged[0])) {
      this.#staged = this.#staged.filter(isOpen);
    }
    for (const [name, commit] of this.#gone) {
      if (commit > flushedCommit) return;
      this.#gone.delete(name);
    }
  }

  #rows(): Generator<[key: Uint8Array, value: Uint8Array]> {
    return scanRows(this.#context.store, DELAYED_PREFIX, STEP_ROWS);
  }

  #schedule(at: Instant): void {
    const { deadlines } = this.#context;
    if (this.#deadline !== undefined && this.#deadline.at <= at) return;
    deadlines.cancel(this.#deadline);
    this.#deadline = deadlines.add(at, this);
  }
}
