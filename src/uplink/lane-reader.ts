import type { LogBatch, LogId, LogRecord, Sequence, Store } from "../broker/store.ts";
import { filterMatches } from "../broker/topic.ts";
import type { Clock } from "../lib/clock.ts";
import type { Interval } from "../lib/interval-set.ts";
import type { Progress } from "./progress.ts";

/** Why records were not sent and never will be. */
export type LossReason = "trimmed" | "damaged" | "expired";

export interface LaneSource {
  readonly store: Store;
  readonly log: LogId;
  readonly clock: Clock;
  readonly progress: Progress;
  /** Only topics that match are sent; the others are done unsent. Undefined: all. */
  readonly filter: string | undefined;
  /** Told of every range that is dropped, after it was marked done. */
  onLoss(range: Interval, reason: LossReason): void;
}

/** Most records that one `next` looks at before it lets others have their turn. */
const LOOKED_AT_MAX = 2_048;

/**
 * Gives a lane's records that are still to be sent, in order, reading ahead at most one batch. What is not to be
 * sent (filtered, expired, damaged, trimmed) is marked done on the way and accounted.
 */
export class LaneReader {
  readonly #source: LaneSource;
  #batch: readonly LogRecord[] = [];
  #index = 0;
  /** Everything before it was given out, is done, or is in the batch. */
  #cursor = 1;
  #isCutShort = false;

  constructor(source: LaneSource) {
    this.#source = source;
  }

  /** True when the last `next` stopped because it looked at much, not because there is nothing. */
  get isCutShort(): boolean {
    return this.#isCutShort;
  }

  /** Starts again at the first record that is not done. */
  rewind(): void {
    this.#batch = [];
    this.#index = 0;
    this.#cursor = 1;
  }

  /** The next record to send, left in place until `take`; undefined: nothing now. */
  peek(recordsMax: number, bytesMax: number): LogRecord | undefined {
    this.#isCutShort = false;
    for (let lookedAt = 0; lookedAt < LOOKED_AT_MAX; lookedAt++) {
      const record = this.#batch[this.#index];
      if (record === undefined) {
        if (!this.#fill(recordsMax, bytesMax)) return undefined;
      } else if (this.#isToBeSent(record)) return record;
      else this.take();
    }
    this.#isCutShort = true;
    return undefined;
  }

  /** The record last peeked at was sent. */
  take(): void {
    this.#index++;
    if (this.#index >= this.#batch.length) {
      this.#batch = [];
      this.#index = 0;
    }
  }

  #isToBeSent(record: LogRecord): boolean {
    const { progress, filter, clock, onLoss } = this.#source;
    const { sequence } = record;
    if (progress.done.has(sequence)) return false;
    if (filter !== undefined && !filterMatches(filter, record.topic.text)) {
      progress.done.add(sequence);
      return false;
    }
    if (record.expiresAt !== undefined && clock.now() >= record.expiresAt) {
      progress.done.add(sequence);
      onLoss({ from: sequence, to: sequence }, "expired");
      return false;
    }
    return true;
  }

  /** Reads the next batch; false when there is nothing to read. */
  #fill(recordsMax: number, bytesMax: number): boolean {
    const { store, log, progress } = this.#source;
    const from = progress.done.firstMissing(this.#cursor);
    if (from >= store.stats(log).nextSequence) return false;
    const batch = store.read(log, from as Sequence, recordsMax, bytesMax);
    if (batch.next <= from) return false;
    this.#accountGaps(batch, from);
    this.#batch = batch.records;
    this.#index = 0;
    this.#cursor = batch.next;
    return true;
  }

  #accountGaps(batch: LogBatch, from: number): void {
    for (const range of batch.damaged) {
      this.#drop({ from: Math.max(from, range.from), to: range.to }, "damaged");
    }
    let expected = from;
    for (const record of batch.records) {
      if (record.sequence > expected) {
        this.#drop({ from: expected, to: record.sequence - 1 }, "trimmed");
      }
      expected = record.sequence + 1;
    }
    if (batch.next > expected) this.#drop({ from: expected, to: batch.next - 1 }, "trimmed");
  }

  /** Marks what is not done of the range done, and accounts it. */
  #drop(range: Interval, reason: LossReason): void {
    const { progress, onLoss } = this.#source;
    for (const lost of progress.done.missing(range.from, range.to)) {
      progress.done.add(lost.from, lost.to);
      onLoss(lost, reason);
    }
  }
}
