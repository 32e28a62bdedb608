/** Longer than that timers go off at once. */
const TIMER_MS_MAX = 2 ** 31 - 1;

/** So many milliseconds, or as many as a timer can wait: about 25 days. */
export const timerMs = (ms: number): number => Math.min(ms, TIMER_MS_MAX);
