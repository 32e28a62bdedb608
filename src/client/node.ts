/** `rillmq/client` for Node. */
import { WebSocket } from "ws";
import { connectThrough, type RillClient } from "./client.ts";
import type { ClientOptions } from "./client-options.ts";
import type { ClientSocket } from "./client-socket.ts";

/** What Node can do besides. */
export interface ConnectOptions extends ClientOptions {
  /** Which certificates of brokers are taken, and our own, PEM. */
  readonly tls?: {
    readonly ca?: string | Uint8Array;
    readonly cert?: string | Uint8Array;
    readonly key?: string | Uint8Array;
    readonly rejectUnauthorized?: boolean;
  };
  /** How long one attempt may take, in milliseconds. Default 10 s. */
  readonly handshakeTimeoutMs?: number;
}

/**
 * Connects to `rill://host:port`, `rills://…`, `ws://…` or `wss://…`; resolves when the broker has let us in.
 * @throws RillError for refusals and when nothing comes about in time; TypeError for what is no URL
 */
export function connect(url: string, options: ConnectOptions = {}): Promise<RillClient> {
  const { tls = {}, handshakeTimeoutMs = 10_000, ...rest } = options;
  // Buffers are what the types of `tls` know.
  const wsOptions = {
    ...(tls as object),
    handshakeTimeout: handshakeTimeoutMs,
    perMessageDeflate: false,
  };
  return connectThrough(
    (target, protocols) =>
      new WebSocket(target, [...protocols], wsOptions) as unknown as ClientSocket,
    url,
    rest,
  );
}

export * from "./public.ts";
