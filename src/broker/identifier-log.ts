/**
 * Identifiers of messages in a log of their own, so that a restart does not forget them although the messages are gone: those that queues
 * took, because what is settled goes, and those of streams whose records were trimmed while the identifiers are still remembered.
 *
 *     payload     kind:u8 number, then by kind; numbers are varints
 *     1 queue     of the queue: sequence (0: it was delayed), identifier to the end (UTF-8)
 *     2 queue     of the queue: it was deleted, what was before is another one's
 *     3 stream    of its log: per identifier sequence, age in ms, length, identifier
 *     4 stream    of its log: it was deleted
 */
import { ByteWriter } from "../lib/byte-writer.ts";
import type { Instant } from "../lib/clock.ts";
import { VarintReader, writeVarint } from "../lib/varint.ts";
import type { KnownMessage, WindowOwner } from "./duplicate-window.ts";
import { type Message, plainMessage } from "./message.ts";
import { firstSequenceAfter } from "./start-position.ts";
import {
  type LogId,
  type LogRecord,
  NO_COMMIT,
  type Ordinal,
  type Sequence,
  type Store,
} from "./store.ts";
import { Topic } from "./topic.ts";

const LOG_NAME = "$identifiers";
const KIND = { queue: 1, queueDeleted: 2, stream: 3, streamDeleted: 4 } as const;
/** Identifiers of a stream in one record, in bytes about. */
const RECORD_BYTES = 32_768;
const STEP_RECORDS = 1_000;
const STEP_BYTES = 1_048_576;
/** Share of the bytes that is let go when they are too many, so that it is not done each time. */
const DROP_SHARE = 1 / 16;

const utf8 = new TextEncoder();
const text = new TextDecoder();

/** What is told of what is on disk, oldest first. */
export interface IdentifierVisitor {
  onKnown(owner: WindowOwner, known: KnownMessage): void;
  onDeleted(owner: WindowOwner): void;
}

export class IdentifierLog {
  readonly #store: Store;
  readonly #log: LogId;
  readonly #writer = new ByteWriter();
  /** One for all: the store copies what it needs of it. */
  readonly #message: Message = plainMessage(
    new Topic(LOG_NAME),
    new Uint8Array(0),
    0 as Instant,
    undefined,
  );

  constructor(store: Store) {
    this.#store = store;
    this.#log = store.openLog(LOG_NAME);
  }

  /** A message that a queue took; goes with the open group. Hot path: per message with an identifier. */
  add(queue: number, { messageId, sequence, at }: KnownMessage): void {
    this.#begin(KIND.queue, queue);
    writeVarint(this.#writer, sequence);
    this.#writeText(messageId);
    this.#append(at);
  }

  /** Messages of a stream, in order. */
  addAll(log: LogId, known: readonly KnownMessage[], now: Instant): void {
    const writer = this.#writer;
    this.#begin(KIND.stream, log);
    for (const { messageId, sequence, at } of known) {
      if (writer.end > RECORD_BYTES) {
        this.#append(now);
        this.#begin(KIND.stream, log);
      }
      writeVarint(writer, sequence);
      writeVarint(writer, Math.max(0, now - at));
      const bytes = utf8.encode(messageId);
      writeVarint(writer, bytes.length);
      writer.writeBytes(bytes);
    }
    this.#append(now);
  }

  /** What had this number is deleted; another one may get it. */
  addDeleted({ kind, number }: WindowOwner, now: Instant): void {
    this.#begin(kind === "queue" ? KIND.queueDeleted : KIND.streamDeleted, number);
    this.#append(now);
  }

  /** Reads all there is, oldest first. Returns how many records were damaged. */
  recover(visitor: IdentifierVisitor): number {
    const { firstSequence, nextSequence } = this.#store.stats(this.#log);
    let damagedRecords = 0;
    for (let from = firstSequence; from < nextSequence; ) {
      const { records, next, damaged } = this.#store.read(
        this.#log,
        from,
        STEP_RECORDS,
        STEP_BYTES,
      );
      for (const range of damaged) damagedRecords += range.to - range.from + 1;
      for (const record of records) if (!visit(record, visitor)) damagedRecords++;
      if (next <= from) break;
      from = next;
    }
    return damagedRecords;
  }

  /** Lets go of what is older than every window, and of the oldest when it takes more than `bytesMax`. */
  trim(now: Instant, windowMs: number, bytesMax: number): void {
    const { oldestAt, firstSequence, nextSequence, bytes } = this.#store.stats(this.#log);
    if (oldestAt === undefined) return;
    const isOld = (at: Instant): boolean => now - at >= windowMs;
    let before: number = isOld(oldestAt)
      ? firstSequenceAfter(this.#store, this.#log, isOld)
      : firstSequence;
    if (bytes > bytesMax) {
      const excess = 1 - (bytesMax * (1 - DROP_SHARE)) / bytes;
      const isTooMuch = firstSequence + Math.ceil((nextSequence - firstSequence) * excess);
      before = Math.max(before, Math.min(isTooMuch, nextSequence));
    }
    if (before > firstSequence) {
      this.#store.trim(this.#log, before as Sequence, Number.MAX_SAFE_INTEGER as Ordinal);
    }
  }

  #begin(kind: number, number: number): void {
    this.#writer.clear();
    this.#writer.writeByte(kind);
    writeVarint(this.#writer, number);
  }

  /** At most three bytes for each unit of UTF-16. */
  #writeText(value: string): void {
    const writer = this.#writer;
    writer.reserve(3 * value.length);
    writer.end += utf8.encodeInto(value, writer.bytes.subarray(writer.end)).written;
  }

  #append(at: Instant): void {
    const message = this.#message;
    message.bytes = this.#writer.bytes;
    message.payloadEnd = this.#writer.end;
    message.receivedAt = at;
    this.#store.append(this.#log, message);
  }
}

/** False: it is damaged. */
function visit(record: LogRecord, visitor: IdentifierVisitor): boolean {
  const { bytes, payloadStart, payloadEnd, receivedAt: at } = record;
  const reader = new VarintReader(bytes, payloadStart, payloadEnd);
  const kind = reader.readByte();
  const number = reader.readVarint();
  if (reader.isBroken) return false;
  switch (kind) {
    case KIND.queue: {
      const sequence = reader.readVarint() as Sequence;
      if (reader.isBroken) return false;
      const messageId = text.decode(bytes.subarray(reader.offset, payloadEnd));
      visitor.onKnown({ kind: "queue", number }, { messageId, sequence, commit: NO_COMMIT, at });
      return true;
    }
    case KIND.stream:
      return visitStream(reader, number as LogId, at, visitor);
    case KIND.queueDeleted:
      visitor.onDeleted({ kind: "queue", number });
      return true;
    case KIND.streamDeleted:
      visitor.onDeleted({ kind: "stream", number: number as LogId });
      return true;
    default:
      return false;
  }
}

function visitStream(
  reader: VarintReader,
  number: LogId,
  recordedAt: Instant,
  visitor: IdentifierVisitor,
): boolean {
  const owner = { kind: "stream", number } as const;
  while (reader.offset < reader.end) {
    const sequence = reader.readVarint() as Sequence;
    const at = (recordedAt - reader.readVarint()) as Instant;
    const end = reader.readVarint() + reader.offset;
    if (reader.isBroken || end > reader.end) return false;
    const messageId = text.decode(reader.bytes.subarray(reader.offset, end));
    reader.offset = end;
    visitor.onKnown(owner, { messageId, sequence, commit: NO_COMMIT, at });
  }
  return true;
}
