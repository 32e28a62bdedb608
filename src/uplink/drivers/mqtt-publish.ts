import { Buffer } from "node:buffer";
import type { IClientPublishOptions } from "mqtt";
import { remainingMs } from "../../broker/message.ts";
import type { LogRecord } from "../../broker/store.ts";
import type { Clock } from "../../lib/clock.ts";

/** Name of the user property that carries the record id; a device's own of that name is dropped. */
export const RECORD_ID_PROPERTY = "rill-id";

type PublishProperties = NonNullable<IClientPublishOptions["properties"]>;

/** Longest string in a packet [MQTT-1.5.4]. */
const STRING_BYTES_MAX = 65_535;
/** Largest expiry interval in seconds [MQTT 5.0 section 3.3.2.3.3]. */
const EXPIRY_SECONDS_MAX = 4_294_967_295;

/** The MQTT 5 properties of a record: its own, with our id, and what is left of its expiry. */
export function publishProperties(record: LogRecord, id: string, clock: Clock): PublishProperties {
  const { properties } = record;
  const leftMs = remainingMs(record, clock);
  // Without a prototype: a device may call a property "__proto__".
  const userProperties: Record<string, string | string[]> = Object.create(null);
  for (const [name, value] of properties?.userProperties ?? []) {
    if (name === RECORD_ID_PROPERTY) continue;
    const before = userProperties[name];
    if (before === undefined) userProperties[name] = value;
    else userProperties[name] = Array.isArray(before) ? [...before, value] : [before, value];
  }
  userProperties[RECORD_ID_PROPERTY] = id;
  const built: PublishProperties = { userProperties };
  if (properties?.isUtf8 === true) built.payloadFormatIndicator = true;
  if (properties?.contentType !== undefined) built.contentType = properties.contentType;
  if (properties?.responseTopic !== undefined) built.responseTopic = properties.responseTopic;
  if (properties?.correlationData !== undefined) {
    built.correlationData = Buffer.from(properties.correlationData);
  }
  if (leftMs !== undefined) {
    const leftSeconds = Math.max(1, Math.ceil(leftMs / 1_000));
    built.messageExpiryInterval = Math.min(EXPIRY_SECONDS_MAX, leftSeconds);
  }
  return built;
}

const stringBytes = (text: string): number => 2 + Buffer.byteLength(text);

/** Bytes of a variable byte integer [MQTT 5.0 section 1.5.5]. */
function varintBytes(value: number): number {
  if (value < 128) return 1;
  if (value < 16_384) return 2;
  return value < 2_097_152 ? 3 : 4;
}

function propertiesBytes(properties: PublishProperties): number {
  let bytes = 0;
  if (properties.payloadFormatIndicator !== undefined) bytes += 2;
  if (properties.messageExpiryInterval !== undefined) bytes += 5;
  if (properties.contentType !== undefined) bytes += 1 + stringBytes(properties.contentType);
  if (properties.responseTopic !== undefined) bytes += 1 + stringBytes(properties.responseTopic);
  if (properties.correlationData !== undefined) bytes += 3 + properties.correlationData.length;
  for (const [name, value] of Object.entries(properties.userProperties ?? {})) {
    for (const one of Array.isArray(value) ? value : [value]) {
      bytes += 1 + stringBytes(name) + stringBytes(one);
    }
  }
  return bytes;
}

/** Size of the PUBLISH packet, to hold against the remote's Maximum Packet Size [MQTT 5.0 section 3.2.2.3.6]. */
export function publishPacketBytes(
  topic: string,
  payloadBytes: number,
  properties: PublishProperties | undefined,
): number {
  let rest = stringBytes(topic) + 2 + payloadBytes;
  if (properties !== undefined) {
    const bytes = propertiesBytes(properties);
    rest += varintBytes(bytes) + bytes;
  }
  return 1 + varintBytes(rest) + rest;
}

/** True when the text fits into a packet. */
export function fitsString(text: string): boolean {
  return Buffer.byteLength(text) <= STRING_BYTES_MAX;
}
