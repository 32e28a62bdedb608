/** `rillmq/client` for browsers. */
import { connectThrough, type RillClient } from "./client.ts";
import type { ClientOptions } from "./client-options.ts";
import type { ClientSocket } from "./client-socket.ts";

/** Browsers have no options of their own. */
export type ConnectOptions = ClientOptions;

type SocketClass = new (url: string, protocols: readonly string[]) => ClientSocket;

/**
 * Connects to `rill://host:port`, `rills://…`, `ws://…` or `wss://…`; resolves when the broker has let us in.
 * @throws RillError for refusals and when nothing comes about in time; TypeError for what is no URL
 */
export function connect(url: string, options: ConnectOptions = {}): Promise<RillClient> {
  const { WebSocket } = globalThis as unknown as { readonly WebSocket: SocketClass };
  return connectThrough((target, protocols) => new WebSocket(target, protocols), url, options);
}

export * from "./public.ts";
