/**
 * A growing buffer that is written front to back. Owners that write hot paths call `reserve` once and then
 * store into `bytes` at `end` themselves, moving `end`.
 */

const SIZES = [2_048, 16_384, 65_536] as const;
/** Buffers kept for reuse, per size. */
const POOLED_MAX = [256, 64, 32] as const;

/** Memory that is not cleared before; in a browser, which has no such, it is. */
const memory = (size: number): Uint8Array =>
  typeof Buffer === "function" ? Buffer.allocUnsafeSlow(size) : new Uint8Array(size);

const pools: Uint8Array[][] = [[], [], []];

function allocate(size: number): Uint8Array {
  for (let i = 0; i < SIZES.length; i++) {
    const pooledSize = SIZES[i] ?? 0;
    if (size <= pooledSize) return pools[i]?.pop() ?? memory(pooledSize);
  }
  let rounded = 131_072;
  while (rounded < size) rounded *= 2;
  return memory(rounded);
}

/** Gives a buffer back for reuse. Nobody may hold a view of it any more. */
export function recycle(bytes: Uint8Array): void {
  for (let i = 0; i < SIZES.length; i++) {
    const pool = pools[i];
    if (bytes.length === SIZES[i] && pool !== undefined && pool.length < (POOLED_MAX[i] ?? 0)) {
      pool.push(bytes);
      return;
    }
  }
}

const EMPTY = new Uint8Array(0);

/** Parts of sources of this size at most are remembered: one of them is kept alive by it. */
const VIEWED_BYTES_MAX = 65_536;
/** The part copied last: a message goes to many subscribers, and reads of equal messages have them in the same place. */
let viewed: Uint8Array = EMPTY;
let viewedFrom = 0;
let viewedTo = 0;
let view: Uint8Array = EMPTY;

/** `source[start, stop)`. Hot path: per message and subscriber. */
function viewOf(source: Uint8Array, start: number, stop: number): Uint8Array {
  if (source === viewed && start === viewedFrom && stop === viewedTo) return view;
  const made = source.subarray(start, stop);
  if (source.length > VIEWED_BYTES_MAX) return made;
  viewed = source;
  viewedFrom = start;
  viewedTo = stop;
  view = made;
  return made;
}

export class ByteWriter {
  /** What was written is `bytes[0, end)`. */
  bytes: Uint8Array = EMPTY;
  end = 0;

  /** Makes room for `count` more bytes. */
  reserve(count: number): void {
    const needed = this.end + count;
    if (needed <= this.bytes.length) return;
    const grown = allocate(Math.max(needed, Math.min(this.bytes.length * 2, 1_048_576)));
    grown.set(this.bytes.subarray(0, this.end));
    recycle(this.bytes);
    this.bytes = grown;
  }

  writeByte(value: number): void {
    this.reserve(1);
    this.bytes[this.end++] = value;
  }

  /** Two bytes, big endian. */
  writeUint16(value: number): void {
    this.reserve(2);
    this.bytes[this.end++] = value >>> 8;
    this.bytes[this.end++] = value;
  }

  /** Four bytes, big endian. */
  writeUint32(value: number): void {
    this.reserve(4);
    const { bytes } = this;
    let end = this.end;
    bytes[end++] = value >>> 24;
    bytes[end++] = value >>> 16;
    bytes[end++] = value >>> 8;
    bytes[end++] = value;
    this.end = end;
  }

  /**
   * `source[start, stop)`. A call into the engine costs as much as a dozen bytes copied by hand, and one that needs
   * a view first as much as some forty; a whole source needs no view.
   */
  writeBytes(source: Uint8Array, start = 0, stop = source.length): void {
    const count = stop - start;
    this.reserve(count);
    const { bytes, end } = this;
    const isWhole = count === source.length;
    if (count < (isWhole ? 12 : 48)) {
      for (let i = 0; i < count; i++) bytes[end + i] = source[start + i] ?? 0;
    } else {
      bytes.set(isWhole ? source : viewOf(source, start, stop), end);
    }
    this.end = end + count;
  }

  /** Hands the buffer over to the caller, who may `recycle` it, and starts empty. */
  detach(): Uint8Array {
    const { bytes } = this;
    this.bytes = EMPTY;
    this.end = 0;
    return bytes;
  }

  /** Forgets what was written and keeps the buffer. */
  clear(): void {
    this.end = 0;
  }
}
