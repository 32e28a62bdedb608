/** Data types of MQTT read from a ByteReader, and what the decode functions know of their decoder. */
import type { ByteReader } from "../lib/byte-reader.ts";
import type { ProtocolVersion, Role } from "./packet.ts";
import { ProtocolError } from "./protocol-error.ts";
import { ReasonCode } from "./reason-code.ts";
import { decodeUtf8 } from "./utf8.ts";

/** What decoding depends on; the Decoder itself. */
export interface DecodeContext {
  /** Which side decodes. */
  readonly role: Role;
  /** Set by CONNECT as soon as it is known. */
  protocolVersion: ProtocolVersion;
  /** Most user properties in one packet or will. */
  readonly userPropertiesMax: number;
  /** Most bytes of encoded user properties in one packet or will. */
  readonly userPropertiesBytesMax: number;
}

/** A ProtocolError with reason code 0x81: the bytes do not follow the format [MQTT 5.0 section 4.13]. */
export const malformed = (message: string): ProtocolError =>
  new ProtocolError(ReasonCode.malformedPacket, message);

/** A ProtocolError with reason code 0x82: well-formed, but not allowed [MQTT 5.0 section 4.13]. */
export const protocolError = (message: string): ProtocolError =>
  new ProtocolError(ReasonCode.protocolError, message);

/** A UTF-8 encoded string [MQTT 5.0 section 1.5.4]. */
export function readString(reader: ByteReader): string {
  const length = reader.readUint16();
  const start = reader.skip(length);
  return decodeUtf8(reader.bytes, start, start + length);
}

/** Binary data, as a copy [MQTT 5.0 section 1.5.6]. */
export function readBinary(reader: ByteReader): Uint8Array {
  return reader.readBytes(reader.readUint16());
}

/** A variable byte integer [MQTT 5.0 section 1.5.5]. */
export function readVariableInteger(reader: ByteReader): number {
  let value = 0;
  for (let shift = 0; shift <= 21; shift += 7) {
    const byte = reader.readByte();
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) {
      // As few bytes as possible [MQTT-1.5.5-1].
      if (byte === 0 && shift > 0) throw malformed("variable byte integer is longer than needed");
      return value;
    }
  }
  throw malformed("variable byte integer has more than four bytes"); // [MQTT 5.0 section 1.5.5]
}

/** A packet identifier, 1..65535. */
export function readPacketId(reader: ByteReader): number {
  const packetId = reader.readUint16();
  if (packetId === 0) throw packetIdZero(); // [MQTT-2.2.1-3, 2.2.1-4; 3.1.1: MQTT-2.3.1-1]
  return packetId;
}

/** The error for a packet identifier of 0 [MQTT-2.2.1-3, 2.2.1-4; 3.1.1: MQTT-2.3.1-1]. */
export const packetIdZero = (): ProtocolError => protocolError("packet identifier is 0");
