/** mqtt-packet, an independent codec, and the translation of our packets to its own. */
import assert from "node:assert/strict";
import * as oracle from "mqtt-packet";
import {
  type ConnectPacket,
  type OutgoingPacket,
  PacketType,
  ProtocolVersion,
} from "../../src/mqtt/packet.ts";
import type { Properties } from "../../src/mqtt/properties.ts";
import { connackReturnCode } from "../../src/mqtt/reason-code.ts";

/** Our property names in its words, where they differ. */
const NAMES: Readonly<Record<string, string>> = {
  isPayloadUtf8: "payloadFormatIndicator",
  messageExpirySeconds: "messageExpiryInterval",
  subscriptionIdentifiers: "subscriptionIdentifier",
  sessionExpirySeconds: "sessionExpiryInterval",
  assignedClientId: "assignedClientIdentifier",
  serverKeepAliveSeconds: "serverKeepAlive",
  willDelaySeconds: "willDelayInterval",
  maximumQos: "maximumQoS",
  isRetainAvailable: "retainAvailable",
  maximumPacketBytes: "maximumPacketSize",
  isWildcardSubscriptionAvailable: "wildcardSubscriptionAvailable",
  areSubscriptionIdentifiersAvailable: "subscriptionIdentifiersAvailable",
  isSharedSubscriptionAvailable: "sharedSubscriptionAvailable",
};

type Fields = Record<string, unknown>;

function propertiesOf(properties: Properties | undefined): Fields {
  const fields: Fields = {};
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value !== undefined) fields[NAMES[name] ?? name] = oracleValue(name, value);
  }
  return Object.keys(fields).length === 0 ? {} : { properties: fields };
}

function oracleValue(name: string, value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value);
  if (name === "subscriptionIdentifiers") return single(value as number[]);
  if (name !== "userProperties") return value;
  // It keeps the values of one name together, and so loses the order of names.
  const byName = new Map<string, string[]>();
  for (const [key, text] of value as [string, string][]) {
    byName.set(key, [...(byName.get(key) ?? []), text]);
  }
  return Object.fromEntries([...byName].map(([key, texts]) => [key, single(texts)]));
}

const single = <T>(values: readonly T[]): T | readonly T[] | undefined =>
  values.length === 1 ? values[0] : values;

const NAME_OF_TYPE = new Map(Object.entries(PacketType).map(([name, type]) => [type, name]));

/** Our packet as mqtt-packet would have it. */
export function toOracle(packet: OutgoingPacket, version: ProtocolVersion): Fields {
  const cmd = NAME_OF_TYPE.get(packet.type);
  const properties = "properties" in packet && version === 5 ? propertiesOf(packet.properties) : {};
  const messageId =
    "packetId" in packet && packet.packetId > 0 ? { messageId: packet.packetId } : {};
  const common = { cmd, ...messageId, ...properties };
  const reason =
    version === ProtocolVersion.v5 && "reasonCode" in packet
      ? { reasonCode: packet.reasonCode }
      : {};
  switch (packet.type) {
    case PacketType.connect:
      return { ...common, ...connectFields(packet, version) };
    case PacketType.connack: {
      const code =
        version === ProtocolVersion.v5
          ? reason
          : { returnCode: connackReturnCode(packet.reasonCode) };
      return { ...common, ...code, sessionPresent: packet.sessionPresent };
    }
    case PacketType.publish: {
      const { qos, dup, retain, topic, payload } = packet;
      return { ...common, qos, dup, retain, topic, payload: Buffer.from(payload) };
    }
    case PacketType.subscribe:
      return {
        ...common,
        subscriptions: packet.subscriptions.map((each) => ({
          topic: each.topicFilter,
          qos: each.qos,
          ...(version === ProtocolVersion.v5
            ? { nl: each.noLocal, rap: each.retainAsPublished, rh: each.retainHandling }
            : {}),
        })),
      };
    case PacketType.unsubscribe:
      return { ...common, unsubscriptions: packet.topicFilters };
    case PacketType.suback:
      return { ...common, granted: packet.reasonCodes };
    case PacketType.unsuback:
      return version === ProtocolVersion.v5 ? { ...common, granted: packet.reasonCodes } : common;
    default:
      return { ...common, ...reason };
  }
}

function connectFields(packet: ConnectPacket, version: ProtocolVersion): Fields {
  const { will, username, password } = packet;
  return {
    protocolId: version === ProtocolVersion.v31 ? "MQIsdp" : "MQTT",
    protocolVersion: version,
    clean: packet.cleanStart,
    keepalive: packet.keepAliveSeconds,
    clientId: packet.clientId,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password: Buffer.from(password) }),
    ...(will === undefined
      ? {}
      : {
          will: {
            topic: will.topic,
            payload: Buffer.from(will.payload),
            qos: will.qos,
            retain: will.retain,
            ...(version === ProtocolVersion.v5 ? propertiesOf(will.properties) : {}),
          },
        }),
  };
}

/** What mqtt-packet reads from the bytes of one packet, without the fields that its packet type does not have. */
export function oracleDecode(bytes: Uint8Array, version: ProtocolVersion): Fields {
  const parser = oracle.parser({ protocolVersion: version });
  const packets: Fields[] = [];
  parser.on("packet", (packet) => packets.push({ ...packet }));
  parser.on("error", (error) => {
    throw error;
  });
  parser.parse(Buffer.from(bytes));
  assert.equal(packets.length, 1);
  return normalized(packets[0] ?? {});
}

function normalized(packet: Fields): Fields {
  const result: Fields = {};
  const isPublish = packet["cmd"] === "publish";
  for (const [name, value] of Object.entries(packet)) {
    const isOfPublish = ["qos", "dup", "retain", "topic", "payload"].includes(name);
    if (name !== "length" && value !== undefined && (isPublish || !isOfPublish))
      result[name] = value;
  }
  return JSON.parse(JSON.stringify(result));
}

/** In the form that `oracleDecode` returns. */
export const oracleForm = (packet: OutgoingPacket, version: ProtocolVersion): Fields =>
  JSON.parse(JSON.stringify(toOracle(packet, version)));

/** The bytes that mqtt-packet writes for our packet. */
export const oracleEncode = (packet: OutgoingPacket, version: ProtocolVersion): Buffer =>
  oracle.generate(toOracle(packet, version) as unknown as oracle.Packet, {
    protocolVersion: version,
  });

/** False for what mqtt-packet cannot write or read though the standard has it. */
export function isKnownToOracle(packet: OutgoingPacket): boolean {
  if (packet.type === PacketType.auth) return packet.properties !== undefined;
  // It follows the table of DISCONNECT, which lacks what section 2.4 lists for it.
  if (packet.type === PacketType.disconnect) return packet.reasonCode !== 0x8c;
  if (packet.type !== PacketType.connect) return true;
  const hasLonePassword = packet.password !== undefined && packet.username === undefined;
  return packet.clientId !== "" && !hasLonePassword && packet.will?.topic !== "";
}
