/**
 * What a log is made of. A chunk is one value in the table `log`, a run of records of one log and one commit:
 *
 *      0  u32  magic "RILL"
 *      4  u8   version of the chunk (2), three bytes 0
 *      8  u32  XXH32 of bytes 12..76, seeded with bytes 4..8
 *     12  u32  log id
 *     16  u64  epoch of the store's opening that wrote it
 *     24  u64  sequence of the first record; the others follow without gap
 *     32  u64  ordinal of the first record
 *     40  u64  base time: receive time of the first record, ms
 *     48  u64  live bytes of this log before this chunk, ever (so that sizes are differences)
 *     56  u32  number of records
 *     60  u32  bytes of all records
 *     64  u32  ordinal of the last record less that of the first
 *     68  u64  latest receive time of its records, ms
 *     76       records
 *
 * A record:
 *
 *      0  u32     length of all that follows this field and the next
 *      4  u32     XXH32 of that, seeded with the length and the record's place in the chunk
 *      8  u8      version of the record (1)
 *      9  u8      flags: 3 qos, 4 retain, 8 properties, 16 expiry
 *     10  varint  ordinal less that of the chunk's first record
 *         varint  receive time less base time, zigzag, ms
 *         bytes   publisher id  (varint length, UTF-8)
 *         bytes   topic         (varint length, UTF-8)
 *         varint  expiry less receive time, zigzag, ms   (if flagged)
 *         ...     properties, see property-codec.ts      (if flagged)
 *         ...     payload, to the end
 *
 * Around topic, publisher id and payload that is 14 to 18 bytes. Times are kept in whole milliseconds.
 */
import type { Message } from "../broker/message.ts";
import {
  readUint32,
  readUint64,
  VARINT_BYTES_MAX,
  writeUint32,
  writeUint64,
  writeVarint,
  zigzag,
} from "./numbers.ts";
import { encodeProperties, propertyBytesMax } from "./property-codec.ts";
import { xxh32 } from "./xxh32.ts";

export const CHUNK_HEADER_BYTES = 76;
/** Length and checksum before the part that they cover. */
export const RECORD_PREFIX_BYTES = 8;
/** No record is shorter: prefix, version, flags and four varints. */
export const RECORD_BYTES_MIN = RECORD_PREFIX_BYTES + 6;

export const RECORD_VERSION = 1;
export const FLAG_QOS = 3;
export const FLAG_RETAIN = 4;
export const FLAG_PROPERTIES = 8;
export const FLAG_EXPIRY = 16;

const MAGIC = 0x52_49_4c_4c;
const CHUNK_VERSION = 2;

export interface ChunkHeader {
  readonly log: number;
  /** 16 hexadecimal digits. */
  readonly epoch: string;
  readonly firstSequence: number;
  readonly firstOrdinal: number;
  readonly lastOrdinal: number;
  /** Milliseconds, as an Instant. */
  readonly baseTime: number;
  readonly latestTime: number;
  readonly bytesBefore: number;
  readonly count: number;
  readonly recordBytes: number;
}

/** A view of all the bytes, as the checksums want it. It pins them. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

function headerChecksum(bytes: Uint8Array): number {
  return xxh32(viewOf(bytes), 12, CHUNK_HEADER_BYTES, readUint32(bytes, 4));
}

/** Writes a header over the first `CHUNK_HEADER_BYTES` of a chunk. */
export function encodeChunkHeader(bytes: Buffer, header: ChunkHeader): void {
  writeUint32(bytes, 0, MAGIC);
  writeUint32(bytes, 4, CHUNK_VERSION << 24);
  writeUint32(bytes, 12, header.log);
  bytes.write(header.epoch, 16, 8, "hex");
  writeUint64(bytes, 24, header.firstSequence);
  writeUint64(bytes, 32, header.firstOrdinal);
  writeUint64(bytes, 40, header.baseTime);
  writeUint64(bytes, 48, header.bytesBefore);
  writeUint32(bytes, 56, header.count);
  writeUint32(bytes, 60, header.recordBytes);
  writeUint32(bytes, 64, header.lastOrdinal - header.firstOrdinal);
  writeUint64(bytes, 68, header.latestTime);
  writeUint32(bytes, 8, headerChecksum(bytes));
}

