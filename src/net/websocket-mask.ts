/** Undoes the masking of what clients send [RFC 6455 section 5.3]. */

/** From this length on words pay. */
const WORDS_FROM_BYTES = 24;

const isLittleEndian = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1;

/** The memory seen last as words: nearly always that of the buffer that all sockets read into. */
let memory: ArrayBufferLike = new ArrayBuffer(0);
let words: Int32Array = new Int32Array(memory);

/** The key, turned so that it begins with its byte `phase`. */
const turned = (mask: number, phase: number): number =>
  (mask << (8 * phase)) | (phase === 0 ? 0 : mask >>> (32 - 8 * phase));

const swapped = (word: number): number =>
  ((word & 0xff) << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24);

function unmaskBytes(bytes: Uint8Array, start: number, end: number, mask: number): void {
  let key = mask;
  for (let i = start; i < end; i++) {
    bytes[i] = (bytes[i] ?? 0) ^ (key >>> 24);
    key = (key << 8) | (key >>> 24);
  }
}

/**
 * Unmasks `bytes[start, end)` in place.
 * @param mask the masking key as a word whose first byte is the uppermost
 * @param phase which byte of the key (0 to 3) the first byte was masked with
 *
 * Hot path: per frame; allocates only where the memory is another one than last time.
 */
export function unmask(
  bytes: Uint8Array,
  start: number,
  end: number,
  mask: number,
  phase: number,
): void {
  const key = turned(mask, phase);
  if (key === 0) return;
  if (end - start < WORDS_FROM_BYTES) {
    unmaskBytes(bytes, start, end, key);
    return;
  }
  const { buffer, byteOffset } = bytes;
  if (buffer !== memory) {
    memory = buffer;
    words = new Int32Array(buffer, 0, buffer.byteLength >>> 2);
  }
  // Single bytes up to a whole word, words, single bytes.
  const lead = (4 - ((byteOffset + start) & 3)) & 3;
  const first = (byteOffset + start + lead) >>> 2;
  const last = (byteOffset + end) >>> 2;
  const ahead = turned(key, lead);
  const wordKey = isLittleEndian ? swapped(ahead) : ahead;
  unmaskBytes(bytes, start, start + lead, key);
  const all = words;
  for (let i = first; i < last; i++) all[i] = (all[i] ?? 0) ^ wordKey;
  unmaskBytes(bytes, (last << 2) - byteOffset, end, ahead);
}
