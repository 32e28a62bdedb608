import { readdirSync } from "node:fs";
import { performance } from "node:perf_hooks";
import type { Collected } from "./collected.ts";

function openFiles(): number {
  try {
    return readdirSync("/proc/self/fd").length;
  } catch {
    return 0;
  }
}

/** The customary metrics of a process, without the timers and observers of prom-client's own. */
export function addProcess(collected: Collected): void {
  const started = Date.now() / 1_000 - process.uptime();
  const { version } = process;
  collected.gauge("nodejs_version_info", "Node.js version.", ["version"], () => [[1, { version }]]);
  collected.gauge("process_start_time_seconds", "Start of the process, Unix time.", [], () => [
    [started],
  ]);
  const cpu = process.cpuUsage.bind(process);
  collected.counter("process_cpu_seconds_total", "Processor time.", [], () => [
    [(cpu().user + cpu().system) / 1e6],
  ]);
  collected.counter("process_cpu_user_seconds_total", "Of it, in user mode.", [], () => [
    [cpu().user / 1e6],
  ]);
  collected.gauge("process_resident_memory_bytes", "Resident memory.", [], () => [
    [process.memoryUsage.rss()],
  ]);
  collected.gauge("nodejs_heap_used_bytes", "Used part of the JavaScript heap.", [], () => [
    [process.memoryUsage().heapUsed],
  ]);
  collected.gauge("process_open_fds", "Open file descriptors.", [], () => [[openFiles()]]);
  collected.counter("nodejs_eventloop_active_seconds_total", "Time the loop worked.", [], () => [
    [performance.eventLoopUtilization().active / 1_000],
  ]);
}
