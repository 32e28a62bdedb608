/** CONNECT, CONNACK and PUBLISH in every version, written by hand from the specifications. */
import {
  type OutgoingPacket,
  type OutgoingPublish,
  PacketType,
  ProtocolVersion,
  type Role,
} from "../../../src/mqtt/packet.ts";

/** [title, version, who decodes, bytes, packet, "decode only" where the encoder prefers a shorter form] */
export type Vector = readonly [
  title: string,
  version: ProtocolVersion,
  reader: Role,
  bytes: string,
  packet: OutgoingPacket,
  isDecodeOnly?: "decode only",
];

const { v31, v311, v5 } = ProtocolVersion;
const T = PacketType;
const utf8 = new TextEncoder();
const bytes = (text: string): Uint8Array => utf8.encode(text);

const publish = (fields: Partial<OutgoingPublish>): OutgoingPublish => ({
  type: T.publish,
  dup: false,
  qos: 0,
  retain: false,
  packetId: 0,
  topic: "a/b",
  payload: bytes("hi"),
  ...fields,
});

const connect = { type: T.connect, clientId: "abc", keepAliveSeconds: 60, properties: {} } as const;

const CONNECTS: readonly Vector[] = [
  [
    "a 3.1 CONNECT",
    v31,
    "server",
    "10 11 0006'MQIsdp' 03 02 003c 0003'abc'",
    { ...connect, protocolVersion: v31, cleanStart: true },
  ],
  [
    "a 3.1 CONNECT with will, username and password",
    v31,
    "server",
    "10 21 0006'MQIsdp' 03 f4 003c 0003'abc' 0001'w' 0003'bye' 0002'me' 0002'pw'",
    {
      ...connect,
      protocolVersion: v31,
      cleanStart: false,
      will: { topic: "w", payload: bytes("bye"), qos: 2, retain: true, properties: {} },
      username: "me",
      password: bytes("pw"),
    },
  ],
  [
    "a 3.1 CONNECT whose end overrules username and password flags",
    v31,
    "server",
    "10 11 0006'MQIsdp' 03 c2 003c 0003'abc'",
    { ...connect, protocolVersion: v31, cleanStart: true },
    "decode only",
  ],
  [
    "a 3.1 CONNECT with the unused flag set",
    v31,
    "server",
    "10 11 0006'MQIsdp' 03 03 003c 0003'abc'",
    { ...connect, protocolVersion: v31, cleanStart: true },
    "decode only",
  ],
  [
    "a 3.1.1 CONNECT without client identifier",
    v311,
    "server",
    "10 0c 0004'MQTT' 04 02 0000 0000",
    { ...connect, protocolVersion: v311, cleanStart: true, keepAliveSeconds: 0, clientId: "" },
  ],
  [
    "a 3.1.1 CONNECT with empty username and password",
    v311,
    "server",
    "10 13 0004'MQTT' 04 c0 ffff 0003'abc' 0000 0000",
    {
      ...connect,
      protocolVersion: v311,
      cleanStart: false,
      keepAliveSeconds: 65_535,
      username: "",
      password: new Uint8Array(0),
    },
  ],
  [
    "a 3.1.1 CONNECT with an empty will payload",
    v311,
    "server",
    "10 14 0004'MQTT' 04 0e 003c 0003'abc' 0001'w' 0000",
    {
      ...connect,
      protocolVersion: v311,
      cleanStart: true,
      will: { topic: "w", payload: new Uint8Array(0), qos: 1, retain: false, properties: {} },
    },
  ],
  [
    "a 3.1.1 CONNECT with its Remaining Length in more bytes than needed",
    v311,
    "server",
    "10 8c8000 0004'MQTT' 04 02 0000 0000",
    { ...connect, protocolVersion: v311, cleanStart: true, keepAliveSeconds: 0, clientId: "" },
    "decode only",
  ],
  [
    "a version 5 CONNECT with nothing",
    v5,
    "server",
    "10 0d 0004'MQTT' 05 02 0000 00 0000",
    { ...connect, protocolVersion: v5, cleanStart: true, keepAliveSeconds: 0, clientId: "" },
  ],
  [
    "a version 5 CONNECT with a password and no username",
    v5,
    "server",
    "10 14 0004'MQTT' 05 42 003c 00 0003'abc' 0002'pw'",
    { ...connect, protocolVersion: v5, cleanStart: true, password: bytes("pw") },
  ],
  [
    "a version 5 CONNECT with every property and every will property",
    v5,
    "server",
    "10 6f 0004'MQTT' 05 26 003c " +
      "2b 11ffffffff 150001'm' 1600020102 1700 1901 210014 22000a 260001'k'0001'1' 260001'k'0001'2' 2700010000 " +
      "0003'abc' 2b 0101 020000003c 030004'text' 080003're/' 0900020aff 1800000005 260001'w'0002'é' 2600000000 " +
      "0001'w' 0003'bye'",
    {
      ...connect,
      protocolVersion: v5,
      cleanStart: true,
      will: {
        topic: "w",
        payload: bytes("bye"),
        qos: 0,
        retain: true,
        properties: {
          isPayloadUtf8: true,
          messageExpirySeconds: 60,
          contentType: "text",
          responseTopic: "re/",
          correlationData: new Uint8Array([0x0a, 0xff]),
          willDelaySeconds: 5,
          userProperties: [
            ["w", "é"],
            ["", ""],
          ],
        },
      },
      properties: {
        sessionExpirySeconds: 0xffff_ffff,
        authenticationMethod: "m",
        authenticationData: new Uint8Array([1, 2]),
        requestProblemInformation: false,
        requestResponseInformation: true,
        receiveMaximum: 20,
        topicAliasMaximum: 10,
        userProperties: [
          ["k", "1"],
          ["k", "2"],
        ],
        maximumPacketBytes: 65_536,
      },
    },
  ],
];

