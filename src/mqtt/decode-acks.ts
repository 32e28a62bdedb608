/** PUBACK, PUBREC, PUBREL, PUBCOMP, DISCONNECT and AUTH [MQTT 5.0 sections 3.4 to 3.7, 3.14, 3.15]. */
import type { ByteReader } from "../lib/byte-reader.ts";
import { type DecodeContext, malformed, protocolError, readPacketId } from "./decode-fields.ts";
import { readProperties } from "./decode-properties.ts";
import {
  type AckType,
  type AuthPacket,
  type DisconnectPacket,
  type Packet,
  PacketType,
  ProtocolVersion,
  type Role,
} from "./packet.ts";
import { isReasonCodeOf, ReasonCode } from "./reason-code.ts";

const opposite = (role: Role): Role => (role === "server" ? "client" : "server");

/**
 * The body of PUBACK, PUBREC, PUBREL or PUBCOMP with a reason code, in version 5; the decoder reads bodies of two
 * bytes itself. @throws ProtocolError
 */
export function decodeAck(type: AckType, reader: ByteReader, context: DecodeContext): Packet {
  const packetId = readPacketId(reader);
  const reasonCode = reader.readByte();
  checkReasonCode(type, reasonCode, context);
  // Without Property Length there are no properties [MQTT 5.0 section 3.4.2.2.1].
  const properties = reader.remaining > 0 ? readProperties(reader, type, context) : undefined;
  return { type, packetId, reasonCode, properties };
}

/** The body of DISCONNECT [MQTT 5.0 section 3.14]. @throws ProtocolError */
export function decodeDisconnect(reader: ByteReader, context: DecodeContext): DisconnectPacket {
  const { type, reasonCode, properties } = readReasonAndProperties(
    PacketType.disconnect,
    reader,
    context,
  );
  return { type, reasonCode, properties };
}

/** The body of AUTH [MQTT 5.0 section 3.15]. @throws ProtocolError */
export function decodeAuth(reader: ByteReader, context: DecodeContext): AuthPacket {
  const isEmpty = reader.remaining === 0;
  const packet = readReasonAndProperties(PacketType.auth, reader, context);
  // [MQTT 5.0 section 3.15.2.2.2]; the empty form means success without properties [section 3.15.2.1].
  if (!isEmpty && packet.properties?.authenticationMethod === undefined) {
    throw protocolError("AUTH without authentication method");
  }
  return packet;
}

/** Both may leave the reason code out for 0x00, and the properties [MQTT 5.0 sections 3.14.2.1, 3.14.2.2.1, 3.15.2.1]. */
function readReasonAndProperties<Type extends DisconnectPacket["type"] | AuthPacket["type"]>(
  type: Type,
  reader: ByteReader,
  context: DecodeContext,
): { type: Type; reasonCode: number; properties: DisconnectPacket["properties"] } {
  if (context.protocolVersion !== ProtocolVersion.v5 && reader.remaining > 0) {
    throw malformed("DISCONNECT is not empty"); // [3.1.1 section 3.14.1]
  }
  const reasonCode = reader.remaining > 0 ? reader.readByte() : ReasonCode.success;
  checkReasonCode(type, reasonCode, context);
  const properties = reader.remaining > 0 ? readProperties(reader, type, context) : undefined;
  return { type, reasonCode, properties };
}

/** [MQTT-3.4.2-1, 3.5.2-1, 3.6.2-1, 3.7.2-1, 3.14.2-1, 3.15.2-1] */
function checkReasonCode(type: PacketType, reasonCode: number, context: DecodeContext): void {
  if (isReasonCodeOf(type, reasonCode, opposite(context.role))) return;
  throw protocolError(`reason code ${reasonCode} in the wrong packet`);
}
