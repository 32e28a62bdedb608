/** The first byte of a packet: control packet type and flags [MQTT 5.0 sections 2.1.2 and 2.1.3]. */
import { malformed, protocolError } from "./decode-fields.ts";
import { PacketType, ProtocolVersion, type Role } from "./packet.ts";

const bit = (...types: PacketType[]): number => types.reduce((mask, type) => mask | (1 << type), 0);

const { connect, connack, publish, subscribe, suback, unsubscribe, unsuback } = PacketType;
const { puback, pubrec, pubrel, pubcomp, pingreq, pingresp, disconnect, auth } = PacketType;

const FROM_BOTH = bit(publish, puback, pubrec, pubrel, pubcomp);
/** What a client may send [MQTT 5.0 section 2.1.2]. */
const FROM_CLIENT = FROM_BOTH | bit(connect, subscribe, unsubscribe, pingreq, disconnect, auth);
/** What a server may send. */
const FROM_SERVER = FROM_BOTH | bit(connack, suback, unsuback, pingresp, disconnect, auth);
/** 3.x has no AUTH, and no DISCONNECT from a server. */
const FROM_SERVER_V3 = FROM_SERVER & ~bit(disconnect, auth);
const FROM_CLIENT_V3 = FROM_CLIENT & ~bit(auth);

/** Packets with flags 0010 [MQTT-3.6.1-1, 3.8.1-1, 3.10.1-1]; 3.1 allows DUP (1010) there. */
const WITH_FLAG_2 = bit(pubrel, subscribe, unsubscribe);

function allowedTypes(role: Role, version: ProtocolVersion): number {
  if (version === ProtocolVersion.v5) return role === "server" ? FROM_CLIENT : FROM_SERVER;
  return role === "server" ? FROM_CLIENT_V3 : FROM_SERVER_V3;
}

/**
 * Checks type and flags, as soon as the first byte is there.
 * @throws ProtocolError 0x81 for reserved types and flags, 0x82 for a packet that the peer may not send.
 */
export function checkFirstByte(first: number, role: Role, version: ProtocolVersion): void {
  const type = first >>> 4;
  const flags = first & 0x0f;
  if (type === PacketType.publish) {
    if ((flags & 0x06) === 0x06) throw malformed("PUBLISH with QoS 3"); // [MQTT-3.3.1-4]
    if ((flags & 0x0e) === 0x08) throw malformed("DUP with QoS 0"); // [MQTT-3.3.1-2]
    return;
  }
  if (type === 0) throw malformed("packet type 0 is reserved"); // [MQTT 5.0 section 2.1.2]
  if ((allowedTypes(role, version) & (1 << type)) === 0) {
    throw protocolError(`packet type ${type} is not for a ${role}`); // [MQTT 5.0 section 2.1.2]
  }
  const expected = (WITH_FLAG_2 & (1 << type)) === 0 ? 0x00 : 0x02;
  const isDupOf31 = version === ProtocolVersion.v31 && expected === 0x02 && flags === 0x0a;
  // [MQTT-2.1.3-1; 3.1.1: MQTT-2.2.2-2]
  if (flags !== expected && !isDupOf31) throw malformed(`reserved flags of packet type ${type}`);
}
