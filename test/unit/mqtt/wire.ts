/** Bytes written for people, and packets in a form that can be compared. */
import { Decoder, type DecoderOptions } from "../../../src/mqtt/decoder.ts";
import type {
  OutgoingPacket,
  Packet,
  ProtocolVersion,
  PublishPacket,
  Role,
} from "../../../src/mqtt/packet.ts";
import { decodeUtf8 } from "../../../src/mqtt/utf8.ts";

/** Hexadecimal digits, with spaces where they help; text in quotes stands for its UTF-8 bytes. */
export function wire(notation: string): Buffer {
  const parts: Buffer[] = [];
  for (const [, text, hex] of notation.matchAll(/'([^']*)'|([0-9a-f]+)/g)) {
    parts.push(text === undefined ? Buffer.from(hex ?? "", "hex") : Buffer.from(text));
  }
  return Buffer.concat(parts);
}

const isPublish = (packet: object): packet is PublishPacket => "frameStart" in packet;

/** A copy of the packet for comparison: bytes as text, no undefined fields, no empty properties. */
export function snapshot(packet: Packet | OutgoingPacket): unknown {
  if (!isPublish(packet)) return plain(packet);
  const { type, dup, qos, retain, packetId, bytes, properties } = packet;
  return plain({
    type,
    dup,
    qos,
    retain,
    packetId,
    topic: decodeUtf8(bytes, packet.topicStart, packet.topicEnd),
    payload: bytes.subarray(packet.payloadStart, packet.payloadEnd),
    properties,
  });
}

function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return `bytes ${Buffer.from(value).toString("hex")}`;
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  const result: Record<string, unknown> = {};
  for (const [name, field] of Object.entries(value)) {
    if (field === undefined) continue;
    if (name === "properties" && Object.values(field).every((each) => each === undefined)) continue;
    result[name] = plain(field);
  }
  return result;
}

/** A decoder with room for everything in these tests, set to a version. */
export function decoderFor(
  role: Role,
  version: ProtocolVersion,
  options: Partial<DecoderOptions> = {},
): Decoder {
  const decoder = new Decoder({ packetBytesMax: 1_000_000, ...options, role });
  decoder.protocolVersion = version;
  return decoder;
}

/** Feeds the chunks one after the other and returns snapshots of all packets. */
export function decodeAll(decoder: Decoder, ...chunks: readonly Uint8Array[]): unknown[] {
  const packets: unknown[] = [];
  for (const chunk of chunks) {
    decoder.feed(chunk);
    for (let packet = decoder.next(); packet !== undefined; packet = decoder.next()) {
      packets.push(snapshot(packet));
    }
  }
  return packets;
}
