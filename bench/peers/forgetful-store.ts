/** Stands in for `src/store/lmdb-store.ts` in the peer `rillmq-memory`: the same store over tables in memory. */
import { LogStore } from "../../src/store/log-store.ts";
import { MemoryDisk, openMemoryBacking } from "../../src/store/memory-store.ts";

const disk = new MemoryDisk();
const PENDING_BYTES_MAX = 8 * 1_048_576;

/** The tables; whatever the path. */
export const openLmdbBacking = (): ReturnType<typeof openMemoryBacking> => openMemoryBacking(disk);

/** The store; what `openLmdbStore` of the broker takes. */
export function openLmdbStore(options: {
  readonly bytesMax?: number;
  readonly pendingBytesMax?: number;
  readonly lingerMs?: number;
}): LogStore {
  return new LogStore(openLmdbBacking(), {
    bytesMax: options.bytesMax ?? Number.MAX_SAFE_INTEGER,
    pendingBytesMax: options.pendingBytesMax ?? PENDING_BYTES_MAX,
    diskReserveBytes: 0,
    lingerMs: options.lingerMs ?? 0,
    epoch: "bench00000000000".replaceAll(/[^0-9a-f]/g, "0"),
    schedule: (seal) => {
      setImmediate(seal);
    },
  });
}
