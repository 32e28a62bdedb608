/** What is said beside a reason code, for people who read logs [MQTT 5.0 section 3.4.2.2.2]; only in version 5. */
import { type OutgoingPacket, PacketType } from "./packet.ts";
import { ReasonCode } from "./reason-code.ts";

const R = ReasonCode;

/** Of answers to a message or a subscription. */
const ANSWERS = new Map<number, string>([
  [R.notAuthorized, "the rules do not allow this"],
  [R.topicNameInvalid, "clients cannot publish to this topic"],
  [R.topicFilterInvalid, "not a topic filter"],
  [R.quotaExceeded, "there is no room: a limit is reached"],
  [R.payloadFormatInvalid, "the payload is not UTF-8, as its format says"],
  [R.packetIdentifierNotFound, "nothing is known of this packet identifier"],
]);

/** Of CONNACK and DISCONNECT. */
const ENDINGS = new Map<number, string>([
  [R.clientIdentifierNotValid, "the client identifier is too long, or missing where one is needed"],
  [R.badUserNameOrPassword, "wrong user name or password"],
  [R.notAuthorized, "this user may not do that, or a user name is needed"],
  [R.serverBusy, "too many at a time: try again later"],
  [R.serverShuttingDown, "the broker stops"],
  [R.badAuthenticationMethod, "there is no such authentication method"],
  [R.keepAliveTimeout, "nothing came for one and a half times the keep alive"],
  [R.sessionTakenOver, "another connection uses this client identifier"],
  [R.topicNameInvalid, "clients cannot publish to this topic"],
  [R.packetTooLarge, "a packet is larger than the other side takes"],
  [R.quotaExceeded, "a limit is reached"],
  [R.administrativeAction, "ended by the operator"],
  [R.payloadFormatInvalid, "the payload is not UTF-8, as its format says"],
  [R.retainNotSupported, "there are no retained messages here"],
  [R.qosNotSupported, "the quality of service is above the maximum of CONNACK"],
]);

/** Why an answer says no; undefined: it does not, or there is nothing to add. */
function whyNot(packet: OutgoingPacket): string | undefined {
  if ("reasonCodes" in packet) {
    const refused = packet.reasonCodes.find((code) => code >= R.unspecifiedError);
    return refused === undefined ? undefined : ANSWERS.get(refused);
  }
  if (!("reasonCode" in packet)) return undefined;
  const isEnding = packet.type === PacketType.connack || packet.type === PacketType.disconnect;
  return (isEnding ? ENDINGS : ANSWERS).get(packet.reasonCode);
}

/**
 * The packet with a reason string, where it is a refusal and has none. Without `wantsProblemInformation` only CONNACK and DISCONNECT may
 * have one [MQTT-3.1.2-29].
 */
export function withReasonString(
  packet: OutgoingPacket,
  wantsProblemInformation: boolean,
): OutgoingPacket {
  const { type } = packet;
  if (type === PacketType.publish || packet.type === PacketType.auth) return packet;
  const isAllowed =
    wantsProblemInformation || type === PacketType.connack || type === PacketType.disconnect;
  if (!isAllowed || !("reasonCode" in packet || "reasonCodes" in packet)) return packet;
  const reasonString = whyNot(packet);
  if (reasonString === undefined || packet.properties?.reasonString !== undefined) return packet;
  return { ...packet, properties: { ...packet.properties, reasonString } };
}
