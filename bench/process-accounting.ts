import { readdirSync, readFileSync } from "node:fs";

/** Microseconds in one tick of /proc/PID/stat: USER_HZ is 100 on every Linux that Node runs on. */
const TICK_US = 10_000;

/** What the kernel has charged a process with since its start, over all its threads, ended ones included. */
export interface ProcessUsage {
  /** Processor time in user and kernel mode, in microseconds, in steps of 10,000. */
  readonly cpuUs: number;
  /** Calls of read and its variants, of files and sockets; `undefined` when the kernel does not say. */
  readonly readCalls: number | undefined;
  /** Calls of write and its variants, of files and sockets; `undefined` when the kernel does not say. */
  readonly writeCalls: number | undefined;
}

/** What costs more than a line of /proc to find out; read at both ends of a window. */
export interface ProcessWork {
  /** Times a thread gave up its processor or lost it, summed over the threads there are. */
  readonly contextSwitches: number | undefined;
  /** Bytes on their way to a disk (`write_bytes`); 0 on a file system in memory. */
  readonly bytesWritten: number | undefined;
}

/** Memory of a process in bytes; `undefined` when the kernel does not say. */
export interface ProcessMemory {
  readonly rssBytes: number | undefined;
  /** The part that no file backs: heap, stacks. */
  readonly anonymousBytes: number | undefined;
  readonly peakBytes: number | undefined;
}

/** utime + stime of the text of /proc/PID/stat, in microseconds. `undefined` when it is not such a text. */
export function decodeStatCpuUs(stat: string): number | undefined {
  // The command's name stands in parentheses and may hold anything, also spaces and parentheses.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const ticks = Number(fields[11]) + Number(fields[12]);
  return Number.isFinite(ticks) ? ticks * TICK_US : undefined;
}

/** The number behind `name:` in the text of /proc/PID/io or /proc/PID/status. */
export function decodeProcField(text: string, name: string): number | undefined {
  for (const line of text.split("\n")) {
    if (line.startsWith(`${name}:`)) return Number.parseInt(line.slice(name.length + 1), 10);
  }
  return undefined;
}

/** Reads a process's accounts; `undefined` when it is gone or there is no /proc. */
export function readProcessUsage(pid: number): ProcessUsage | undefined {
  const stat = readProc(pid, "stat");
  const cpuUs = stat === undefined ? undefined : decodeStatCpuUs(stat);
  if (cpuUs === undefined) return undefined;
  const io = readProc(pid, "io") ?? "";
  return {
    cpuUs,
    readCalls: decodeProcField(io, "syscr"),
    writeCalls: decodeProcField(io, "syscw"),
  };
}

/** Peak resident memory (VmHWM) of a process in bytes; `undefined` when it is gone or there is no /proc. */
export function readPeakRssBytes(pid: number): number | undefined {
  const kilobytes = decodeProcField(readProc(pid, "status") ?? "", "VmHWM");
  return kilobytes === undefined ? undefined : kilobytes * 1_024;
}

/** Context switches and bytes for the disk since the process started. */
export function readProcessWork(pid: number): ProcessWork {
  return {
    contextSwitches: contextSwitches(pid),
    bytesWritten: decodeProcField(readProc(pid, "io") ?? "", "write_bytes"),
  };
}

/** Resident memory now and at its peak. */
export function readProcessMemory(pid: number): ProcessMemory {
  const status = readProc(pid, "status") ?? "";
  const bytes = (name: string): number | undefined => {
    const kilobytes = decodeProcField(status, name);
    return kilobytes === undefined ? undefined : kilobytes * 1_024;
  };
  return {
    rssBytes: bytes("VmRSS"),
    anonymousBytes: bytes("RssAnon"),
    peakBytes: bytes("VmHWM"),
  };
}

function contextSwitches(pid: number): number | undefined {
  let sum: number | undefined;
  for (const thread of threadsOf(pid)) {
    const status = readProc(pid, `task/${thread}/status`) ?? "";
    const own = decodeProcField(status, "voluntary_ctxt_switches");
    const forced = decodeProcField(status, "nonvoluntary_ctxt_switches");
    if (own !== undefined && forced !== undefined) sum = (sum ?? 0) + own + forced;
  }
  return sum;
}

function threadsOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return []; // as below
  }
}

function readProc(pid: number, file: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch {
    return undefined; // the process ended, belongs to somebody else, or this is not Linux
  }
}
