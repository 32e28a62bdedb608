/**
 * Opens what a power cut left, in a process of its own, because a damaged tree can end it. Asked by message
 * `{ path, line }`, answers `undefined` for "all there" or what is wrong.
 */
import { openLmdbStore } from "../../../src/store/lmdb-store.ts";
import {
  appendNumbers,
  checkNumbers,
  openNumberedLogs,
  trimNumbers,
} from "../../integration/store-numbers.ts";

export interface Question {
  readonly path: string;
  /** The last line acknowledged: "END FIRST". */
  readonly line: string;
}

export interface Answer {
  /** What is wrong; null: nothing. */
  readonly fault: string | null;
}

const COMMITS_AFTER = 8;

async function verify({ path, line }: Question): Promise<string | null> {
  const [acknowledged = 0, kept = 0] = line.split(" ").map(Number);
  const store = openLmdbStore({ path, diskReserveBytes: 0 });
  try {
    const { first, end } = checkNumbers(store);
    if (end < acknowledged) return `${acknowledged} acknowledged, ${end} found`;
    if (first > kept) return `kept from ${kept}, found from ${first}`;
    const logs = openNumberedLogs(store);
    let next = end;
    for (let commit = 0; commit < COMMITS_AFTER; commit++) {
      appendNumbers(store, logs, next, next + 25);
      next += 25;
      trimNumbers(store, logs, next - 300);
      await store.drain();
    }
    checkNumbers(store);
  } finally {
    await store.close();
  }
  const again = openLmdbStore({ path, diskReserveBytes: 0 });
  const { end } = checkNumbers(again);
  await again.close();
  return end < acknowledged + COMMITS_AFTER * 25 ? `went on to ${end} only` : null;
}

process.on("message", (question: Question) => {
  verify(question).then(
    (fault) => process.send?.({ fault }),
    (error: unknown) => process.send?.({ fault: String(error).slice(0, 300) }),
  );
});
process.on("disconnect", () => process.exit(0));
