import type { Summary } from "./statistics.ts";

/** Three significant digits: no figure of a bench carries more. 1234567 is `1.23 M`, 4567 `4.57 k`. */
export function formatQuantity(value: number): string {
  if (value >= 999_500) return `${significant(value / 1_000_000)} M`;
  if (value >= 999.5) return `${significant(value / 1_000)} k`;
  return significant(value);
}

/** Median and range, `–` for what could not be measured. */
export function formatSummary(summary: Summary | undefined): string {
  if (summary === undefined) return "–";
  const { median, min, max } = summary;
  if (min === max) return formatQuantity(median);
  return `${formatQuantity(median)} (${formatQuantity(min)} … ${formatQuantity(max)})`;
}

/** A value or `–`. */
export function formatOptional(value: number | undefined, unit = ""): string {
  return value === undefined ? "–" : `${formatQuantity(value)}${unit}`;
}

/** Columns as wide as their widest cell; the first is flush left, the others right. */
export function formatTable(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, i) => {
      widths[i] = Math.max(widths[i] ?? 0, cell.length);
    });
  }
  const lines = rows.map((row) =>
    row
      .map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)))
      .join("  ")
      .trimEnd(),
  );
  return lines.join("\n");
}

function significant(value: number): string {
  if (value >= 99.95) return value.toFixed(0);
  if (value >= 9.995) return value.toFixed(1);
  if (value >= 0.9995) return value.toFixed(2);
  return value === 0 ? "0" : value.toPrecision(2);
}
