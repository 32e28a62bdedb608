/** Every other packet type in every version, written by hand from the specifications. */
import { PacketType, ProtocolVersion } from "../../../src/mqtt/packet.ts";
import type { Properties } from "../../../src/mqtt/properties.ts";
import type { Vector } from "./message-vectors.ts";

const { v31, v311, v5 } = ProtocolVersion;
const T = PacketType;

const reasoned: Properties = { reasonString: "no", userProperties: [["a", "b"]] };

const ACKS: readonly Vector[] = ([T.puback, T.pubrec, T.pubrel, T.pubcomp] as const).flatMap(
  (type): Vector[] => {
    const first = { 4: "40", 5: "50", 6: "62", 7: "70" }[type];
    const isRelease = type === T.pubrel || type === T.pubcomp;
    const code = isRelease ? 0x92 : 0x97;
    const hex = isRelease ? "92" : "97";
    const plain = { type, packetId: 0x1234, reasonCode: 0 };
    return [
      [`a 3.1 packet ${type}`, v31, "server", `${first} 02 1234`, plain],
      [`a 3.1.1 packet ${type}`, v311, "client", `${first} 02 1234`, plain],
      [`a version 5 packet ${type} of two bytes`, v5, "server", `${first} 02 1234`, plain],
      [
        `a version 5 packet ${type} with reason code 0`,
        v5,
        "server",
        `${first} 03 1234 00`,
        plain,
        "decode only",
      ],
      [
        `a version 5 packet ${type} with a reason code`,
        v5,
        "client",
        `${first} 03 1234 ${hex}`,
        { ...plain, reasonCode: code },
      ],
      [
        `a version 5 packet ${type} with an empty property list`,
        v5,
        "server",
        `${first} 04 1234 ${hex} 00`,
        { ...plain, reasonCode: code },
        "decode only",
      ],
      [
        `a version 5 packet ${type} with properties`,
        v5,
        "server",
        `${first} 10 1234 ${hex} 0c 1f0002'no' 260001'a'0001'b'`,
        { ...plain, reasonCode: code, properties: reasoned },
      ],
    ];
  },
);

const entry = { noLocal: false, retainAsPublished: false, retainHandling: 0 } as const;

const SUBSCRIPTIONS: readonly Vector[] = [
  [
    "a 3.1 SUBSCRIBE",
    v31,
    "server",
    "82 08 0001 0003'a/#' 01",
    { type: T.subscribe, packetId: 1, subscriptions: [{ ...entry, topicFilter: "a/#", qos: 1 }] },
  ],
  [
    "a 3.1 SUBSCRIBE sent again, with unused option bits",
    v31,
    "server",
    "8a 08 0001 0003'a/#' fd",
    { type: T.subscribe, packetId: 1, subscriptions: [{ ...entry, topicFilter: "a/#", qos: 1 }] },
    "decode only",
  ],
  [
    "a 3.1.1 SUBSCRIBE with three filters",
    v311,
    "server",
    "82 10 000a 0001'#' 00 0001'+' 01 0003'a/b' 02",
    {
      type: T.subscribe,
      packetId: 10,
      subscriptions: [
        { ...entry, topicFilter: "#", qos: 0 },
        { ...entry, topicFilter: "+", qos: 1 },
        { ...entry, topicFilter: "a/b", qos: 2 },
      ],
    },
  ],
  [
    "a version 5 SUBSCRIBE with all options and properties",
    v5,
    "server",
    "82 16 000a 0b 0b808001 260001'a'0001'b' 0001'#' 2e 0001'a' 11",
    {
      type: T.subscribe,
      packetId: 10,
      subscriptions: [
        { topicFilter: "#", qos: 2, noLocal: true, retainAsPublished: true, retainHandling: 2 },
        { topicFilter: "a", qos: 1, noLocal: false, retainAsPublished: false, retainHandling: 1 },
      ],
      properties: { subscriptionIdentifiers: [16_384], userProperties: [["a", "b"]] },
    },
  ],
  [
    "a version 5 SUBSCRIBE to a shared subscription",
    v5,
    "server",
    "82 10 0001 00 000a'$share/g/t' 01",
    {
      type: T.subscribe,
      packetId: 1,
      subscriptions: [{ ...entry, topicFilter: "$share/g/t", qos: 1 }],
    },
  ],
  [
    "a 3.1 SUBACK",
    v31,
    "client",
    "90 04 0001 00 02",
    { type: T.suback, packetId: 1, reasonCodes: [0, 2] },
  ],
  [
    "a 3.1.1 SUBACK with a failure",
    v311,
    "client",
    "90 06 0001 00 01 02 80",
    { type: T.suback, packetId: 1, reasonCodes: [0, 1, 2, 0x80] },
  ],
  [
    "a version 5 SUBACK with every reason code",
    v5,
    "client",
    "90 0f 0001 00 00 01 02 80 83 87 8f 91 97 9e a1 a2",
    {
      type: T.suback,
      packetId: 1,
      reasonCodes: [0, 1, 2, 0x80, 0x83, 0x87, 0x8f, 0x91, 0x97, 0x9e, 0xa1, 0xa2],
    },
  ],
  [
    "a version 5 SUBACK with properties",
    v5,
    "client",
    "90 10 0001 0c 1f0002'no' 260001'a'0001'b' 80",
    { type: T.suback, packetId: 1, reasonCodes: [0x80], properties: reasoned },
  ],
  [
    "a 3.1 UNSUBSCRIBE",
    v31,
    "server",
    "a2 07 0001 0003'a/#'",
    { type: T.unsubscribe, packetId: 1, topicFilters: ["a/#"] },
  ],
  [
    "a 3.1 UNSUBSCRIBE sent again",
    v31,
    "server",
    "aa 07 0001 0003'a/#'",
    { type: T.unsubscribe, packetId: 1, topicFilters: ["a/#"] },
    "decode only",
  ],
  [
    "a 3.1.1 UNSUBSCRIBE with two filters",
    v311,
    "server",
    "a2 08 0001 0001'#' 0001'+'",
    { type: T.unsubscribe, packetId: 1, topicFilters: ["#", "+"] },
  ],
  [
    "a version 5 UNSUBSCRIBE with a user property",
    v5,
    "server",
    "a2 0d 0001 07 260001'a'0001'b' 0001'#'",
    {
      type: T.unsubscribe,
      packetId: 1,
      topicFilters: ["#"],
      properties: { userProperties: [["a", "b"]] },
    },
  ],
  [
    "a 3.1 UNSUBACK",
    v31,
    "client",
    "b0 02 0001",
    { type: T.unsuback, packetId: 1, reasonCodes: [] },
  ],
  [
    "a 3.1.1 UNSUBACK",
    v311,
    "client",
    "b0 02 0001",
    { type: T.unsuback, packetId: 1, reasonCodes: [] },
  ],
  [
    "a version 5 UNSUBACK with every reason code",
    v5,
    "client",
    "b0 0a 0001 00 00 11 80 83 87 8f 91",
    { type: T.unsuback, packetId: 1, reasonCodes: [0, 0x11, 0x80, 0x83, 0x87, 0x8f, 0x91] },
  ],
  [
    "a version 5 UNSUBACK with properties",
    v5,
    "client",
    "b0 10 0001 0c 1f0002'no' 260001'a'0001'b' 11",
    { type: T.unsuback, packetId: 1, reasonCodes: [0x11], properties: reasoned },
  ],
];

