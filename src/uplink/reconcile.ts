import type { LogId, Sequence, Store } from "../broker/store.ts";
import type { IntervalSet } from "../lib/interval-set.ts";
import type { Progress } from "./progress.ts";

const BATCH_RECORDS_MAX = 1_024;
const BATCH_BYTES_MAX = 1_048_576;

/** What came of adopting what the remote has. */
export interface Adoption {
  /** Records that are done now and were not before. */
  readonly adopted: number;
  /** Records at the remote under our name that are not ours: sent before this store was restored, or by a clone. */
  readonly unknown: number;
}

/**
 * Marks done what the remote has. An id counts only when our record of that sequence carries the same epoch:
 * after a restore from an old image the same sequences may exist at the remote with other contents.
 */
export function adoptFound(
  store: Store,
  log: LogId,
  progress: Progress,
  found: ReadonlyMap<string, IntervalSet>,
): Adoption {
  const { nextSequence } = store.stats(log);
  let adopted = 0;
  let unknown = 0;
  for (const [epoch, sequences] of found) {
    for (const run of sequences.runs()) {
      const last = Math.min(run.to, nextSequence - 1);
      unknown += run.to - Math.max(last, run.from - 1);
      for (const open of progress.done.missing(run.from, last)) {
        const counted = adoptRange(store, log, progress, epoch, open.from, open.to);
        adopted += counted.adopted;
        unknown += counted.unknown;
      }
    }
  }
  return { adopted, unknown };
}

function adoptRange(
  store: Store,
  log: LogId,
  progress: Progress,
  epoch: string,
  from: number,
  to: number,
): Adoption {
  let adopted = 0;
  let unknown = 0;
  let at = from;
  while (at <= to) {
    const recordsMax = Math.min(BATCH_RECORDS_MAX, to - at + 1);
    const batch = store.read(log, at as Sequence, recordsMax, BATCH_BYTES_MAX);
    for (const record of batch.records) {
      if (record.sequence > to) break;
      if (record.epoch === epoch) adopted += progress.done.add(record.sequence);
      else unknown++;
    }
    if (batch.next <= at) break;
    at = batch.next;
  }
  return { adopted, unknown };
}
