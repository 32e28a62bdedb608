/** What travels in every pattern: from frames to messages and back. */
import type { Counters } from "../broker/counters.ts";
import {
  type Message,
  type MessageProperties,
  propertyBytes,
  type QoS,
  remainingMs,
} from "../broker/message.ts";
import { isPatternFilter } from "../broker/pattern-topics.ts";
import { isTopicFilter, isTopicName, levelCount, type Topic } from "../broker/topic.ts";
import { after, type Clock, type Instant } from "../lib/clock.ts";
import { copyBytes } from "../lib/copy-bytes.ts";
import type { Content } from "./frame.ts";
import type { NativeOptions } from "./native-options.ts";
import { Refusal } from "./refusal.ts";

const EMPTY = new Uint8Array(0);

/** What a message of one connection is held against. */
type ContentLimits = Pick<
  NativeOptions,
  "limits" | "topicBytesMax" | "topicLevelsMax" | "propertiesMax" | "propertyBytesMax"
>;

/** @throws Refusal for text that is longer or deeper than what is taken */
function checkLength(text: string, options: ContentLimits, counters: Counters): void {
  const { topicBytesMax, topicLevelsMax } = options;
  if (Buffer.byteLength(text) <= topicBytesMax && levelCount(text) <= topicLevelsMax) return;
  counters.limitTopic++;
  throw new Refusal("too-large", "the topic is longer or deeper than what is taken");
}

/** @throws Refusal for what is no topic name that clients may use */
export function checkTopic(text: string, options: ContentLimits, counters: Counters): void {
  if (!isTopicName(text) || text.startsWith("$")) {
    throw new Refusal("bad-frame", "not a topic that may be published to");
  }
  checkLength(text, options, counters);
}

/** @throws Refusal for what is no topic filter */
export function checkFilter(filter: string, options: ContentLimits, counters: Counters): void {
  // Queues and streams have ops of their own here.
  if (!isTopicFilter(filter) || filter.startsWith("$share/") || isPatternFilter(filter)) {
    throw new Refusal("bad-frame", "not a topic filter");
  }
  checkLength(filter, options, counters);
}

/** @throws Refusal for a payload or properties that are larger than what is taken */
export function checkContent(content: Content, options: ContentLimits, counters: Counters): void {
  const { payload, properties, responseTopic } = content;
  if (payload !== undefined && payload.length > options.limits.payloadBytesMax) {
    counters.limitPacketBytes++;
    throw new Refusal(
      "too-large",
      `the payload has more than ${options.limits.payloadBytesMax} bytes`,
    );
  }
  if (responseTopic !== undefined && !isTopicName(responseTopic)) {
    throw new Refusal("bad-frame", "responseTopic is not a topic");
  }
  if (properties === undefined) return;
  let bytes = 0;
  for (const [name, value] of properties)
    bytes += Buffer.byteLength(name) + Buffer.byteLength(value);
  if (properties.length > options.propertiesMax || bytes > options.propertyBytesMax) {
    counters.limitProperties++;
    throw new Refusal("too-large", "more or larger properties than what is taken");
  }
}

function propertiesOf(content: Content): MessageProperties | undefined {
  const { contentType, properties, responseTopic, correlation } = content;
  const hasAny =
    contentType !== undefined ||
    properties !== undefined ||
    responseTopic !== undefined ||
    correlation !== undefined;
  if (!hasAny) return undefined;
  return {
    ...(contentType === undefined ? {} : { contentType }),
    ...(properties === undefined ? {} : { userProperties: properties }),
    ...(responseTopic === undefined ? {} : { responseTopic }),
    ...(correlation === undefined ? {} : { correlationData: copyBytes(correlation) }),
  };
}

/** Who publishes what, how and when. */
export interface Publishing {
  readonly topic: Topic;
  readonly qos: QoS;
  readonly retain: boolean;
  readonly publisherId: string;
  readonly now: Instant;
}

/** A view of what came in: valid as long as that is. Hot path: per message. */
export function messageOf(content: Content, publishing: Publishing): Message {
  const { topic, qos, retain, publisherId, now } = publishing;
  const { payload = EMPTY, expiryMs } = content;
  return {
    topic,
    qos,
    retain,
    bytes: payload,
    payloadStart: 0,
    payloadEnd: payload.length,
    properties: propertiesOf(content),
    publisherId,
    receivedAt: now,
    expiresAt: expiryMs === undefined ? undefined : after(now, expiryMs),
  };
}

/** A frame, or a part of one, that content is filled into. */
export interface ContentFields {
  payload?: Uint8Array;
  contentType?: string;
  properties?: readonly (readonly [string, string])[];
  responseTopic?: string;
  correlation?: Uint8Array;
  expiryMs?: number;
}

/** Fills what a message has into a frame; the payload is a view. Hot path: per message and receiver. */
export function fillContent<Fields extends ContentFields>(
  fields: Fields,
  message: Message,
  clock: Clock,
): Fields {
  const { bytes, payloadStart, payloadEnd, properties } = message;
  if (payloadEnd > payloadStart) fields.payload = bytes.subarray(payloadStart, payloadEnd);
  if (message.expiresAt !== undefined) {
    fields.expiryMs = Math.max(0, Math.ceil(remainingMs(message, clock) ?? 0));
  }
  if (properties === undefined) return fields;
  const { contentType, userProperties, responseTopic, correlationData } = properties;
  if (contentType !== undefined) fields.contentType = contentType;
  if (userProperties !== undefined && userProperties.length > 0) fields.properties = userProperties;
  if (responseTopic !== undefined) fields.responseTopic = responseTopic;
  if (correlationData !== undefined) fields.correlation = correlationData;
  return fields;
}

/** About what a message takes in a frame, in bytes. */
export const frameBytes = ({ payloadStart, payloadEnd, topic, properties }: Message): number =>
  payloadEnd - payloadStart + topic.bytes.length + propertyBytes(properties) + 128;

/** A point in time as frames have it: whole milliseconds since 1970. */
export const wallOf = (clock: Clock, instant: Instant): number => Math.round(clock.wallOf(instant));
