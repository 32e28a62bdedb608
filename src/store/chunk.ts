/** Decoding a chunk that was read: nothing in it is trusted, see records.ts for the layout. */
import type { Message, QoS } from "../broker/message.ts";
import type { LogId, LogRecord, Ordinal, Sequence } from "../broker/store.ts";
import type { Topic, TopicTable } from "../broker/topic.ts";
import type { Instant } from "../lib/clock.ts";
import { readUint32 } from "./numbers.ts";
import { decodeProperties } from "./property-codec.ts";
import { RecordReader } from "./record-reader.ts";
import {
  CHUNK_HEADER_BYTES,
  type ChunkHeader,
  decodeChunkHeader,
  FLAG_EXPIRY,
  FLAG_PROPERTIES,
  FLAG_QOS,
  FLAG_RETAIN,
  RECORD_BYTES_MIN,
  RECORD_PREFIX_BYTES,
  RECORD_VERSION,
  recordChecksum,
  viewOf,
} from "./records.ts";
import { StoredRecord } from "./stored-record.ts";

/** A chunk in memory with the places of its records. It owns its bytes. */
export class Chunk {
  /** Sequence in the key; that of the header too, or the header counts as damaged. */
  readonly first: number;
  /** One past the last sequence. */
  readonly end: number;
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  /** Undefined: damaged, and with it all of the chunk. */
  readonly header: ChunkHeader | undefined;
  /** Where the n-th record starts; the last one is where the records end. Fewer than the count when lengths are damaged. */
  readonly #starts: Uint32Array;
  /** Records with a believable length. */
  readonly #located: number;

  /** `endIfDamaged`: one past the last sequence when the header cannot tell, from the next chunk's key. */
  constructor(log: LogId, first: number, bytes: Uint8Array, endIfDamaged: number) {
    this.first = first;
    this.bytes = bytes;
    this.#view = viewOf(bytes);
    const header = decodeChunkHeader(bytes);
    this.header = header?.log === log && header.firstSequence === first ? header : undefined;
    const count = this.header?.count ?? 0;
    this.end = this.header === undefined ? endIfDamaged : first + count;
    const countMax = Math.floor(bytes.length / RECORD_BYTES_MIN);
    this.#starts = new Uint32Array(Math.min(count, countMax) + 1);
    this.#located = this.#locate(Math.min(count, countMax));
  }

  #locate(count: number): number {
    const { bytes } = this;
    const end = Math.min(bytes.length, CHUNK_HEADER_BYTES + (this.header?.recordBytes ?? 0));
    let start = CHUNK_HEADER_BYTES;
    for (let index = 0; index < count; index++) {
      this.#starts[index] = start;
      if (start + RECORD_BYTES_MIN > end) return index;
      start += RECORD_PREFIX_BYTES + readUint32(bytes, start);
      if (start > end) return index;
    }
    this.#starts[count] = start;
    return count;
  }

  /** True: only the numbers of records that a salvage did not find, see salvage/salvage.ts. */
  get isHole(): boolean {
    return this.header !== undefined && this.bytes.length === CHUNK_HEADER_BYTES;
  }

  /** Start of the record with this sequence; undefined when the place is lost. */
  startOf(sequence: number): number | undefined {
    const index = sequence - this.first;
    return index < this.#located ? this.#starts[index] : undefined;
  }

  /** Bytes of the record with this sequence, 0 when its place is lost. */
  sizeOf(sequence: number): number {
    const index = sequence - this.first;
    return index < this.#located ? (this.#starts[index + 1] ?? 0) - (this.#starts[index] ?? 0) : 0;
  }

  /** The record with this sequence is where it should be, and its checksum is right. */
  isIntact(sequence: number): boolean {
    // Hot path: per record read.
    const start = this.startOf(sequence);
    const size = this.sizeOf(sequence);
    if (start === undefined || size < RECORD_BYTES_MIN) return false;
    const checksum = recordChecksum(this.#view, start, start + size, sequence - this.first);
    return readUint32(this.bytes, start + 4) === checksum;
  }
}

/** Decodes records; remembers the last topic and publisher, which tend to repeat. */
export class RecordDecoder {
  readonly #topics: TopicTable;
  readonly #reader = new RecordReader();
  #topic: Topic | undefined;
  #publisherBytes: Uint8Array = new Uint8Array(0);
  #publisherId = "";

  constructor(topics: TopicTable) {
    this.#topics = topics;
  }

  /** The record of `chunk` with this sequence, which the chunk covers; undefined when it is damaged. */
  decode(log: LogId, chunk: Chunk, sequence: number): LogRecord | undefined {
    // Hot path: per record read; allocates the record.
    const { header, bytes } = chunk;
    const start = chunk.startOf(sequence);
    if (header === undefined || start === undefined || !chunk.isIntact(sequence)) return undefined;
    const end = start + chunk.sizeOf(sequence);
    const reader = this.#reader;
    reader.reset(bytes, start + RECORD_PREFIX_BYTES, end);
    if (reader.readByte() !== RECORD_VERSION) return undefined;
    const flags = reader.readByte();
    const ordinal = header.firstOrdinal + reader.readVarint();
    const receivedAt = header.baseTime + reader.readSigned();
    const publisherId = this.#readPublisherId();
    const topic = this.#readTopic();
    const expiresAt = flags & FLAG_EXPIRY ? receivedAt + reader.readSigned() : undefined;
    const properties = flags & FLAG_PROPERTIES ? decodeProperties(reader) : undefined;
    const qos = flags & FLAG_QOS;
    if (reader.isDamaged || qos > 2 || topic === undefined) return undefined;
    const message: Message = {
      topic,
      qos: qos as QoS,
      retain: (flags & FLAG_RETAIN) !== 0,
      bytes,
      payloadStart: reader.position,
      payloadEnd: end,
      properties,
      publisherId,
      receivedAt: receivedAt as Instant,
      expiresAt: expiresAt as Instant | undefined,
    };
    const record = new StoredRecord(message, bytes, reader.position, end, log, header.epoch);
    record.sequence = sequence as Sequence;
    record.ordinal = ordinal as Ordinal;
    return record;
  }

  #readPublisherId(): string {
    const reader = this.#reader;
    const length = reader.readLength();
    const start = reader.position;
    reader.position += length;
    if (!isSame(this.#publisherBytes, reader.bytes, start, length)) {
      this.#publisherBytes = new Uint8Array(reader.bytes.subarray(start, reader.position));
      this.#publisherId = reader.decode(start, reader.position);
    }
    return this.#publisherId;
  }

  #readTopic(): Topic | undefined {
    const reader = this.#reader;
    const length = reader.readLength();
    const start = reader.position;
    reader.position += length;
    if (reader.isDamaged) return undefined;
    if (this.#topic === undefined || !isSame(this.#topic.bytes, reader.bytes, start, length)) {
      this.#topic = this.#topics.of(reader.decode(start, reader.position));
    }
    return this.#topic;
  }
}

function isSame(known: Uint8Array, bytes: Uint8Array, start: number, length: number): boolean {
  if (known.length !== length) return false;
  for (let i = 0; i < length; i++) if (known[i] !== bytes[start + i]) return false;
  return true;
}