const OTHERS: readonly Vector[] = [
  ...[v31, v311, v5].flatMap((version): Vector[] => [
    [`a PINGREQ of version ${version}`, version, "server", "c0 00", { type: T.pingreq }],
    [`a PINGRESP of version ${version}`, version, "client", "d0 00", { type: T.pingresp }],
    [
      `a DISCONNECT of version ${version}`,
      version,
      "server",
      "e0 00",
      { type: T.disconnect, reasonCode: 0 },
    ],
  ]),
  [
    "a version 5 DISCONNECT with will",
    v5,
    "server",
    "e0 01 04",
    { type: T.disconnect, reasonCode: 4 },
  ],
  [
    "a version 5 DISCONNECT with an empty property list",
    v5,
    "server",
    "e0 02 00 00",
    { type: T.disconnect, reasonCode: 0 },
    "decode only",
  ],
  [
    "a version 5 DISCONNECT from a client with its properties",
    v5,
    "server",
    "e0 13 00 11 1100000000 1f0002'no' 260001'a'0001'b'",
    {
      type: T.disconnect,
      reasonCode: 0,
      properties: { sessionExpirySeconds: 0, ...reasoned },
    },
  ],
  [
    "a version 5 DISCONNECT from a server with its properties",
    v5,
    "client",
    "e0 12 9c 10 1c0001's' 1f0002'no' 260001'a'0001'b'",
    { type: T.disconnect, reasonCode: 0x9c, properties: { serverReference: "s", ...reasoned } },
  ],
  ["an empty AUTH", v5, "client", "f0 00", { type: T.auth, reasonCode: 0 }],
  [
    "an AUTH with its properties",
    v5,
    "server",
    "f0 16 18 14 150001'm' 160001ff 1f0002'no' 260001'a'0001'b'",
    {
      type: T.auth,
      reasonCode: 0x18,
      properties: {
        authenticationMethod: "m",
        authenticationData: new Uint8Array([255]),
        ...reasoned,
      },
    },
  ],
  [
    "an AUTH that asks to authenticate again",
    v5,
    "server",
    "f0 06 19 04 150001'm'",
    { type: T.auth, reasonCode: 0x19, properties: { authenticationMethod: "m" } },
  ],
];

export const CONTROL_VECTORS: readonly Vector[] = [...ACKS, ...SUBSCRIPTIONS, ...OTHERS];
