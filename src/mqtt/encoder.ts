/** Packets in, bytes out. `writePublish` and `writeAck` are the hot path; `encodePacket` takes everything. */
import type { QoS } from "../broker/message.ts";
import type { ByteWriter } from "../lib/byte-writer.ts";
import { writeBody } from "./encode-body.ts";
import { variableIntegerSize, writeVariableInteger } from "./encode-fields.ts";
import { propertiesSize, writeProperties } from "./encode-properties.ts";
import {
  type AckType,
  type OutgoingPacket,
  type OutgoingPublish,
  PacketType,
  ProtocolVersion,
  REMAINING_BYTES_MAX,
} from "./packet.ts";
import type { Properties } from "./properties.ts";
import { ReasonCode } from "./reason-code.ts";

const utf8 = new TextEncoder();
/** Longest fixed header: type and flags, four bytes of Remaining Length. */
const FIXED_HEADER_BYTES_MAX = 5;

/** Remaining Length of a PUBLISH. */
function publishRemaining(
  version: ProtocolVersion,
  topicBytes: number,
  payloadBytes: number,
  qos: QoS,
  propertyBytes: number,
): number {
  const remaining = 2 + topicBytes + (qos === 0 ? 0 : 2) + payloadBytes;
  if (version !== ProtocolVersion.v5) return remaining;
  return remaining + variableIntegerSize(propertyBytes) + propertyBytes;
}

/** Bytes of a PUBLISH's properties without the Property Length in front. */
const publishPropertiesSize = (
  version: ProtocolVersion,
  properties: Properties | undefined,
): number =>
  version !== ProtocolVersion.v5 || properties === undefined
    ? 0
    : propertiesSize(properties, PacketType.publish);

/** The size in bytes of what `writePublish` will write, with its fixed header. `properties` count only in version 5. */
export function publishSize(
  version: ProtocolVersion,
  topicBytes: number,
  payloadBytes: number,
  qos: QoS,
  properties: Properties | undefined,
): number {
  const propertyBytes = publishPropertiesSize(version, properties);
  const remaining = publishRemaining(version, topicBytes, payloadBytes, qos, propertyBytes);
  return 1 + variableIntegerSize(remaining) + remaining;
}

/**
 * Writes a PUBLISH [MQTT 5.0 section 3.3] with payload `payload[payloadStart, payloadEnd)`. Copies what it needs.
 * The caller has made sure that the peer takes a packet of this size (`publishSize`, MQTT-3.1.2-24), that `packetId` is
 * 1..65535 (ignored for QoS 0), and that `dup` is false for QoS 0 [MQTT-3.3.1-2]. `properties` are written in version 5 only.
 * @throws RangeError beyond 268,435,455 bytes.
 */
export function writePublish(
  writer: ByteWriter,
  version: ProtocolVersion,
  qos: QoS,
  dup: boolean,
  retain: boolean,
  packetId: number,
  topicBytes: Uint8Array,
  payload: Uint8Array,
  payloadStart: number,
  payloadEnd: number,
  properties: Properties | undefined,
): void {
  // Hot path: per message and subscriber; allocates nothing without properties and with a short payload.
  const propertyBytes = publishPropertiesSize(version, properties);
  const topicLength = topicBytes.length;
  const payloadBytes = payloadEnd - payloadStart;
  const remaining = publishRemaining(version, topicLength, payloadBytes, qos, propertyBytes);
  writer.reserve(FIXED_HEADER_BYTES_MAX + remaining);
  writer.bytes[writer.end++] = 0x30 | (dup ? 0x08 : 0) | (qos << 1) | (retain ? 0x01 : 0);
  writeVariableInteger(writer, remaining);
  const { bytes } = writer;
  bytes[writer.end++] = topicLength >>> 8;
  bytes[writer.end++] = topicLength;
  writer.writeBytes(topicBytes);
  if (qos !== 0) {
    bytes[writer.end++] = packetId >>> 8;
    bytes[writer.end++] = packetId;
  }
  if (version === ProtocolVersion.v5) {
    if (propertyBytes === 0) bytes[writer.end++] = 0;
    else writeProperties(writer, properties, PacketType.publish, propertyBytes);
  }
  writer.writeBytes(payload, payloadStart, payloadEnd);
}

/**
 * Writes PUBACK, PUBREC, PUBREL or PUBCOMP without properties: four bytes, or five in version 5 with a reason code other than
 * 0x00 [MQTT 5.0 section 3.4.2.1]. 3.x cannot say the reason code: there it is dropped.
 */
