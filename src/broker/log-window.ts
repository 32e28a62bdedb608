import type { LogId, LogRecord, Sequence, Store } from "./store.ts";

const READ_RECORDS = 64;
const READ_BYTES = 65_536;

/**
 * The records of one log where they are handed out: those of the commit that was flushed just now as they are in memory, others as they
 * are read, some ahead.
 */
export class LogWindow {
  readonly #store: Store;
  readonly #log: LogId;
  #batch: readonly LogRecord[] = [];
  /** Not on disk yet; while a flush is being told those that it brought are in front. */
  #staged: LogRecord[] = [];

  constructor(store: Store, log: LogId) {
    this.#store = store;
    this.#log = log;
  }

  /** A record was appended to the log: all of them are told, in order, or none. Hot path: per message. */
  add(record: LogRecord): void {
    this.#staged.push(record);
  }

  /** A flush has been told: the bytes of what it brought are not valid any more. */
  forgetFlushed(): void {
    const staged = this.#staged;
    const end = this.#store.stats(this.#log).nextSequence;
    let count = 0;
    for (let record = staged[0]; record !== undefined; record = staged[count]) {
      // Without a sequence it is not even sealed.
      if (record.sequence === 0 || record.sequence >= end) break;
      count++;
    }
    if (count === staged.length) this.#staged = [];
    else staged.splice(0, count);
  }

  /** A flushed record that may only be looked at now; undefined: it is to be read. Hot path: per delivery. */
  view(sequence: number): LogRecord | undefined {
    const first = this.#staged[0];
    if (first === undefined) return undefined;
    const record = this.#staged[sequence - first.sequence];
    return record?.sequence === sequence ? record : undefined;
  }

  /** Whose log it was is gone. */
  clear(): void {
    this.#batch = [];
    this.#staged = [];
  }

  /** A flushed record; undefined: damaged or gone. `isAhead`: those behind it are likely to be wanted next. */
  read(sequence: number, isAhead: boolean): LogRecord | undefined {
    const first = this.#batch[0];
    const guess = first === undefined ? undefined : this.#batch[sequence - first.sequence];
    if (guess?.sequence === sequence) return guess;
    const ahead = isAhead ? READ_RECORDS : 1;
    this.#batch = this.#store.read(this.#log, sequence as Sequence, ahead, READ_BYTES).records;
    const found = this.#batch[0];
    return found?.sequence === sequence ? found : undefined;
  }
}
