import type { Authenticator } from "../broker/authenticator.ts";
import type { NativeLimits } from "./frame.ts";
import type { RequestCounts } from "./request-counts.ts";

/** The bounds of one native connection, see the configuration for their defaults; and who says who is at its other end. */
export interface NativeOptions {
  readonly authenticator: Authenticator;
  /** Its listener lets clients in that give no user name. */
  readonly allowsAnonymous: boolean;
  /** Name and version of the broker, and of this edge; told in `welcome`. */
  readonly server: string;
  readonly edgeId: string;
  readonly limits: NativeLimits;
  /** How long a client may take to send `hello`, in milliseconds. */
  readonly helloTimeoutMs: number;
  /** How long a request is held back while the store has no room, before it is refused. */
  readonly holdMaxMs: number;
  /** Longest topic name or filter, in bytes of UTF-8. */
  readonly topicBytesMax: number;
  readonly topicLevelsMax: number;
  /** Most properties of one message, and most bytes of them. */
  readonly propertiesMax: number;
  readonly propertyBytesMax: number;
  /** How fast it may publish, append, send, ask, reply and route, in messages and bytes per second; 0: no limit. */
  readonly publishRateMax: number;
  readonly publishBytesPerSecondMax: number;
  readonly isRetainAvailable: boolean;
  /** Where requests are counted. */
  readonly counts: RequestCounts;
  /** A Client Identifier for a client that names none; never the same twice. */
  readonly assignClientId: () => string;
}
