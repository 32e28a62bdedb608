/** Reason codes of version 5, the packets each may stand in, and the return codes of 3.x [MQTT 5.0 section 2.4]. */
import { PacketType, type Role } from "./packet.ts";

/** All reason codes of version 5. Below 0x80 is success. */
export const ReasonCode = {
  success: 0x00,
  normalDisconnection: 0x00,
  grantedQos0: 0x00,
  grantedQos1: 0x01,
  grantedQos2: 0x02,
  disconnectWithWill: 0x04,
  noMatchingSubscribers: 0x10,
  noSubscriptionExisted: 0x11,
  continueAuthentication: 0x18,
  reAuthenticate: 0x19,
  unspecifiedError: 0x80,
  malformedPacket: 0x81,
  protocolError: 0x82,
  implementationSpecificError: 0x83,
  unsupportedProtocolVersion: 0x84,
  clientIdentifierNotValid: 0x85,
  badUserNameOrPassword: 0x86,
  notAuthorized: 0x87,
  serverUnavailable: 0x88,
  serverBusy: 0x89,
  banned: 0x8a,
  serverShuttingDown: 0x8b,
  badAuthenticationMethod: 0x8c,
  keepAliveTimeout: 0x8d,
  sessionTakenOver: 0x8e,
  topicFilterInvalid: 0x8f,
  topicNameInvalid: 0x90,
  packetIdentifierInUse: 0x91,
  packetIdentifierNotFound: 0x92,
  receiveMaximumExceeded: 0x93,
  topicAliasInvalid: 0x94,
  packetTooLarge: 0x95,
  messageRateTooHigh: 0x96,
  quotaExceeded: 0x97,
  administrativeAction: 0x98,
  payloadFormatInvalid: 0x99,
  retainNotSupported: 0x9a,
  qosNotSupported: 0x9b,
  useAnotherServer: 0x9c,
  serverMoved: 0x9d,
  sharedSubscriptionsNotSupported: 0x9e,
  connectionRateExceeded: 0x9f,
  maximumConnectTime: 0xa0,
  subscriptionIdentifiersNotSupported: 0xa1,
  wildcardSubscriptionsNotSupported: 0xa2,
} as const;
export type ReasonCode = (typeof ReasonCode)[keyof typeof ReasonCode];

const R = ReasonCode;

/** PUBACK and PUBREC [MQTT 5.0 sections 3.4.2.1 and 3.5.2.1]. */
const RECEIVED = [
  R.success,
  R.noMatchingSubscribers,
  R.unspecifiedError,
  R.implementationSpecificError,
  R.notAuthorized,
  R.topicNameInvalid,
  R.packetIdentifierInUse,
  R.quotaExceeded,
  R.payloadFormatInvalid,
];

/** PUBREL and PUBCOMP [MQTT 5.0 sections 3.6.2.1 and 3.7.2.1]. */
const RELEASED = [R.success, R.packetIdentifierNotFound];

/** [MQTT 5.0 section 3.2.2.2] */
const CONNACK = [
  R.success,
  R.unspecifiedError,
  R.malformedPacket,
  R.protocolError,
  R.implementationSpecificError,
  R.unsupportedProtocolVersion,
  R.clientIdentifierNotValid,
  R.badUserNameOrPassword,
  R.notAuthorized,
  R.serverUnavailable,
  R.serverBusy,
  R.banned,
  R.badAuthenticationMethod,
  R.topicNameInvalid,
  R.packetTooLarge,
  R.quotaExceeded,
  R.payloadFormatInvalid,
  R.retainNotSupported,
  R.qosNotSupported,
  R.useAnotherServer,
  R.serverMoved,
  R.connectionRateExceeded,
];

/** [MQTT 5.0 section 3.9.3] */
const SUBACK = [
  R.grantedQos0,
  R.grantedQos1,
  R.grantedQos2,
  R.unspecifiedError,
  R.implementationSpecificError,
  R.notAuthorized,
  R.topicFilterInvalid,
  R.packetIdentifierInUse,
  R.quotaExceeded,
  R.sharedSubscriptionsNotSupported,
  R.subscriptionIdentifiersNotSupported,
  R.wildcardSubscriptionsNotSupported,
];

/** [MQTT 5.0 section 3.11.3] */
const UNSUBACK = [
  R.success,
  R.noSubscriptionExisted,
  R.unspecifiedError,
  R.implementationSpecificError,
  R.notAuthorized,
  R.topicFilterInvalid,
  R.packetIdentifierInUse,
];

/** DISCONNECT from either side [MQTT 5.0 section 3.14.2.1]. */
const DISCONNECT = [
  R.normalDisconnection,
  R.unspecifiedError,
  R.malformedPacket,
  R.protocolError,
  R.implementationSpecificError,
  R.topicNameInvalid,
  R.receiveMaximumExceeded,
  R.topicAliasInvalid,
  R.packetTooLarge,
  R.messageRateTooHigh,
  R.quotaExceeded,
  R.administrativeAction,
  R.payloadFormatInvalid,
];

