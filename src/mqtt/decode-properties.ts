/** The property list of a packet or will [MQTT 5.0 section 2.2.2]. */
import { isTopicName } from "../broker/topic.ts";
import type { ByteReader } from "../lib/byte-reader.ts";
import {
  type DecodeContext,
  malformed,
  protocolError,
  readBinary,
  readString,
  readVariableInteger,
} from "./decode-fields.ts";
import { PacketType } from "./packet.ts";
import {
  isPropertyOf,
  type Properties,
  type PropertyCarrier,
  type PropertySpec,
  propertyById,
  WILL,
} from "./properties.ts";
import { ProtocolError } from "./protocol-error.ts";
import { ReasonCode } from "./reason-code.ts";

/**
 * Reads Property Length and the properties; undefined when there are none. Everything in the result is
 * owned by it.
 * @throws ProtocolError 0x81 for what is unknown or stands in the wrong packet [MQTT 5.0 section 2.2.2.2], 0x82 for what
 * is repeated or out of range, 0x94 for topic alias 0, 0x97 for too many user properties.
 */
export function readProperties(
  reader: ByteReader,
  carrier: PropertyCarrier,
  context: DecodeContext,
): Properties | undefined {
  const length = readVariableInteger(reader);
  if (length === 0) return undefined;
  if (length > reader.remaining) throw malformed("properties are longer than the packet");
  const packetEnd = reader.end;
  const properties: Properties = {};
  // The list is a reader's end of its own, so that no property reads beyond it.
  reader.end = reader.position + length;
  let userPropertiesBytes = 0;
  while (reader.position < reader.end) {
    const start = reader.position;
    const isUserProperty = readProperty(reader, properties, carrier, context);
    if (isUserProperty) userPropertiesBytes += reader.position - start;
    if (userPropertiesBytes > context.userPropertiesBytesMax) {
      throw new ProtocolError(ReasonCode.quotaExceeded, "user properties are too large");
    }
  }
  reader.end = packetEnd;
  checkCombination(properties, carrier, context);
  return properties;
}

/** True when it was a user property. */
function readProperty(
  reader: ByteReader,
  properties: Properties,
  carrier: PropertyCarrier,
  context: DecodeContext,
): boolean {
  const id = readVariableInteger(reader);
  const spec = propertyById(id);
  // [MQTT 5.0 section 2.2.2.2: an identifier that is not valid for the packet type is malformed]
  if (spec === undefined) throw malformed(`unknown property ${id}`);
  if (!isPropertyOf(spec, carrier)) throw malformed(`property ${spec.name} in the wrong packet`);
  if (spec.kind === "userProperties") {
    readUserProperty(reader, properties, context);
    return true;
  }
  if (spec.kind === "subscriptionIdentifiers") {
    readSubscriptionIdentifier(reader, properties, carrier);
    return false;
  }
  // Each at most once [MQTT 5.0 sections 3.1.2.11, 3.1.3.2, 3.2.2.3, 3.3.2.3, 3.14.2.2, 3.15.2.2].
  if (properties[spec.name] !== undefined) throw protocolError(`${spec.name} stands twice`);
  readValue(reader, properties, spec);
  return false;
}

type SingleSpec = Exclude<PropertySpec, { kind: "userProperties" | "subscriptionIdentifiers" }>;

function readValue(reader: ByteReader, properties: Properties, spec: SingleSpec): void {
  switch (spec.kind) {
    case "boolean":
      properties[spec.name] = readBit(reader, spec.name) === 1;
      return;
    case "maximumQos":
      properties.maximumQos = readBit(reader, spec.name); // [MQTT 5.0 section 3.2.2.3.4]
      return;
    case "uint16":
      properties[spec.name] = checkedNumber(reader.readUint16(), spec);
      return;
    case "uint32":
      properties[spec.name] = checkedNumber(reader.readUint32(), spec);
      return;
    case "string":
      properties[spec.name] = readString(reader);
      return;
    case "binary":
      properties[spec.name] = readBinary(reader);
      return;
  }
}

/** A byte that may be 0 or 1 [MQTT 5.0 sections 3.1.2.11.6, 3.1.2.11.7, 3.2.2.3, 3.3.2.3.2]. */
function readBit(reader: ByteReader, name: string): 0 | 1 {
  const value = reader.readByte();
  if (value !== 0 && value !== 1) throw protocolError(`${name} is neither 0 nor 1`);
  return value;
}

function checkedNumber(value: number, spec: SingleSpec & { isZeroAllowed: boolean }): number {
  if (value !== 0 || spec.isZeroAllowed) return value;
  // [MQTT-3.3.2-8]
  if (spec.name === "topicAlias") {
    throw new ProtocolError(ReasonCode.topicAliasInvalid, "topic alias is 0");
  }
  throw protocolError(`${spec.name} is 0`); // [MQTT 5.0 sections 3.1.2.11.3, 3.1.2.11.4, 3.2.2.3.3, 3.2.2.3.6]
}

function readSubscriptionIdentifier(
  reader: ByteReader,
  properties: Properties,
  carrier: PropertyCarrier,
): void {
  const identifier = readVariableInteger(reader);
  // [MQTT 5.0 sections 3.3.2.3.8 and 3.8.2.1.2]
  if (identifier === 0) throw protocolError("subscription identifier is 0");
  const before = properties.subscriptionIdentifiers;
  if (before === undefined) {
    properties.subscriptionIdentifiers = [identifier];
    return;
  }
  // [MQTT 5.0 section 3.8.2.1.2]
  if (carrier === PacketType.subscribe) throw protocolError("two subscription identifiers");
  (before as number[]).push(identifier);
}

function readUserProperty(
  reader: ByteReader,
  properties: Properties,
  context: DecodeContext,
): void {
  const list = (properties.userProperties ?? []) as (readonly [string, string])[];
  properties.userProperties = list;
  // [MQTT-1.5.7-1]
  list.push([readString(reader), readString(reader)]);
  if (list.length > context.userPropertiesMax) {
    throw new ProtocolError(ReasonCode.quotaExceeded, "too many user properties");
  }
}

/** What one property demands of another, or of who sends it. */
function checkCombination(
  properties: Properties,
  carrier: PropertyCarrier,
  context: DecodeContext,
): void {
  const { responseTopic } = properties;
  // [MQTT-3.3.2-14, 4.7.3-1]
  if (responseTopic !== undefined && !isTopicName(responseTopic)) {
    throw protocolError("response topic is not a topic name");
  }
  if (carrier === WILL) return;
  // [MQTT 5.0 section 3.1.2.11.10]
  if (
    properties.authenticationData !== undefined &&
    properties.authenticationMethod === undefined
  ) {
    throw protocolError("authentication data without method");
  }
  if (carrier === PacketType.publish && context.role === "server") {
    // [MQTT-3.3.4-6]
    if (properties.subscriptionIdentifiers !== undefined) {
      throw protocolError("subscription identifier from a client");
    }
  }
  if (carrier === PacketType.disconnect && context.role === "client") {
    // [MQTT-3.14.2-2]
    if (properties.sessionExpirySeconds !== undefined) {
      throw protocolError("session expiry interval from a server");
    }
  }
}
