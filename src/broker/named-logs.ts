/** Logs of what is made and deleted while the broker runs: one that nobody has any more is used again, because their number is bounded. */
import type { LogId, Ordinal, Store } from "./store.ts";

/** In front of the names of logs that nobody has. Names of streams have no slash. */
const FREE = "free/";

/** The log of this name: the one there is, else one that is free, else a new one. */
export function openNamedLog(store: Store, name: string): LogId {
  let free: LogId | undefined;
  for (const [log, known] of store.logNames()) {
    if (known === name) return log;
    if (known.startsWith(FREE) && isEmpty(store, log)) free = log;
  }
  if (free === undefined) return store.openLog(name);
  store.renameLog(free, name);
  return free;
}

/**
 * True when nothing of its last owner would come to the next: neither what it had on disk, as long as its trim is not flushed, nor what
 * it had staged. That is trimmed now, to be used another time.
 */
function isEmpty(store: Store, log: LogId): boolean {
  const { firstSequence, nextSequence } = store.stats(log);
  if (firstSequence < nextSequence)
    store.trim(log, nextSequence, Number.MAX_SAFE_INTEGER as Ordinal);
  return firstSequence === store.nextSequence(log);
}

/** Nobody has the log any more; its owner has trimmed what was flushed of it. Goes with the open group. */
export function releaseNamedLog(store: Store, log: LogId): void {
  store.renameLog(log, `${FREE}${log}`);
}
