/** Arbitrary valid packets for fast-check, from the tables of properties and reason codes. */
import fc from "fast-check";
import { isTopicName } from "../../src/broker/topic.ts";
import {
  type OutgoingPacket,
  PacketType,
  ProtocolVersion,
  type Role,
} from "../../src/mqtt/packet.ts";
import {
  type Properties,
  type PropertyCarrier,
  type PropertySpec,
  propertiesOf,
  WILL,
} from "../../src/mqtt/properties.ts";
import { connackReasonCode, isReasonCodeOf } from "../../src/mqtt/reason-code.ts";

/** Any string that MQTT can carry: no surrogates, no U+0000. */
const text = fc
  .oneof(fc.string({ maxLength: 8 }), fc.string({ unit: "binary", maxLength: 70 }))
  .map((each) => each.replaceAll("\u0000", ""));
const word = fc.string({
  minLength: 1,
  maxLength: 6,
  unit: fc.constantFrom("a", "b", "é", "€", "🐋"),
});
const topicName = text.filter(isTopicName);
const binary = fc.uint8Array({ maxLength: 40 });
const packetId = fc.integer({ min: 1, max: 65_535 });
const qos = fc.constantFrom(0 as const, 1 as const, 2 as const);

function propertyValue(spec: PropertySpec, carrier: PropertyCarrier): fc.Arbitrary<unknown> {
  switch (spec.kind) {
    case "boolean":
      return fc.boolean();
    case "maximumQos":
      return fc.constantFrom(0, 1);
    case "uint16":
      return fc.integer({ min: spec.isZeroAllowed ? 0 : 1, max: 65_535 });
    case "uint32":
      return fc.integer({ min: spec.isZeroAllowed ? 0 : 1, max: 4_294_967_295 });
    case "string":
      return spec.name === "responseTopic" ? topicName : text;
    case "binary":
      return binary;
    case "subscriptionIdentifiers":
      return fc.array(fc.integer({ min: 1, max: 268_435_455 }), {
        minLength: 1,
        maxLength: carrier === PacketType.subscribe ? 1 : 4,
      });
    case "userProperties":
      // Values are not empty, or mqtt-packet forgets them when a name repeats.
      return fc.array(fc.tuple(word, word), { minLength: 1, maxLength: 4 });
  }
}

/** What `sender` may put into this packet or will. */
export function properties(carrier: PropertyCarrier, sender: Role): fc.Arbitrary<Properties> {
  const model: Record<string, fc.Arbitrary<unknown>> = {};
  for (const spec of propertiesOf(carrier)) {
    const isServersAlone =
      carrier === PacketType.publish && spec.name === "subscriptionIdentifiers";
    const isClientsAlone =
      carrier === PacketType.disconnect && spec.name === "sessionExpirySeconds";
    if (isServersAlone && sender === "client") continue;
    if (isClientsAlone && sender === "server") continue;
    model[spec.name] = propertyValue(spec, carrier);
  }
  return fc.record(model, { requiredKeys: [] }).map((each: Properties) => {
    const { authenticationData, ...rest } = each;
    return each.authenticationMethod === undefined ? rest : each;
  });
}

const reasonCode = (type: PacketType, sender: Role): fc.Arbitrary<number> =>
  fc.constantFrom(
    ...Array.from({ length: 256 }, (_, code) => code).filter((code) =>
      isReasonCodeOf(type, code, sender),
    ),
  );

/** Undefined in 3.x. */
const maybe = (
  carrier: PropertyCarrier,
  sender: Role,
  version: ProtocolVersion,
): fc.Arbitrary<Properties | undefined> =>
  version === ProtocolVersion.v5
    ? fc.option(properties(carrier, sender), { nil: undefined })
    : fc.constant(undefined);

const surely = (
  carrier: PropertyCarrier,
  sender: Role,
  version: ProtocolVersion,
): fc.Arbitrary<Properties> => maybe(carrier, sender, version).map((each) => each ?? {});

function connect(version: ProtocolVersion): fc.Arbitrary<OutgoingPacket> {
  const will = fc.record({
    topic: text,
    payload: binary,
    qos,
    retain: fc.boolean(),
    properties: surely(WILL, "client", version),
  });
  return fc
    .record({
      type: fc.constant(PacketType.connect),
      protocolVersion: fc.constant(version),
      cleanStart: fc.boolean(),
      keepAliveSeconds: fc.nat(65_535),
      clientId: text,
      will: fc.option(will, { nil: undefined }),
      username: fc.option(text, { nil: undefined }),
      password: fc.option(binary, { nil: undefined }),
      properties: surely(PacketType.connect, "client", version),
    })
    .map((packet) => {
      const isLone = packet.username === undefined && version !== ProtocolVersion.v5;
      return isLone ? { ...packet, password: undefined } : packet;
    });
}

