import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** Memory of this process in bytes. */
export interface Memory {
  readonly rssBytes: number;
  readonly heapBytes: number;
  readonly buffersBytes: number;
}

/** Memory after garbage was collected. */
export function collectedMemory(): Memory {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  collect();
  collect();
  const { rss, heapUsed, arrayBuffers } = process.memoryUsage();
  return { rssBytes: rss, heapBytes: heapUsed, buffersBytes: arrayBuffers };
}
