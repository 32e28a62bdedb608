/** The tables of statements in docs/mqtt.md, between two marks; the rest of that file is written by hand. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { STANDARD_VERSIONS, type StandardVersion } from "./clauses.ts";
import { type Row, rowsOf } from "./coverage.ts";
import { REASONS } from "./statement.ts";
import { claimingTests, ROOT } from "./titles.ts";

const DOC = join(ROOT, "docs", "mqtt.md");
const BEGIN = "<!-- statements: made by `npm run conformance -- --write`; do not edit -->";
const END = "<!-- end of statements -->";

const cell = (text: string): string =>
  text.replaceAll("\\", "\\\\").replaceAll("|", "\\|").replaceAll("<", "&lt;");

function shownBy({ statement, tests }: Row): string {
  if (statement?.reason !== undefined) return `*${REASONS[statement.reason]}*: ${statement.why}`;
  if (tests.length === 0) return "**missing**";
  const files = new Map<string, string[]>();
  for (const { file, title } of tests) {
    const titles = files.get(file) ?? [];
    titles.push(cell(title));
    files.set(file, titles);
  }
  const parts = [...files].map(([file, titles]) => {
    const name = file.replace(/^test\//, "").replace(/\.test\.ts$/, "");
    return `[${name}](../${file}): ${titles.join("; ")}`;
  });
  return parts.join("<br>");
}

function table(version: StandardVersion, rows: readonly Row[]): string {
  const lines = rows.map((row) => {
    const subject = cell(row.statement?.subject ?? "");
    return `| ${row.number.replace("MQTT-", "")} | ${subject} | ${shownBy(row)} |`;
  });
  const head = `### MQTT ${version}: ${rows.length} statements\n`;
  return [head, "| Number | About | Shown by |", "| --- | --- | --- |", ...lines].join("\n");
}

/** The text of docs/mqtt.md as it is, and as it should be. */
export function mqttDoc(): { readonly present: string; readonly wanted: string } {
  const present = readFileSync(DOC, "utf8");
  const begin = present.indexOf(BEGIN);
  const end = present.indexOf(END);
  if (begin < 0 || end < begin) throw new Error(`${DOC} has no marks for the statements`);
  const tests = claimingTests();
  const tables = STANDARD_VERSIONS.map((version) => table(version, rowsOf(version, tests)));
  const made = [BEGIN, ...tables, END].join("\n\n");
  const wanted = present.slice(0, begin) + made + present.slice(end + END.length);
  return { present, wanted };
}

/** Writes the tables anew. */
export function writeMqttDoc(): void {
  writeFileSync(DOC, mqttDoc().wanted);
}
