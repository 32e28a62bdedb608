/** What a device's URL may begin with: `mqtt://`, `mqtts://` (TLS), `ws://`, `wss://` (WebSocket, over TLS), `unix://` (a socket file). */
export const TRANSPORTS = ["mqtt", "mqtts", "ws", "wss", "unix"] as const;
export type Transport = (typeof TRANSPORTS)[number];

/** The transport of a URL; undefined when a device cannot connect to it. */
export function transportOf(url: string): Transport | undefined {
  const transport = TRANSPORTS.find((one) => url.startsWith(`${one}://`));
  if (transport === "unix") return /^unix:\/\/\/[^/]/.test(url) ? transport : undefined;
  return URL.canParse(url) && new URL(url).hostname !== "" ? transport : undefined;
}

/** True when certificates are checked on the way. */
export const isSecure = (url: string): boolean => {
  const transport = transportOf(url);
  return transport === "mqtts" || transport === "wss";
};

/** The same address as MQTT.js writes it; a WebSocket address without path gets the usual `/mqtt`. */
export function clientUrl(url: string): string {
  const transport = transportOf(url);
  if (transport === "unix") return `mqtt+${url}`;
  if (transport !== "ws" && transport !== "wss") return url;
  const parsed = new URL(url);
  if (parsed.pathname === "/") parsed.pathname = "/mqtt";
  return parsed.href;
}
