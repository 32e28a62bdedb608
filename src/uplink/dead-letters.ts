/**
 * Records that the remote never takes, kept apart with the reason so that their lane can go on: the log
 * `$dlq/{uplink}`. A letter is the record as it was, with one more user property in front of its own:
 *
 *     rill-dead-letter = {"recordId","lane","stream","sequence","reason","at"}        JSON
 *
 * It is staged together with the progress that passes over the record: a crash keeps both or neither. Which letters
 * were removed is kept as a progress record, the log is trimmed behind it. When the letters reach `bytesMax` the oldest go.
 */
import type { Message } from "../broker/message.ts";
import type { LogId, LogRecord, Ordinal, Sequence, Store } from "../broker/store.ts";
import type { Interval } from "../lib/interval-set.ts";
import { logNamed } from "./loss-ledger.ts";
import { decodeProgress, encodeProgress, Progress, progressKey } from "./progress.ts";

const LETTER_PROPERTY = "rill-dead-letter";
/** Share of `bytesMax` that is freed at a time. */
const DROP_SHARE = 1 / 16;
const READ_BYTES_MAX = 1_048_576;

/** The log's name. Names of streams cannot hold `$`. */
export const deadLetterLogName = (uplink: string): string => `$dlq/${uplink}`;

/** Where a letter comes from and why it is one. */
export interface LetterOrigin {
  readonly recordId: string;
  readonly lane: string;
  readonly stream: string;
  /** The record's sequence in its stream. */
  readonly sequence: number;
  /** One line, with the remote's own code. */
  readonly reason: string;
  /** When it was put here, in ms since 1970. */
  readonly at: number;
}

export interface DeadLetter {
  /** The letter's own number, from 1. */
  readonly number: number;
  readonly origin: LetterOrigin;
  /** As it was, with its own properties. */
  readonly message: Message;
}

export class DeadLetters {
  readonly #store: Store;
  readonly #name: string;
  readonly #bytesMax: number;
  readonly #key: Uint8Array;
  /** Numbers of letters that are gone. */
  readonly #removed: Progress;
  #log: LogId | undefined;
  /** A trim is on its way until this commit is flushed. */
  #trimmedIn = 0;

  constructor(store: Store, uplink: string, bytesMax: number) {
    this.#store = store;
    this.#name = deadLetterLogName(uplink);
    this.#bytesMax = bytesMax;
    this.#key = progressKey(uplink, "$dlq");
    const record = store.get("meta", this.#key);
    // Damaged: letters that were removed are there again, which loses nothing.
    this.#removed = (record && decodeProgress(record)) ?? new Progress();
    this.#log = logNamed(store, this.#name);
    this.#trim();
  }

  get bytes(): number {
    return this.#log === undefined ? 0 : this.#store.stats(this.#log).bytes;
  }

  /** Letters on disk. */
  get count(): number {
    return this.#ranges().reduce((sum, { from, to }) => sum + to - from + 1, 0);
  }

  /** Stages a letter. Throws what the store throws. */
  append(record: LogRecord, origin: LetterOrigin): void {
    this.#log ??= this.#store.openLog(this.#name);
    const own = record.properties?.userProperties ?? [];
    const mark = [LETTER_PROPERTY, JSON.stringify(origin)] as const;
    const properties = { ...record.properties, userProperties: [mark, ...own] };
    this.#store.append(this.#log, { ...record, properties });
  }

  /** Letters on disk from a number on, at most `limit`. */
  list(from: number, limit: number): DeadLetter[] {
    const found: DeadLetter[] = [];
    for (const range of this.#ranges(from)) {
      for (let next = range.from; next <= range.to && found.length < limit; ) {
        const wanted = Math.min(limit - found.length, range.to - next + 1);
        const batch = this.#store.read(this.#logId(), next as Sequence, wanted, READ_BYTES_MAX);
        for (const record of batch.records) {
          if (record.sequence <= range.to) found.push(letterOf(record));
        }
        if (batch.next <= next) break;
        next = batch.next;
      }
    }
    return found;
  }

  /** One letter; undefined: there is none of this number. */
  get(number: number): DeadLetter | undefined {
    const [letter] = this.list(number, 1);
    return letter?.number === number ? letter : undefined;
  }

  /** Numbers of letters on disk, in runs. */
  numbers(): readonly Interval[] {
    return this.#ranges();
  }

  /** Removes letters; those that are not there are passed over. Throws what the store throws. */
  remove(from: number, to: number = from): number {
    let count = 0;
    for (const range of this.#ranges(from)) {
      if (range.from > to) break;
      count += this.#removed.done.add(range.from, Math.min(to, range.to));
    }
    if (count === 0) return 0;
    this.#store.put("meta", this.#key, encodeProgress(this.#removed));
    this.#trim();
    return count;
  }

  /** A commit was flushed: keeps the bound. Returns what letters had to go. */
  onFlushed(): Interval | undefined {
    if (this.#log === undefined || this.#store.flushedCommit < this.#trimmedIn) return undefined;
    const { bytes, firstSequence, nextSequence } = this.#store.stats(this.#log);
    if (bytes < this.#bytesMax) return undefined;
    const excess = bytes - this.#bytesMax * (1 - DROP_SHARE);
    const share = Math.ceil(((nextSequence - firstSequence) * excess) / bytes);
    // The newest stays, whatever it weighs.
    const last = Math.min(firstSequence + share, nextSequence - 1) - 1;
    const [oldest] = this.#ranges();
    const before = this.remove(1, last);
    if (before === 0 || oldest === undefined) return undefined;
    return { from: oldest.from, to: oldest.from + before - 1 };
  }

  #logId(): LogId {
    if (this.#log === undefined) throw new RangeError("there are no dead letters");
    return this.#log;
  }

  #ranges(from = 1): Interval[] {
    if (this.#log === undefined) return [];
    const { firstSequence, nextSequence } = this.#store.stats(this.#log);
    return this.#removed.done.missing(Math.max(from, firstSequence), nextSequence - 1);
  }

  #trim(): void {
    if (this.#log === undefined) return;
    const { firstSequence } = this.#store.stats(this.#log);
    const before = this.#removed.done.firstMissing(firstSequence);
    if (before <= firstSequence) return;
    this.#trimmedIn = this.#store.openCommit;
    this.#store.trim(this.#log, before as Sequence, Number.MAX_SAFE_INTEGER as Ordinal);
  }
}

function letterOf(record: LogRecord): DeadLetter {
  const [mark, ...own] = record.properties?.userProperties ?? [];
  if (mark?.[0] !== LETTER_PROPERTY) throw new Error("a dead letter without its origin");
  const { userProperties: _all, ...rest } = record.properties ?? {};
  const properties = { ...rest, ...(own.length === 0 ? {} : { userProperties: own }) };
  return {
    number: record.sequence,
    origin: JSON.parse(mark[1]) as LetterOrigin,
    message: {
      ...record,
      properties: Object.keys(properties).length === 0 ? undefined : properties,
    },
  };
}

/** The record that a letter was made of, with its own id, to be sent once more. */
export function recordOf(letter: DeadLetter, log: LogId): LogRecord {
  const { origin, message } = letter;
  const epoch = origin.recordId.split("/").at(-3) ?? "";
  return {
    ...message,
    log,
    sequence: origin.sequence as Sequence,
    ordinal: 0 as Ordinal,
    epoch,
  };
}
