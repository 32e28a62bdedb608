import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** Memory of this process in bytes. */
export interface Memory {
  readonly rssBytes: number;
  readonly heapBytes: number;
  readonly buffersBytes: number;
}

const COLLECTIONS = 4;
/** Time for pages to go back to the system, which happens beside. */
const PAUSE_MS = 100;

/** Memory after garbage was collected. */
export async function collectedMemory(): Promise<Memory> {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  for (let i = 0; i < COLLECTIONS; i++) {
    collect();
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
  const { rss, heapUsed, arrayBuffers } = process.memoryUsage();
  return { rssBytes: rss, heapBytes: heapUsed, buffersBytes: arrayBuffers };
}
