/**
 * All windows of identifiers (duplicate-window.ts) under one bound, in memory and on disk. When it is reached the window that takes most loses its
 * oldest, counted: whoever sends much makes others forget nothing. On disk the oldest of all go.
 *
 * Windows are counted in the log's time without what is learned of time spent off later: while the broker is off nobody gets an answer, and those
 * who had none ask when it is back. To remember for longer takes nothing twice, to remember for shorter does.
 */
import type { Clock } from "../lib/clock.ts";
import {
  DuplicateWindow,
  ENTRY_BYTES,
  type KnownMessage,
  type WindowContext,
  type WindowOwner,
} from "./duplicate-window.ts";
import { IdentifierLog } from "./identifier-log.ts";
import { firstSequenceAfter } from "./start-position.ts";
import type { LogId, Sequence, Store } from "./store.ts";

/** Records looked at in one step of it. */
const STEP_RECORDS = 1_000;
const STEP_BYTES = 1_048_576;
/** Share of the bytes that is freed when they are too many, so that it is not done for each message. */
const DROP_SHARE = 1 / 16;

export interface DuplicateLimits {
  /** Of all identifiers together, in memory; and as much again on disk. */
  readonly bytesMax: number;
}

export class DuplicateWindows implements WindowContext {
  /** What all of them take in memory, about. */
  bytes = 0;
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #bytesMax: number;
  readonly #onForgotten: (count: number) => void;
  readonly #log: IdentifierLog;
  readonly #windows = new Map<string, DuplicateWindow>();

  /** `onForgotten`: so many were forgotten before their time, because there are too many. */
  constructor(
    store: Store,
    clock: Clock,
    { bytesMax }: DuplicateLimits,
    onForgotten: (count: number) => void,
  ) {
    this.#store = store;
    this.#clock = clock;
    this.#bytesMax = bytesMax;
    this.#onForgotten = onForgotten;
    this.#log = new IdentifierLog(store);
  }

  /** A window for somebody who has none. */
  open(owner: WindowOwner, windowMs: number): DuplicateWindow {
    const window = new DuplicateWindow(this, owner, windowMs);
    this.#windows.set(keyOf(owner), window);
    return window;
  }

  /** Its owner is deleted: what it knew is not for whoever gets its number. Goes with the open group. */
  close(window: DuplicateWindow): void {
    window.forget();
    this.#windows.delete(keyOf(window.owner));
    this.#log.addDeleted(window.owner, this.#clock.now());
  }

  /** After a restart, when all windows are open: reads what is on disk. Returns how many records were damaged. */
  recover(): number {
    const now = this.#clock.now();
    const damaged = this.#log.recover({
      onKnown: (owner, known) => {
        const window = this.#windows.get(keyOf(owner));
        if (window !== undefined && now - known.at < window.windowMs) window.recall(known, true);
      },
      onDeleted: (owner) => this.#windows.get(keyOf(owner))?.forget(),
    });
    for (const window of this.#windows.values()) {
      const { kind, number } = window.owner;
      if (kind === "stream" && window.windowMs > 0) this.#recoverStream(window, number);
    }
    return damaged;
  }

  /** The records of a stream carry their identifiers as long as they are there. */
  #recoverStream(window: DuplicateWindow, log: LogId): void {
    const store = this.#store;
    const now = this.#clock.now();
    const { nextSequence } = store.stats(log);
    const first = firstSequenceAfter(store, log, (at) => now - at >= window.windowMs);
    // More than these would not be kept.
    const recordsMax = Math.ceil(this.#bytesMax / ENTRY_BYTES);
    let from = Math.max(first, nextSequence - recordsMax) as Sequence;
    const commit = store.flushedCommit;
    while (from < nextSequence) {
      const { records, next } = store.read(log, from, STEP_RECORDS, STEP_BYTES);
      for (const { properties, sequence, receivedAt: at } of records) {
        const messageId = properties?.attributes?.messageId;
        if (messageId !== undefined) window.recall({ messageId, sequence, commit, at }, false);
      }
      if (next <= from) return;
      from = next;
    }
  }

  /** Once a second: what is too old goes. */
  onChores(): void {
    const now = this.#clock.now();
    let windowMs = 0;
    for (const window of this.#windows.values()) {
      windowMs = Math.max(windowMs, window.windowMs);
      window.expire(now);
    }
    this.#log.trim(now, windowMs, this.#bytesMax);
  }

  onGrown(bytes: number): void {
    this.bytes += bytes;
    if (bytes > 0 && this.bytes > this.#bytesMax) this.#shrink();
  }

  keep(owner: WindowOwner, known: KnownMessage): void {
    this.#log.add(owner.number, known);
  }

  keepAll({ number }: WindowOwner, known: readonly KnownMessage[]): void {
    this.#log.addAll(number as LogId, known, this.#clock.now());
  }

  #shrink(): void {
    const now = this.#clock.now();
    for (const window of this.#windows.values()) window.expire(now);
    const target = this.#bytesMax * (1 - DROP_SHARE);
    let forgotten = 0;
    while (this.bytes > target) {
      const largest = this.#largest();
      if (largest === undefined) break;
      // No further than it is, perhaps, the second.
      const half = largest.bytes / 2;
      do {
        largest.dropOldest();
        forgotten++;
      } while (this.bytes > target && largest.bytes > half);
    }
    if (forgotten > 0) this.#onForgotten(forgotten);
  }

  #largest(): DuplicateWindow | undefined {
    let largest: DuplicateWindow | undefined;
    for (const window of this.#windows.values()) {
      if (window.bytes > (largest?.bytes ?? 0)) largest = window;
    }
    return largest;
  }
}

const keyOf = ({ kind, number }: WindowOwner): string => `${kind} ${number}`;
