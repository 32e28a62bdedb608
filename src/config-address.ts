import { isIPv4, isIPv6 } from "node:net";

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

/** Where clients connect, as a listener's URL says it. */
export type ListenerEndpoint =
  | ({ readonly kind: "tcp"; readonly isSecure: boolean } & Address)
  | ({
      readonly kind: "websocket";
      readonly isSecure: boolean;
      readonly path: string;
      /** It has a scheme of its own for the native protocol alone. */
      readonly isNative: boolean;
    } & Address)
  | { readonly kind: "unix"; readonly path: string };

const LISTENER_PORTS = {
  mqtt: MQTT_PORT,
  mqtts: 8883,
  ws: 80,
  wss: 443,
  rill: 7455,
  rills: 7456,
} as const;
type ListenerScheme = keyof typeof LISTENER_PORTS;

const isListenerScheme = (scheme: string): scheme is ListenerScheme => scheme in LISTENER_PORTS;

/** Paths of WebSocket listeners whose URL has none. */
const WEBSOCKET_PATH = "/mqtt";
const NATIVE_PATH = "/rill";
const LISTENER_EXPECTED =
  "expected mqtt://host:port, mqtts://host:port, ws://host:port/path, wss://host:port/path, rill://host:port/path, rills://host:port/path or unix:///path";

/** The parts of a listener's URL, or why it is none. */
export function listenerEndpoint(url: string): ListenerEndpoint | { readonly reason: string } {
  if (!URL.canParse(url)) return { reason: LISTENER_EXPECTED };
  const parsed = new URL(url);
  const scheme = parsed.protocol.slice(0, -1);
  if (scheme === "unix" || scheme === "mqtt+unix") return unixEndpoint(parsed);
  if (!isListenerScheme(scheme)) {
    return { reason: `${scheme}:// is not supported here; ${LISTENER_EXPECTED}` };
  }
  const isNative = scheme === "rill" || scheme === "rills";
  const isWebSocket = isNative || scheme === "ws" || scheme === "wss";
  const isPathless = parsed.pathname === "/" || parsed.pathname === "";
  const path = isPathless ? (isNative ? NATIVE_PATH : WEBSOCKET_PATH) : parsed.pathname;
  if (isWebSocket) parsed.pathname = "";
  const endpoint = endpointOf(parsed.href, [scheme], LISTENER_PORTS[scheme]);
  if ("reason" in endpoint) return endpoint;
  if (isWebSocket) {
    return {
      kind: "websocket",
      isSecure: scheme.endsWith("s") && scheme !== "ws",
      path,
      isNative,
      ...endpoint,
    };
  }
  return { kind: "tcp", isSecure: scheme === "mqtts", ...endpoint };
}

function unixEndpoint({ host, pathname, search, hash }: URL): ReturnType<typeof listenerEndpoint> {
  if (host !== "" || search !== "" || hash !== "" || !/^\/.*[^/]$/.test(pathname)) {
    return { reason: "expected unix:/// and the absolute path of a socket" };
  }
  try {
    return { kind: "unix", path: decodeURIComponent(pathname) };
  } catch {
    return { reason: "the path has a % that stands for nothing" };
  }
}

/** `host:port` or `[host]:port`; undefined when it is neither. */
export function hostAndPort(text: string): Address | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:[\]/\s]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  return host === undefined || port > 65_535 ? undefined : { host, port };
}

/** Where to serve HTTP, by that setting; undefined: nowhere. */
export function httpAddress({ http }: { readonly http: string }): Address | undefined {
  return http === "off" ? undefined : hostAndPort(http);
}

/** True for addresses that only this machine reaches: 127.0.0.0/8, ::1, localhost. */
export function isLoopback(host: string): boolean {
  if (isIPv4(host)) return host.startsWith("127.");
  return host === "::1" || host.toLowerCase() === "localhost";
}

/** A network such as `10.0.0.0/8` or `fd00::/8`, or a single address; undefined: it is none. */
export function networkOf(
  text: string,
): { readonly address: string; readonly prefix: number } | undefined {
  const match = /^([0-9A-Fa-f.:]+)(?:\/(0|[1-9]\d{0,2}))?$/.exec(text);
  if (match === null) return undefined;
  const [, address = "", given] = match;
  const bits = isIPv4(address) ? 32 : isIPv6(address) ? 128 : 0;
  const prefix = given === undefined ? bits : Number(given);
  return bits === 0 || prefix > bits ? undefined : { address, prefix };
}
