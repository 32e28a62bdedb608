/** Types of texts and bytes, and in how many bytes they say how long they are. */
const SIZE_BYTES: Readonly<Record<number, number>> = {
  196: 1, // bin 8
  197: 2,
  198: 4,
  217: 1, // str 8
  218: 2,
  219: 4,
};

/**
 * Steps through MessagePack without making values of it: a load generator that decoded all it gets would be its own limit. Trusts what
 * it reads: it comes from the server under measurement.
 */
export class MessagePackScan {
  bytes: Buffer = Buffer.alloc(0);
  at = 0;

  /** How many elements the list here has; 1, and nothing read, when there is none. */
  listSize(): number {
    const type = this.bytes[this.at] ?? 0;
    if (type >= 0x90 && type <= 0x9f) return this.#small(0x0f);
    if (type === 0xdc) return this.#number(2);
    return type === 0xdd ? this.#number(4) : 1;
  }

  /** How many pairs the map here has. */
  mapSize(): number {
    const type = this.bytes[this.at] ?? 0;
    if (type >= 0x80 && type <= 0x8f) return this.#small(0x0f);
    if (type === 0xde) return this.#number(2);
    if (type === 0xdf) return this.#number(4);
    throw new Error(`no map but 0x${type.toString(16)}`);
  }

  /** A short text as one number: its length and first letters, enough to tell the fields of frames apart. */
  word(): number {
    const { bytes } = this;
    const type = bytes[this.at] ?? 0;
    if (type < 0xa0 || type > 0xbf) {
      this.skip();
      return 0;
    }
    const start = this.at + 1;
    const length = type & 0x1f;
    this.at = start + length;
    return wordOf(bytes, start, length);
  }

  number(): number {
    const { bytes } = this;
    const type = bytes[this.at] ?? 0;
    if (type < 0x80) return this.#small(0x7f);
    if (type === 0xcb) {
      this.at += 9;
      return bytes.readDoubleBE(this.at - 8);
    }
    if (type === 0xca) {
      this.at += 5;
      return bytes.readFloatBE(this.at - 4);
    }
    if (type === 0xcf) {
      this.at += 9;
      return Number(bytes.readBigUInt64BE(this.at - 8));
    }
    return this.#number(1 << (type - 0xcc));
  }

  skip(): void {
    const type = this.bytes[this.at] ?? 0;
    if (type < 0x80 || type >= 0xe0) this.at++;
    else if (type >= 0xa0 && type <= 0xbf) this.at += 1 + (type & 0x1f);
    else if (type < 0x90 || type === 0xde || type === 0xdf) this.#skipMany(this.mapSize() * 2);
    else if (type < 0xa0 || type === 0xdc || type === 0xdd) this.#skipMany(this.listSize());
    else this.#skipLong(type);
  }

  #skipMany(count: number): void {
    for (let i = 0; i < count; i++) this.skip();
  }

  #skipLong(type: number): void {
    const sizeBytes = SIZE_BYTES[type];
    if (sizeBytes !== undefined) {
      const size = this.#number(sizeBytes);
      this.at += size;
    } else if (type <= 0xc3) this.at++;
    else if (type === 0xca) this.at += 5;
    else if (type === 0xcb) this.at += 9;
    else this.at += 1 + (1 << ((type - 0xcc) & 3));
  }

  #small(mask: number): number {
    return (this.bytes[this.at++] ?? 0) & mask;
  }

  /** The number of so many bytes behind the type. */
  #number(size: number): number {
    this.at += 1 + size;
    return this.bytes.readUIntBE(this.at - size, size);
  }
}

function wordOf(bytes: Uint8Array, start: number, length: number): number {
  let word = length;
  for (let i = 0; i < 3 && i < length; i++) word = word * 256 + (bytes[start + i] ?? 0);
  return word;
}

/** What `word` gives for this text. */
export const wordFor = (text: string): number => wordOf(Buffer.from(text), 0, text.length);
