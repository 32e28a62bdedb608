/** Whole numbers with thousands separators, the same on every machine. */
export const grouped = (value: number): string =>
  Math.round(value)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, ",");

/** Lines of aligned columns: the first column to the left, the last as it is, those between to the right. */
export function alignColumns(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, column) => {
      widths[column] = Math.max(widths[column] ?? 0, cell.length);
    });
  }
  return rows.map((row) =>
    row
      .map((cell, column) => {
        const width = widths[column] ?? 0;
        if (column === 0) return cell.padEnd(width);
        return column === row.length - 1 && column > 1 ? cell : cell.padStart(width);
      })
      .join("  ")
      .trimEnd(),
  );
}
