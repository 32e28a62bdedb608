/**
 * The control packets of MQTT 3.1, 3.1.1 and 5.0 in one model. What a version lacks has its default
 * value after decoding and is left out in encoding. Reason codes are always those of version 5.
 */
import type { QoS } from "../broker/message.ts";
import type { Properties } from "./properties.ts";

/** Protocol level of CONNECT: 3.1 (MQIsdp), 3.1.1, 5.0 [MQTT 5.0 section 3.1.2.2]. */
export const ProtocolVersion = { v31: 3, v311: 4, v5: 5 } as const;
export type ProtocolVersion = (typeof ProtocolVersion)[keyof typeof ProtocolVersion];

/** Which side of a network connection: the broker is a server to devices and a client to its uplink's remote. */
export type Role = "server" | "client";

/** Control packet type: the high four bits of the first byte [MQTT 5.0 section 2.1.2]. */
export const PacketType = {
  connect: 1,
  connack: 2,
  publish: 3,
  puback: 4,
  pubrec: 5,
  pubrel: 6,
  pubcomp: 7,
  subscribe: 8,
  suback: 9,
  unsubscribe: 10,
  unsuback: 11,
  pingreq: 12,
  pingresp: 13,
  disconnect: 14,
  auth: 15,
} as const;
export type PacketType = (typeof PacketType)[keyof typeof PacketType];

/** Largest Remaining Length: four bytes of seven bits [MQTT 5.0 section 1.5.5]. */
export const REMAINING_BYTES_MAX = 268_435_455;

/** The will inside CONNECT [MQTT 5.0 section 3.1.3.2]. */
export interface WillPacketPart {
  /** Valid UTF-8 without U+0000; that it is a topic name is checked by the connection. */
  readonly topic: string;
  /** Owned by the packet. */
  readonly payload: Uint8Array;
  readonly qos: QoS;
  readonly retain: boolean;
  /** Will delay and the message's properties; `{}` in 3.x. */
  readonly properties: Properties;
}

/** [MQTT 5.0 section 3.1] */
export interface ConnectPacket {
  readonly type: typeof PacketType.connect;
  readonly protocolVersion: ProtocolVersion;
  /** Clean Session in 3.x. */
  readonly cleanStart: boolean;
  /** 0: none. */
  readonly keepAliveSeconds: number;
  /** "" asks for an assigned one; what lengths and signs are taken is the connection's decision. */
  readonly clientId: string;
  readonly will?: WillPacketPart | undefined;
  readonly username?: string | undefined;
  /** Owned by the packet. */
  readonly password?: Uint8Array | undefined;
  readonly properties: Properties;
}

/** [MQTT 5.0 section 3.2]. In 3.x the reason code travels as return code (`connackReturnCode`). */
export interface ConnackPacket {
  readonly type: typeof PacketType.connack;
  readonly sessionPresent: boolean;
  readonly reasonCode: number;
  readonly properties: Properties;
}

/**
 * A decoded PUBLISH [MQTT 5.0 section 3.3]: ONE object per decoder, filled anew for every PUBLISH and valid until
 * the next call of the decoder's `next()` or `feed()`. Topic and payload are offsets into `bytes`, which is the chunk
 * that was fed or the decoder's own buffer: who keeps anything copies it. The topic is not yet
 * validated: `decodeUtf8(bytes, topicStart, topicEnd)` does that when it is seen for the first time, and
 * the connection checks that it is a topic name. `properties` is an object of its own and may be kept.
 */
export interface PublishPacket {
  type: typeof PacketType.publish;
  /** Never with QoS 0. */
  dup: boolean;
  qos: QoS;
  retain: boolean;
  /** 1..65535, or 0 for QoS 0. */
  packetId: number;
  bytes: Uint8Array;
  /** `bytes[frameStart, frameEnd)` is the whole packet. */
  frameStart: number;
  frameEnd: number;
  /** Empty only in version 5 with a topic alias. */
  topicStart: number;
  topicEnd: number;
  payloadStart: number;
  payloadEnd: number;
  /** Undefined: none. */
  properties: Properties | undefined;
}

/** A PUBLISH to encode off the hot path; the hot path is `writePublish`. */
export interface OutgoingPublish {
  readonly type: typeof PacketType.publish;
  readonly dup: boolean;
  readonly qos: QoS;
  readonly retain: boolean;
  /** 1..65535, or 0 for QoS 0. */
  readonly packetId: number;
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly properties?: Properties | undefined;
}

