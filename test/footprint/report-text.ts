import { formatTable } from "../../bench/table.ts";
import type { FootprintReport, Phase } from "./measure-footprint.ts";

const MIB = 1_048_576;

const mib = (bytes: number): string => (bytes / MIB).toFixed(1);

const row = ({ name, anonymous, cache, kernel, total }: Phase): string[] => [
  name,
  mib(anonymous),
  mib(cache),
  mib(kernel),
  mib(total),
];

/** The report for people: a table in MiB, what was measured beside it, and the verdict. */
export function reportText(report: FootprintReport): string {
  const peak = report.peak === undefined ? "not known" : `${mib(report.peak)} MiB`;
  const lines = [
    `${report.node}, ${report.flags}, limit ${mib(report.limit)} MiB`,
    "",
    formatTable([
      ["most at a time, MiB", "anonymous", "cache", "kernel", "total"],
      ...report.phases.map(row),
    ]),
    "",
    `peak of the cgroup, cache included  ${peak}`,
    `start of the bundle, empty store    ${report.startMs.toFixed(0)} ms`,
    `start after SIGKILL, with backlog   ${report.restartMs.toFixed(0)} ms`,
    `messages acknowledged               ${report.acknowledged} of ${report.sent}`,
    `acknowledged within (p50, p99, max) ${report.latencyMs.map((ms) => ms.toFixed(1)).join(", ")} ms`,
    `readiness probes in the cgroup      ${report.probes} ran, ${report.probesFailed} failed`,
    `backlog found by its subscriber     ${report.drained} of ${report.sent}`,
    `processes killed for want of memory ${report.kills}`,
    "",
    report.failures.length === 0 ? "It fits." : `It does not fit: ${report.failures.join("; ")}.`,
  ];
  return `${lines.join("\n")}\n`;
}
