/** What a well-behaved client might say: CONNECT and some packets, valid each by itself. */
import type { QoS } from "../../src/broker/message.ts";
import {
  type ConnectPacket,
  type OutgoingPacket,
  PacketType,
  ProtocolVersion,
  type SubscribeEntry,
} from "../../src/mqtt/packet.ts";
import type { Properties } from "../../src/mqtt/properties.ts";
import { packetBytes } from "../support/packet-bytes.ts";
import type { Chance } from "./chance.ts";

const VERSIONS = [
  ProtocolVersion.v5,
  ProtocolVersion.v5,
  ProtocolVersion.v311,
  ProtocolVersion.v31,
];
const TOPICS = ["t/a", "t/b", "t/a/b", "t/é", "t", "/", "t//", "other/x"];
const FILTERS = ["t/a", "t/+", "t/#", "#", "+/+", "t/é", "$share/g/t/#", "$SYS/#", "/"];
/** Queues, streams and replies, some of them no good. */
const PATTERN_TOPICS = ["$queue/q0", "$queue/q1", "$queue/ü", "$queue/", "$queue/a/b", "$queue/$x"]
  .concat("$stream/captured", "$stream/none", "$stream/", "$stream/captured/first")
  .concat("$reply/token-1", "$reply/token-2", "$reply/", "$reply/a/b", "$queue", "$stream");
const PATTERN_FILTERS = ["$queue/q0", "$queue/q1", "$share/g/$queue/q0", "$share/h/$queue/ü"]
  .concat("$queue/+", "$queue/#", "$queue/", "$share/g/$queue/", "$share/g/$stream/captured/first")
  .concat("$stream/captured/first", "$stream/captured/last", "$stream/captured/new/t/+")
  .concat("$stream/captured/seq/2", "$stream/captured/seq/x", "$stream/captured/ago/1")
  .concat("$stream/captured/time/1700000000000", "$stream/captured/time/2023-11-14T22:13:20Z")
  .concat("$stream/captured/time/", "$stream/captured", "$stream/none/first", "$stream//first")
  .concat("$reply/#", "$reply/token-1", "$share/g/$reply/+");
const CLIENT_IDS = ["f0", "f1", "f2", "f3", ""];
const PACKETS_MAX = 8;

/** A conversation as its packets' bytes; CONNECT first. */
export interface Conversation {
  readonly version: ProtocolVersion;
  readonly packets: readonly Buffer[];
}

const topicOf = (chance: Chance): string => chance.pick(chance.oneIn(4) ? PATTERN_TOPICS : TOPICS);
const filterOf = (chance: Chance): string =>
  chance.pick(chance.oneIn(3) ? PATTERN_FILTERS : FILTERS);
const qosOf = (chance: Chance): QoS => chance.pick([0, 1, 2] as const);
const packetIdOf = (chance: Chance): number => chance.between(1, 6);
const payloadOf = (chance: Chance): Buffer =>
  chance.bytes(chance.oneIn(20) ? chance.below(2_000) : chance.below(12));

/** @param chance decides everything */
export function validConversation(chance: Chance): Conversation {
  const version = chance.pick(VERSIONS);
  const count = chance.below(PACKETS_MAX);
  const packets: OutgoingPacket[] = [connectOf(chance, version)];
  for (let i = 0; i < count; i++) packets.push(packetOf(chance, version));
  return { version, packets: packets.map((packet) => packetBytes(packet, version)) };
}

function connectOf(chance: Chance, version: ProtocolVersion): ConnectPacket {
  const isV5 = version === ProtocolVersion.v5;
  const properties: Properties = {};
  if (isV5 && chance.oneIn(2)) properties.sessionExpirySeconds = chance.between(0, 60);
  if (isV5 && chance.oneIn(4)) properties.receiveMaximum = chance.between(1, 20);
  if (isV5 && chance.oneIn(4)) properties.maximumPacketBytes = chance.between(1, 200);
  if (isV5 && chance.oneIn(4)) properties.topicAliasMaximum = chance.between(0, 9);
  if (isV5 && chance.oneIn(8)) properties.authenticationMethod = "SCRAM-SHA-256";
  if (isV5 && chance.oneIn(4)) properties.userProperties = [["k", "v"]];
  return {
    type: PacketType.connect,
    protocolVersion: version,
    cleanStart: version === ProtocolVersion.v5 ? chance.oneIn(2) : true,
    keepAliveSeconds: chance.pick([0, 1, 60]),
    clientId: chance.pick(CLIENT_IDS),
    will: chance.oneIn(4)
      ? {
          topic: chance.pick(TOPICS),
          payload: payloadOf(chance),
          qos: qosOf(chance),
          retain: chance.oneIn(3),
          properties: isV5 && chance.oneIn(2) ? { willDelaySeconds: chance.below(9) } : {},
        }
      : undefined,
    properties,
  };
}

