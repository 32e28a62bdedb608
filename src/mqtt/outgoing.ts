import type { Message, QoS } from "../broker/message.ts";
import type { ByteWriter } from "../lib/byte-writer.ts";
import type { Clock } from "../lib/clock.ts";
import { publishSize, writePublish } from "./encoder.ts";
import { toPublishProperties } from "./message-properties.ts";
import { ProtocolVersion } from "./packet.ts";

/**
 * Writes a message as PUBLISH; false, and nothing written, when that would be larger than `packetBytesMax`.
 * Hot path: per message and subscriber; allocates only version 5 properties.
 */
export function writeMessage(
  output: ByteWriter,
  version: ProtocolVersion,
  packetBytesMax: number,
  message: Message,
  qos: QoS,
  packetId: number,
  isDuplicate: boolean,
  retain: boolean,
  subscriptionIds: readonly number[] | undefined,
  clock: Clock,
): boolean {
  const { topic, bytes, payloadStart, payloadEnd } = message;
  const properties =
    version === ProtocolVersion.v5
      ? toPublishProperties(message, subscriptionIds, clock)
      : undefined;
  if (packetBytesMax !== Number.POSITIVE_INFINITY) {
    const payloadBytes = payloadEnd - payloadStart;
    const size = publishSize(version, topic.bytes.length, payloadBytes, qos, properties);
    if (size > packetBytesMax) return false;
  }
  writePublish(
    output,
    version,
    qos,
    isDuplicate,
    retain,
    packetId,
    topic.bytes,
    bytes,
    payloadStart,
    payloadEnd,
    properties,
  );
  return true;
}
