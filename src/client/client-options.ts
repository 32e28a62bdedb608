import type { Subprotocol } from "../native/frame.ts";
import type { RillError } from "./rill-error.ts";

/** What a client does about its connection. */
export type ClientState =
  | { readonly name: "connecting"; readonly attempt: number }
  | { readonly name: "connected"; readonly clientId: string; readonly server: string }
  | { readonly name: "waiting"; readonly delayMs: number; readonly cause: RillError }
  | { readonly name: "closed"; readonly cause: RillError | undefined };

/** How a client connects and what it keeps; durations in milliseconds. */
export interface ClientOptions {
  readonly user?: string;
  readonly password?: string;
  /** Its name at the broker; two connections of one name take over from each other. Default: the broker draws one. */
  readonly clientId?: string;
  /** Name and version of the program, for people. */
  readonly program?: string;
  /** Default: both, `rill.v1+msgpack` first. */
  readonly subprotocols?: readonly Subprotocol[];
  /** How long `connect` tries. Default 10 s. */
  readonly connectTimeoutMs?: number;
  /** False: the first failure and the first loss of the connection are the end. Default true. */
  readonly reconnects?: boolean;
  /** Pauses between attempts double from the first to the second, each shortened by up to a half by chance. Default 100 ms, 10 s. */
  readonly backoffMinMs?: number;
  readonly backoffMaxMs?: number;
  /** How long a request may take, reconnecting included. Default 30 s. */
  readonly timeoutMs?: number;
  /** Most requests that wait to be sent or answered; more are refused with `busy`. Default 10,000. */
  readonly requestsMax?: number;
  /** Most bytes of payload in them; more are refused with `busy`. Default 64 MiB. */
  readonly requestBytesMax?: number;
  /** Without a frame for so long the server is pinged, after twice as long it is given up. Default 15 s. */
  readonly idleMs?: number;
  /** Ends `connect`; later it has no meaning. */
  readonly signal?: AbortSignal;
  /** Told of every change, and of what it found. Must not throw. */
  readonly onState?: (state: ClientState) => void;
}

/** Options with their defaults. */
export type Settings = Required<
  Omit<ClientOptions, "user" | "password" | "clientId" | "signal" | "onState">
> &
  Pick<ClientOptions, "user" | "password" | "clientId" | "signal" | "onState">;

/** Fills in the defaults. */
export const settingsOf = (options: ClientOptions): Settings => ({
  program: "rillmq/client",
  subprotocols: ["rill.v1+msgpack", "rill.v1+json"],
  connectTimeoutMs: 10_000,
  reconnects: true,
  backoffMinMs: 100,
  backoffMaxMs: 10_000,
  timeoutMs: 30_000,
  requestsMax: 10_000,
  requestBytesMax: 67_108_864,
  idleMs: 15_000,
  ...options,
});

/** What every call takes. */
export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  /** Replaces the client's. */
  readonly timeoutMs?: number | undefined;
}
