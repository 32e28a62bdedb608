import { readFileSync } from "node:fs";

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

function readProc(pid: number, file: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch {
    return undefined; // the process ended, belongs to somebody else, or this is not Linux
  }
}
