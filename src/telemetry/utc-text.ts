const digits = (value: number, count: number): string => String(value).padStart(count, "0");

/**
 * A time in milliseconds since 1970 as `2026-01-31T12:00:00.000Z`, up to the year 9999. What `Date.toISOString` gives, but that loads the
 * tables of all time zones into memory with its first call: 1 MB for a broker that says once that it is ready.
 */
export function utcText(ms: number): string {
  const at = new Date(ms);
  const day = `${digits(at.getUTCFullYear(), 4)}-${digits(at.getUTCMonth() + 1, 2)}-${digits(at.getUTCDate(), 2)}`;
  const time = `${digits(at.getUTCHours(), 2)}:${digits(at.getUTCMinutes(), 2)}:${digits(at.getUTCSeconds(), 2)}`;
  return `${day}T${time}.${digits(at.getUTCMilliseconds(), 3)}Z`;
}
