import { isIPv4 } from "node:net";

/** Where to listen. Port 0: any free one. */
export interface Address {
  /** Name or IP address, without brackets. */
  readonly host: string;
  readonly port: number;
}

const MQTT_PORT = 1883;

/** The URL's parts, or why it is not one of this scheme with nothing but host and port. Never repeats the URL: it may hold a password. */
export function endpointOf(
  url: string,
  schemes: readonly string[],
  defaultPort: number,
): Address | { readonly reason: string } {
  const wanted = schemes.map((scheme) => `${scheme}://host:port`).join(" or ");
  if (!URL.canParse(url)) return { reason: `expected a URL such as ${wanted}` };
  const { protocol, username, password, hostname, port, pathname, search, hash } = new URL(url);
  const scheme = protocol.slice(0, -1);
  if (!schemes.includes(scheme)) {
    return { reason: `${scheme}:// is not supported here; expected ${wanted}` };
  }
  if (username !== "" || password !== "") {
    return { reason: "user name and password do not belong in the URL: use their own settings" };
  }
  if (hostname === "") return { reason: `the host is missing; expected ${wanted}` };
  if ((pathname !== "" && pathname !== "/") || search !== "" || hash !== "") {
    return { reason: `nothing may follow host and port; expected ${wanted}` };
  }
  return {
    host: hostname.replace(/^\[|\]$/g, ""),
    port: port === "" ? defaultPort : Number(port),
  };
}

/** Host and port of a listener's URL that passed the schema. */
export function listenerAddress(url: string): Address {
  const endpoint = endpointOf(url, ["mqtt"], MQTT_PORT);
  if ("reason" in endpoint) throw new RangeError(endpoint.reason);
  return endpoint;
}

/** `host:port` or `[host]:port`; undefined when it is neither. */
export function hostAndPort(text: string): Address | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:[\]/\s]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  return host === undefined || port > 65_535 ? undefined : { host, port };
}

/** True for addresses that only this machine reaches: 127.0.0.0/8, ::1, localhost. */
export function isLoopback(host: string): boolean {
  if (isIPv4(host)) return host.startsWith("127.");
  return host === "::1" || host.toLowerCase() === "localhost";
}
