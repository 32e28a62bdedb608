/**
 * Messages of queues that nobody gets yet: rows in the order in which they are due (queue-records.ts). When one is due it moves to its
 * queue's log, in one commit. In memory is only when the next is due, however many there are.
 *
 * When a queue is purged its rows are void at once, by a mark with the number of the last one, and are removed at leisure.
 */
import { after, type Clock, type Instant, missedSince } from "../lib/clock.ts";
import type { Deadline, DeadlineHeap } from "../lib/deadline-heap.ts";
import type { Due } from "./due.ts";
import type { Message } from "./message.ts";
import { decodeMessageRecord, encodeMessageRecord } from "./message-record.ts";
import {
  DELAYED_PREFIX,
  delayedKey,
  delayedOf,
  encodePurged,
  PURGED_PREFIX,
  purgedKey,
  purgedOf,
} from "./queue-records.ts";
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
  /** By queue: rows up to this number are void. */
  readonly #purged = new Map<number, number>();
  /** The walk over all rows that removes the void ones; undefined: there are none. */
  #sweep: Generator<[key: Uint8Array, value: Uint8Array]> | undefined;
  /** The walk over all rows that moves those that are due earlier, because time spent off has become known. */
  #aging: Generator<[key: Uint8Array, value: Uint8Array]> | undefined;
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
    for (const [key, value] of store.scan("meta", PURGED_PREFIX)) {
      const { queue, number } = purgedOf(key, value);
      this.#lastNumber = Math.max(this.#lastNumber, number);
      this.#purged.set(queue, number);
      // All rows are looked at below.
      store.remove("meta", key);
    }
    for (const [key, value] of this.#rows()) {
      const { dueAt, queue, number } = delayedOf(key);
      this.#lastNumber = Math.max(this.#lastNumber, number);
      const isVoid = this.#isVoid(queue, number);
      const message = isVoid ? undefined : decodeMessageRecord(value, topics);
      if (message === undefined && !isVoid) damaged++;
      if (message === undefined || !visit(queue, key.length + value.length)) {
        this.#remove(key);
      } else {
        first ??= dueAt as Instant;
      }
    }
    this.#purged.clear();
    if (first !== undefined) this.#schedule(first);
    this.onAged();
    return damaged;
  }

  /** Time spent off has become known: what was sent before is due earlier by it, and gets a row there, step by step. */
  onAged(): void {
    this.#aging = this.#rows();
    this.#ageStep();
    if (this.#aging !== undefined) this.#schedule(after(this.#context.clock.now(), STEP_MS));
  }

  /** What it has moved is not moved again when the broker ends in between: its new row is younger. */
  #ageStep(): void {
    const { clock, store } = this.#context;
    for (let i = 0; this.#aging !== undefined && i < STEP_ROWS; i++) {
      // Each is written anew: no more of them wait for the disk than of anything else.
      if (store.refusal() === "pending-full") return;
      const { value: row } = this.#aging.next();
      if (row === undefined) {
        this.#aging = undefined;
        return;
      }
      const [key, value] = row;
      if (this.#gone.has(nameOf(key))) continue;
      const { dueAt, queue, number } = delayedOf(key);
      if (this.#isVoid(queue, number)) continue;
      // Numbers are made of the time at which a row is written.
      const missedMs = missedSince(clock, Math.floor(number / NUMBERS_PER_MS) as Instant);
      if (missedMs < 1) continue;
      this.#remove(key);
      this.#put(Math.max(clock.now(), dueAt - missedMs) as Instant, queue, value);
    }
  }

  /** Those of a queue are void from now on, those that are not there yet are not. Goes with the open group. */
  removeAll(queue: number): void {
    const { store, clock } = this.#context;
    this.#forgetFlushed();
    this.#purged.set(queue, this.#lastNumber);
    store.put("meta", purgedKey(queue), encodePurged(this.#lastNumber));
    for (const staged of this.#staged) if (staged.queue === queue) this.#remove(staged.key);
    this.#staged = this.#staged.filter((staged) => staged.queue !== queue);
    // From the beginning: the walk may be past some of them.
    this.#sweep = this.#rows();
    this.#schedule(clock.now());
  }

  /** Removes void rows, a step of it; at the end there are none. */
  #sweepStep(): void {
    const { store } = this.#context;
    for (let i = 0; this.#sweep !== undefined && i < STEP_ROWS; i++) {
      const { value: row } = this.#sweep.next();
      if (row === undefined) {
        for (const queue of this.#purged.keys()) store.remove("meta", purgedKey(queue));
        this.#purged.clear();
        this.#sweep = undefined;
        return;
      }
      const [key] = row;
      const { queue, number } = delayedOf(key);
      if (this.#isVoid(queue, number) && !this.#gone.has(nameOf(key))) this.#remove(key);
    }
  }

  #isVoid(queue: number, number: number): boolean {
    const purged = this.#purged.get(queue);
    return purged !== undefined && number <= purged;
  }

  onDue(now: Instant): void {
    this.#deadline = undefined;
    this.#forgetFlushed();
    this.#sweepStep();
    this.#ageStep();
    const { store, topics } = this.#context;
    let moved = 0;
    const isWalking = this.#sweep !== undefined || this.#aging !== undefined;
    let next = isWalking ? now + STEP_MS : Number.POSITIVE_INFINITY;
    for (const [key, value] of this.#rows()) {
      const { dueAt, queue, number } = delayedOf(key);
      if (dueAt > now) {
        next = Math.min(next, dueAt);
        break;
      }
      if (moved++ === STEP_ROWS) {
        next = now + STEP_MS;
        break;
      }
      if (this.#gone.has(nameOf(key))) continue;
      this.#remove(key);
      if (this.#isVoid(queue, number)) continue;
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
