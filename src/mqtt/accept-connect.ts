/** CONNECT: what is asked for, and what of it is granted [MQTT 5.0 section 3.1]. Pure: reads the packet and the options. */

import type { Principal } from "../broker/authenticator.ts";
import { type Authorizer, resolveFilter } from "../broker/authorization.ts";
import type { Counters } from "../broker/counters.ts";
import { NEVER_MS } from "../broker/session.ts";
import type { Topic, TopicTable } from "../broker/topic.ts";
import { isTopicName, levelCount } from "../broker/topic.ts";
import type { Will } from "../broker/wills.ts";
import type { Instant } from "../lib/clock.ts";
import { CLIENT_ID_BYTES_MAX, type ConnectionOptions } from "./connection-options.ts";
import { variableIntegerSize } from "./encode-fields.ts";
import { propertiesSize } from "./encode-properties.ts";
import { toMessageProperties } from "./message-properties.ts";
import { type ConnectPacket, PacketType, ProtocolVersion, type WillPacketPart } from "./packet.ts";
import type { Properties } from "./properties.ts";
import { ReasonCode } from "./reason-code.ts";
import { isWellFormedUtf8 } from "./utf8.ts";

/** Session expiry interval that means never [MQTT 5.0 section 3.1.2.11.2]. */
const EXPIRY_NEVER_SECONDS = 0xffff_ffff;
/** Receive Maximum when the client names none [MQTT 5.0 section 3.1.2.11.3]. */
const RECEIVE_MAXIMUM_DEFAULT = 65_535;

/** Longest Client Identifier in 3.1, in characters. */
const CLIENT_ID_31_MAX = 23;

/** What the connection works with once CONNECT is accepted. */
export interface Granted {
  readonly clientId: string;
  readonly principal: Principal;
  readonly cleanStart: boolean;
  readonly expiryMs: number;
  /** False: the client asked for a session that ends with the connection; DISCONNECT cannot change that. */
  readonly isExpiryAsked: boolean;
  readonly will: Will | undefined;
  /** 0: none. */
  readonly keepAliveMs: number;
  readonly receiveMaximum: number;
  /** Highest topic alias that may be sent to it; 0: none [MQTT-3.1.2-26, 3.1.2-27]. */
  readonly topicAliasMax: number;
  /** Properties of CONNACK; `{}` in 3.x. */
  readonly connackProperties: Properties;
}

/** What the answer to a CONNECT depends on, beside the packet. */
export interface ConnectContext {
  readonly options: ConnectionOptions;
  readonly topics: TopicTable;
  readonly authorizer: Authorizer;
  readonly counters: Counters;
  readonly now: Instant;
}

/** A reason code of 0x80 or more for what is refused to anybody; 0: it depends on who it is. */
export function refuseConnect(packet: ConnectPacket): number {
  const { protocolVersion } = packet;
  const isV5 = protocolVersion === ProtocolVersion.v5;
  if (Buffer.byteLength(packet.clientId) > CLIENT_ID_BYTES_MAX) {
    return ReasonCode.clientIdentifierNotValid;
  }
  // 3.1 has from 1 to 23 characters [3.1 section 3.1].
  const is31 = protocolVersion === ProtocolVersion.v31;
  if (is31 && (packet.clientId === "" || packet.clientId.length > CLIENT_ID_31_MAX)) {
    return ReasonCode.clientIdentifierNotValid;
  }
  // 3.x: without an identifier there is nothing to find the session by [MQTT-3.1.3-8].
  if (packet.clientId === "" && !isV5 && !packet.cleanStart) {
    return ReasonCode.clientIdentifierNotValid;
  }
  return 0;
}

/** What is granted to this principal, or a reason code of 0x80 or more. `authentication`: what CONNACK says of an exchange. */
export function grantConnect(
  packet: ConnectPacket,
  principal: Principal,
  context: ConnectContext,
  authentication?: Properties,
): Granted | number {
  const { properties, protocolVersion } = packet;
  const { options } = context;
  const isV5 = protocolVersion === ProtocolVersion.v5;
  const clientId = packet.clientId === "" ? options.assignClientId() : packet.clientId;
  const will = willOf(packet, principal, clientId, context);
  if (typeof will === "number") return will;
  const expiryMs = Math.min(askedExpiryMs(packet), options.sessionExpiryMaxMs);
  const keepAliveSeconds = isV5
    ? grantedKeepAlive(packet.keepAliveSeconds, options)
    : packet.keepAliveSeconds;
  const granted: Granted = {
    clientId,
    principal,
    cleanStart: packet.cleanStart,
    expiryMs,
    isExpiryAsked: askedExpiryMs(packet) > 0,
    will,
    keepAliveMs: keepAliveSeconds * 1_000,
    receiveMaximum: properties.receiveMaximum ?? RECEIVE_MAXIMUM_DEFAULT,
    topicAliasMax: Math.min(properties.topicAliasMaximum ?? 0, options.topicAliasOutMax),
    connackProperties: { ...authentication },
  };
  if (isV5) fillConnack(granted, packet, options, keepAliveSeconds);
  return granted;
}

