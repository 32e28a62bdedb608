/** Messages of queues that are handed over, as frames have them. */
import type { LogDelivery } from "../broker/delivery-receiver.ts";
import type { ByteWriter } from "../lib/byte-writer.ts";
import type { Clock } from "../lib/clock.ts";
import { fillContent, wallOf } from "./content.ts";
import type { Delivery } from "./frame.ts";
import {
  packMessagePack,
  writeBinPart,
  writeListHead,
  writeMessagePack,
  writeNumber,
  writeUtf8,
} from "./message-pack.ts";

/** A delivery as frames have it; its payload is a view. Hot path: per message. */
export function deliveryOf(
  { delivery, record, deliveryCount, visibleAt }: LogDelivery,
  clock: Clock,
): Delivery {
  const reroutedFrom = record.properties?.attributes?.reroutedFrom;
  const fields: Delivery = {
    delivery,
    sequence: record.sequence,
    deliveryCount,
    topic: record.topic.text,
    sentAt: wallOf(clock, record.receivedAt),
    visibleAt: wallOf(clock, visibleAt),
    ...(reroutedFrom === undefined ? {} : { reroutedFrom }),
  };
  return fillContent(fields, record, clock);
}

/** Heads of maps, and names of fields, ready to be copied; what follows a name is its value. */
const prefixOf = (fields: number, ...parts: readonly unknown[]): Uint8Array =>
  Uint8Array.from([0x80 | fields, ...parts.flatMap((part) => [...packMessagePack(part)])]);
const nameOf = (name: string): Uint8Array => packMessagePack(name);

const FRAME = prefixOf(3, "op", "deliveries", "sub");
const DELIVERIES = nameOf("deliveries");
/** One with a payload and without anything that most do not have. */
const DELIVERY = prefixOf(7, "delivery");
const SEQUENCE = nameOf("sequence");
const DELIVERY_COUNT = nameOf("deliveryCount");
const TOPIC = nameOf("topic");
const SENT_AT = nameOf("sentAt");
const VISIBLE_AT = nameOf("visibleAt");
const PAYLOAD = nameOf("payload");
/** Beside payload and topic: names, numbers and heads. */
const DELIVERY_BYTES = 128;

/**
 * Writes a frame of deliveries as MessagePack, as `writeMessagePack` writes it of `deliveryOf`. Hot path: per message; allocates nothing
 * for a message without properties.
 */
export function writeDeliveries(
  output: ByteWriter,
  sub: number,
  deliveries: readonly LogDelivery[],
  clock: Clock,
): void {
  output.writeBytes(FRAME);
  writeNumber(output, sub);
  output.writeBytes(DELIVERIES);
  writeListHead(output, deliveries.length);
  for (const one of deliveries) writeDelivery(output, one, clock);
}

function writeDelivery(output: ByteWriter, one: LogDelivery, clock: Clock): void {
  const { record, delivery, deliveryCount, visibleAt } = one;
  const { topic, bytes, payloadStart, payloadEnd } = record;
  const isPlain = record.properties === undefined && record.expiresAt === undefined;
  if (!isPlain || payloadEnd === payloadStart) {
    writeMessagePack(output, deliveryOf(one, clock));
    return;
  }
  output.reserve(DELIVERY_BYTES + topic.bytes.length + payloadEnd - payloadStart);
  output.writeBytes(DELIVERY);
  writeNumber(output, delivery);
  output.writeBytes(SEQUENCE);
  writeNumber(output, record.sequence);
  output.writeBytes(DELIVERY_COUNT);
  writeNumber(output, deliveryCount);
  output.writeBytes(TOPIC);
  writeUtf8(output, topic.bytes);
  output.writeBytes(SENT_AT);
  writeNumber(output, wallOf(clock, record.receivedAt));
  output.writeBytes(VISIBLE_AT);
  writeNumber(output, wallOf(clock, visibleAt));
  output.writeBytes(PAYLOAD);
  writeBinPart(output, bytes, payloadStart, payloadEnd);
}
