/**
 * The buffers that chunks are written in. Three sizes, each a whole number of LMDB pages less what LMDB adds
 * (page header, node header and key), so that a full chunk wastes nothing.
 */

const PAGE_BYTES = 4_096;
/** 24 bytes of headers and the key of 12. */
const PAGE_OVERHEAD_BYTES = 36;

const SIZES = [1, 4, 16].map((pages) => pages * PAGE_BYTES - PAGE_OVERHEAD_BYTES);
/** Buffers kept for reuse of each size: 1.4 MiB in all. */
const POOLED_MAX = [16, 16, 16] as const;

/** Longest chunk that is not made for one large record. */
export const CHUNK_BYTES_MAX = 16 * PAGE_BYTES - PAGE_OVERHEAD_BYTES;

export class Arena {
  readonly #pools: Buffer[][] = SIZES.map(() => []);

  /** A buffer for at least `bytesMin`, where possible for `bytesWanted`. */
  take(bytesMin: number, bytesWanted: number): Buffer {
    const wanted = Math.max(bytesMin, Math.min(bytesWanted, CHUNK_BYTES_MAX));
    for (let i = 0; i < SIZES.length; i++) {
      const size = SIZES[i] ?? 0;
      if (wanted <= size) return this.#pools[i]?.pop() ?? Buffer.allocUnsafeSlow(size);
    }
    return Buffer.allocUnsafeSlow(bytesMin);
  }

  /** Gives a buffer back. Nobody may hold a view of it any more. */
  giveBack(buffer: Buffer): void {
    const index = SIZES.indexOf(buffer.length);
    const pool = this.#pools[index];
    if (pool !== undefined && pool.length < (POOLED_MAX[index] ?? 0)) pool.push(buffer);
  }
}

/** What a value of this length takes in LMDB, with its key: whole pages when it is large. */
export function footprint(valueBytes: number): number {
  if (valueBytes <= 2_000) return valueBytes + 20;
  return Math.ceil((valueBytes + PAGE_OVERHEAD_BYTES) / PAGE_BYTES) * PAGE_BYTES;
}
