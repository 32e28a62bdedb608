import { OperatingError } from "../../lib/operating-error.ts";

/** Code of the error of a store that contradicts itself. */
export const STORE_DAMAGED = "store-damaged";

/** What LMDB says of a file that it cannot read; a version that does not match is damage only when the file turns out to be ours. */
const LMDB_DAMAGE =
  /MDB_(CORRUPTED|PAGE_NOTFOUND|INVALID|PANIC|VERSION_MISMATCH|CURSOR_FULL|BAD_TXN)/;
const LMDB_DAMAGE_CODES: ReadonlySet<unknown> = new Set([
  -30797, -30796, -30795, -30794, -30793, -30787, -30782,
]);

/** True: what was thrown, or its cause, says that the store is damaged, not that the world is difficult. */
export function isDamage(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if (error instanceof OperatingError && error.code === STORE_DAMAGED) return true;
  if ("code" in error && LMDB_DAMAGE_CODES.has(error.code)) return true;
  return LMDB_DAMAGE.test(error.message) || isDamage(error.cause);
}
