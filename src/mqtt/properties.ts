/** The 27 properties of version 5: names, types and the packets each belongs to [MQTT 5.0 section 2.2.2.2]. */
import { PacketType } from "./packet.ts";

/**
 * Properties of one packet or will; absent fields are absent on the wire. Version 3.x has none. The limits
 * named here hold for decoded properties; the encoder writes what it is given.
 */
export interface Properties {
  /** Payload format indicator: true is UTF-8 encoded character data. */
  isPayloadUtf8?: boolean | undefined;
  /** 0..4,294,967,295 */
  messageExpirySeconds?: number | undefined;
  contentType?: string | undefined;
  /** A topic name [MQTT-3.3.2-14]. */
  responseTopic?: string | undefined;
  correlationData?: Uint8Array | undefined;
  /** 1..268,435,455 each; several only in a PUBLISH from a server. */
  subscriptionIdentifiers?: readonly number[] | undefined;
  /** 0..4,294,967,295; the largest: never. */
  sessionExpirySeconds?: number | undefined;
  assignedClientId?: string | undefined;
  /** 0: none. */
  serverKeepAliveSeconds?: number | undefined;
  authenticationMethod?: string | undefined;
  authenticationData?: Uint8Array | undefined;
  requestProblemInformation?: boolean | undefined;
  willDelaySeconds?: number | undefined;
  requestResponseInformation?: boolean | undefined;
  responseInformation?: string | undefined;
  serverReference?: string | undefined;
  /** For people reading logs. Dropped where the packet would become too large. */
  reasonString?: string | undefined;
  /** 1..65,535 */
  receiveMaximum?: number | undefined;
  /** 0: no aliases. */
  topicAliasMaximum?: number | undefined;
  /** 1..65,535 */
  topicAlias?: number | undefined;
  maximumQos?: 0 | 1 | undefined;
  isRetainAvailable?: boolean | undefined;
  /** Name and value, in the sender's order; names may repeat. */
  userProperties?: readonly (readonly [string, string])[] | undefined;
  /** 1..4,294,967,295 */
  maximumPacketBytes?: number | undefined;
  isWildcardSubscriptionAvailable?: boolean | undefined;
  areSubscriptionIdentifiersAvailable?: boolean | undefined;
  isSharedSubscriptionAvailable?: boolean | undefined;
}

type NamesOf<Value> = {
  [Name in keyof Properties]-?: [NonNullable<Properties[Name]>, Value] extends [
    Value,
    NonNullable<Properties[Name]>,
  ]
    ? Name
    : never;
}[keyof Properties];

/** How one property is called and laid out on the wire. */
export type PropertySpec = Readonly<
  { id: number; packets: number } & (
    | { kind: "boolean"; name: NamesOf<boolean> }
    | { kind: "maximumQos"; name: "maximumQos" }
    | { kind: "uint16" | "uint32"; name: NamesOf<number>; isZeroAllowed: boolean }
    | { kind: "string"; name: NamesOf<string> }
    | { kind: "binary"; name: NamesOf<Uint8Array> }
    | { kind: "subscriptionIdentifiers"; name: "subscriptionIdentifiers" }
    | { kind: "userProperties"; name: "userProperties" }
  )
>;

/** What carries properties: a packet type, or the will inside CONNECT. */
export type PropertyCarrier = PacketType | typeof WILL;
/** The carrier that is no packet: the will. */
export const WILL = 0;

const bits = (...carriers: PropertyCarrier[]): number =>
  carriers.reduce<number>((mask, carrier) => mask | (1 << carrier), 0);

const { connect, connack, publish, subscribe, suback, unsubscribe, unsuback } = PacketType;
const { puback, pubrec, pubrel, pubcomp, disconnect, auth } = PacketType;

const MESSAGE = bits(publish, WILL);
const AUTHENTICATION = bits(connect, connack, auth);
const ANSWERS = bits(connack, puback, pubrec, pubrel, pubcomp, suback, unsuback, disconnect, auth);
const ALL = ANSWERS | bits(connect, WILL, publish, subscribe, unsubscribe);
const BOTH_WAYS = bits(connect, connack);
const CONNECT = bits(connect);
const CONNACK = bits(connack);
const EXPIRY = bits(connect, connack, disconnect);

