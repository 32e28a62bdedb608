/**
 * Streams: named durable logs that capture topic filters. A message goes to the first stream that captures its topic, at
 * most one: those of the configuration first, then those made while the broker runs, in the order in which they were made. A stream that
 * uplinks or durable consumers read is trimmed behind the slowest of them; nothing is trimmed that a session still owes.
 */
import type { DuplicateWindows } from "./duplicate-windows.ts";
import { openNamedLog, releaseNamedLog } from "./named-logs.ts";
import type { PatternCounts } from "./pattern-counts.ts";
import { nameInTopic, STREAM_TOPIC } from "./pattern-topics.ts";
import {
  type CommitNumber,
  type LogId,
  type Ordinal,
  SESSION_LOG,
  type Sequence,
  type Store,
} from "./store.ts";
import { Stream, type StreamSettings } from "./stream.ts";
import { decodeStream, encodeStream, STREAM_PREFIX, streamKey } from "./stream-records.ts";
import type { Topic } from "./topic.ts";

export class Streams {
  /** In the order in which they capture. */
  all: readonly Stream[] = [];
  readonly #store: Store;
  readonly #duplicates: DuplicateWindows;
  readonly #streams = new Map<string, Stream>();
  /** Something of them is on its way to disk. */
  readonly #touched = new Set<Stream>();
  /** Made while the broker runs, with the number of each. */
  readonly #made = new Map<Stream, number>();
  #lastNumber = 0;
  /** Grows when filters may match otherwise than before. */
  #filtersVersion = 0;

  readonly #counts: PatternCounts;

  constructor(
    settings: readonly StreamSettings[],
    store: Store,
    duplicates: DuplicateWindows,
    counts: PatternCounts,
  ) {
    this.#counts = counts;
    this.#store = store;
    this.#duplicates = duplicates;
    for (const one of settings) this.#enter(one, store.openLog(one.name));
  }

  get size(): number {
    return this.#streams.size;
  }

  get(name: string): Stream | undefined {
    return this.#streams.get(name);
  }

  /** False: it comes from the configuration and is changed there. */
  isMadeAtRunTime(stream: Stream): boolean {
    return this.#made.has(stream);
  }

  /** Reads those that were made while the broker ran. Returns how many records were damaged. */
  recover(): number {
    let damaged = 0;
    const found: { number: number; settings: StreamSettings }[] = [];
    for (const [key, value] of this.#store.scan("meta", STREAM_PREFIX)) {
      const record = decodeStream(value);
      if (record === undefined) {
        damaged++;
        this.#store.remove("meta", key);
      } else {
        found.push(record);
      }
    }
    found.sort((a, b) => a.number - b.number);
    for (const { number, settings } of found) {
      this.#lastNumber = Math.max(this.#lastNumber, number);
      // The configuration has one of this name by now: it has the log, too.
      if (this.#streams.has(settings.name)) continue;
      this.#made.set(this.#enter(settings, openNamedLog(this.#store, settings.name)), number);
    }
    return damaged;
  }

  /** Makes a stream of a name that is not taken; goes with the open group. */
  create(settings: StreamSettings): Stream {
    const number = ++this.#lastNumber;
    const stream = this.#enter(settings, openNamedLog(this.#store, settings.name));
    this.#made.set(stream, number);
    this.#store.put(
      "meta",
      streamKey(settings.name),
      encodeStream({ version: 1, number, settings }),
    );
    return stream;
  }

  /** Changes what a stream made at run time is told, from now on. Returns the commit that this is in. */
  update(stream: Stream, settings: StreamSettings): CommitNumber {
    const number = this.#made.get(stream) ?? 0;
    stream.settings = settings;
    stream.duplicates.windowMs = settings.duplicateWindowMs ?? 0;
    this.#onChanged();
    this.#store.put("meta", streamKey(stream.name), encodeStream({ version: 1, number, settings }));
    return this.#store.openCommit;
  }

  /** Deletes a stream made at run time with all that is in it. Its consumers are the caller's affair. */
  delete(stream: Stream): CommitNumber {
    this.#duplicates.close(stream.duplicates);
    stream.purge(undefined);
    stream.isDeleted = true;
    this.#streams.delete(stream.name);
    this.#made.delete(stream);
    this.#onChanged();
    this.#store.remove("meta", streamKey(stream.name));
    releaseNamedLog(this.#store, stream.log);
    return this.#store.openCommit;
  }

  /** A commit is on disk: the streams that it may have changed. */
  takeTouched(): readonly Stream[] {
    const touched: Stream[] = [];
    for (const stream of this.#touched) {
      if (!stream.isDeleted) touched.push(stream);
      if (stream.isDeleted || !stream.isPending) this.#touched.delete(stream);
    }
    return touched;
  }

  /** The stream that captures a topic. Hot path: per message; looked up once per topic. */
  of(topic: Topic): Stream | undefined {
    if (topic.captureVersion !== this.#filtersVersion) {
      topic.captureVersion = this.#filtersVersion;
      topic.capture = topic.text.startsWith("$")
        ? this.#streams.get(nameInTopic(topic.text, STREAM_TOPIC) ?? "")
        : this.#capturing(topic.text);
    }
    return topic.capture as Stream | undefined;
  }

  #capturing(topic: string): Stream | undefined {
    return this.all.find((stream) => stream.captures(topic));
  }

  #enter(settings: StreamSettings, log: LogId): Stream {
    const owner = { kind: "stream", number: log } as const;
    const duplicates = this.#duplicates.open(owner, settings.duplicateWindowMs ?? 0);
    const touched = this.#touched;
    const stream = new Stream(settings, this.#store, log, duplicates, touched, this.#counts);
    this.#streams.set(settings.name, stream);
    this.#onChanged();
    return stream;
  }

  #onChanged(): void {
    this.all = [...this.#streams.values()];
    this.#filtersVersion++;
  }

  /**
   * Lets go of what nobody needs: in the session log all that sessions do not owe (`owedFrom`: the lowest ordinal that one
   * does), in streams also what every uplink and durable consumer has (`deliveredBefore`; undefined: none reads it). Returns what
   * stays for sessions alone, in bytes, about.
   */
  trim(owedFrom: Ordinal, deliveredBefore: (log: LogId) => Sequence | undefined): number {
    const { nextSequence } = this.#store.stats(SESSION_LOG);
    const stays = this.#store.trim(SESSION_LOG, nextSequence, owedFrom);
    let pinnedBytes = this.#pinnedBytes(SESSION_LOG, stays, nextSequence);
    for (const stream of this.all) {
      if (stream.settings.retain === "limits") continue;
      const { log } = stream;
      const before = deliveredBefore(log);
      if (before === undefined) continue;
      pinnedBytes += this.#pinnedBytes(log, stream.trim(before, owedFrom), before);
    }
    return pinnedBytes;
  }

  /** What stays of a log although `before` might go, in bytes, about. */
  #pinnedBytes(log: LogId, stays: Sequence, before: Sequence): number {
    const { bytes, firstSequence, nextSequence } = this.#store.stats(log);
    if (stays >= before || nextSequence === firstSequence) return 0;
    return (bytes * (before - stays)) / (nextSequence - firstSequence);
  }
}
