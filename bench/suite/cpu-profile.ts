/** What V8 writes as `.cpuprofile`, as far as it is read here. */
export interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: {
      readonly functionName: string;
      readonly url: string;
      /** From 0. */
      readonly lineNumber: number;
    };
  }[];
  /** Microseconds on the monotonic clock. */
  readonly startTime: number;
  /** Node identifiers, one per sample. */
  readonly samples: readonly number[];
  /** Microseconds before each sample. */
  readonly timeDeltas: readonly number[];
}

/** A function and its own part of the time, without what it called. */
export interface HotFunction {
  readonly name: string;
  /** File and line, or what V8 says in place of one. */
  readonly place: string;
  readonly selfUs: number;
  /** Of the time the process did not sleep. */
  readonly share: number;
}

const IDLE = "(idle)";

/**
 * The functions with the largest self time, largest first, at most `count`.
 * @param root files below it are named without it
 * @param window in milliseconds on the monotonic clock; by default all there is
 */
export function hottestFunctions(
  profile: CpuProfile,
  count: number,
  root: string,
  [fromMs, toMs]: readonly [number, number] = [0, Number.POSITIVE_INFINITY],
): HotFunction[] {
  const selfUs = new Map<string, { name: string; place: string; selfUs: number }>();
  const keys = new Map(profile.nodes.map((node) => [node.id, node.callFrame]));
  let busyUs = 0;
  let atUs = profile.startTime;
  for (const [i, id] of profile.samples.entries()) {
    const frame = keys.get(id);
    const us = Math.max(0, profile.timeDeltas[i] ?? 0);
    atUs += us;
    if (frame === undefined || frame.functionName === IDLE) continue;
    if (atUs < fromMs * 1_000 || atUs > toMs * 1_000) continue;
    busyUs += us;
    const name = frame.functionName === "" ? "(anonymous)" : frame.functionName;
    const place = placeOf(frame, root);
    const key = `${name} ${place}`;
    const entry = selfUs.get(key);
    if (entry === undefined) selfUs.set(key, { name, place, selfUs: us });
    else entry.selfUs += us;
  }
  return [...selfUs.values()]
    .sort((a, b) => b.selfUs - a.selfUs)
    .slice(0, count)
    .map((entry) => ({ ...entry, share: busyUs === 0 ? 0 : entry.selfUs / busyUs }));
}

function placeOf({ url, lineNumber }: CpuProfile["nodes"][0]["callFrame"], root: string): string {
  if (url === "") return "native";
  const path = url.replace("file://", "").replace(`${root}/`, "");
  return `${path}:${lineNumber + 1}`;
}
