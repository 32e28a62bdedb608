/** Readers of option values; what does not fit is a usage error. */
import { InvalidArgumentError } from "commander";

/** Several values of an option that may be repeated. */
export const collect = (value: string, previous: readonly string[] = []): string[] => [
  ...previous,
  value,
];

/** A number of seconds above 0, fractions allowed. */
export function secondsValue(text: string): number {
  const seconds = Number(text);
  if (seconds > 0 && seconds <= 86_400) return seconds;
  throw new InvalidArgumentError("Expected seconds, more than 0 and at most 86400.");
}

/** A whole number above 0. */
export function countValue(text: string): number {
  const count = Number(text);
  if (Number.isSafeInteger(count) && count > 0) return count;
  throw new InvalidArgumentError("Expected a whole number above 0.");
}

const SCHEMES: ReadonlySet<string> = new Set(["mqtt:", "mqtts:", "ws:", "wss:"]);

/** A URL that MQTT.js can connect to. */
export function brokerUrl(text: string): string {
  if (URL.canParse(text) && SCHEMES.has(new URL(text).protocol)) return text;
  throw new InvalidArgumentError("Expected mqtt://, mqtts://, ws:// or wss:// with a host.");
}
