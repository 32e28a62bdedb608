/**
 * Identifiers of messages that a stream or queue took lately, so that one that is sent again is not taken again. Bounded in time
 * and number; after a restart it is filled from the end of the stream, whose records carry the identifiers, or for queues from a log of
 * identifiers (sent-identifiers.ts), because what is settled is gone.
 */
import type { Instant } from "../lib/clock.ts";
import { firstSequenceAfter } from "./start-position.ts";
import type { CommitNumber, LogId, Sequence, Store } from "./store.ts";

/** Identifiers kept, whatever the window: the oldest go first. */
const IDS_MAX = 100_000;
/** Records looked at in one step of filling the window. */
const STEP_RECORDS = 1_000;
const STEP_BYTES = 1_048_576;

/** A message taken before. */
export interface KnownMessage {
  readonly sequence: Sequence;
  /** Its commit; what answers a repeat waits for it too. */
  readonly commit: CommitNumber;
  readonly at: Instant;
}

export class DuplicateWindow {
  /** 0: nothing is remembered. */
  windowMs: number;
  /** In order of arrival. */
  readonly #known = new Map<string, KnownMessage>();

  constructor(windowMs: number) {
    this.windowMs = windowMs;
  }

  get size(): number {
    return this.#known.size;
  }

  /** The message with this identifier, if it was taken within the window. */
  find(messageId: string, now: Instant): KnownMessage | undefined {
    const known = this.#known.get(messageId);
    return known !== undefined && now - known.at < this.windowMs ? known : undefined;
  }

  remember(messageId: string, known: KnownMessage): void {
    if (this.windowMs === 0) return;
    this.#known.delete(messageId);
    this.#known.set(messageId, known);
    if (this.#known.size > IDS_MAX) this.#dropOldest();
  }

  /** Forgets what is too old; to be called now and again. */
  expire(now: Instant): void {
    for (const [messageId, { at }] of this.#known) {
      if (now - at < this.windowMs) return;
      this.#known.delete(messageId);
    }
  }

  /** Nothing is known. */
  forget(): void {
    this.#known.clear();
  }

  /** Of streams, after a restart: fills the window from the log's end. */
  recover(store: Store, log: LogId, now: Instant, committed: CommitNumber): void {
    if (this.windowMs === 0) return;
    const { nextSequence } = store.stats(log);
    const isOld = (at: Instant): boolean => now - at >= this.windowMs;
    const first = firstSequenceAfter(store, log, isOld);
    let from = Math.max(first, nextSequence - IDS_MAX) as Sequence;
    while (from < nextSequence) {
      const { records, next } = store.read(log, from, STEP_RECORDS, STEP_BYTES);
      for (const { properties, sequence, receivedAt } of records) {
        const messageId = properties?.attributes?.messageId;
        if (messageId === undefined || isOld(receivedAt)) continue;
        this.remember(messageId, { sequence, commit: committed, at: receivedAt });
      }
      if (next <= from) return;
      from = next;
    }
  }

  #dropOldest(): void {
    for (const messageId of this.#known.keys()) {
      this.#known.delete(messageId);
      return;
    }
  }
}
