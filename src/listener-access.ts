import { isLoopback, listenerEndpoint } from "./config-address.ts";

/** The settings that say whether clients may come in through a listener without a user name. */
export interface AnonymousSettings {
  readonly allowAnonymous: boolean;
  readonly hasUsersFile: boolean;
}

/** True for listeners that only this machine reaches. */
export function isLocalListener(url: string): boolean {
  const endpoint = listenerEndpoint(url);
  if ("reason" in endpoint) return false;
  return endpoint.kind === "unix" || isLoopback(endpoint.host);
}

/**
 * True when a listener lets clients in that give no user name: where it says so itself, else where that is said for all, else on
 * loopback and unix sockets as long as there is no users file.
 */
export function allowsAnonymous(
  { allowAnonymous, hasUsersFile }: AnonymousSettings,
  listener: { readonly url: string; readonly allowAnonymous?: boolean | undefined },
): boolean {
  if (listener.allowAnonymous !== undefined) return listener.allowAnonymous;
  return allowAnonymous || (!hasUsersFile && isLocalListener(listener.url));
}
