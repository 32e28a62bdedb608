import type { Store } from "../broker/store.ts";
import { progressKey } from "./progress.ts";

/** Beside the progress of the uplink's lanes; names of streams cannot hold `$`. */
const pauseKey = (uplink: string): Uint8Array => progressKey(uplink, "$paused");

/** Whether an operator paused the uplink, as the disk knows it. */
export function isPauseKept(store: Store, uplink: string): boolean {
  return store.get("meta", pauseKey(uplink)) !== undefined;
}

/** Stages that the uplink is paused, or is not. Throws what the store throws. */
export function keepPause(store: Store, uplink: string, isPaused: boolean): void {
  if (isPaused) store.put("meta", pauseKey(uplink), Uint8Array.of(1));
  else store.remove("meta", pauseKey(uplink));
}
