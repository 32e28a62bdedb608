/**
 * Streams: named durable logs that capture topic filters. A message goes to the first stream that captures its topic, at
 * most one. A stream that uplinks read is trimmed behind the slowest of them; nothing is trimmed that a session still owes.
 */
import type { Clock } from "../lib/clock.ts";
import type { Message } from "./message.ts";
import {
  type LogId,
  type LogRecord,
  type Ordinal,
  SESSION_LOG,
  type Sequence,
  type Store,
} from "./store.ts";
import { filterMatches, type Topic } from "./topic.ts";

export interface StreamSettings {
  readonly name: string;
  readonly filters: readonly string[];
  readonly bytesMax: number;
  /** Undefined: no limit. */
  readonly messagesMax?: number | undefined;
  /** Older records go, delivered or not; undefined: no limit. */
  readonly ageMaxMs?: number | undefined;
  readonly whenFull: "reject" | "drop-oldest";
}

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
  readonly #settings: StreamSettings;
  readonly #store: Store;
  /** Appended and not flushed yet; bytes about. */
  #openBytes = 0;
  #openMessages = 0;
  #flushedBytes = 0;
  #flushedMessages = 0;
  /** What was dropped is on its way out: before this nothing more is counted as excess. */
  #droppedBefore = 0;

  constructor(settings: StreamSettings, store: Store) {
    this.name = settings.name;
    this.#settings = settings;
    this.#store = store;
    this.log = store.openLog(settings.name);
    this.#measure();
  }

  /** True when messages are to be refused. Hot path: per captured message. */
  get isFull(): boolean {
    const { whenFull, bytesMax, messagesMax } = this.#settings;
    if (whenFull !== "reject") return false;
    if (this.#flushedBytes + this.#openBytes >= bytesMax) return true;
    return messagesMax !== undefined && this.#flushedMessages + this.#openMessages >= messagesMax;
  }

  append(message: Message): LogRecord {
    this.#openMessages++;
    this.#openBytes += message.payloadEnd - message.payloadStart + message.topic.bytes.length + 24;
    return this.#store.append(this.log, message);
  }

  captures(topic: string): boolean {
    return this.#settings.filters.some((filter) => filterMatches(filter, topic));
  }

  /** A commit is on disk: takes the true size. Returns what had to be dropped to keep within the limits. */
  onFlushed(): StreamLoss | undefined {
    this.#measure();
    const { whenFull, bytesMax, messagesMax } = this.#settings;
    if (whenFull !== "drop-oldest") return undefined;
    const messages = this.#flushedMessages;
    const bytes = this.#flushedBytes;
    let excess = bytes < bytesMax ? 0 : messages * (1 - (bytesMax * (1 - DROP_SHARE)) / bytes);
    if (messagesMax !== undefined) excess = Math.max(excess, messages - messagesMax);
    return excess <= 0 ? undefined : this.#drop(Math.ceil(excess), "drop-oldest");
  }

  /** Drops what is older than the limit. */
  expire(clock: Clock): StreamLoss | undefined {
    const { ageMaxMs } = this.#settings;
    const { oldestAt, firstSequence, nextSequence } = this.#store.stats(this.log);
    if (ageMaxMs === undefined || oldestAt === undefined) return undefined;
    if (clock.since(oldestAt) <= ageMaxMs) return undefined;
    // Times in a log do not go back: the first record to keep is found by halving.
    let low: number = firstSequence;
    let high: number = nextSequence;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const [record] = this.#store.read(this.log, middle as Sequence, 1, 0).records;
      if (record === undefined || clock.since(record.receivedAt) > ageMaxMs) low = middle + 1;
      else high = middle;
    }
    return this.#drop(low - firstSequence, "max-age");
  }

  #drop(count: number, reason: StreamLoss["reason"]): StreamLoss | undefined {
    const { firstSequence, nextSequence } = this.#store.stats(this.log);
    const before = Math.min(firstSequence + count, nextSequence) as Sequence;
    if (before <= firstSequence || firstSequence < this.#droppedBefore) return undefined;
    this.#droppedBefore = before;
    this.#store.trim(this.log, before, Number.MAX_SAFE_INTEGER as Ordinal);
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
    this.#openBytes = 0;
    this.#openMessages = 0;
  }
}

export class Streams {
  readonly all: readonly Stream[];
  readonly #store: Store;

  constructor(settings: readonly StreamSettings[], store: Store) {
    this.#store = store;
    this.all = settings.map((one) => new Stream(one, store));
  }

  /** The stream that captures a topic. Hot path: per message; looked up once per topic. */
  of(topic: Topic): Stream | undefined {
    if (topic.capture === undefined) {
      const isInternal = topic.text.startsWith("$");
      topic.capture = isInternal
        ? null
        : (this.all.find((stream) => stream.captures(topic.text)) ?? null);
    }
    return (topic.capture as Stream | null) ?? undefined;
  }

  /**
   * Lets go of what nobody needs: in the session log all that sessions do not owe (`owedFrom`: the lowest ordinal that one
   * does), in streams also what every uplink has delivered (`deliveredBefore`; undefined: no uplink reads it). Returns what
   * stays for sessions alone, in bytes, about.
   */
  trim(owedFrom: Ordinal, deliveredBefore: (log: LogId) => Sequence | undefined): number {
    const { nextSequence } = this.#store.stats(SESSION_LOG);
    let pinnedBytes = this.#trimLog(SESSION_LOG, nextSequence, owedFrom);
    for (const { log } of this.all) {
      const before = deliveredBefore(log);
      if (before !== undefined) pinnedBytes += this.#trimLog(log, before, owedFrom);
    }
    return pinnedBytes;
  }

  #trimLog(log: LogId, before: Sequence, owedFrom: Ordinal): number {
    const stays = this.#store.trim(log, before, owedFrom);
    const { bytes, firstSequence, nextSequence } = this.#store.stats(log);
    if (stays >= before || nextSequence === firstSequence) return 0;
    return (bytes * (before - stays)) / (nextSequence - firstSequence);
  }
}