export function writeAck(
  writer: ByteWriter,
  type: AckType,
  packetId: number,
  reasonCode: number,
  version: ProtocolVersion,
): void {
  // Hot path: per acknowledgement; allocates nothing.
  const hasReason = reasonCode !== ReasonCode.success && version === ProtocolVersion.v5;
  writer.reserve(5);
  const { bytes } = writer;
  let end = writer.end;
  bytes[end++] = firstByte(type);
  bytes[end++] = hasReason ? 3 : 2;
  bytes[end++] = packetId >>> 8;
  bytes[end++] = packetId;
  if (hasReason) bytes[end++] = reasonCode;
  writer.end = end;
}

/** Type and flags of every packet but PUBLISH [MQTT-2.1.3-1, 3.6.1-1, 3.8.1-1, 3.10.1-1]. */
function firstByte(type: PacketType): number {
  const isFlagged =
    type === PacketType.pubrel || type === PacketType.subscribe || type === PacketType.unsubscribe;
  return (type << 4) | (isFlagged ? 0x02 : 0);
}

/**
 * Writes any packet. Fields that the version lacks are left out; a CONNACK reason code becomes a return code in 3.x
 * (`connackReturnCode`), a SUBACK failure 0x80. Where the packet would exceed `packetBytesMax`, the peer's Maximum Packet
 * Size in bytes, user properties and then the reason string of answers are dropped [MQTT-3.2.2-19, 3.2.2-20, 3.4.2-2,
 * 3.4.2-3, 3.14.2-3, 3.14.2-4].
 * @returns false when it does not fit even so: nothing is written [MQTT-3.1.2-24, 3.1.2-25].
 * @throws RangeError for what cannot be encoded: strings beyond 65,535 bytes, AUTH or a lone password in 3.x.
 */
export function encodePacket(
  writer: ByteWriter,
  packet: OutgoingPacket,
  version: ProtocolVersion,
  packetBytesMax: number = REMAINING_BYTES_MAX + FIXED_HEADER_BYTES_MAX,
): boolean {
  if (packet.type === PacketType.publish) {
    return encodePublish(writer, packet, version, packetBytesMax);
  }
  if (writePacket(writer, packet, version, packetBytesMax)) return true;
  if (!isAnswer(packet) || packet.properties === undefined) return false;
  const shorter = { ...packet.properties, userProperties: undefined };
  if (writePacket(writer, { ...packet, properties: shorter }, version, packetBytesMax)) return true;
  const shortest = { ...shorter, reasonString: undefined };
  return writePacket(writer, { ...packet, properties: shortest }, version, packetBytesMax);
}

function encodePublish(
  writer: ByteWriter,
  packet: OutgoingPublish,
  version: ProtocolVersion,
  packetBytesMax: number,
): boolean {
  const { qos, dup, retain, packetId, payload, properties } = packet;
  const topicBytes = utf8.encode(packet.topic);
  const size = publishSize(version, topicBytes.length, payload.length, qos, properties);
  if (size > packetBytesMax) return false;
  writePublish(
    writer,
    version,
    qos,
    dup,
    retain,
    packetId,
    topicBytes,
    payload,
    0,
    payload.length,
    properties,
  );
  return true;
}

type PlainPacket = Exclude<OutgoingPacket, OutgoingPublish>;
/** Packets whose reason string and user properties are a courtesy. */
type Answer = Extract<PlainPacket, { reasonCode: number } | { reasonCodes: readonly number[] }>;

const isAnswer = (packet: PlainPacket): packet is Answer =>
  "reasonCode" in packet || "reasonCodes" in packet;

/** False: larger than `packetBytesMax`, nothing written. */
function writePacket(
  writer: ByteWriter,
  packet: PlainPacket,
  version: ProtocolVersion,
  packetBytesMax: number,
): boolean {
  const start = writer.end;
  // The body goes behind room for the longest fixed header and moves up to the real one.
  writer.reserve(FIXED_HEADER_BYTES_MAX);
  const bodyStart = start + FIXED_HEADER_BYTES_MAX;
  writer.end = bodyStart;
  try {
    writeBody(writer, packet, version);
  } catch (error) {
    writer.end = start;
    throw error;
  }
  const bodyEnd = writer.end;
  const remaining = bodyEnd - bodyStart;
  writer.end = start;
  if (1 + variableIntegerSize(remaining) + remaining > packetBytesMax) return false;
  writer.writeByte(firstByte(packet.type));
  writeVariableInteger(writer, remaining);
  writer.bytes.copyWithin(writer.end, bodyStart, bodyEnd);
  writer.end += remaining;
  return true;
}
