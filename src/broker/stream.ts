/** A stream: a named durable log that captures topic filters, within its limits. */
import type { Clock, Instant } from "../lib/clock.ts";
import type { DuplicateWindow } from "./duplicate-window.ts";
import type { Message } from "./message.ts";
import type { PatternCounts } from "./pattern-counts.ts";
import { StagedSize } from "./staged-size.ts";
import { firstSequenceAfter } from "./start-position.ts";
import type { CommitNumber, LogId, LogRecord, Ordinal, Sequence, Store } from "./store.ts";
import { filterMatches } from "./topic.ts";

export interface StreamSettings {
  readonly name: string;
  readonly filters: readonly string[];
  readonly bytesMax: number;
  /** Undefined: no limit. */
  readonly messagesMax?: number | undefined;
  /** Older records go, delivered or not; undefined: no limit. */
  readonly ageMaxMs?: number | undefined;
  readonly whenFull: "reject" | "drop-oldest";
  /** `until-delivered`: records go when uplinks and durable consumers, where there are such, have them; `limits`: only the limits count. */
  readonly retain?: "until-delivered" | "limits" | undefined;
  /** How long identifiers of messages are remembered; 0 or undefined: not at all. */
  readonly duplicateWindowMs?: number | undefined;
}

/** A message to be appended, and what names it for de-duplication. */
export interface Appendage {
  readonly message: Message;
  readonly messageId: string | undefined;
}

/** What was appended. */
export interface Appended {
  /** Of each message, in order; of a duplicate that of the first. */
  readonly sequences: readonly Sequence[];
  readonly duplicates: number;
  /** What its answer waits for. */
  readonly commit: CommitNumber;
}

/** What became of an append. */
export type AppendResult =
  | ({ readonly isTaken: true } & Appended)
  | {
      readonly isTaken: false;
      readonly refusal: "wrong-sequence" | "full";
      /** What the first message would have got. */
      readonly nextSequence: Sequence;
    };

/** A range of records that a stream gave up although somebody might have wanted them. */
export interface StreamLoss {
  readonly stream: string;
  readonly log: LogId;
  readonly from: Sequence;
  readonly to: Sequence;
  readonly reason: "drop-oldest" | "max-age";
}

/** Share of `bytesMax` that drop-oldest frees at a time, so that it does not run for each message. */
const DROP_SHARE = 1 / 16;

export class Stream {
  readonly name: string;
  readonly log: LogId;
  readonly duplicates: DuplicateWindow;
  settings: StreamSettings;
  isDeleted = false;
  readonly #store: Store;
  readonly #touched: Set<Stream>;
  readonly #staged = new StagedSize();
  #flushedBytes = 0;
  #flushedMessages = 0;
  /** Where it begins when all that is staged is on disk. */
  #trimmedBefore = 0;
  /** What was dropped is on its way out: before this nothing more is counted as excess. */
  #droppedBefore = 0;
  readonly #counts: PatternCounts;

  /** `touched`: streams of which something is on its way to disk; it adds itself. */
  constructor(
    settings: StreamSettings,
    store: Store,
    log: LogId,
    duplicates: DuplicateWindow,
    touched: Set<Stream>,
    counts: PatternCounts,
  ) {
    this.#touched = touched;
    this.#counts = counts;
    this.name = settings.name;
    this.duplicates = duplicates;
    this.settings = settings;
    this.#store = store;
    this.log = log;
    this.#measure();
  }

