/** The middle and the ends of a few measurements of the same thing. */
export interface Summary {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** The middle value, or the mean of the two in the middle. `undefined` for no values. */
export function median(values: readonly number[]): number | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle];
  const lower = sorted[middle - 1];
  if (upper === undefined) return undefined;
  return sorted.length % 2 === 1 || lower === undefined ? upper : (lower + upper) / 2;
}

/** Median and range. Values that could not be measured are left out; `undefined` when none is left. */
export function summarize(values: readonly (number | undefined)[]): Summary | undefined {
  const measured = values.filter((value) => value !== undefined);
  const middle = median(measured);
  if (middle === undefined) return undefined;
  return { median: middle, min: Math.min(...measured), max: Math.max(...measured) };
}

/** How many times `base` fits into `value`; `undefined` when either is missing or `base` is 0. */
export function ratio(value: number | undefined, base: number | undefined): number | undefined {
  if (value === undefined || base === undefined || base === 0) return undefined;
  return value / base;
}
