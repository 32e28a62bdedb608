/**
 * A message as a small record of its own (retained messages, wills): version, length of the head, a JSON head,
 * the payload. Not for logs: those are packed by the store.
 */
import type { Instant } from "../lib/clock.ts";
import type { Principal } from "./authenticator.ts";
import { isMessageAttributes, type Message, type MessageProperties, type QoS } from "./message.ts";
import { isTopicName, type TopicTable } from "./topic.ts";

const VERSION = 1;
const utf8 = new TextEncoder();
const text = new TextDecoder();

interface Head {
  topic: string;
  qos: QoS;
  retain: boolean;
  publisherId: string;
  receivedAt: number;
  expiresAt?: number;
  /** User name of the publisher; absent: anonymous, or not said. */
  user?: string;
  properties?: Omit<MessageProperties, "correlationData"> & { correlationData?: string };
}

/** A message that was read, and the user who published it, where the record says so. */
export interface RecordedMessage extends Message {
  readonly user?: string;
}

/** `user`: the publisher's name, for records that are to say it. */
export function encodeMessageRecord(message: Message, user?: Principal): Uint8Array {
  const { properties } = message;
  const head: Head = {
    topic: message.topic.text,
    qos: message.qos,
    retain: message.retain,
    publisherId: message.publisherId,
    receivedAt: message.receivedAt,
  };
  if (user !== undefined) head.user = user;
  if (message.expiresAt !== undefined) head.expiresAt = message.expiresAt;
  if (properties !== undefined) {
    const { correlationData, ...rest } = properties;
    head.properties = rest;
    if (correlationData !== undefined) {
      head.properties.correlationData = Buffer.from(correlationData).toString("base64");
    }
  }
  const headBytes = utf8.encode(JSON.stringify(head));
  const payloadBytes = message.payloadEnd - message.payloadStart;
  const record = new Uint8Array(5 + headBytes.length + payloadBytes);
  record[0] = VERSION;
  new DataView(record.buffer).setUint32(1, headBytes.length);
  record.set(headBytes, 5);
  record.set(
    message.bytes.subarray(message.payloadStart, message.payloadEnd),
    5 + headBytes.length,
  );
  return record;
}

/** The message in a record, a view of it; undefined when the record is damaged. */
export function decodeMessageRecord(
  record: Uint8Array,
  topics: TopicTable,
): RecordedMessage | undefined {
  if (record.length < 5 || record[0] !== VERSION) return undefined;
  const headBytes = new DataView(record.buffer, record.byteOffset).getUint32(1);
  if (headBytes > record.length - 5) return undefined;
  const head = decodeHead(record.subarray(5, 5 + headBytes));
  if (head === undefined) return undefined;
  return {
    topic: topics.of(head.topic),
    qos: head.qos,
    retain: head.retain,
    bytes: record,
    payloadStart: 5 + headBytes,
    payloadEnd: record.length,
    properties: propertiesOf(head),
    publisherId: head.publisherId,
    receivedAt: head.receivedAt as Instant,
    expiresAt: head.expiresAt as Instant | undefined,
    ...(head.user === undefined ? {} : { user: head.user }),
  };
}

function decodeHead(bytes: Uint8Array): Head | undefined {
  try {
    const head: unknown = JSON.parse(text.decode(bytes));
    return isHead(head) ? head : undefined;
  } catch {
    return undefined;
  }
}

/** Looks at what would break something; that the values make sense is the writer's affair. */
function isHead(value: unknown): value is Head {
  if (typeof value !== "object" || value === null) return false;
  const { topic, qos, retain, publisherId, receivedAt, expiresAt, user, properties } =
    value as Partial<Head>;
  return (
    typeof topic === "string" &&
    isTopicName(topic) &&
    (qos === 0 || qos === 1 || qos === 2) &&
    typeof retain === "boolean" &&
    typeof publisherId === "string" &&
    typeof receivedAt === "number" &&
    (expiresAt === undefined || typeof expiresAt === "number") &&
    isAbsentOrText(user) &&
    (properties === undefined || isProperties(properties))
  );
}

function isProperties(value: NonNullable<Head["properties"]>): boolean {
  if (typeof value !== "object" || value === null) return false;
  const { isUtf8, contentType, responseTopic, correlationData, userProperties, attributes } = value;
  return (
    (isUtf8 === undefined || typeof isUtf8 === "boolean") &&
    (attributes === undefined || isMessageAttributes(attributes)) &&
    [contentType, responseTopic, correlationData].every(isAbsentOrText) &&
    (userProperties === undefined ||
      (Array.isArray(userProperties) && userProperties.every(isUserProperty)))
  );
}

const isAbsentOrText = (value: unknown): boolean =>
  value === undefined || typeof value === "string";

const isUserProperty = (value: unknown): boolean =>
  Array.isArray(value) && value.length === 2 && value.every((part) => typeof part === "string");

function propertiesOf(head: Head): MessageProperties | undefined {
  if (head.properties === undefined) return undefined;
  const { correlationData, ...rest } = head.properties;
  if (correlationData === undefined) return rest;
  return { ...rest, correlationData: Buffer.from(correlationData, "base64") };
}