const DISCONNECT_BY_CLIENT = [...DISCONNECT, R.disconnectWithWill];

const DISCONNECT_BY_SERVER = [
  ...DISCONNECT,
  R.notAuthorized,
  R.serverBusy,
  R.serverShuttingDown,
  // In the table of section 2.4 only.
  R.badAuthenticationMethod,
  R.keepAliveTimeout,
  R.sessionTakenOver,
  R.topicFilterInvalid,
  R.retainNotSupported,
  R.qosNotSupported,
  R.useAnotherServer,
  R.serverMoved,
  R.sharedSubscriptionsNotSupported,
  R.connectionRateExceeded,
  R.maximumConnectTime,
  R.subscriptionIdentifiersNotSupported,
  R.wildcardSubscriptionsNotSupported,
];

type Listing = readonly (readonly [PacketType, readonly number[]])[];

const BY_CLIENT: Listing = [
  [PacketType.puback, RECEIVED],
  [PacketType.pubrec, RECEIVED],
  [PacketType.pubrel, RELEASED],
  [PacketType.pubcomp, RELEASED],
  [PacketType.disconnect, DISCONNECT_BY_CLIENT],
  [PacketType.auth, [R.continueAuthentication, R.reAuthenticate]],
];

const BY_SERVER: Listing = [
  [PacketType.connack, CONNACK],
  [PacketType.puback, RECEIVED],
  [PacketType.pubrec, RECEIVED],
  [PacketType.pubrel, RELEASED],
  [PacketType.pubcomp, RELEASED],
  [PacketType.suback, SUBACK],
  [PacketType.unsuback, UNSUBACK],
  [PacketType.disconnect, DISCONNECT_BY_SERVER],
  [PacketType.auth, [R.success, R.continueAuthentication]],
];

/** Per reason code one bit for every packet type it may stand in. */
function maskByCode(listing: Listing): Uint16Array {
  const masks = new Uint16Array(256);
  for (const [type, codes] of listing) {
    for (const code of codes) masks[code] = (masks[code] ?? 0) | (1 << type);
  }
  return masks;
}

const clientMasks = maskByCode(BY_CLIENT);
const serverMasks = maskByCode(BY_SERVER);

/** True when `sender` may put this reason code into a packet of this type [MQTT 5.0 section 2.4]. */
export function isReasonCodeOf(type: PacketType, reasonCode: number, sender: Role): boolean {
  const masks = sender === "client" ? clientMasks : serverMasks;
  return ((masks[reasonCode] ?? 0) & (1 << type)) !== 0;
}

/** Return codes of CONNACK in 3.x [MQTT 3.1.1 section 3.2.2.3]. */
const ReturnCode = {
  accepted: 0,
  unacceptableProtocolVersion: 1,
  identifierRejected: 2,
  serverUnavailable: 3,
  badUserNameOrPassword: 4,
  notAuthorized: 5,
} as const;

const returnCodes = new Map<number, number>([
  [R.success, ReturnCode.accepted],
  [R.unsupportedProtocolVersion, ReturnCode.unacceptableProtocolVersion],
  [R.clientIdentifierNotValid, ReturnCode.identifierRejected],
  [R.badUserNameOrPassword, ReturnCode.badUserNameOrPassword],
  [R.notAuthorized, ReturnCode.notAuthorized],
  [R.banned, ReturnCode.notAuthorized],
  [R.badAuthenticationMethod, ReturnCode.notAuthorized],
]);

/**
 * The 3.x return code that stands for a version 5 reason code of CONNACK:
 *
 *     0x00 success                                   0 accepted
 *     0x84 unsupported protocol version              1 unacceptable protocol version
 *     0x85 client identifier not valid               2 identifier rejected
 *     0x86 bad user name or password                 4 bad user name or password
 *     0x87 not authorized, 0x8A banned,
 *     0x8C bad authentication method                 5 not authorized
 *     everything else                                3 server unavailable
 */
export function connackReturnCode(reasonCode: number): number {
  return returnCodes.get(reasonCode) ?? ReturnCode.serverUnavailable;
}

const reasonCodes: readonly number[] = [
  R.success,
  R.unsupportedProtocolVersion,
  R.clientIdentifierNotValid,
  R.serverUnavailable,
  R.badUserNameOrPassword,
  R.notAuthorized,
];

/** The version 5 reason code that stands for a 3.x return code 0..5; undefined for the reserved ones. */
export function connackReasonCode(returnCode: number): number | undefined {
  return reasonCodes[returnCode];
}
