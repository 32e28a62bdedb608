import type { EndReason } from "../broker/subscriber.ts";
import { type OutgoingPacket, PacketType, ProtocolVersion } from "./packet.ts";
import { ReasonCode } from "./reason-code.ts";

/** The reason code of DISCONNECT for each reason why the broker ends a connection [MQTT-3.14.2-1]. */
export const END_REASON_CODES: Readonly<Record<EndReason, number>> = {
  "session-taken-over": ReasonCode.sessionTakenOver,
  "keep-alive-timeout": ReasonCode.keepAliveTimeout,
  "server-shutting-down": ReasonCode.serverShuttingDown,
  "quota-exceeded": ReasonCode.quotaExceeded,
  "receive-maximum-exceeded": ReasonCode.receiveMaximumExceeded,
  "administrative-action": ReasonCode.administrativeAction,
  "store-failed": ReasonCode.implementationSpecificError,
};

/**
 * The packet that says why before the broker closes a connection, accepted or not [MQTT-4.13.1-1]; undefined: the version has
 * none for it, or what came was no CONNECT that could be understood.
 */
export function farewellOf(
  state: "awaitingConnect" | "authenticating" | "exchanging" | "connected",
  version: ProtocolVersion,
  reasonCode: number,
  reasonString?: string,
): OutgoingPacket | undefined {
  const properties = reasonString === undefined ? {} : { reasonString };
  if (state === "connected") {
    if (version !== ProtocolVersion.v5) return undefined;
    // A second CONNECT of another version is a second CONNECT [MQTT-3.1.0-2]; DISCONNECT has no 0x84 [MQTT-3.14.2-1].
    const isOfConnack = reasonCode === ReasonCode.unsupportedProtocolVersion;
    const code = isOfConnack ? ReasonCode.protocolError : reasonCode;
    return { type: PacketType.disconnect, reasonCode: code, properties };
  }
  const isBroken =
    reasonCode === ReasonCode.malformedPacket || reasonCode === ReasonCode.protocolError;
  if (isBroken && state === "awaitingConnect") return undefined;
  // In a refusal Session Present is 0 [MQTT-3.2.2-6].
  return { type: PacketType.connack, sessionPresent: false, reasonCode, properties };
}
