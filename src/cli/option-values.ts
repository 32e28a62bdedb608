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

const NETWORK_SCHEMES: ReadonlySet<string> = new Set(["mqtt:", "mqtts:", "ws:", "wss:"]);
const SOCKET_SCHEMES: ReadonlySet<string> = new Set(["unix:", "mqtt+unix:"]);

/** Where a broker is: a URL with a host, or the path of a unix socket. */
export type BrokerAddress = { readonly url: string } | { readonly socketPath: string };

/** The address in `--url`. */
export function brokerAddress(text: string): BrokerAddress {
  if (URL.canParse(text)) {
    const { protocol, host, pathname } = new URL(text);
    if (NETWORK_SCHEMES.has(protocol) && host !== "") return { url: text };
    if (SOCKET_SCHEMES.has(protocol) && host === "" && pathname.length > 1) {
      return { socketPath: decodeURIComponent(pathname) };
    }
  }
  throw new InvalidArgumentError(
    "Expected mqtt://, mqtts://, ws:// or wss:// with a host, or unix:/// and a path.",
  );
}