function messageProperties(chance: Chance): Properties {
  const properties: Properties = {};
  if (chance.oneIn(2)) properties.topicAlias = chance.between(1, 4);
  if (chance.oneIn(3)) properties.messageExpirySeconds = chance.below(9);
  if (chance.oneIn(3)) properties.isPayloadUtf8 = false;
  if (chance.oneIn(3)) properties.contentType = "text/plain";
  if (chance.oneIn(3)) properties.responseTopic = chance.pick(["t/answer", "$reply/token-1"]);
  if (chance.oneIn(3)) properties.correlationData = chance.bytes(4);
  if (chance.oneIn(3))
    properties.userProperties = [
      ["a", "b"],
      ["a", "c"],
    ];
  return properties;
}

function publishOf(chance: Chance, version: ProtocolVersion): OutgoingPacket {
  const qos = qosOf(chance);
  const isV5 = version === ProtocolVersion.v5;
  const properties = isV5 && chance.oneIn(2) ? messageProperties(chance) : undefined;
  const isAliased = properties?.topicAlias !== undefined && chance.oneIn(2);
  return {
    type: PacketType.publish,
    dup: qos > 0 && chance.oneIn(6),
    qos,
    retain: chance.oneIn(5),
    packetId: qos === 0 ? 0 : packetIdOf(chance),
    topic: isAliased ? "" : topicOf(chance),
    payload: payloadOf(chance),
    properties,
  };
}

function entryOf(chance: Chance, version: ProtocolVersion): SubscribeEntry {
  const isV5 = version === ProtocolVersion.v5;
  const topicFilter = filterOf(chance);
  return {
    topicFilter,
    qos: qosOf(chance),
    noLocal: isV5 && !topicFilter.startsWith("$share/") && chance.oneIn(3),
    retainAsPublished: isV5 && chance.oneIn(3),
    retainHandling: isV5 ? chance.pick([0, 1, 2] as const) : 0,
  };
}

const ACKS = [PacketType.puback, PacketType.pubrec, PacketType.pubrel, PacketType.pubcomp] as const;

function packetOf(chance: Chance, version: ProtocolVersion): OutgoingPacket {
  const isV5 = version === ProtocolVersion.v5;
  switch (chance.below(9)) {
    case 0:
    case 1:
    case 2:
      return publishOf(chance, version);
    case 3:
    case 4:
      return {
        type: PacketType.subscribe,
        packetId: packetIdOf(chance),
        subscriptions: Array.from({ length: chance.between(1, 3) }, () => entryOf(chance, version)),
        ...(isV5 && chance.oneIn(2) ? { properties: { subscriptionIdentifiers: [7] } } : {}),
      };
    case 5:
      return {
        type: PacketType.unsubscribe,
        packetId: packetIdOf(chance),
        topicFilters: [filterOf(chance)],
      };
    case 6:
      return { type: PacketType.pingreq };
    case 7:
      if (isV5 && chance.oneIn(3)) {
        const properties = { authenticationMethod: "SCRAM-SHA-256" };
        return { type: PacketType.auth, reasonCode: chance.pick([0x18, 0x19]), properties };
      }
      if (chance.oneIn(4)) {
        return { type: PacketType.disconnect, reasonCode: isV5 ? chance.pick([0, 4]) : 0 };
      }
      return publishOf(chance, version);
    default:
      return { type: chance.pick(ACKS), packetId: packetIdOf(chance), reasonCode: 0 };
  }
}
