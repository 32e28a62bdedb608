/** Something ends before what was to be read from it. */
export class UnderflowError extends Error {
  override readonly name = "UnderflowError";

  constructor() {
    super("unexpected end of bytes");
  }
}

const EMPTY = new Uint8Array(0);

/**
 * Reads `bytes[position, end)` front to back. Numbers are big endian. Every read beyond `end` throws
 * `UnderflowError` and moves nothing. The bytes stay the caller's: `reset()` lets go of them.
 */
export class ByteReader {
  bytes: Uint8Array = EMPTY;
  position = 0;
  end = 0;

  /** Reads `bytes[position, end)` from now on; without arguments: nothing. */
  reset(bytes: Uint8Array = EMPTY, position = 0, end = bytes.length): void {
    this.bytes = bytes;
    this.position = position;
    this.end = end;
  }

  /** How many bytes are left. */
  get remaining(): number {
    return this.end - this.position;
  }

  /** Steps over `count` bytes and returns the index in `bytes` where they start. */
  skip(count: number): number {
    const start = this.position;
    if (count > this.end - start) throw new UnderflowError();
    this.position = start + count;
    return start;
  }

  readByte(): number {
    return this.bytes[this.skip(1)] ?? 0;
  }

  /** Two bytes. */
  readUint16(): number {
    const at = this.skip(2);
    return ((this.bytes[at] ?? 0) << 8) | (this.bytes[at + 1] ?? 0);
  }

  /** Four bytes. */
  readUint32(): number {
    const at = this.skip(4);
    const { bytes } = this;
    const low = ((bytes[at + 1] ?? 0) << 16) | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0);
    return (bytes[at] ?? 0) * 0x100_0000 + low;
  }

  /** A copy of the next `count` bytes that shares no memory with the source. */
  readBytes(count: number): Uint8Array {
    const start = this.skip(count);
    const copy = new Uint8Array(count);
    copy.set(this.bytes.subarray(start, start + count));
    return copy;
  }
}