/** The header of a chunk; undefined when it is damaged or of another version. */
export function decodeChunkHeader(bytes: Uint8Array): ChunkHeader | undefined {
  if (bytes.length < CHUNK_HEADER_BYTES) return undefined;
  if (readUint32(bytes, 0) !== MAGIC || bytes[4] !== CHUNK_VERSION) return undefined;
  if (readUint32(bytes, 8) !== headerChecksum(bytes)) return undefined;
  const firstOrdinal = readUint64(bytes, 32);
  const header: ChunkHeader = {
    log: readUint32(bytes, 12),
    epoch: Buffer.from(bytes.buffer, bytes.byteOffset + 16, 8).toString("hex"),
    firstSequence: readUint64(bytes, 24),
    firstOrdinal,
    lastOrdinal: firstOrdinal + readUint32(bytes, 64),
    baseTime: readUint64(bytes, 40),
    latestTime: readUint64(bytes, 68),
    bytesBefore: readUint64(bytes, 48),
    count: readUint32(bytes, 56),
    recordBytes: readUint32(bytes, 60),
  };
  const countMax = Math.floor(header.recordBytes / RECORD_BYTES_MIN);
  return header.count >= 1 && header.count <= countMax ? header : undefined;
}

/** Upper bound of what `encodeRecord` writes for this message. */
export function recordBytesMax(message: Message): number {
  // Hot path: per message.
  return (
    RECORD_PREFIX_BYTES +
    2 +
    4 * VARINT_BYTES_MAX +
    3 +
    message.publisherId.length * 3 +
    message.topic.bytes.length +
    (message.properties === undefined ? 0 : propertyBytesMax(message.properties)) +
    (message.payloadEnd - message.payloadStart)
  );
}

/** Runs that are shorter are copied by hand: a view and a call into the engine cost more than they do. */
const COPIED_BYTES_MAX = 48;

function copy(
  target: Uint8Array,
  at: number,
  source: Uint8Array,
  start: number,
  end: number,
): number {
  const count = end - start;
  if (count < COPIED_BYTES_MAX) {
    for (let i = 0; i < count; i++) target[at + i] = source[start + i] ?? 0;
  } else if (count === source.length) {
    target.set(source, at);
  } else {
    // Not `subarray`: that of a Buffer goes through three functions more.
    target.set(new Uint8Array(source.buffer, source.byteOffset + start, count), at);
  }
  return at + count;
}

/** Writes a text with its length; nearly always it is short ASCII. */
function writeText(target: Buffer, at: number, text: string): number {
  const { length } = text;
  if (length < 64) {
    target[at] = length;
    let i = 0;
    for (; i < length; i++) {
      const code = text.charCodeAt(i);
      if (code >= 0x80) break;
      target[at + 1 + i] = code;
    }
    if (i === length) return at + 1 + length;
  }
  const start = writeVarint(target, at, Buffer.byteLength(text));
  return start + target.write(text, start, "utf8");
}

/**
 * Writes a record at `at`, where `recordBytesMax` bytes are free, and returns where it ends; the payload is the
 * record's last bytes. `view` is one of all of `target`, `index` its place in the chunk; `ordinalDelta` and `baseTime` relate it to the chunk.
 */
export function encodeRecord(
  target: Buffer,
  view: DataView,
  at: number,
  message: Message,
  index: number,
  ordinalDelta: number,
  baseTime: number,
): number {
  // Hot path: per message; allocates at most views of long runs.
  const receivedAt = Math.floor(message.receivedAt);
  const { properties, expiresAt } = message;
  target[at + 8] = RECORD_VERSION;
  target[at + 9] =
    message.qos |
    (message.retain ? FLAG_RETAIN : 0) |
    (properties === undefined ? 0 : FLAG_PROPERTIES) |
    (expiresAt === undefined ? 0 : FLAG_EXPIRY);
  let end = writeVarint(target, at + 10, ordinalDelta);
  end = writeVarint(target, end, zigzag(receivedAt - baseTime));
  end = writeText(target, end, message.publisherId);
  const topic = message.topic.bytes;
  end = writeVarint(target, end, topic.length);
  end = copy(target, end, topic, 0, topic.length);
  if (expiresAt !== undefined) {
    end = writeVarint(target, end, zigzag(Math.floor(expiresAt) - receivedAt));
  }
  if (properties !== undefined) end = encodeProperties(target, end, properties);
  end = copy(target, end, message.bytes, message.payloadStart, message.payloadEnd);
  writeUint32(target, at, end - at - RECORD_PREFIX_BYTES);
  writeUint32(target, at + 4, recordChecksum(view, at, end, index));
  return end;
}

/** Checksum of the record at `[start, end)` of a view, the `index`-th of its chunk. */
export function recordChecksum(view: DataView, start: number, end: number, index: number): number {
  const seed = (index ^ Math.imul(end - start, 0x9e3779b1)) >>> 0;
  return xxh32(view, start + RECORD_PREFIX_BYTES, end, seed);
}
