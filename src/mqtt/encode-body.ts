/** Variable header and payload of the packets off the hot path [MQTT 5.0 section 3]. */
import type { ByteWriter } from "../lib/byte-writer.ts";
import { writeBinary, writeString } from "./encode-fields.ts";
import { writeProperties } from "./encode-properties.ts";
import {
  type AuthPacket,
  type ConnackPacket,
  type ConnectPacket,
  type DisconnectPacket,
  type OutgoingPacket,
  type OutgoingPublish,
  PacketType,
  ProtocolVersion,
  type PubackPacket,
  type PubcompPacket,
  type PubrecPacket,
  type PubrelPacket,
  type SubackPacket,
  type SubscribePacket,
  type UnsubackPacket,
  type UnsubscribePacket,
  type WillPacketPart,
} from "./packet.ts";
import { type Properties, WILL } from "./properties.ts";
import { connackReturnCode, ReasonCode } from "./reason-code.ts";

type Body = Exclude<OutgoingPacket, OutgoingPublish>;

/** Writes all but the fixed header. @throws RangeError for what the version cannot say. */
export function writeBody(writer: ByteWriter, packet: Body, version: ProtocolVersion): void {
  switch (packet.type) {
    case PacketType.connect:
      writeConnect(writer, packet, version);
      break;
    case PacketType.connack:
      writeConnack(writer, packet, version);
      break;
    case PacketType.puback:
    case PacketType.pubrec:
    case PacketType.pubrel:
    case PacketType.pubcomp:
      writeAckBody(writer, packet, version);
      break;
    case PacketType.subscribe:
      writeSubscribe(writer, packet, version);
      break;
    case PacketType.unsubscribe:
      writeUnsubscribe(writer, packet, version);
      break;
    case PacketType.suback:
    case PacketType.unsuback:
      writeSubAck(writer, packet, version);
      break;
    case PacketType.pingreq:
    case PacketType.pingresp:
      break;
    default:
      writeReason(writer, packet, version);
  }
}

function writeConnect(writer: ByteWriter, packet: ConnectPacket, version: ProtocolVersion): void {
  const { will, username, password } = packet;
  const isV5 = version === ProtocolVersion.v5;
  // [3.1.1: MQTT-3.1.2-22]
  if (!isV5 && password !== undefined && username === undefined) {
    throw new RangeError("a password needs a user name in 3.x");
  }
  writeString(writer, version === ProtocolVersion.v31 ? "MQIsdp" : "MQTT");
  writer.writeByte(version);
  let flags = packet.cleanStart ? 0x02 : 0;
  if (will !== undefined) flags |= 0x04 | (will.qos << 3) | (will.retain ? 0x20 : 0);
  if (password !== undefined) flags |= 0x40;
  if (username !== undefined) flags |= 0x80;
  writer.writeByte(flags);
  writer.writeUint16(packet.keepAliveSeconds);
  if (isV5) writeProperties(writer, packet.properties, PacketType.connect);
  // The fields of the payload, in this order [MQTT-3.1.3-1].
  writeString(writer, packet.clientId);
  if (will !== undefined) writeWill(writer, will, isV5);
  if (username !== undefined) writeString(writer, username);
  if (password !== undefined) writeBinary(writer, password);
}

function writeWill(writer: ByteWriter, will: WillPacketPart, isV5: boolean): void {
  if (isV5) writeProperties(writer, will.properties, WILL);
  writeString(writer, will.topic);
  writeBinary(writer, will.payload);
}

function writeConnack(writer: ByteWriter, packet: ConnackPacket, version: ProtocolVersion): void {
  const isV5 = version === ProtocolVersion.v5;
  // The byte is reserved in 3.1.
  writer.writeByte(packet.sessionPresent && version !== ProtocolVersion.v31 ? 1 : 0);
  writer.writeByte(isV5 ? packet.reasonCode : connackReturnCode(packet.reasonCode));
  if (isV5) writeProperties(writer, packet.properties, PacketType.connack);
}

function writeAckBody(
  writer: ByteWriter,
  packet: PubackPacket | PubrecPacket | PubrelPacket | PubcompPacket,
  version: ProtocolVersion,
): void {
  writer.writeUint16(packet.packetId);
  if (version === ProtocolVersion.v5) writeOptionalReason(writer, packet);
}

function writeReason(
  writer: ByteWriter,
  packet: DisconnectPacket | AuthPacket,
  version: ProtocolVersion,
): void {
  if (version === ProtocolVersion.v5) writeOptionalReason(writer, packet);
  else if (packet.type === PacketType.auth) throw new RangeError("AUTH needs version 5");
}

/** Leaves out what may be left out [MQTT 5.0 sections 3.4.2.1, 3.14.2.1, 3.15.2.1]. */
function writeOptionalReason(
  writer: ByteWriter,
  packet: Readonly<{ type: PacketType; reasonCode: number; properties?: Properties | undefined }>,
): void {
  const { reasonCode, properties, type } = packet;
  if (reasonCode === ReasonCode.success && isEmpty(properties)) return;
  writer.writeByte(reasonCode);
  if (!isEmpty(properties)) writeProperties(writer, properties, type);
}

function isEmpty(properties: Properties | undefined): boolean {
  if (properties === undefined) return true;
  for (const value of Object.values(properties)) if (value !== undefined) return false;
  return true;
}

function writeSubscribe(
  writer: ByteWriter,
  packet: SubscribePacket,
  version: ProtocolVersion,
): void {
  const isV5 = version === ProtocolVersion.v5;
  writer.writeUint16(packet.packetId);
  if (isV5) writeProperties(writer, packet.properties, PacketType.subscribe);
  for (const {
    topicFilter,
    qos,
    noLocal,
    retainAsPublished,
    retainHandling,
  } of packet.subscriptions) {
    writeString(writer, topicFilter);
    const options = (noLocal ? 0x04 : 0) | (retainAsPublished ? 0x08 : 0) | (retainHandling << 4);
    // Reserved in 3.x [3.1.1: MQTT-3.8.3-4].
    writer.writeByte(isV5 ? qos | options : qos);
  }
}

function writeUnsubscribe(
  writer: ByteWriter,
  packet: UnsubscribePacket,
  version: ProtocolVersion,
): void {
  writer.writeUint16(packet.packetId);
  if (version === ProtocolVersion.v5)
    writeProperties(writer, packet.properties, PacketType.unsubscribe);
  for (const topicFilter of packet.topicFilters) writeString(writer, topicFilter);
}

function writeSubAck(
  writer: ByteWriter,
  packet: SubackPacket | UnsubackPacket,
  version: ProtocolVersion,
): void {
  const isV5 = version === ProtocolVersion.v5;
  writer.writeUint16(packet.packetId);
  if (isV5) writeProperties(writer, packet.properties, packet.type);
  // UNSUBACK has no payload in 3.x [3.1.1 section 3.11.3].
  else if (packet.type === PacketType.unsuback) return;
  for (const reasonCode of packet.reasonCodes) {
    // 3.x knows one failure [3.1.1: MQTT-3.9.3-2]; 3.1 knows none, 0x80 is still what its clients understand best.
    const isFailure = reasonCode >= ReasonCode.unspecifiedError;
    writer.writeByte(isFailure && !isV5 ? ReasonCode.unspecifiedError : reasonCode);
  }
}
