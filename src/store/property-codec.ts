/**
 * Properties of a message in a record:
 *
 *     u8      which: 1 isUtf8 given, 2 isUtf8 true, 4 contentType, 8 responseTopic, 16 correlationData, 32 userProperties, 64 attributes
 *     text    contentType         (varint length, UTF-8)
 *     text    responseTopic
 *     bytes   correlationData     (varint length)
 *     varint  number of user properties, then name and value of each, in the publisher's order
 *     text    the broker's attributes, JSON
 */
import {
  isMessageAttributes,
  type MessageAttributes,
  type MessageProperties,
} from "../broker/message.ts";
import { writeVarint } from "./numbers.ts";
import type { RecordReader } from "./record-reader.ts";

const HAS_IS_UTF8 = 1;
const IS_UTF8 = 2;
const HAS_CONTENT_TYPE = 4;
const HAS_RESPONSE_TOPIC = 8;
const HAS_CORRELATION_DATA = 16;
const HAS_USER_PROPERTIES = 32;
const HAS_ATTRIBUTES = 64;

function textBytesMax(text: string | undefined): number {
  return text === undefined ? 0 : 8 + text.length * 3;
}

/** Upper bound of what `encodeProperties` writes. */
export function propertyBytesMax(properties: MessageProperties): number {
  let bytes = 1 + 8;
  bytes += textBytesMax(properties.contentType) + textBytesMax(properties.responseTopic);
  if (properties.correlationData !== undefined) bytes += 8 + properties.correlationData.length;
  for (const [name, value] of properties.userProperties ?? []) {
    bytes += textBytesMax(name) + textBytesMax(value);
  }
  if (properties.attributes !== undefined) {
    bytes += textBytesMax(JSON.stringify(properties.attributes));
  }
  return bytes;
}

function writeText(target: Buffer, at: number, text: string): number {
  const start = writeVarint(target, at, Buffer.byteLength(text));
  return start + target.write(text, start, "utf8");
}

/** Writes the properties at `at`, where `propertyBytesMax` bytes are free, and returns where they end. */
export function encodeProperties(
  target: Buffer,
  at: number,
  properties: MessageProperties,
): number {
  const { isUtf8, contentType, responseTopic, correlationData, userProperties, attributes } =
    properties;
  target[at] =
    (isUtf8 === undefined ? 0 : HAS_IS_UTF8) |
    (isUtf8 === true ? IS_UTF8 : 0) |
    (contentType === undefined ? 0 : HAS_CONTENT_TYPE) |
    (responseTopic === undefined ? 0 : HAS_RESPONSE_TOPIC) |
    (correlationData === undefined ? 0 : HAS_CORRELATION_DATA) |
    (userProperties === undefined ? 0 : HAS_USER_PROPERTIES) |
    (attributes === undefined ? 0 : HAS_ATTRIBUTES);
  let end = at + 1;
  if (contentType !== undefined) end = writeText(target, end, contentType);
  if (responseTopic !== undefined) end = writeText(target, end, responseTopic);
  if (correlationData !== undefined) {
    end = writeVarint(target, end, correlationData.length);
    target.set(correlationData, end);
    end += correlationData.length;
  }
  if (userProperties !== undefined) {
    end = writeVarint(target, end, userProperties.length);
    for (const [name, value] of userProperties) {
      end = writeText(target, end, name);
      end = writeText(target, end, value);
    }
  }
  if (attributes !== undefined) end = writeText(target, end, JSON.stringify(attributes));
  return end;
}

/** Reads what `encodeProperties` wrote; the reader says whether it was damaged. The bytes are views. */
export function decodeProperties(reader: RecordReader): MessageProperties {
  const which = reader.readByte();
  const properties: { -readonly [Name in keyof MessageProperties]: MessageProperties[Name] } = {};
  if (which & HAS_IS_UTF8) properties.isUtf8 = (which & IS_UTF8) !== 0;
  if (which & HAS_CONTENT_TYPE) properties.contentType = reader.readText();
  if (which & HAS_RESPONSE_TOPIC) properties.responseTopic = reader.readText();
  if (which & HAS_CORRELATION_DATA) properties.correlationData = reader.readBytes();
  if (which & HAS_USER_PROPERTIES) {
    const count = reader.readLength();
    const pairs: [string, string][] = [];
    for (let i = 0; i < count && !reader.isDamaged; i++) {
      pairs.push([reader.readText(), reader.readText()]);
    }
    properties.userProperties = pairs;
  }
  if (which & HAS_ATTRIBUTES) {
    const attributes = attributesOf(reader.readText());
    if (attributes === undefined) reader.isDamaged = true;
    else properties.attributes = attributes;
  }
  return properties;
}

/** What was stored is not trusted: undefined when it makes no sense. */
function attributesOf(text: string): MessageAttributes | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  return isMessageAttributes(value) ? value : undefined;
}