/** All properties, by identifier. */
export const PROPERTY_SPECS: readonly PropertySpec[] = [
  { id: 0x01, kind: "boolean", name: "isPayloadUtf8", packets: MESSAGE },
  { id: 0x02, kind: "uint32", name: "messageExpirySeconds", packets: MESSAGE, isZeroAllowed: true },
  { id: 0x03, kind: "string", name: "contentType", packets: MESSAGE },
  { id: 0x08, kind: "string", name: "responseTopic", packets: MESSAGE },
  { id: 0x09, kind: "binary", name: "correlationData", packets: MESSAGE },
  {
    id: 0x0b,
    kind: "subscriptionIdentifiers",
    name: "subscriptionIdentifiers",
    packets: bits(publish, subscribe),
  },
  { id: 0x11, kind: "uint32", name: "sessionExpirySeconds", packets: EXPIRY, isZeroAllowed: true },
  { id: 0x12, kind: "string", name: "assignedClientId", packets: CONNACK },
  {
    id: 0x13,
    kind: "uint16",
    name: "serverKeepAliveSeconds",
    packets: CONNACK,
    isZeroAllowed: true,
  },
  { id: 0x15, kind: "string", name: "authenticationMethod", packets: AUTHENTICATION },
  { id: 0x16, kind: "binary", name: "authenticationData", packets: AUTHENTICATION },
  { id: 0x17, kind: "boolean", name: "requestProblemInformation", packets: CONNECT },
  { id: 0x18, kind: "uint32", name: "willDelaySeconds", packets: bits(WILL), isZeroAllowed: true },
  { id: 0x19, kind: "boolean", name: "requestResponseInformation", packets: CONNECT },
  { id: 0x1a, kind: "string", name: "responseInformation", packets: CONNACK },
  { id: 0x1c, kind: "string", name: "serverReference", packets: bits(connack, disconnect) },
  { id: 0x1f, kind: "string", name: "reasonString", packets: ANSWERS },
  { id: 0x21, kind: "uint16", name: "receiveMaximum", packets: BOTH_WAYS, isZeroAllowed: false },
  { id: 0x22, kind: "uint16", name: "topicAliasMaximum", packets: BOTH_WAYS, isZeroAllowed: true },
  { id: 0x23, kind: "uint16", name: "topicAlias", packets: bits(publish), isZeroAllowed: false },
  { id: 0x24, kind: "maximumQos", name: "maximumQos", packets: CONNACK },
  { id: 0x25, kind: "boolean", name: "isRetainAvailable", packets: CONNACK },
  { id: 0x26, kind: "userProperties", name: "userProperties", packets: ALL },
  {
    id: 0x27,
    kind: "uint32",
    name: "maximumPacketBytes",
    packets: BOTH_WAYS,
    isZeroAllowed: false,
  },
  { id: 0x28, kind: "boolean", name: "isWildcardSubscriptionAvailable", packets: CONNACK },
  { id: 0x29, kind: "boolean", name: "areSubscriptionIdentifiersAvailable", packets: CONNACK },
  { id: 0x2a, kind: "boolean", name: "isSharedSubscriptionAvailable", packets: CONNACK },
];

const byId: (PropertySpec | undefined)[] = new Array(0x2b).fill(undefined);
for (const spec of PROPERTY_SPECS) byId[spec.id] = spec;

const byCarrier: readonly (readonly PropertySpec[])[] = Array.from({ length: 16 }, (_, carrier) =>
  PROPERTY_SPECS.filter((spec) => (spec.packets & (1 << carrier)) !== 0),
);

const NONE: readonly PropertySpec[] = [];

/** The property with this identifier; undefined: there is none. */
export const propertyById = (id: number): PropertySpec | undefined => byId[id];

/** The properties that a packet or will may carry, by identifier. */
export const propertiesOf = (carrier: PropertyCarrier): readonly PropertySpec[] =>
  byCarrier[carrier] ?? NONE;

/** True when the property may stand in this packet or will. */
export const isPropertyOf = (spec: PropertySpec, carrier: PropertyCarrier): boolean =>
  (spec.packets & (1 << carrier)) !== 0;
