import type { IClientOptions } from "mqtt";

const SESSION_EXPIRY_S = 3_600;
const CONNECT_MS_MAX = 10_000;

/** What every client of a fleet says about itself. */
export interface ClientIdentity {
  readonly clientId: string;
  readonly url: string;
  /** Certificates (PEM) of authorities to trust for `mqtts://` and `wss://`, instead of the system's. */
  readonly ca: string | undefined;
  readonly protocolVersion: 4 | 5;
}

/** Options of MQTT.js for a durable session that outlives connections by an hour (MQTT 3.1.1: for as long as the broker likes). */
export function durableClientOptions(
  { clientId, ca, protocolVersion }: ClientIdentity,
  keepAliveSeconds: number,
  reconnectMs: number,
): IClientOptions {
  return {
    clientId,
    protocolVersion,
    clean: false,
    ...(protocolVersion === 5 ? { properties: { sessionExpiryInterval: SESSION_EXPIRY_S } } : {}),
    ...(ca === undefined ? {} : { ca }),
    reconnectPeriod: reconnectMs,
    reconnectOnConnackError: true,
    connectTimeout: CONNECT_MS_MAX,
    keepalive: keepAliveSeconds,
    resubscribe: false,
    timerVariant: "native",
  };
}

/** Options of a DISCONNECT; with `endsSession` the session of an MQTT 5 client ends as well. */
export const disconnectOptions = (
  protocolVersion: 4 | 5,
  endsSession: boolean,
): { reasonCode?: number; properties?: { sessionExpiryInterval: number } } =>
  protocolVersion === 5 && endsSession
    ? { reasonCode: 0, properties: { sessionExpiryInterval: 0 } }
    : {};
