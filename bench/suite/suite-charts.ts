import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { formatQuantity } from "../table.ts";
import { type Bar, type BarGroup, barChart, CHART_WIDTH } from "./chart.ts";
import type { SuiteReport, SuiteSection } from "./suite.ts";
import { type SuiteFigure, suiteFiguresOf } from "./suite-figures.ts";

/** Programs that make a PNG of an SVG, with their arguments. */
const CONVERTERS: readonly [string, (svg: string, png: string, height: number) => string[]][] = [
  ["rsvg-convert", (svg, png) => ["--zoom", "2", "--output", png, svg]],
  ["inkscape", (svg, png) => ["--export-type=png", `--export-filename=${png}`, svg]],
  ["magick", (svg, png) => [svg, png]],
  [
    "chromium",
    (svg, png, height) => [
      "--headless",
      `--window-size=${CHART_WIDTH},${height}`,
      "--no-sandbox",
      "--disable-gpu",
      "--hide-scrollbars",
      `--screenshot=${png}`,
      `file://${svg}`,
    ],
  ],
];

/** One chart as text. */
export interface Chart {
  /** Name of its file, without extension. */
  readonly name: string;
  readonly title: string;
  readonly svg: string;
  /** In pixels; all are `CHART_WIDTH` wide. */
  readonly height: number;
}

/** The charts of a report: rates and costs by group of scenarios, latencies, memory per connection. */
export function suiteCharts(report: SuiteReport): Chart[] {
  const { machine, rounds } = report;
  const where = `${machine.cores} × ${machine.cpuModel}, Node ${machine.node}, commit ${machine.commit}, medians of ${rounds} rounds with their range`;
  const groups = [...new Set(report.sections.map(({ scenario }) => scenario.group))];
  return groups.flatMap((group) => {
    const sections = report.sections.filter(({ scenario }) => scenario.group === group);
    return figuresOfGroup(sections).flatMap(([figure, unit]): Chart[] => {
      const bars = sections.map((section) => groupOf(section, figure));
      if (bars.every((one) => one.bars.length === 0)) return [];
      const title = `${group}: ${unit}`;
      const drawn = bars.filter((one) => one.bars.length > 0);
      const drawing = barChart(title, where, drawn);
      return [{ name: fileName(`${group} ${figure}`), title, ...drawing }];
    });
  });
}

/** Writes charts to a folder as SVG, and as PNG where a program for that is there. Returns which program, if any. */
export function writeCharts(
  charts: readonly Chart[],
  folder: string,
  withPng: boolean,
): string | undefined {
  mkdirSync(folder, { recursive: true });
  const converter = withPng ? findConverter() : undefined;
  for (const { name, svg, height } of charts) {
    const file = join(folder, `${name}.svg`);
    writeFileSync(file, svg);
    if (converter === undefined) continue;
    const [program, argumentsOf] = converter;
    spawnSync(program, argumentsOf(file, join(folder, `${name}.png`), height), { stdio: "ignore" });
  }
  return converter?.[0];
}

function findConverter(): (typeof CONVERTERS)[number] | undefined {
  return CONVERTERS.find(([program]) => {
    const { status } = spawnSync(program, ["--version"], { stdio: "ignore" });
    return status === 0;
  });
}

function figuresOfGroup(sections: readonly SuiteSection[]): [SuiteFigure, string][] {
  const first = sections[0]?.scenario;
  if (first?.unit === "connections") {
    return [
      ["bytesPerConnection", "bytes per connection, less is better"],
      ["perSecond", "connections per second, more is better"],
    ];
  }
  if (first?.measure["latency"] !== undefined) return [["p99Us", "p99 in µs, less is better"]];
  return [
    ["perSecond", "messages per second, more is better"],
    ["brokerUs", "broker processor µs per message, less is better"],
  ];
}

function groupOf({ scenario, entries }: SuiteSection, figure: SuiteFigure): BarGroup {
  const bars = entries.flatMap((entry): Bar[] => {
    const summary = suiteFiguresOf(entry).summary(figure);
    if (summary === undefined) return [];
    const { median: value, min, max } = summary;
    const isOwn = entry.peer.startsWith("rillmq");
    return [{ label: entry.peer, value, min, max, text: formatQuantity(value), isOwn }];
  });
  return { title: scenario.title, bars };
}

function fileName(text: string): string {
  const plain = text
    .replace("QoS", "qos")
    .replaceAll(/([a-z])([A-Z])/g, "$1-$2")
    .toLowerCase();
  return plain.replaceAll(/[^a-z0-9]+/g, "-").replaceAll(/^-|-$/g, "");
}
