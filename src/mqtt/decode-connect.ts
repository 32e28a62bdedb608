/** CONNECT and CONNACK [MQTT 5.0 sections 3.1 and 3.2]. */
import type { QoS } from "../broker/message.ts";
import type { ByteReader } from "../lib/byte-reader.ts";
import {
  type DecodeContext,
  malformed,
  protocolError,
  readBinary,
  readString,
} from "./decode-fields.ts";
import { readProperties } from "./decode-properties.ts";
import {
  type ConnackPacket,
  type ConnectPacket,
  PacketType,
  ProtocolVersion,
  type WillPacketPart,
} from "./packet.ts";
import { WILL } from "./properties.ts";
import { ProtocolError } from "./protocol-error.ts";
import { connackReasonCode, isReasonCodeOf, ReasonCode } from "./reason-code.ts";

/**
 * Connect flags [MQTT 5.0 section 3.1.2.3]:
 *
 *     bit   7         6         5            4 3       2      1            0
 *           username  password  will retain  will QoS  will   clean start  reserved
 */
const Flag = {
  reserved: 0x01,
  cleanStart: 0x02,
  will: 0x04,
  willRetain: 0x20,
  password: 0x40,
  username: 0x80,
};

/**
 * The body of CONNECT [MQTT 5.0 section 3.1]. Sets the context's protocol version as soon as it is known, so that
 * what is wrong behind it is answered in that version.
 * @throws ProtocolError 0x84 for a protocol name or level that is none of the three [MQTT-3.1.2-1, 3.1.2-2].
 */
export function decodeConnect(reader: ByteReader, context: DecodeContext): ConnectPacket {
  const protocolVersion = readProtocolVersion(reader);
  context.protocolVersion = protocolVersion;
  const flags = reader.readByte();
  checkFlags(flags, protocolVersion);
  const keepAliveSeconds = reader.readUint16();
  const isV5 = protocolVersion === ProtocolVersion.v5;
  const properties = isV5 ? readProperties(reader, PacketType.connect, context) : undefined;
  // The fields of the payload, in this order [MQTT-3.1.3-1].
  const clientId = readString(reader);
  const will = (flags & Flag.will) !== 0 ? readWill(reader, flags, isV5, context) : undefined;
  // 3.1 lets the end of the packet overrule the two flags.
  const hasRest = protocolVersion !== ProtocolVersion.v31 || reader.remaining > 0;
  const username = (flags & Flag.username) !== 0 && hasRest ? readString(reader) : undefined;
  const hasPassword = protocolVersion !== ProtocolVersion.v31 || reader.remaining > 0;
  const password = (flags & Flag.password) !== 0 && hasPassword ? readBinary(reader) : undefined;
  return {
    type: PacketType.connect,
    protocolVersion,
    cleanStart: (flags & Flag.cleanStart) !== 0,
    keepAliveSeconds,
    clientId,
    will,
    username,
    password,
    properties: properties ?? {},
  };
}

function readProtocolVersion(reader: ByteReader): ProtocolVersion {
  const name = readString(reader);
  const level = reader.readByte();
  if (name === "MQTT") {
    if (level === ProtocolVersion.v5) return ProtocolVersion.v5;
    if (level === ProtocolVersion.v311) return ProtocolVersion.v311;
  } else if (name === "MQIsdp" && level === ProtocolVersion.v31) {
    return ProtocolVersion.v31;
  }
  // [MQTT-3.1.2-1, 3.1.2-2]
  throw new ProtocolError(
    ReasonCode.unsupportedProtocolVersion,
    `unsupported protocol level ${level}`,
    level,
  );
}

function checkFlags(flags: number, version: ProtocolVersion): void {
  // [MQTT-3.1.2-3]; 3.1 does not use the bit.
  if ((flags & Flag.reserved) !== 0 && version !== ProtocolVersion.v31) {
    throw malformed("reserved connect flag is set");
  }
  const willQos = (flags >>> 3) & 3;
  if ((flags & Flag.will) === 0) {
    // [MQTT-3.1.2-11, 3.1.2-13; 3.1.1: MQTT-3.1.2-13, 3.1.2-15]
    if (willQos !== 0) throw malformed("will QoS without will");
    if ((flags & Flag.willRetain) !== 0) throw malformed("will retain without will");
  }
  if (willQos === 3) throw malformed("will QoS is 3"); // [MQTT-3.1.2-12; 3.1.1: MQTT-3.1.2-14]
  const hasLonePassword = (flags & (Flag.username | Flag.password)) === Flag.password;
  // [3.1.1: MQTT-3.1.2-22]; version 5 allows it.
  if (hasLonePassword && version !== ProtocolVersion.v5)
    throw malformed("password without username");
}

/** [MQTT-3.1.2-9] */
function readWill(
  reader: ByteReader,
  flags: number,
  isV5: boolean,
  context: DecodeContext,
): WillPacketPart {
  const properties = isV5 ? readProperties(reader, WILL, context) : undefined;
  return {
    topic: readString(reader),
    payload: readBinary(reader),
    qos: ((flags >>> 3) & 3) as QoS,
    retain: (flags & Flag.willRetain) !== 0,
    properties: properties ?? {},
  };
}

/** The body of CONNACK [MQTT 5.0 section 3.2]; return codes of 3.x become reason codes. @throws ProtocolError */
export function decodeConnack(reader: ByteReader, context: DecodeContext): ConnackPacket {
  const version = context.protocolVersion;
  // In 3.1 the first byte is reserved and has no meaning.
  const flags = version === ProtocolVersion.v31 ? reader.readByte() & 0 : reader.readByte();
  if (flags > 1) throw malformed("reserved connect acknowledge flags are set"); // [MQTT-3.2.2-1]
  const code = reader.readByte();
  const isV5 = version === ProtocolVersion.v5;
  const reasonCode = isV5 ? code : connackReasonCode(code);
  if (reasonCode === undefined || !isReasonCodeOf(PacketType.connack, reasonCode, "server")) {
    throw protocolError(`CONNACK with code ${code}`); // [MQTT-3.2.2-8]
  }
  // [MQTT-3.2.2-6; 3.1.1: MQTT-3.2.2-4]
  if (flags === 1 && reasonCode !== 0) throw protocolError("session present in a refusal");
  const properties = isV5 ? readProperties(reader, PacketType.connack, context) : undefined;
  return {
    type: PacketType.connack,
    sessionPresent: flags === 1,
    reasonCode,
    properties: properties ?? {},
  };
}
