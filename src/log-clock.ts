/** The log's time on this machine: which wall clock is to be believed. See `broker/log-time.ts` for what follows from that. */
import { existsSync } from "node:fs";
import { performance } from "node:perf_hooks";
import { LogTime, type ReadWall } from "./broker/log-time.ts";
import type { Store } from "./broker/store.ts";

export interface TimeSettings {
  /** `auto`: what the system says about synchronization, else whether the wall clock is plausible. */
  readonly trust: "auto" | "always" | "never";
  /** A file that is there once the wall clock is synchronized; undefined: that of systemd-timesyncd, if that runs. */
  readonly synchronizedFile?: string | undefined;
}

/** What is asked of the machine. */
export interface Machine {
  nowMs(): number;
  exists(path: string): boolean;
}

const TIMESYNC_FOLDER = "/run/systemd/timesync";
/** No machine runs this code before that. */
const WRITTEN_MS = Date.UTC(2026, 10, 1);
/** Nor so long after it. */
const PLAUSIBLE_MS = 20 * 365 * 24 * 3_600_000;
/** A clock may be set back by so much and still be believed without a word from the system. */
const SET_BACK_MS = 60_000;

const thisMachine: Machine = { nowMs: () => Date.now(), exists: existsSync };

/** Whether the system says that its clock is synchronized; undefined: it says nothing. */
function isSynchronized({ synchronizedFile }: TimeSettings, machine: Machine): boolean | undefined {
  if (synchronizedFile !== undefined) return machine.exists(synchronizedFile);
  if (!machine.exists(TIMESYNC_FOLDER)) return undefined;
  return machine.exists(`${TIMESYNC_FOLDER}/synchronized`);
}

/**
 * Reads the wall clock. `auto` never believes a time before this code was written or twenty years later; where the system
 * says nothing, a time that is clearly before the latest one believed is not believed either.
 */
export function wallReader(settings: TimeSettings, machine = thisMachine): ReadWall {
  const { trust } = settings;
  const believes = (wallMs: number, newestMs: number): boolean => {
    if (wallMs < WRITTEN_MS || wallMs > WRITTEN_MS + PLAUSIBLE_MS) return false;
    return isSynchronized(settings, machine) ?? wallMs >= newestMs - SET_BACK_MS;
  };
  return (newestMs = 0) => {
    const wallMs = machine.nowMs();
    const isTrusted = trust === "always" || (trust === "auto" && believes(wallMs, newestMs));
    return { wallMs, isTrusted };
  };
}

/** The log's time for a store that was just opened. */
export function openLogTime(store: Store, settings: TimeSettings): LogTime {
  return new LogTime(store, () => performance.now(), wallReader(settings));
}
