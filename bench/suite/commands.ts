import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { patternsDoc } from "../patterns/patterns-doc.ts";
import type { PatternsReport } from "../patterns/run-patterns.ts";
import { isBuilt } from "../peers/rillmq.ts";
import { formatTable } from "../table.ts";
import { performanceDoc } from "./performance-doc.ts";
import type { SuiteReport } from "./suite.ts";
import { suiteCharts, writeCharts } from "./suite-charts.ts";
import { suiteRatios } from "./suite-figures.ts";
import { SUITE_PEERS } from "./suite-peers.ts";
import { SUITE_SCENARIOS } from "./suite-scenario.ts";
import { suiteText } from "./suite-text.ts";

const ROOT = join(import.meta.dirname, "..", "..");

/** What a bench leaves behind. */
export interface SuiteOutput {
  readonly json: string;
  /** Where what was written, for people. */
  readonly lines: readonly string[];
}

/** Builds RillMQ unless it is built, so that it is measured as it is deployed. Throws when it cannot be built. */
export function buildRillmq(): void {
  if (isBuilt()) return;
  const command = [join(ROOT, "scripts", "bundle.mjs"), "--installed"];
  const { status, stderr } = spawnSync(process.execPath, command, { cwd: ROOT, encoding: "utf8" });
  if (status !== 0) throw new Error(`RillMQ cannot be built: ${stderr.trim()}`);
}

/** Scenarios with their peers, and what they are. */
export function suiteList(): string {
  const rows = SUITE_SCENARIOS.map(({ name, title, peers }) => [
    name.padEnd(26),
    `${title} [${peers.join(" ")}]`,
  ]);
  const names = SUITE_PEERS.map(({ name }) => name).join(", ");
  return `${rows.map((cells) => cells.join("")).join("\n")}\n\n${formatTable([["peers:", names]])}\n`;
}

/** Writes text, JSON and charts into `folder`. */
export function writeSuite(report: SuiteReport, folder: string): SuiteOutput {
  const stem = `bench-${report.machine.startedAt.replaceAll(":", "-")}`;
  const ratios = report.sections.flatMap(suiteRatios);
  const json = `${JSON.stringify({ ...report, ratios }, null, 1)}\n`;
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${stem}.txt`), suiteText(report));
  writeFileSync(join(folder, `${stem}.json`), json);
  const charts = join(folder, stem);
  const converter = writeCharts(suiteCharts(report), charts, true);
  const at = relative(process.cwd(), join(folder, stem));
  const png =
    converter === undefined
      ? "no PNG: neither rsvg-convert, inkscape, magick nor chromium is installed"
      : `PNG by ${converter}`;
  const lines = [
    `written to ${at}.txt and .json; charts in ${at}/ as SVG, ${png}`,
    `docs/performance.md is made of it by: npm run bench -- report ${at}.json`,
  ];
  return { json, lines };
}

/**
 * Writes `performance.md` and its charts, or `performance-patterns.md`, into `docs`, in place of those before.
 * @throws when the file is no report of a bench
 */
export function reportOn(file: string, docs: string): string[] {
  const report = JSON.parse(readFileSync(file, "utf8")) as
    | SuiteReport
    | (PatternsReport & { readonly kind: "patterns" });
  if (report.kind === "patterns") {
    const path = join(docs, "performance-patterns.md");
    writeFileSync(path, patternsDoc(report));
    return [`written: ${path}`];
  }
  if (report.kind !== "suite") throw new Error(`${file} is not what npm run bench writes`);
  const charts = suiteCharts(report);
  const folder = join(docs, "performance");
  rmSync(folder, { recursive: true, force: true });
  writeCharts(charts, folder, false);
  writeFileSync(join(docs, "performance.md"), performanceDoc(report, charts));
  return [`written: ${join(docs, "performance.md")} and ${charts.length} charts beside it`];
}
