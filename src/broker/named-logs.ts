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

/** True when nothing of its last owner would come to the next: neither what it had on disk nor what it had staged. */
function isEmpty(store: Store, log: LogId): boolean {
  return store.stats(log).firstSequence === store.nextSequence(log);
}

/** Lets go of what logs that nobody has were given last, when no session is owed it (`owedFrom`: the lowest ordinal that one is). */
export function trimFreeLogs(store: Store, owedFrom: Ordinal): void {
  for (const [log, name] of store.logNames()) {
    if (!name.startsWith(FREE)) continue;
    const { firstSequence, nextSequence } = store.stats(log);
    if (firstSequence < nextSequence) store.trim(log, nextSequence, owedFrom);
  }
}

/** Nobody has the log any more; its owner has trimmed what was flushed of it. Goes with the open group. */
export function releaseNamedLog(store: Store, log: LogId): void {
  store.renameLog(log, `${FREE}${log}`);
}
