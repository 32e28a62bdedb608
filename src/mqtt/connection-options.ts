import type { Authenticator } from "../broker/authenticator.ts";
import type { EnhancedAuthenticator } from "../broker/enhanced-authenticator.ts";
import type { QoS } from "../broker/message.ts";

/** The bounds of one connection, see the configuration for their defaults; and who says who is at its other end. */
export interface ConnectionOptions {
  readonly authenticator: Authenticator;
  /** For clients that name an authentication method. */
  readonly enhancedAuthenticator: EnhancedAuthenticator;
  /** Its listener lets clients in that give no user name. */
  readonly allowsAnonymous: boolean;
  /** Largest packet taken, in bytes. */
  readonly packetBytesMax: number;
  /** Largest packet taken before CONNECT was accepted, in bytes. */
  readonly connectPacketBytesMax: number;
  readonly connectTimeoutMs: number;
  /** Shortest keep alive granted to an MQTT 5 client, in seconds; 0: any. */
  readonly keepAliveMinSeconds: number;
  /** Longest keep alive granted to an MQTT 5 client, in seconds. */
  readonly keepAliveMaxSeconds: number;
  /** QoS 1 and 2 messages of the client that may wait for their acknowledgement, 1..65535. */
  readonly receiveMaximum: number;
  /** Topic aliases the client may use; 0: none. */
  readonly topicAliasMaximum: number;
  /** Most topic aliases that are given out to a client that takes them; 0: none. */
  readonly topicAliasOutMax: number;
  /** Longest session expiry granted, in milliseconds; Infinity: no limit. */
  readonly sessionExpiryMaxMs: number;
  /** Longest topic name or filter, in bytes of UTF-8. */
  readonly topicBytesMax: number;
  readonly topicLevelsMax: number;
  /** Most user properties in one packet or will, and most bytes of them. */
  readonly userPropertiesMax: number;
  readonly userPropertyBytesMax: number;
  /** Most messages, and most bytes of PUBLISH packets, per second that are taken from the client; 0: any. */
  readonly publishRateMax: number;
  readonly publishBytesPerSecondMax: number;
  /** Highest QoS that is taken and granted. */
  readonly maximumQos: QoS;
  readonly isRetainAvailable: boolean;
  /** Whether clients may use the topics of queues and streams where there are no rules. */
  readonly allowsPatternTopics: boolean;
  /** Payloads that say that they are UTF-8 are looked at. */
  readonly validatesPayloadFormat: boolean;
  /** Response Information with `%u` and `%c` in it; undefined: none [MQTT 5.0 section 3.2.2.3.15]. */
  readonly responseInformation: string | undefined;
  /** How long a publisher is held back before its connection is closed. */
  readonly holdMaxMs: number;
  /** A Client Identifier for a client that has none; never the same twice. */
  readonly assignClientId: () => string;
}

/** Longest Client Identifier taken, in bytes of UTF-8: it is part of a key in the store. */
export const CLIENT_ID_BYTES_MAX = 1_024;
