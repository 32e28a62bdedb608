import { isExpired } from "../broker/message.ts";
import type { LogBatch, LogId, LogRecord, Sequence, Store } from "../broker/store.ts";
import { filterMatches } from "../broker/topic.ts";
import type { Clock } from "../lib/clock.ts";
import type { Interval } from "../lib/interval-set.ts";
import type { LossReason } from "./loss-ledger.ts";
import type { Progress } from "./progress.ts";

export interface LaneSource {
  readonly store: Store;
  readonly log: LogId;
  readonly clock: Clock;
  readonly progress: Progress;
  /** Only topics that match one of them are sent; the others are done unsent. Undefined: all. */
  readonly filters: readonly string[] | undefined;
  /** Told of every range that is dropped, after it was marked done. */
  onLoss(range: Interval, reason: LossReason): void;
}

/** Topics whose match is remembered. */
const TOPICS_MAX = 4_096;
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
  readonly #matches = new Map<string, boolean>();
  /** Records that are done and are to be sent once more, before all others. */
  readonly #again: LogRecord[] = [];
  #againAt = 0;
  #heldBack: readonly number[] = [];

  constructor(source: LaneSource) {
    this.#source = source;
  }

  /** True when the last `next` stopped because it looked at much, not because there is nothing. */
  get isCutShort(): boolean {
    return this.#isCutShort;
  }

  /** How many records wait to be sent once more, or for what comes of that. */
  get againCount(): number {
    return this.#again.length;
  }

  /** A record that is done is to be sent once more. */
  sendAgain(record: LogRecord): void {
    this.#again.push(record);
  }

  /** Something came of it. Returns whether it was one that is sent once more. */
  forgetAgain(sequence: number): boolean {
    if (this.#again.length === 0) return false;
    const at = this.#again.findIndex((record) => record.sequence === sequence);
    if (at < 0) return false;
    this.#again.splice(at, 1);
    if (at < this.#againAt) this.#againAt--;
    return true;
  }

  isSentAgain(sequence: number): boolean {
    return this.#again.some((record) => record.sequence === sequence);
  }

  /** Passes over these records until told otherwise, without marking them done. Rewinds when that is news. */
  holdBack(sequences: readonly number[]): void {
    if (sequences.length === 0 && this.#heldBack.length === 0) return;
    this.#heldBack = sequences;
    this.rewind();
  }

  /** Starts again at the first record that is not done. */
  rewind(): void {
    this.#againAt = 0;
    this.#batch = [];
    this.#index = 0;
    this.#cursor = 1;
  }

  /** The next record to send, left in place until `take`; undefined: nothing now. */
  peek(recordsMax: number, bytesMax: number): LogRecord | undefined {
    this.#isCutShort = false;
    const again = this.#again[this.#againAt];
    if (again !== undefined) return again;
    for (let lookedAt = 0; lookedAt < LOOKED_AT_MAX; lookedAt++) {
      const record = this.#batch[this.#index];
      if (record === undefined) {
        if (!this.#fill(recordsMax, bytesMax)) return undefined;
      } else if (this.#isToBeSent(record)) return record;
      else this.#pass();
    }
    this.#isCutShort = true;
    return undefined;
  }

  /** The record last peeked at was sent. */
  take(): void {
    if (this.#againAt < this.#again.length) this.#againAt++;
    else this.#pass();
  }

  #pass(): void {
    this.#index++;
    if (this.#index >= this.#batch.length) {
      this.#batch = [];
      this.#index = 0;
    }
  }

  #isToBeSent(record: LogRecord): boolean {
    const { progress, clock, onLoss } = this.#source;
    const { sequence } = record;
    if (progress.done.has(sequence) || this.#heldBack.includes(sequence)) return false;
    if (!this.#matchesFilters(record.topic.text)) {
      progress.done.add(sequence);
      return false;
    }
    if (isExpired(record, clock)) {
      progress.done.add(sequence);
      onLoss({ from: sequence, to: sequence }, "expired");
      return false;
    }
    return true;
  }

  // Hot path: per record; topics repeat, so that one look-up is all.
  #matchesFilters(topic: string): boolean {
    const { filters } = this.#source;
    if (filters === undefined) return true;
    let matches = this.#matches.get(topic);
    if (matches === undefined) {
      if (this.#matches.size >= TOPICS_MAX) this.#matches.clear();
      matches = filters.some((filter) => filterMatches(filter, topic));
      this.#matches.set(topic, matches);
    }
    return matches;
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
