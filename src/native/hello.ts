/** `hello`: who it is that connects, what is said to whom is let in, and why somebody is not. */
import type { AuthenticationRefusal, Claim } from "../broker/authenticator.ts";
import type { ConnectRefusal } from "../broker/sessions.ts";
import type { EndReason } from "../broker/subscriber.ts";
import type { ErrorCode, HelloFrame, WelcomeFrame } from "./frame.ts";
import type { NativeOptions } from "./native-options.ts";

/** The version of the protocol that is spoken here. */
const VERSION = 1;
/** Longest Client Identifier taken, in bytes of UTF-8: as for MQTT. */
const CLIENT_ID_BYTES_MAX = 1_024;

/** What it can; a client looks here before it uses something that came later. */
const CAPABILITIES = ["events", "streams", "queues", "requests", "routes"] as const;

const utf8 = new TextEncoder();

/** A refusal of `hello`; undefined: it depends on who it is. */
export function helloMistake({ versions, clientId }: HelloFrame): [ErrorCode, string] | undefined {
  if (!versions.includes(VERSION))
    return ["unsupported-version", `version ${VERSION} is spoken here`];
  if (clientId === undefined) return undefined;
  const bytes = utf8.encode(clientId).length;
  const isFine = bytes > 0 && bytes <= CLIENT_ID_BYTES_MAX && !/[\p{Cc}]/u.test(clientId);
  return isFine
    ? undefined
    : ["bad-frame", "clientId is empty, too long or has control characters"];
}

/** What a client says about itself. */
export function claimOf(
  { user, password }: HelloFrame,
  address: string,
  allowsAnonymous: boolean,
): Claim {
  const bytes = password === undefined ? undefined : utf8.encode(password);
  return { username: user, password: bytes, address, allowsAnonymous };
}

export function welcome(
  hello: HelloFrame,
  clientId: string,
  user: string | undefined,
  { server, edgeId, limits }: NativeOptions,
): WelcomeFrame {
  return {
    op: "welcome",
    id: hello.id,
    version: VERSION,
    server,
    edgeId,
    clientId,
    ...(user === undefined ? {} : { user }),
    capabilities: CAPABILITIES,
    limits,
  };
}

export const AUTHENTICATION_CODES: Readonly<Record<AuthenticationRefusal, [ErrorCode, string]>> = {
  "bad-credentials": ["bad-credentials", "wrong user name or password"],
  "not-authorized": ["not-authenticated", "a user name and a password are needed here"],
  busy: ["busy", "too many wait for their password to be checked"],
};

export const SESSION_CODES: Readonly<Record<ConnectRefusal, [ErrorCode, string]>> = {
  "too-many-sessions": ["busy", "there are too many sessions"],
  "not-owner": ["not-authorized", "this clientId belongs to another user"],
};

export const END_CODES: Readonly<Record<EndReason, [ErrorCode, string]>> = {
  "session-taken-over": ["taken-over", "another connection has this clientId now"],
  "keep-alive-timeout": ["timeout", "nothing came for too long"],
  "server-shutting-down": ["shutting-down", "the broker is shutting down"],
  "quota-exceeded": ["limit-exceeded", "more waits than what is kept"],
  "receive-maximum-exceeded": ["limit-exceeded", "more than what may be under way"],
  "administrative-action": ["kicked", "an operator ended the connection"],
  "store-failed": ["store-failed", "the store has failed: what is not answered may be done or not"],
};