function fillConnack(
  granted: Granted,
  packet: ConnectPacket,
  options: ConnectionOptions,
  keepAliveSeconds: number,
): void {
  const sent = granted.connackProperties;
  if (granted.expiryMs !== askedExpiryMs(packet)) {
    sent.sessionExpirySeconds = Math.floor(granted.expiryMs / 1_000);
  }
  sent.receiveMaximum = options.receiveMaximum;
  sent.maximumPacketBytes = options.packetBytesMax;
  if (packet.clientId === "") sent.assignedClientId = granted.clientId;
  if (options.topicAliasMaximum > 0) sent.topicAliasMaximum = options.topicAliasMaximum;
  if (keepAliveSeconds !== packet.keepAliveSeconds) sent.serverKeepAliveSeconds = keepAliveSeconds;
  // [MQTT-3.2.2-9]
  if (options.maximumQos < 2) sent.maximumQos = options.maximumQos === 0 ? 0 : 1;
  if (!options.isRetainAvailable) sent.isRetainAvailable = false;
  if (packet.properties.requestResponseInformation === true) {
    sent.responseInformation = responseInformationOf(granted, options);
  }
}

/** True when the client takes a CONNACK as large as this one has to be [MQTT-3.1.2-24]. */
export function takesConnack({ connackProperties }: Granted, packet: ConnectPacket): boolean {
  const propertyBytes = propertiesSize(connackProperties, PacketType.connack);
  const remaining = 2 + variableIntegerSize(propertyBytes) + propertyBytes;
  const bytes = 1 + variableIntegerSize(remaining) + remaining;
  return bytes <= (packet.properties.maximumPacketBytes ?? bytes);
}

/** Undefined: there is none, or none for a client of this name. */
function responseInformationOf(
  { principal, clientId }: Granted,
  { responseInformation }: ConnectionOptions,
): string | undefined {
  if (responseInformation === undefined) return undefined;
  return resolveFilter(responseInformation, principal, clientId);
}

/**
 * Within the limits; no keep alive at all (0) is longer than any of them [MQTT-3.2.2-22]. A 3.x client cannot be told another one,
 * and is held to its own.
 */
function grantedKeepAlive(asked: number, options: ConnectionOptions): number {
  const { keepAliveMinSeconds: min, keepAliveMaxSeconds: max } = options;
  if (asked === 0) return max < 65_535 ? max : 0;
  return Math.max(min, Math.min(asked, max));
}

function askedExpiryMs(packet: ConnectPacket): number {
  if (packet.protocolVersion !== ProtocolVersion.v5) return packet.cleanStart ? 0 : NEVER_MS;
  return expiryMsOf(packet.properties.sessionExpirySeconds ?? 0);
}

/** A session expiry interval in milliseconds. */
export const expiryMsOf = (seconds: number): number =>
  seconds === EXPIRY_NEVER_SECONDS ? NEVER_MS : seconds * 1_000;

/** False for names that clients may not publish to: malformed, or the broker's own (`$`). */
export const mayPublishTo = ({ text }: Topic): boolean =>
  isTopicName(text) && !text.startsWith("$");

/** False for topic names and filters that are longer or deeper than what is taken; `bytes` is the length of its UTF-8. */
export const isWithinLimits = (text: string, bytes: number, options: ConnectionOptions): boolean =>
  bytes <= options.topicBytesMax && levelCount(text) <= options.topicLevelsMax;

/** Why there can be no such will; 0: there can. */
function willNotOffered(will: WillPacketPart, options: ConnectionOptions): number {
  // [MQTT-3.2.2-12]
  if (will.qos > options.maximumQos) return ReasonCode.qosNotSupported;
  // [MQTT-3.2.2-13]
  if (will.retain && !options.isRetainAvailable) return ReasonCode.retainNotSupported;
  const { payload, properties } = will;
  const isChecked = options.validatesPayloadFormat && properties.isPayloadUtf8 === true;
  return isChecked && !isWellFormedUtf8(payload, 0, payload.length)
    ? ReasonCode.payloadFormatInvalid
    : 0;
}

function willOf(
  packet: ConnectPacket,
  principal: Principal,
  clientId: string,
  { topics, options, authorizer, counters, now }: ConnectContext,
): Will | undefined | number {
  const { will } = packet;
  if (will === undefined) return undefined;
  const topic = topics.of(will.topic);
  if (!mayPublishTo(topic)) return ReasonCode.topicNameInvalid;
  if (!isWithinLimits(topic.text, topic.bytes.length, options)) {
    counters.limitTopic++;
    return ReasonCode.topicNameInvalid;
  }
  if (!authorizer.mayPublish(principal, clientId, topic.text)) return ReasonCode.notAuthorized;
  const notOffered = willNotOffered(will, options);
  if (notOffered !== 0) return notOffered;
  const expirySeconds = will.properties.messageExpirySeconds;
  return {
    principal,
    message: {
      topic,
      qos: will.qos,
      retain: will.retain,
      bytes: will.payload,
      payloadStart: 0,
      payloadEnd: will.payload.length,
      properties: toMessageProperties(will.properties),
      publisherId: clientId,
      receivedAt: now,
      expiresAt: undefined,
    },
    delayMs: (will.properties.willDelaySeconds ?? 0) * 1_000,
    messageExpiryMs: expirySeconds === undefined ? undefined : expirySeconds * 1_000,
  };
}