/** What PUBACK, PUBREC, PUBREL and PUBCOMP have in common. */
interface AckPacket<Type extends PacketType> {
  readonly type: Type;
  /** 1..65535 */
  readonly packetId: number;
  /** 0x00 in 3.x. */
  readonly reasonCode: number;
  readonly properties?: Properties | undefined;
}

/** [MQTT 5.0 section 3.4] */
export type PubackPacket = AckPacket<typeof PacketType.puback>;
/** [MQTT 5.0 section 3.5] */
export type PubrecPacket = AckPacket<typeof PacketType.pubrec>;
/** [MQTT 5.0 section 3.6] */
export type PubrelPacket = AckPacket<typeof PacketType.pubrel>;
/** [MQTT 5.0 section 3.7] */
export type PubcompPacket = AckPacket<typeof PacketType.pubcomp>;
/** The packet types that `writeAck` writes. */
export type AckType =
  | PubackPacket["type"]
  | PubrecPacket["type"]
  | PubrelPacket["type"]
  | PubcompPacket["type"];

/** One topic filter of SUBSCRIBE with its options [MQTT 5.0 section 3.8.3.1]. */
export interface SubscribeEntry {
  /** Valid UTF-8 without U+0000; that it is a topic filter is checked by the connection. */
  readonly topicFilter: string;
  /** The highest QoS to deliver with. */
  readonly qos: QoS;
  /** False in 3.x. */
  readonly noLocal: boolean;
  /** False in 3.x. */
  readonly retainAsPublished: boolean;
  /** 0: send retained messages, 1: only for a new subscription, 2: never; 0 in 3.x. */
  readonly retainHandling: 0 | 1 | 2;
}

/** [MQTT 5.0 section 3.8] */
export interface SubscribePacket {
  readonly type: typeof PacketType.subscribe;
  readonly packetId: number;
  /** At least one [MQTT-3.8.3-2]. */
  readonly subscriptions: readonly SubscribeEntry[];
  readonly properties?: Properties | undefined;
}

/** [MQTT 5.0 section 3.9] */
export interface SubackPacket {
  readonly type: typeof PacketType.suback;
  readonly packetId: number;
  /** One per topic filter, in its order; in 3.x every failure travels as 0x80. */
  readonly reasonCodes: readonly number[];
  readonly properties?: Properties | undefined;
}

/** [MQTT 5.0 section 3.10] */
export interface UnsubscribePacket {
  readonly type: typeof PacketType.unsubscribe;
  readonly packetId: number;
  /** At least one [MQTT-3.10.3-2]. */
  readonly topicFilters: readonly string[];
  readonly properties?: Properties | undefined;
}

/** [MQTT 5.0 section 3.11] */
export interface UnsubackPacket {
  readonly type: typeof PacketType.unsuback;
  readonly packetId: number;
  /** One per topic filter, in its order; empty in 3.x. */
  readonly reasonCodes: readonly number[];
  readonly properties?: Properties | undefined;
}

/** [MQTT 5.0 section 3.12] */
export interface PingreqPacket {
  readonly type: typeof PacketType.pingreq;
}

/** [MQTT 5.0 section 3.13] */
export interface PingrespPacket {
  readonly type: typeof PacketType.pingresp;
}

/** [MQTT 5.0 section 3.14]. From a client in 3.x with reason code 0x00; there is none from a server in 3.x. */
export interface DisconnectPacket {
  readonly type: typeof PacketType.disconnect;
  readonly reasonCode: number;
  readonly properties?: Properties | undefined;
}

/** Version 5 only [MQTT 5.0 section 3.15]. */
export interface AuthPacket {
  readonly type: typeof PacketType.auth;
  readonly reasonCode: number;
  readonly properties?: Properties | undefined;
}

/** Every control packet, as decoded. */
export type Packet =
  | ConnectPacket
  | ConnackPacket
  | PublishPacket
  | PubackPacket
  | PubrecPacket
  | PubrelPacket
  | PubcompPacket
  | SubscribePacket
  | SubackPacket
  | UnsubscribePacket
  | UnsubackPacket
  | PingreqPacket
  | PingrespPacket
  | DisconnectPacket
  | AuthPacket;

/** Every control packet, as `encodePacket` takes it. */
export type OutgoingPacket = Exclude<Packet, PublishPacket> | OutgoingPublish;
