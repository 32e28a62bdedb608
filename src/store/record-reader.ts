import { unzigzag } from "./numbers.ts";

const utf8 = new TextDecoder();

/**
 * Reads what was stored without trusting it: whatever would leave the bounds sets `isDamaged` and gives 0 or
 * nothing. Reused from record to record.
 */
export class RecordReader {
  bytes: Uint8Array = new Uint8Array(0);
  position = 0;
  end = 0;
  isDamaged = false;

  /** Starts on `bytes[start, end)`. */
  reset(bytes: Uint8Array, start: number, end: number): void {
    this.bytes = bytes;
    this.position = start;
    this.end = end;
    this.isDamaged = start > end || end > bytes.length;
  }

  readByte(): number {
    if (this.isDamaged || this.position >= this.end) {
      this.isDamaged = true;
      return 0;
    }
    return this.bytes[this.position++] ?? 0;
  }

  readVarint(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 8; i++) {
      const byte = this.readByte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (value > Number.MAX_SAFE_INTEGER) break;
        return value;
      }
      scale *= 128;
    }
    this.isDamaged = true;
    return 0;
  }

  readSigned(): number {
    return unzigzag(this.readVarint());
  }

  /** A length that fits into what is left; 0 and damaged when it does not. */
  readLength(): number {
    const length = this.readVarint();
    if (length > this.end - this.position) {
      this.isDamaged = true;
      return 0;
    }
    return length;
  }

  /** A view of the bytes after their length. */
  readBytes(): Uint8Array {
    const length = this.readLength();
    const start = this.position;
    this.position += length;
    return this.bytes.subarray(start, this.position);
  }

  readText(): string {
    const length = this.readLength();
    const start = this.position;
    this.position += length;
    return this.decode(start, this.position);
  }

  /** The text in `bytes[start, end)`. */
  decode(start: number, end: number): string {
    return start === end ? "" : utf8.decode(this.bytes.subarray(start, end));
  }
}
