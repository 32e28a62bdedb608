/** The property list of a packet or will, encoded [MQTT 5.0 section 2.2.2]. */
import type { ByteWriter } from "../lib/byte-writer.ts";
import {
  stringSize,
  variableIntegerSize,
  writeBinary,
  writeString,
  writeVariableInteger,
} from "./encode-fields.ts";
import {
  type Properties,
  type PropertyCarrier,
  type PropertySpec,
  propertiesOf,
} from "./properties.ts";

/** Bytes of the properties without the Property Length in front. Properties that the carrier may not have are left out. */
export function propertiesSize(properties: Properties, carrier: PropertyCarrier): number {
  let size = 0;
  for (const spec of propertiesOf(carrier)) size += propertySize(properties, spec);
  return size;
}

/** Bytes of one property with its identifier; 0: absent. */
function propertySize(properties: Properties, spec: PropertySpec): number {
  switch (spec.kind) {
    case "boolean":
    case "maximumQos":
      return properties[spec.name] === undefined ? 0 : 2;
    case "uint16":
      return properties[spec.name] === undefined ? 0 : 3;
    case "uint32":
      return properties[spec.name] === undefined ? 0 : 5;
    case "string": {
      const text = properties[spec.name];
      return text === undefined ? 0 : 1 + stringSize(text);
    }
    case "binary": {
      const data = properties[spec.name];
      return data === undefined ? 0 : 3 + data.length;
    }
    case "subscriptionIdentifiers": {
      let size = 0;
      for (const identifier of properties.subscriptionIdentifiers ?? NONE) {
        size += 1 + variableIntegerSize(identifier);
      }
      return size;
    }
    case "userProperties": {
      let size = 0;
      for (const [name, value] of properties.userProperties ?? NONE) {
        size += 1 + stringSize(name) + stringSize(value);
      }
      return size;
    }
  }
}

const NONE: readonly never[] = [];

/**
 * Writes Property Length and the properties, by identifier; a lone 0 for none [MQTT-2.2.2-1]. Properties that the carrier may
 * not have are left out. `size` is what `propertiesSize` said.
 */
export function writeProperties(
  writer: ByteWriter,
  properties: Properties | undefined,
  carrier: PropertyCarrier,
  size: number = properties === undefined ? 0 : propertiesSize(properties, carrier),
): void {
  writer.reserve(4 + size);
  writeVariableInteger(writer, size);
  if (properties === undefined || size === 0) return;
  for (const spec of propertiesOf(carrier)) writeProperty(writer, properties, spec);
}

function writeProperty(writer: ByteWriter, properties: Properties, spec: PropertySpec): void {
  if (spec.kind === "subscriptionIdentifiers") {
    for (const identifier of properties.subscriptionIdentifiers ?? NONE) {
      writer.writeByte(spec.id);
      writer.reserve(4);
      writeVariableInteger(writer, identifier);
    }
    return;
  }
  if (spec.kind === "userProperties") {
    // In the order given [MQTT-3.1.3-10, 3.3.2-18].
    for (const [name, value] of properties.userProperties ?? NONE) {
      writer.writeByte(spec.id);
      writeString(writer, name);
      writeString(writer, value);
    }
    return;
  }
  if (properties[spec.name] === undefined) return;
  writer.writeByte(spec.id);
  writeValue(writer, properties, spec);
}

function writeValue(
  writer: ByteWriter,
  properties: Properties,
  spec: Exclude<PropertySpec, { kind: "subscriptionIdentifiers" | "userProperties" }>,
): void {
  switch (spec.kind) {
    case "boolean":
      writer.writeByte(properties[spec.name] === true ? 1 : 0);
      return;
    case "maximumQos":
      writer.writeByte(properties.maximumQos ?? 0);
      return;
    case "uint16":
      writer.writeUint16(properties[spec.name] ?? 0);
      return;
    case "uint32":
      writer.writeUint32(properties[spec.name] ?? 0);
      return;
    case "string":
      writeString(writer, properties[spec.name] ?? "");
      return;
    case "binary":
      writeBinary(writer, properties[spec.name] ?? EMPTY);
      return;
  }
}

const EMPTY = new Uint8Array(0);
