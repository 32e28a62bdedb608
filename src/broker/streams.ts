/**
 * Streams: named durable logs that capture topic filters. A message goes to the first stream that captures its topic, at
 * most one. A stream that uplinks read is trimmed behind the slowest of them; nothing is trimmed that a session still owes.
 */
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
  readonly whenFull: "reject" | "drop-oldest";
}

/** A range of records that a stream gave up although somebody might have wanted them. */
export interface StreamLoss {
  readonly stream: string;
  readonly from: Sequence;
  readonly to: Sequence;
  readonly reason: "drop-oldest";
}

/** Share of `bytesMax` that drop-oldest frees at a time, so that it does not run for each message. */
const DROP_SHARE = 1 / 16;

export class Stream {
  readonly name: string;
  readonly log: LogId;
  readonly #settings: StreamSettings;
  readonly #store: Store;
  /** Bytes appended and not flushed yet, about. */
  #openBytes = 0;
  #flushedBytes: number;

  constructor(settings: StreamSettings, store: Store) {
    this.name = settings.name;
    this.#settings = settings;
    this.#store = store;
    this.log = store.openLog(settings.name);
    this.#flushedBytes = store.stats(this.log).bytes;
  }

  /** True when messages are to be refused. Hot path: per captured message. */
  get isFull(): boolean {
    return (
      this.#settings.whenFull === "reject" &&
      this.#flushedBytes + this.#openBytes >= this.#settings.bytesMax
    );
  }

  append(message: Message): LogRecord {
    this.#openBytes += message.payloadEnd - message.payloadStart + message.topic.bytes.length + 24;
    return this.#store.append(this.log, message);
  }

  captures(topic: string): boolean {
    return this.#settings.filters.some((filter) => filterMatches(filter, topic));
  }

  /** A commit is on disk: takes the true size. Returns what had to be dropped to keep within the limit. */
  onFlushed(): StreamLoss | undefined {
    const { bytes, firstSequence, nextSequence } = this.#store.stats(this.log);
    this.#flushedBytes = bytes;
    this.#openBytes = 0;
    if (this.#settings.whenFull !== "drop-oldest" || bytes < this.#settings.bytesMax) {
      return undefined;
    }
    const excess = bytes - this.#settings.bytesMax * (1 - DROP_SHARE);
    const records = Math.ceil(((nextSequence - firstSequence) * excess) / bytes);
    const before = Math.min(firstSequence + records, nextSequence) as Sequence;
    this.#store.trim(this.log, before, Number.MAX_SAFE_INTEGER as Ordinal);
    return {
      stream: this.name,
      from: firstSequence,
      to: (before - 1) as Sequence,
      reason: "drop-oldest",
    };
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
   * does), in streams also what every uplink has delivered (`deliveredBefore`; undefined: no uplink reads it).
   */
  trim(owedFrom: Ordinal, deliveredBefore: (log: LogId) => Sequence | undefined): void {
    this.#store.trim(SESSION_LOG, this.#store.stats(SESSION_LOG).nextSequence, owedFrom);
    for (const { log } of this.all) {
      const before = deliveredBefore(log);
      if (before !== undefined) this.#store.trim(log, before, owedFrom);
    }
  }
}
