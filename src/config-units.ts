/** Sizes and durations as people write them: `64KiB`, `1.5GiB`, `30s`. A plain number is in the unit of the setting's name. */

const SIZE_UNITS: ReadonlyMap<string, number> = new Map([
  ["b", 1],
  ["kib", 1024],
  ["mib", 1024 ** 2],
  ["gib", 1024 ** 3],
  ["tib", 1024 ** 4],
  ["ki", 1024],
  ["mi", 1024 ** 2],
  ["gi", 1024 ** 3],
  ["ti", 1024 ** 4],
  ["kb", 1e3],
  ["mb", 1e6],
  ["gb", 1e9],
  ["tb", 1e12],
]);

const DURATION_UNITS_MS: ReadonlyMap<string, number> = new Map([
  ["ms", 1],
  ["s", 1_000],
  ["m", 60_000],
  ["min", 60_000],
  ["h", 3_600_000],
  ["d", 86_400_000],
]);

function quantity(
  text: string,
  units: ReadonlyMap<string, number>,
  plainUnit: number,
): number | undefined {
  const match = /^(\d{1,16}(?:\.\d{1,9})?)\s*([A-Za-z]*)$/.exec(text.trim());
  if (match === null) return undefined;
  const unitName = (match[2] ?? "").toLowerCase();
  const unit = unitName === "" ? plainUnit : units.get(unitName);
  return unit === undefined ? undefined : Number(match[1]) * unit;
}

/**
 * Bytes of a size such as `8MiB`, `100kB`, `512` or the number 512; undefined when it is not a whole number of bytes.
 */
export function bytesOf(value: number | string): number | undefined {
  const bytes = typeof value === "number" ? value : quantity(value, SIZE_UNITS, 1);
  return bytes !== undefined && Number.isSafeInteger(bytes) ? bytes : undefined;
}

/**
 * A duration such as `30s`, `5m`, `200ms` in units of `unitMs` (1: milliseconds, 1000: seconds), in which plain numbers are, too;
 * undefined when it is not a whole number of them.
 */
export function durationOf(value: number | string, unitMs: number): number | undefined {
  if (typeof value === "number") return Number.isSafeInteger(value) ? value : undefined;
  const ms = quantity(value, DURATION_UNITS_MS, unitMs);
  if (ms === undefined) return undefined;
  const units = ms / unitMs;
  return Number.isSafeInteger(units) ? units : undefined;
}

function largestUnit(
  value: number,
  units: readonly (readonly [string, number])[],
): string | undefined {
  for (const [name, unit] of units) {
    if (value >= unit && value % unit === 0) return `${value / unit}${name}`;
  }
  return undefined;
}

const SIZES_SHOWN = [
  ["TiB", 1024 ** 4],
  ["GiB", 1024 ** 3],
  ["MiB", 1024 ** 2],
  ["KiB", 1024],
] as const;

const DURATIONS_SHOWN = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["m", 60_000],
  ["s", 1_000],
  ["ms", 1],
] as const;

/** The shortest exact way to write a size; `bytesOf` reads it back. */
export function sizeText(bytes: number): string {
  return largestUnit(bytes, SIZES_SHOWN) ?? String(bytes);
}

/** The shortest exact way to write a duration in milliseconds; `durationOf` reads it back. */
export function durationText(ms: number): string {
  return largestUnit(ms, DURATIONS_SHOWN) ?? String(ms);
}
