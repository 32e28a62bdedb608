import { ratio, type Summary, summarize } from "../statistics.ts";
import { formatOptional, formatSummary, formatTable } from "../table.ts";
import type { Pattern } from "./load-order.ts";
import type { PatternRun } from "./pattern-figures.ts";
import type { PatternsReport, PeerReport } from "./run-patterns.ts";

interface Row {
  readonly title: string;
  readonly pattern: Pattern;
  readonly figure: keyof PatternRun;
}

const ROWS: readonly Row[] = [
  { title: "queue, 100 in all: /s", pattern: "queue", figure: "perSecond" },
  { title: "  server µs/message", pattern: "queue", figure: "serverUs" },
  { title: "  server load, cores", pattern: "queue", figure: "serverLoad" },
  { title: "  share of time in syncs", pattern: "queue", figure: "syncShare" },
  { title: "  syncs/s", pattern: "queue", figure: "syncsPerSecond" },
  { title: "  share of time in commits", pattern: "queue", figure: "commitShare" },
  { title: "  generator µs/message", pattern: "queue", figure: "generatorUs" },
  { title: "  generator load, cores", pattern: "queue", figure: "generatorLoad" },
  { title: "queue, windows of 100: /s", pattern: "queue-windows", figure: "perSecond" },
  { title: "  server µs/message", pattern: "queue-windows", figure: "serverUs" },
  { title: "  server load, cores", pattern: "queue-windows", figure: "serverLoad" },
  { title: "  share of time in syncs", pattern: "queue-windows", figure: "syncShare" },
  { title: "  share of time in commits", pattern: "queue-windows", figure: "commitShare" },
  { title: "  generator load, cores", pattern: "queue-windows", figure: "generatorLoad" },
  { title: "stream: append /s", pattern: "append", figure: "perSecond" },
  { title: "  server µs/message", pattern: "append", figure: "serverUs" },
  { title: "  share of time in syncs", pattern: "append", figure: "syncShare" },
  { title: "  generator load, cores", pattern: "append", figure: "generatorLoad" },
  { title: "stream: read /s", pattern: "consume", figure: "perSecond" },
  { title: "  server µs/message", pattern: "consume", figure: "serverUs" },
  { title: "  generator µs/message", pattern: "consume", figure: "generatorUs" },
  { title: "  generator load, cores", pattern: "consume", figure: "generatorLoad" },
  { title: "request: p50 ms", pattern: "requests", figure: "p50Ms" },
  { title: "  p99 ms", pattern: "requests", figure: "p99Ms" },
  { title: "  requests/s", pattern: "requests", figure: "perSecond" },
  { title: "  server µs/request", pattern: "requests", figure: "serverUs" },
];

const summaryOf = ({ rounds }: PeerReport, { pattern, figure }: Row): Summary | undefined =>
  summarize(rounds.map((round) => round[pattern][figure]));

/** The report as a table; ratios are RillMQ over the other. */
export function patternsText(report: PatternsReport): string {
  const { machine, rounds, seconds, warmUpSeconds, outstanding, payloadBytes, faults } = report;
  const [own, ...others] = report.peers;
  const head = [
    "",
    ...report.peers.map(({ name }) => name),
    ...others.map(({ name }) => `/ ${name}`),
  ];
  const rows = ROWS.map((row) => {
    const summaries = report.peers.map((peer) => summaryOf(peer, row));
    const base = own && summaryOf(own, row)?.median;
    const ratios = others.map((peer) => ratio(base, summaryOf(peer, row)?.median));
    return [
      row.title,
      ...summaries.map((summary) => formatSummary(summary)),
      ...ratios.map((value) => formatOptional(value)),
    ];
  });
  const lines = [
    `${payloadBytes} B, ${outstanding} outstanding, requests one at a time; ${rounds} rounds of ${seconds} s after ${warmUpSeconds} s; medians (ranges); ratios are rillmq's to the other's`,
    `${machine.cores} cores, ${machine.cpuModel}; ${machine.system}; node ${machine.node}; ${machine.dataFileSystem}; commit ${machine.commit}`,
    formatTable([head, ...rows]),
    ...report.peers.map(({ name, version, conditions, absent }) =>
      absent === undefined ? `${name} ${version}: ${conditions}` : `${name}: absent, ${absent}`,
    ),
    ...faults.map((fault) => `FAULT ${fault}`),
  ];
  return `${lines.join("\n")}\n`;
}
