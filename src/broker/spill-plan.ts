/** When it pays to copy what sessions are owed, so that logs can let go of what only they hold. */
import type { Ordinal } from "./store.ts";

/** What one session keeps logs from letting go of. */
export interface SessionPin {
  /** The oldest message that it needs a log for. */
  readonly oldest: Ordinal;
  /** What all the messages take that it needs logs for, in bytes. */
  readonly bytes: number;
}

/** Copying has to free so many times what it writes: else it would cost more than it gives. */
const GAIN_MIN = 2;
/** And at least this share of the limit. */
const FREED_SHARE_MIN = 1 / 8;
/** It goes on until only this share of the limit is held. */
const HELD_SHARE = 1 / 2;

/**
 * The ordinal below which every session's messages are to be copied; undefined: none are. `pins` in the order of `oldest`;
 * `pinnedBytes` is what logs hold for sessions alone, `nextOrdinal` the end of all logs. The copy is made per session, so
 * what many need is better left in its log: the sessions that are furthest behind are taken as long as what they are owed is
 * small beside what they hold. Sizes between two ordinals are estimated by their share of all ordinals.
 */
export function planSpill(
  pins: readonly SessionPin[],
  pinnedBytes: number,
  nextOrdinal: Ordinal,
  pinBytesMax: number,
): Ordinal | undefined {
  const first = pins[0]?.oldest;
  if (first === undefined || pinnedBytes <= pinBytesMax) return undefined;
  const bytesPerOrdinal = pinnedBytes / Math.max(1, nextOrdinal - first);
  let before: Ordinal | undefined;
  let needed = 0;
  for (const [index, { bytes }] of pins.entries()) {
    needed += bytes;
    const next = pins[index + 1]?.oldest ?? nextOrdinal;
    const freed = (next - first) * bytesPerOrdinal;
    if (freed < pinBytesMax * FREED_SHARE_MIN || needed * GAIN_MIN > freed) continue;
    before = next;
    if (pinnedBytes - freed <= pinBytesMax * HELD_SHARE) break;
  }
  return before;
}
