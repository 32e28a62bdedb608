/** Logs of what is made and deleted while the broker runs: one that nobody has any more is used again, because their number is bounded. */
import type { LogId, Store } from "./store.ts";

/** In front of the names of logs that nobody has. Names of streams have no slash. */
const FREE = "free/";

/** The log of this name: the one there is, else one that is free, else a new one. */
export function openNamedLog(store: Store, name: string): LogId {
  let free: LogId | undefined;
  for (const [log, known] of store.logNames()) {
    if (known === name) return log;
    if (known.startsWith(FREE)) free = log;
  }
  if (free === undefined) return store.openLog(name);
  store.renameLog(free, name);
  return free;
}

/** Nobody has the log any more; what is in it was trimmed. Goes with the open group. */
export function releaseNamedLog(store: Store, log: LogId): void {
  store.renameLog(log, `${FREE}${log}`);
}
