import { leftTable, machineRows } from "../report.ts";
import { formatOptional, formatTable } from "../table.ts";
import { type SuiteReport, type SuiteSection, suiteFaults } from "./suite.ts";
import { columnsOf } from "./suite-columns.ts";
import {
  costGrowth,
  GROWTHS,
  type SuiteFigures,
  suiteFiguresOf,
  suiteRatios,
} from "./suite-figures.ts";
import { targetRows } from "./suite-targets.ts";

/** From this share of a core on the load generator may be what limits a rate. */
const BUSY = 0.9;

/** Parameters of a bench: names and values. */
export function parameterRows(report: SuiteReport): string[][] {
  const { rounds, roundsAsked, seconds, warmupSeconds, machine, tookSeconds } = report;
  const asked = rounds === roundsAsked ? "" : ` of ${roundsAsked} asked for`;
  return [
    ...machineRows(machine),
    ["rounds", `${rounds}${asked}, interleaved, a fresh broker for each run`],
    [
      "window",
      `${seconds} s measured after ${warmupSeconds} s of warm-up; 2 s with QoS 2 and in cost growth, 4 s in latency`,
    ],
    ["took", `${Math.round(tookSeconds / 60)} min`],
    ["data on", machine.dataFileSystem],
    ...report.peers.map(({ name, presence }) =>
      presence.isPresent
        ? [name, `${presence.version}, ${presence.conditions}`]
        : [name, `absent: ${presence.reason}`],
    ),
    ...report.notes.map((note) => ["note", note]),
  ];
}

/** The report for people, parameters first. */
export function suiteText(report: SuiteReport): string {
  const faults = suiteFaults(report).map((fault) => `FAULT ${fault}`);
  const growth = growthRows(report);
  const targets = targetRows(report).map(([scenario, ...cells]) => [`  ${scenario}`, ...cells]);
  const sections = [
    "RillMQ bench",
    leftTable(parameterRows(report)),
    "messages/s are those delivered (without subscribers: acknowledged); median (range) over rounds.",
    ...report.sections.map(sectionText),
    ...(growth.length > 0 ? [`cost growth: broker µs/msg\n${formatTable(growth)}`] : []),
    ...(targets.length > 0 ? [`targets\n${formatTable(targets)}`] : []),
    ...(faults.length > 0 ? [faults.join("\n")] : []),
  ];
  return `${sections.join("\n\n")}\n`;
}

/** How the cost of a message grows, one row per peer and pair of scenarios. */
export function growthRows(report: SuiteReport): string[][] {
  return GROWTHS.flatMap(([from, to, what]) =>
    costGrowth(report, from, to).map(({ peer, growth }) => [
      `  ${what}`,
      peer,
      formatOptional(growth, " ×"),
    ]),
  );
}

/** The figures of a scenario: a head, then one row per peer. */
export function figureRows({ scenario, entries }: SuiteSection): string[][] {
  const columns = columnsOf(scenario);
  const head = ["", ...columns.map((column) => column.head)];
  const rows = entries
    .filter(({ runs }) => runs.length > 0)
    .map((entry) => {
      const figures = suiteFiguresOf(entry);
      return [entry.peer, ...columns.map((column) => column.cell(figures))];
    });
  return rows.length === 0 ? [] : [head, ...rows];
}

/** Peers of a scenario without figures, and why. */
export function missingLines({ entries }: SuiteSection): string[] {
  return entries.flatMap(({ peer, cannot, failures, runs }) => {
    if (cannot !== undefined) return [`${peer}: ${cannot}`];
    return runs.length === 0 ? [`${peer}: ${failures[0] ?? "not run"}`] : [];
  });
}

function sectionText(section: SuiteSection): string {
  const { name, title, group } = section.scenario;
  const ratios = suiteRatios(section).map(({ own, peer, rate, brokerUs, p99 }) => [
    `  ${own} / ${peer}`,
    `rate ${formatOptional(rate, " ×")}`,
    `processor time ${formatOptional(brokerUs, " ×")}`,
    p99 === undefined ? "" : `p99 ${formatOptional(p99, " ×")}`,
  ]);
  const rows = figureRows(section).map(([peer, ...cells]) => [`  ${peer ?? ""}`, ...cells]);
  const lines = [`${group} · ${name}: ${title}`, formatTable(rows), formatTable(ratios)];
  lines.push(...missingLines(section).map((line) => `  ${line}`));
  lines.push(...section.entries.map(suiteFiguresOf).flatMap(busyLines));
  return lines.filter((line) => line !== "").join("\n");
}

function busyLines({ peer, summary }: SuiteFigures): string[] {
  const load = summary("generatorLoad")?.median ?? 0;
  if (load < BUSY) return [];
  const share = Math.round(load * 100);
  return [`  note: with ${peer} the generator took ${share} % of a core and may limit the rate`];
}
