/** Between the properties of a PUBLISH and those of a message. */

import { type Message, type MessageProperties, remainingMs } from "../broker/message.ts";
import type { Clock } from "../lib/clock.ts";
import { copyBytes } from "../lib/copy-bytes.ts";
import type { Properties } from "./properties.ts";

/** What of a PUBLISH's properties travels with the message; undefined: nothing. */
export function toMessageProperties(properties: Properties): MessageProperties | undefined {
  const { isPayloadUtf8, contentType, responseTopic, correlationData, userProperties } = properties;
  const kept: { -readonly [Name in keyof MessageProperties]: MessageProperties[Name] } = {};
  if (isPayloadUtf8 !== undefined) kept.isUtf8 = isPayloadUtf8;
  if (contentType !== undefined) kept.contentType = contentType;
  if (responseTopic !== undefined) kept.responseTopic = responseTopic;
  // The decoder's buffer may be reused.
  if (correlationData !== undefined) kept.correlationData = copyBytes(correlationData);
  if (userProperties !== undefined) kept.userProperties = userProperties;
  return Object.keys(kept).length === 0 ? undefined : kept;
}

/**
 * The properties of a PUBLISH to a subscriber; undefined: none. Message expiry is what is left of it
 * [MQTT-3.3.2-6], in seconds that have begun; 0 for what was sent before and has run out since.
 */
export function toPublishProperties(
  message: Message,
  subscriptionIds: readonly number[] | undefined,
  clock: Clock,
): Properties | undefined {
  const { properties } = message;
  const leftMs = remainingMs(message, clock);
  if (properties === undefined && leftMs === undefined && subscriptionIds === undefined) {
    return undefined;
  }
  const sent: Properties = {};
  if (subscriptionIds !== undefined) sent.subscriptionIdentifiers = subscriptionIds;
  if (leftMs !== undefined) sent.messageExpirySeconds = Math.max(0, Math.ceil(leftMs / 1_000));
  if (properties === undefined) return sent;
  const { isUtf8, contentType, responseTopic, correlationData, userProperties } = properties;
  if (isUtf8 !== undefined) sent.isPayloadUtf8 = isUtf8;
  if (contentType !== undefined) sent.contentType = contentType;
  if (responseTopic !== undefined) sent.responseTopic = responseTopic;
  if (correlationData !== undefined) sent.correlationData = correlationData;
  if (userProperties !== undefined) sent.userProperties = userProperties;
  return sent;
}