function connack(version: ProtocolVersion): fc.Arbitrary<OutgoingPacket> {
  const isV5 = version === ProtocolVersion.v5;
  const code = isV5
    ? reasonCode(PacketType.connack, "server")
    : fc.nat(5).map((each) => connackReasonCode(each) ?? 0);
  return fc
    .record({
      type: fc.constant(PacketType.connack),
      sessionPresent: fc.boolean(),
      reasonCode: code,
      properties: surely(PacketType.connack, "server", version),
    })
    .map((packet) => {
      const mayBePresent = packet.reasonCode === 0 && version !== ProtocolVersion.v31;
      return mayBePresent ? packet : { ...packet, sessionPresent: false };
    });
}

function publish(version: ProtocolVersion, sender: Role): fc.Arbitrary<OutgoingPacket> {
  return fc
    .record({
      type: fc.constant(PacketType.publish),
      dup: fc.boolean(),
      qos,
      retain: fc.boolean(),
      packetId,
      topic: topicName,
      payload: fc.oneof(binary, fc.uint8Array({ minLength: 90, maxLength: 300 })),
      properties: maybe(PacketType.publish, sender, version),
    })
    .map((packet) => (packet.qos === 0 ? { ...packet, dup: false, packetId: 0 } : packet));
}

function acks(version: ProtocolVersion, sender: Role): fc.Arbitrary<OutgoingPacket>[] {
  const { puback, pubrec, pubrel, pubcomp } = PacketType;
  return [puback, pubrec, pubrel, pubcomp].map((type) =>
    fc.record({
      type: fc.constant(type),
      packetId,
      reasonCode: version === ProtocolVersion.v5 ? reasonCode(type, sender) : fc.constant(0),
      properties: maybe(type, sender, version),
    }),
  );
}

function disconnect(version: ProtocolVersion, sender: Role): fc.Arbitrary<OutgoingPacket> {
  const type = PacketType.disconnect;
  return fc.record({
    type: fc.constant(type),
    reasonCode: version === ProtocolVersion.v5 ? reasonCode(type, sender) : fc.constant(0),
    properties: maybe(type, sender, version),
  });
}

const auth = (sender: Role): fc.Arbitrary<OutgoingPacket> =>
  fc.record({
    type: fc.constant(PacketType.auth),
    reasonCode: reasonCode(PacketType.auth, sender),
    properties: properties(PacketType.auth, sender).map((each) => ({
      authenticationMethod: "m",
      ...each,
    })),
  });

function fromClient(version: ProtocolVersion): fc.Arbitrary<OutgoingPacket>[] {
  const isV5 = version === ProtocolVersion.v5;
  const no = fc.constant(false);
  const entry = fc
    .record({
      topicFilter: text,
      qos,
      noLocal: isV5 ? fc.boolean() : no,
      retainAsPublished: isV5 ? fc.boolean() : no,
      retainHandling: isV5 ? qos : fc.constant(0 as const),
    })
    .map((each) => (each.topicFilter.startsWith("$share/") ? { ...each, noLocal: false } : each));
  return [
    connect(version),
    fc.record({
      type: fc.constant(PacketType.subscribe),
      packetId,
      subscriptions: fc.array(entry, { minLength: 1, maxLength: 4 }),
      properties: maybe(PacketType.subscribe, "client", version),
    }),
    fc.record({
      type: fc.constant(PacketType.unsubscribe),
      packetId,
      topicFilters: fc.array(text, { minLength: 1, maxLength: 4 }),
      properties: maybe(PacketType.unsubscribe, "client", version),
    }),
    fc.constant({ type: PacketType.pingreq }),
    disconnect(version, "client"),
    ...(isV5 ? [auth("client")] : []),
  ];
}

function fromServer(version: ProtocolVersion): fc.Arbitrary<OutgoingPacket>[] {
  const { suback, unsuback } = PacketType;
  const isV5 = version === ProtocolVersion.v5;
  const granted = isV5 ? reasonCode(suback, "server") : fc.constantFrom(0, 1, 2, 0x80);
  const codes = (code: fc.Arbitrary<number>): fc.Arbitrary<number[]> =>
    fc.array(code, { minLength: 1, maxLength: 5 });
  return [
    connack(version),
    fc.record({
      type: fc.constant(suback),
      packetId,
      reasonCodes: codes(granted),
      properties: maybe(suback, "server", version),
    }),
    fc.record({
      type: fc.constant(unsuback),
      packetId,
      reasonCodes: isV5 ? codes(reasonCode(unsuback, "server")) : fc.constant([]),
      properties: maybe(unsuback, "server", version),
    }),
    fc.constant({ type: PacketType.pingresp }),
    ...(isV5 ? [disconnect(version, "server"), auth("server")] : []),
  ];
}

/** Any packet that `sender` may send in this version. */
export function packetFrom(sender: Role, version: ProtocolVersion): fc.Arbitrary<OutgoingPacket> {
  const own = sender === "client" ? fromClient(version) : fromServer(version);
  return fc.oneof(publish(version, sender), ...acks(version, sender), ...own);
}
