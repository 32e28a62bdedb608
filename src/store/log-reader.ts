import type { LogBatch, LogRecord, Sequence, SequenceRange } from "../broker/store.ts";
import type { TopicTable } from "../broker/topic.ts";
import type { Backing } from "./backing.ts";
import { Chunk, RecordDecoder } from "./chunk.ts";
import { ChunkCache } from "./chunk-cache.ts";
import { logKey, sequenceOfLogKey } from "./keys.ts";
import type { LogState } from "./log-state.ts";

/** Damaged records that one read steps over beyond the number of records asked for. */
const DAMAGED_STEPS_MAX = 1_024;

/** Reads flushed records. Every read is one synchronous look into the backing: nothing is held open. */
export class LogReader {
  readonly #backing: Backing;
  readonly #decoder: RecordDecoder;
  readonly #cache = new ChunkCache();
  /** Of chunks that were not in memory, since the start. */
  bytesRead = 0;

  constructor(backing: Backing, topics: TopicTable) {
    this.#backing = backing;
    this.#decoder = new RecordDecoder(topics);
  }

  /** As `Store.read`. */
  read(log: LogState, from: number, recordsMax: number, bytesMax: number): LogBatch {
    const records: LogRecord[] = [];
    const damaged: SequenceRange[] = [];
    let sequence = Math.max(from, log.firstSequence);
    if (sequence >= log.flushedEnd) return { records, next: from as Sequence, damaged };
    let bytes = 0;
    for (let steps = 0; steps < recordsMax + DAMAGED_STEPS_MAX; steps++) {
      if (sequence >= log.flushedEnd || records.length >= recordsMax) break;
      const chunk = this.chunkOf(log, sequence);
      if (chunk?.header === undefined || chunk.isHole || sequence >= chunk.end) {
        const end = this.#nextChunk(log, sequence);
        addDamage(damaged, sequence, end - 1);
        sequence = end;
        continue;
      }
      bytes += chunk.sizeOf(sequence);
      if (bytes > bytesMax && records.length > 0) break;
      const record = this.#decoder.decode(log.id, chunk, sequence);
      if (record === undefined) addDamage(damaged, sequence, sequence);
      else records.push(record);
      sequence++;
    }
    return { records, next: sequence as Sequence, damaged };
  }

  /** The chunk that should hold a flushed sequence; undefined: there is none. */
  chunkOf(log: LogState, sequence: number): Chunk | undefined {
    const known = this.#cache.find(log.id, sequence);
    if (known !== undefined) return known;
    const [key] = this.#backing.keysDown("log", logKey(log.id, sequence), logKey(log.id, 0), 1);
    if (key === undefined) return undefined;
    const first = sequenceOfLogKey(key);
    const cached = this.#cache.get(log.id, first);
    if (cached !== undefined) return cached;
    const bytes = this.#backing.get("log", key);
    if (bytes === undefined) return undefined;
    this.bytesRead += bytes.length;
    const chunk = new Chunk(log.id, first, bytes, this.#nextChunk(log, first));
    this.#cache.add(log.id, chunk);
    return chunk;
  }

  /** The first chunk that starts after a sequence, or the end of the log. */
  #nextChunk(log: LogState, sequence: number): number {
    const start = logKey(log.id, sequence + 1);
    const [key] = this.#backing.keys("log", start, logKey(log.id, log.flushedEnd), 1);
    return key === undefined ? log.flushedEnd : sequenceOfLogKey(key);
  }
}

/** Adds a run to the damaged ones, joined with the last when it goes on from there. */
function addDamage(damaged: SequenceRange[], from: number, to: number): void {
  const last = damaged.at(-1);
  if (last !== undefined && last.to === from - 1) {
    damaged[damaged.length - 1] = { from: last.from, to: to as Sequence };
  } else {
    damaged.push({ from: from as Sequence, to: to as Sequence });
  }
}