const connack = { type: T.connack, sessionPresent: false, reasonCode: 0, properties: {} } as const;

const CONNACKS: readonly Vector[] = [
  ["a 3.1 CONNACK", v31, "client", "20 02 00 00", connack],
  [
    "a 3.1 CONNACK with the reserved byte set",
    v31,
    "client",
    "20 02 ff 00",
    connack,
    "decode only",
  ],
  [
    "a 3.1.1 CONNACK with session present",
    v311,
    "client",
    "20 02 01 00",
    { ...connack, sessionPresent: true },
  ],
  ["a 3.1.1 CONNACK 1", v311, "client", "20 02 00 01", { ...connack, reasonCode: 0x84 }],
  ["a 3.1.1 CONNACK 2", v311, "client", "20 02 00 02", { ...connack, reasonCode: 0x85 }],
  ["a 3.1.1 CONNACK 3", v311, "client", "20 02 00 03", { ...connack, reasonCode: 0x88 }],
  ["a 3.1.1 CONNACK 4", v311, "client", "20 02 00 04", { ...connack, reasonCode: 0x86 }],
  ["a 3.1 CONNACK 5", v31, "client", "20 02 00 05", { ...connack, reasonCode: 0x87 }],
  ["a version 5 CONNACK", v5, "client", "20 03 01 00 00", { ...connack, sessionPresent: true }],
  [
    "a version 5 CONNACK with every property",
    v5,
    "client",
    "20 53 00 00 50 1100000e10 120002'id' 13001e 150001'm' 160000 1a0001'i' 1c0001's' 1f0002'ok' " +
      "210001 220000 2401 2500 260001'a'0001'b' 2700000400 2800 2901 2a00 26 0001'c' 0003'€' 26 0001'd' 0004'🐋'",
    {
      ...connack,
      properties: {
        sessionExpirySeconds: 3600,
        assignedClientId: "id",
        serverKeepAliveSeconds: 30,
        authenticationMethod: "m",
        authenticationData: new Uint8Array(0),
        responseInformation: "i",
        serverReference: "s",
        reasonString: "ok",
        receiveMaximum: 1,
        topicAliasMaximum: 0,
        maximumQos: 1,
        isRetainAvailable: false,
        userProperties: [
          ["a", "b"],
          ["c", "€"],
          ["d", "🐋"],
        ],
        maximumPacketBytes: 1024,
        isWildcardSubscriptionAvailable: false,
        areSubscriptionIdentifiersAvailable: true,
        isSharedSubscriptionAvailable: false,
      },
    },
    "decode only",
  ],
];

const PUBLISHES: readonly Vector[] = [
  ["a 3.1 PUBLISH", v31, "server", "30 07 0003'a/b' 'hi'", publish({})],
  [
    "a 3.1.1 PUBLISH with QoS 1, DUP and RETAIN",
    v311,
    "server",
    "3b 09 0003'a/b' ffff 'hi'",
    publish({ qos: 1, dup: true, retain: true, packetId: 65_535 }),
  ],
  [
    "a 3.1.1 PUBLISH with QoS 2 and no payload",
    v311,
    "client",
    "34 07 0003'a/b' 0001",
    publish({ qos: 2, packetId: 1, payload: new Uint8Array(0) }),
  ],
  [
    "a version 5 PUBLISH without properties",
    v5,
    "server",
    "31 08 0003'a/b' 00 'hi'",
    publish({ retain: true }),
  ],
  [
    "a version 5 PUBLISH with QoS 2",
    v5,
    "server",
    "3c 0a 0003'a/b' 0102 00 'hi'",
    publish({ qos: 2, dup: true, packetId: 0x0102 }),
  ],
  [
    "a version 5 PUBLISH with a topic alias instead of a topic",
    v5,
    "server",
    "32 0a 0000 0005 03 230001 'hi'",
    publish({ qos: 1, packetId: 5, topic: "", properties: { topicAlias: 1 } }),
  ],
  [
    "a version 5 PUBLISH with every property a client may send",
    v5,
    "server",
    "30 2a 0003'a/b' 22 0100 0200000001 030001't' 080001'r' 090001ff 23ffff 260001'x'0001'y' 2600000000 'hi'",
    publish({
      properties: {
        isPayloadUtf8: false,
        messageExpirySeconds: 1,
        contentType: "t",
        responseTopic: "r",
        correlationData: new Uint8Array([255]),
        topicAlias: 65_535,
        userProperties: [
          ["x", "y"],
          ["", ""],
        ],
      },
    }),
  ],
  [
    "a version 5 PUBLISH from a server with several subscription identifiers",
    v5,
    "client",
    "30 12 0003'a/b' 0a 0b01 0b8001 0bffffff7f 'hi'",
    publish({ properties: { subscriptionIdentifiers: [1, 128, 268_435_455] } }),
  ],
];

export const MESSAGE_VECTORS: readonly Vector[] = [...CONNECTS, ...CONNACKS, ...PUBLISHES];
