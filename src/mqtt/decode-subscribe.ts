/** SUBSCRIBE, SUBACK, UNSUBSCRIBE and UNSUBACK [MQTT 5.0 sections 3.8 to 3.11]. */
import type { QoS } from "../broker/message.ts";
import { isShared } from "../broker/shared-filter.ts";
import type { ByteReader } from "../lib/byte-reader.ts";
import {
  type DecodeContext,
  malformed,
  protocolError,
  readPacketId,
  readString,
} from "./decode-fields.ts";
import { readProperties } from "./decode-properties.ts";
import {
  PacketType,
  ProtocolVersion,
  type SubackPacket,
  type SubscribeEntry,
  type SubscribePacket,
  type UnsubackPacket,
  type UnsubscribePacket,
} from "./packet.ts";
import { ProtocolError } from "./protocol-error.ts";
import { isReasonCodeOf, ReasonCode } from "./reason-code.ts";

/** Most topic filters in one SUBSCRIBE or UNSUBSCRIBE: three bytes of packet must not become a hundred of memory without end. */
const TOPIC_FILTERS_MAX = 16_384;

/** The body of SUBSCRIBE [MQTT 5.0 section 3.8]. @throws ProtocolError; 0x97 for more than TOPIC_FILTERS_MAX filters. */
export function decodeSubscribe(reader: ByteReader, context: DecodeContext): SubscribePacket {
  const { protocolVersion } = context;
  const packetId = readPacketId(reader);
  const properties =
    protocolVersion === ProtocolVersion.v5
      ? readProperties(reader, PacketType.subscribe, context)
      : undefined;
  // [MQTT-3.8.3-2; 3.1.1: MQTT-3.8.3-3]
  if (reader.remaining === 0) throw protocolError("SUBSCRIBE without topic filter");
  const subscriptions: SubscribeEntry[] = [];
  while (reader.remaining > 0) {
    checkCount(subscriptions.length);
    subscriptions.push(readEntry(reader, protocolVersion));
  }
  return { type: PacketType.subscribe, packetId, subscriptions, properties };
}

/**
 * Subscription options [MQTT 5.0 section 3.8.3.1]:
 *
 *     bit   7 6       5 4              3                    2         1 0
 *           reserved  retain handling  retain as published  no local  maximum QoS
 *
 * In 3.1.1 only the QoS is not reserved, in 3.1 the rest is not used.
 */
function readEntry(reader: ByteReader, version: ProtocolVersion): SubscribeEntry {
  const topicFilter = readString(reader);
  let options = reader.readByte();
  if (version === ProtocolVersion.v31) options &= 0x03;
  const reserved = version === ProtocolVersion.v5 ? 0xc0 : 0xfc;
  // [MQTT-3.8.3-5; 3.1.1: MQTT-3.8.3-4]
  if ((options & reserved) !== 0) throw malformed("reserved subscription options are set");
  const qos = options & 0x03;
  if (qos === 3) throw protocolError("subscription with QoS 3"); // [MQTT 5.0 section 3.8.3.1; 3.1.1: MQTT-3.8.3-4]
  const retainHandling = (options >>> 4) & 0x03;
  if (retainHandling === 3) throw protocolError("retain handling is 3"); // [MQTT 5.0 section 3.8.3.1]
  const noLocal = (options & 0x04) !== 0;
  // [MQTT-3.8.3-4]
  if (noLocal && isShared(topicFilter)) {
    throw protocolError("no local on a shared subscription");
  }
  return {
    topicFilter,
    qos: qos as QoS,
    noLocal,
    retainAsPublished: (options & 0x08) !== 0,
    retainHandling: retainHandling as 0 | 1 | 2,
  };
}

/** The body of UNSUBSCRIBE [MQTT 5.0 section 3.10]. @throws ProtocolError; 0x97 for more than TOPIC_FILTERS_MAX filters. */
export function decodeUnsubscribe(reader: ByteReader, context: DecodeContext): UnsubscribePacket {
  const packetId = readPacketId(reader);
  const properties =
    context.protocolVersion === ProtocolVersion.v5
      ? readProperties(reader, PacketType.unsubscribe, context)
      : undefined;
  // [MQTT-3.10.3-2]
  if (reader.remaining === 0) throw protocolError("UNSUBSCRIBE without topic filter");
  const topicFilters: string[] = [];
  while (reader.remaining > 0) {
    checkCount(topicFilters.length);
    topicFilters.push(readString(reader));
  }
  return { type: PacketType.unsubscribe, packetId, topicFilters, properties };
}

function checkCount(count: number): void {
  if (count < TOPIC_FILTERS_MAX) return;
  throw new ProtocolError(ReasonCode.quotaExceeded, "too many topic filters in one packet");
}

/** The body of SUBACK [MQTT 5.0 section 3.9]. @throws ProtocolError */
export function decodeSuback(reader: ByteReader, context: DecodeContext): SubackPacket {
  const packetId = readPacketId(reader);
  const isV5 = context.protocolVersion === ProtocolVersion.v5;
  const properties = isV5 ? readProperties(reader, PacketType.suback, context) : undefined;
  const reasonCodes = readReasonCodes(reader, PacketType.suback);
  // [3.1.1: MQTT-3.9.3-2]
  if (!isV5 && reasonCodes.some((code) => code > ReasonCode.unspecifiedError)) {
    throw protocolError("SUBACK with a reserved return code");
  }
  return { type: PacketType.suback, packetId, reasonCodes, properties };
}

/** The body of UNSUBACK [MQTT 5.0 section 3.11]. @throws ProtocolError */
export function decodeUnsuback(reader: ByteReader, context: DecodeContext): UnsubackPacket {
  const packetId = readPacketId(reader);
  if (context.protocolVersion !== ProtocolVersion.v5) {
    return { type: PacketType.unsuback, packetId, reasonCodes: [], properties: undefined };
  }
  const properties = readProperties(reader, PacketType.unsuback, context);
  const reasonCodes = readReasonCodes(reader, PacketType.unsuback);
  return { type: PacketType.unsuback, packetId, reasonCodes, properties };
}

/** The rest of the packet: one reason code per topic filter, so at least one [MQTT-3.9.3-1, 3.11.3-1]. */
function readReasonCodes(
  reader: ByteReader,
  type: typeof PacketType.suback | typeof PacketType.unsuback,
): number[] {
  if (reader.remaining === 0) throw protocolError("acknowledgement without reason code");
  const reasonCodes: number[] = [];
  while (reader.remaining > 0) {
    const reasonCode = reader.readByte();
    // [MQTT-3.9.3-2, 3.11.3-2]
    if (!isReasonCodeOf(type, reasonCode, "server")) {
      throw protocolError(`reason code ${reasonCode} in the wrong packet`);
    }
    reasonCodes.push(reasonCode);
  }
  return reasonCodes;
}
