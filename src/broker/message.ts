import type { Clock, Instant } from "../lib/clock.ts";
import { copyBytes } from "../lib/copy-bytes.ts";
import type { Topic } from "./topic.ts";

/** Quality of service, as in MQTT [MQTT 5.0 section 4.3]. */
export const QoS = { atMostOnce: 0, atLeastOnce: 1, exactlyOnce: 2 } as const;
export type QoS = (typeof QoS)[keyof typeof QoS];

/** What the broker itself notes about a message in a stream or a queue; never from a client, never shown as it is. */
export interface MessageAttributes {
  /** Names the message for de-duplication. */
  readonly messageId?: string;
  /** Of a queue's message: after so many deliveries without ack it is given up. */
  readonly deliveriesMax?: number;
  /** Of a queue's message: where it goes then. */
  readonly deadLetterQueue?: string;
  /** The queue or stream that gave it up. */
  readonly reroutedFrom?: string;
}

/** Looks at attributes that were read back. */
export function isMessageAttributes(value: unknown): value is MessageAttributes {
  if (typeof value !== "object" || value === null) return false;
  const { messageId, deliveriesMax, deadLetterQueue, reroutedFrom } =
    value as Partial<MessageAttributes>;
  return (
    [messageId, deadLetterQueue, reroutedFrom].every(
      (text) => text === undefined || typeof text === "string",
    ) &&
    (deliveriesMax === undefined || Number.isSafeInteger(deliveriesMax))
  );
}

/** What travels with a message from publisher to subscriber unaltered [MQTT 5.0 section 3.3.2.3]. */
export interface MessageProperties {
  /** True: the payload is UTF-8 (payload format indicator 1). */
  readonly isUtf8?: boolean;
  readonly contentType?: string;
  readonly responseTopic?: string;
  readonly correlationData?: Uint8Array;
  /** Name and value, in the publisher's order; names may repeat. */
  readonly userProperties?: readonly (readonly [string, string])[];
  readonly attributes?: MessageAttributes;
}

/**
 * What a publisher sent. The payload is `bytes[payloadStart, payloadEnd)`: a view, so that the hot path
 * allocates nothing. Unless its owner says otherwise a message is only valid during the call that
 * hands it over: who keeps it copies it (`copyMessage`).
 */
export interface Message {
  topic: Topic;
  /** As published. */
  qos: QoS;
  retain: boolean;
  bytes: Uint8Array;
  payloadStart: number;
  payloadEnd: number;
  properties: MessageProperties | undefined;
  /** Client Identifier of the publisher (No Local needs it); "" when the broker itself publishes. */
  publisherId: string;
  receivedAt: Instant;
  /** When it stops to be worth delivering; undefined: never [MQTT 5.0 section 3.3.2.3.3]. */
  expiresAt: Instant | undefined;
}

/** What a user property takes beside its texts, about. */
const PAIR_BYTES = 48;
/** What attributes take beside theirs. */
const ATTRIBUTES_BYTES = 64;

/** What the properties of a message take, about, in bytes; all of them, because bounds on memory are counted by it. */
export function propertyBytes(properties: MessageProperties | undefined): number {
  if (properties === undefined) return 0;
  const { contentType, responseTopic, correlationData, userProperties, attributes } = properties;
  let bytes = (contentType?.length ?? 0) + (responseTopic?.length ?? 0);
  bytes += correlationData?.length ?? 0;
  if (userProperties !== undefined) {
    for (const [name, value] of userProperties) bytes += name.length + value.length + PAIR_BYTES;
  }
  if (attributes !== undefined) {
    const { messageId, deadLetterQueue, reroutedFrom } = attributes;
    bytes += (messageId?.length ?? 0) + (deadLetterQueue?.length ?? 0);
    bytes += (reroutedFrom?.length ?? 0) + ATTRIBUTES_BYTES;
  }
  return bytes;
}

/** Milliseconds until a message is not worth delivering any more; undefined: it always is [MQTT 5.0 section 3.3.2.3.3]. */
export function remainingMs(message: Message, clock: Clock): number | undefined {
  const { receivedAt, expiresAt } = message;
  return expiresAt === undefined ? undefined : expiresAt - receivedAt - clock.since(receivedAt);
}

/** Hot path: per message. */
export const isExpired = (message: Message, clock: Clock): boolean =>
  message.expiresAt !== undefined &&
  clock.since(message.receivedAt) >= message.expiresAt - message.receivedAt;

/** A message with QoS 1 that nobody published: its payload is kept, not copied. */
export function plainMessage(
  topic: Topic,
  payload: Uint8Array,
  receivedAt: Instant,
  properties?: MessageProperties,
): Message {
  return {
    topic,
    qos: 1,
    retain: false,
    bytes: payload,
    payloadStart: 0,
    payloadEnd: payload.length,
    properties,
    publisherId: "",
    receivedAt,
    expiresAt: undefined,
  };
}

/** A copy that owns its payload and nothing else of the source buffer. */
export function copyMessage(message: Message): Message {
  const payload = copyBytes(message.bytes, message.payloadStart, message.payloadEnd);
  return {
    topic: message.topic,
    qos: message.qos,
    retain: message.retain,
    bytes: payload,
    payloadStart: 0,
    payloadEnd: payload.length,
    properties: message.properties,
    publisherId: message.publisherId,
    receivedAt: message.receivedAt,
    expiresAt: message.expiresAt,
  };
}
