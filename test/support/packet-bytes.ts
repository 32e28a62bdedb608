import { ByteWriter } from "../../src/lib/byte-writer.ts";
import { encodePacket } from "../../src/mqtt/encoder.ts";
import {
  type ConnectPacket,
  type OutgoingPacket,
  PacketType,
  type ProtocolVersion,
} from "../../src/mqtt/packet.ts";

/** A packet as it goes over the network. */
export function packetBytes(packet: OutgoingPacket, version: ProtocolVersion): Buffer {
  const writer = new ByteWriter();
  encodePacket(writer, packet, version);
  return Buffer.from(writer.bytes.subarray(0, writer.end));
}

/** CONNECT with a clean session. */
export function connectPacket(clientId: string, protocolVersion: ProtocolVersion): ConnectPacket {
  return {
    type: PacketType.connect,
    protocolVersion,
    cleanStart: true,
    keepAliveSeconds: 0,
    clientId,
    properties: {},
  };
}