  /** True when messages are to be refused. Hot path: per captured message. */
  get isFull(): boolean {
    const { whenFull, bytesMax, messagesMax } = this.settings;
    if (whenFull !== "reject") return false;
    if (this.#flushedBytes + this.#staged.bytes >= bytesMax) return true;
    return (
      messagesMax !== undefined && this.#flushedMessages + this.#staged.messages >= messagesMax
    );
  }

  append(message: Message): LogRecord {
    this.#counts.countIn(message);
    if (this.#staged.messages === 0) this.#touched.add(this);
    this.#staged.add(message);
    return this.#store.append(this.log, message);
  }

  /**
   * Appends messages in one commit, all of them or none; those whose identifier is known are not appended again. Whether the store has room is
   * asked before. `expectedSequence`: what the first message must get.
   */
  appendAll(
    messages: readonly Appendage[],
    expectedSequence: number | undefined,
    now: Instant,
  ): AppendResult {
    const nextSequence = this.#store.nextSequence(this.log);
    const repeated = this.#repeatedFrom(messages, now);
    const isExpected = expectedSequence === nextSequence || expectedSequence === repeated;
    if (expectedSequence !== undefined && !isExpected) {
      return { isTaken: false, refusal: "wrong-sequence", nextSequence };
    }
    if (repeated === undefined && this.isFull)
      return { isTaken: false, refusal: "full", nextSequence };
    return { isTaken: true, ...this.appendChecked(messages, now) };
  }

  /** Messages that are all known, sent again because their answer did not arrive: what the first of them got. Undefined: one is new. */
  #repeatedFrom(messages: readonly Appendage[], now: Instant): Sequence | undefined {
    let first: Sequence | undefined;
    for (const { messageId } of messages) {
      if (messageId === undefined) return undefined;
      const known = this.duplicates.find(messageId, now);
      if (known === undefined) return undefined;
      first ??= known.sequence;
    }
    return first;
  }

  /** The same where somebody has found out that there is room. */
  appendChecked(messages: readonly Appendage[], now: Instant): Appended {
    const sequences: Sequence[] = [];
    let duplicates = 0;
    let commit = this.#store.flushedCommit;
    for (const { message, messageId } of messages) {
      const known = messageId === undefined ? undefined : this.duplicates.find(messageId, now);
      if (known !== undefined) {
        duplicates++;
        sequences.push(known.sequence);
        if (known.commit > commit) commit = known.commit;
        continue;
      }
      const sequence = this.#store.nextSequence(this.log);
      this.append(withMessageId(message, messageId));
      commit = this.#store.openCommit;
      sequences.push(sequence);
      if (messageId !== undefined) {
        this.duplicates.remember({ messageId, sequence, commit, at: now });
      }
    }
    return { sequences, duplicates, commit };
  }

  /** Something of it goes with a commit that is not on disk yet. */
  get isPending(): boolean {
    const { firstSequence, nextSequence } = this.#store.stats(this.log);
    return this.#trimmedBefore > firstSequence || this.#store.nextSequence(this.log) > nextSequence;
  }

  captures(topic: string): boolean {
    return this.settings.filters.some((filter) => filterMatches(filter, topic));
  }

  /** A commit is on disk: takes the true size. Returns what had to be dropped to keep within the limits. */
  onFlushed(): StreamLoss | undefined {
    this.#measure();
    const { whenFull, bytesMax, messagesMax } = this.settings;
    if (whenFull !== "drop-oldest") return undefined;
    const messages = this.#flushedMessages;
    const bytes = this.#flushedBytes;
    let excess = bytes < bytesMax ? 0 : messages * (1 - (bytesMax * (1 - DROP_SHARE)) / bytes);
    if (messagesMax !== undefined) excess = Math.max(excess, messages - messagesMax);
    return excess <= 0 ? undefined : this.#drop(Math.ceil(excess), "drop-oldest");
  }

  /** Drops what is older than the limit. */
  expire(clock: Clock): StreamLoss | undefined {
    const { ageMaxMs } = this.settings;
    const { oldestAt, firstSequence } = this.#store.stats(this.log);
    if (ageMaxMs === undefined || oldestAt === undefined) return undefined;
    if (clock.since(oldestAt) <= ageMaxMs) return undefined;
    const isOld = (at: Instant): boolean => clock.since(at) > ageMaxMs;
    const first = firstSequenceAfter(this.#store, this.log, isOld);
    return this.#drop(first - firstSequence, "max-age");
  }

  /** All records before a sequence (undefined: all that are flushed) have ordinals below this; undefined: there are none. */
  ordinalBound(before: number | undefined): Ordinal | undefined {
    const { firstSequence, nextSequence } = this.#store.stats(this.log);
    const end = Math.min(before ?? nextSequence, nextSequence);
    if (end <= firstSequence) return undefined;
    const [last] = this.#store.read(this.log, (end - 1) as Sequence, 1, 0).records;
    // A damaged one does not tell.
    return last === undefined ? this.#store.nextOrdinal : ((last.ordinal + 1) as Ordinal);
  }

  /** Drops everything before a sequence; undefined: everything. Returns how many records. What sessions are owed is copied before. */
  purge(before: number | undefined): number {
    const { firstSequence, nextSequence } = this.#store.stats(this.log);
    const end = Math.min(before ?? nextSequence, nextSequence) as Sequence;
    if (end <= firstSequence) return 0;
    this.trim(end, Number.MAX_SAFE_INTEGER as Ordinal);
    return end - firstSequence;
  }

  /**
   * Lets records before a sequence go that have ordinals below `beforeOrdinal`, with the open group. What is remembered of them
   * stays. Returns the first sequence that stays.
   */
  trim(before: Sequence, beforeOrdinal: Ordinal): Sequence {
    const stays = this.#store.trim(this.log, before, beforeOrdinal);
    if (stays > this.#store.stats(this.log).firstSequence) {
      this.#trimmedBefore = stays;
      this.#touched.add(this);
    }
    this.duplicates.onTrimmed(stays);
    return stays;
  }

  #drop(count: number, reason: StreamLoss["reason"]): StreamLoss | undefined {
    const { firstSequence, nextSequence } = this.#store.stats(this.log);
    const before = Math.min(firstSequence + count, nextSequence) as Sequence;
    if (before <= firstSequence || firstSequence < this.#droppedBefore) return undefined;
    this.#droppedBefore = before;
    this.trim(before, Number.MAX_SAFE_INTEGER as Ordinal);
    return {
      stream: this.name,
      log: this.log,
      from: firstSequence,
      to: (before - 1) as Sequence,
      reason,
    };
  }

  #measure(): void {
    const { bytes, firstSequence, nextSequence } = this.#store.stats(this.log);
    this.#flushedBytes = bytes;
    this.#flushedMessages = nextSequence - firstSequence;
    this.#staged.onFlushed(this.#store.nextSequence(this.log) - nextSequence);
  }
}

function withMessageId(message: Message, messageId: string | undefined): Message {
  const { attributes: _theirs, ...others } = message.properties ?? {};
  if (messageId === undefined) {
    return message.properties === undefined ? message : { ...message, properties: others };
  }
  return { ...message, properties: { ...others, attributes: { messageId } } };
}
