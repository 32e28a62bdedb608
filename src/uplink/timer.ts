import { performance } from "node:perf_hooks";

/** Time for deadlines: monotonic, unrelated to the wall clock, so that a clock jump cannot fire them. */
export interface Timer {
  /** Milliseconds since some fixed point; never goes back. */
  nowMs(): number;
  /** Calls back once after `delayMs`, on a turn of its own; the result cancels it. */
  schedule(delayMs: number, callback: () => void): () => void;
}

/** Longest delay that setTimeout takes: 2^31 - 1 ms. */
const DELAY_MS_MAX = 2_147_483_647;

/** The machine's own timer. Its callbacks do not keep the process alive. */
export const systemTimer: Timer = {
  nowMs: () => performance.now(),
  schedule(delayMs, callback) {
    if (delayMs <= 0) {
      const immediate = setImmediate(callback);
      return () => clearImmediate(immediate);
    }
    const timeout = setTimeout(callback, Math.min(delayMs, DELAY_MS_MAX));
    timeout.unref();
    return () => clearTimeout(timeout);
  },
};
