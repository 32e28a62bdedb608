/** The port to a WebSocket: what browsers and `ws` have in common. */
export interface ClientSocket {
  binaryType: string;
  readonly protocol: string;
  /** Bytes handed over that the network has not taken yet. */
  readonly bufferedAmount: number;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  send(message: Uint8Array | string): void;
  close(code?: number, reason?: string): void;
}

/** Opens a WebSocket. */
export type Dial = (url: string, protocols: readonly string[]) => ClientSocket;

const SCHEMES: ReadonlyMap<string, string> = new Map([
  ["rill:", "ws:"],
  ["rills:", "wss:"],
  ["ws:", "ws:"],
  ["wss:", "wss:"],
]);

/**
 * The WebSocket's URL: `rill` is `ws` and `rills` is `wss`, each with the path `/rill` unless one is given.
 * @throws TypeError for what is no URL of a broker
 */
export function socketUrl(url: string): string {
  const match = /^([a-z]+:)\/\/([^/?#]+)([^#]*)$/.exec(url);
  const scheme = SCHEMES.get(match?.[1] ?? "");
  if (match === null || scheme === undefined) {
    throw new TypeError("expected rill://, rills://, ws:// or wss:// with a host");
  }
  const [, given = "", host = "", rest = ""] = match;
  const hasPath = rest !== "" && rest !== "/";
  return `${scheme}//${host}${hasPath || !given.startsWith("rill") ? rest : "/rill"}`;
}
