/** After CONNACK: reason codes, topics and filters, packets of the wrong side, and quotas. */
import { packet, properties, raw, str, u16 } from "./bytes.ts";
import {
  answers,
  casesOf,
  closes,
  MALFORMED,
  type MalformedCase,
  PROTOCOL,
  type Row,
  v5,
  v31,
  v311,
} from "./malformed-case.ts";

type Version = typeof v5 | typeof v311;

const PUBACK = 4;
const PUBREC = 5;
const SUBACK = 9;
const TOPIC_NAME_INVALID = 0x90;
/** What the broker offers by default. */
const RECEIVE_MAXIMUM = 100;

/** All reason codes of the standard [MQTT 5.0 section 2.4], and some that it does not have. */
const NAMED = [0x00, 0x01, 0x02, 0x04, 0x10, 0x11, 0x18, 0x19];
const ERRORS = Array.from({ length: 0xa2 - 0x80 + 1 }, (_, i) => 0x80 + i);
const CODES = [...NAMED, ...ERRORS, 0x03, 0x05, 0x7f, 0xa3, 0xff];

const RECEIVED = [0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];
const RELEASED = [0x00, 0x92];
const LEAVING = [0, 4, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99];

/** [packet, first byte, clause, reason codes that a client may send] */
const REASONED: readonly (readonly [string, number, string, readonly number[]])[] = [
  ["PUBACK", 0x40, "MQTT-3.4.2-1", RECEIVED],
  ["PUBREC", 0x50, "MQTT-3.5.2-1", RECEIVED],
  ["PUBREL", 0x62, "MQTT-3.6.2-1", RELEASED],
  ["PUBCOMP", 0x70, "MQTT-3.7.2-1", RELEASED],
  ["DISCONNECT", 0xe0, "MQTT-3.14.2-1", LEAVING],
  ["AUTH", 0xf0, "MQTT-3.15.2-1", [0x18, 0x19]],
];

const REASON_CASES = REASONED.flatMap(([name, first, clause, allowed]) => {
  const isAck = name.startsWith("PUB");
  const rest = name === "AUTH" ? [properties(raw(0x15), str("m"))] : [];
  const build = (code: number): Buffer =>
    packet(first, ...(isAck ? [u16(7)] : []), raw(code), ...rest);
  const rows = CODES.filter((code) => !allowed.includes(code)).map((code): Row => {
    const hex = code.toString(16).padStart(2, "0");
    return [clause, `has reason code 0x${hex}`, build(code), closes(PROTOCOL)];
  });
  return casesOf({ packet: name, version: v5, base: build(allowed[0] ?? 0) }, rows);
});

/** Packets that only a server sends, or nobody. */
function roleRows(version: Version): Row[] {
  const end = version === v5 ? raw(0) : raw();
  const section = version === v5 ? "section 2.1.2" : "section 2.2.1 of 3.1.1";
  const rows: Row[] = [
    [section, "CONNACK", packet(0x20, raw(0, 0), end), closes(PROTOCOL)],
    [section, "SUBACK", packet(0x90, u16(7), end, raw(0)), closes(PROTOCOL)],
    [section, "UNSUBACK", packet(0xb0, u16(7), end, end), closes(PROTOCOL)],
    [section, "PINGRESP", packet(0xd0), closes(PROTOCOL)],
    [section, "a packet of type 0", packet(0x00), closes(MALFORMED)],
    [section, "a packet of type 0 with a body", packet(0x00, "body"), closes(MALFORMED)],
  ];
  if (version === v5) {
    rows.push(
      ["section 4.12", "AUTH without anything", packet(0xf0), closes(PROTOCOL)],
      [
        "section 4.12.1",
        "AUTH where CONNECT had no method",
        packet(0xf0, raw(0x19), properties(raw(0x15), str("m"))),
        closes(PROTOCOL),
      ],
    );
  } else {
    rows.push([section, "a packet of type 15", packet(0xf0), closes(PROTOCOL)]);
  }
  return rows;
}

const publish = (version: Version, qos: number, topic: string): Buffer => {
  const id = qos === 0 ? raw() : u16(7);
  return packet(0x30 | (qos << 1), str(topic), id, version === v5 ? raw(0) : raw(), "x");
};

/** Topic names with wildcards. */
function topicRows(version: Version): Row[] {
  const clause = version === v5 ? "MQTT-3.3.2-2" : "MQTT-3.3.2-2 of 3.1.1";
  const closing = closes(TOPIC_NAME_INVALID);
  return ["#", "+", "a/#", "a/+/b", "a#", "a/b+"].flatMap((topic) =>
    [0, 1, 2].map((qos): Row => {
      const answer = answers(qos === 1 ? PUBACK : PUBREC, TOPIC_NAME_INVALID);
      const expected = qos === 0 || version !== v5 ? closing : answer;
      return [
        clause,
        `has the topic ${topic} at QoS ${qos}`,
        publish(version, qos, topic),
        expected,
      ];
    }),
  );
}

function emptyTopicRows(version: Version): Row[] {
  const clause = version === v5 ? "MQTT-4.7.3-1" : "MQTT-4.7.3-1 of 3.1.1";
  const rows = [0, 1, 2].map((qos): Row => {
    return [clause, `has no topic at QoS ${qos}`, publish(version, qos, ""), closes(PROTOCOL)];
  });
  if (version !== v5) return rows;
  const alias = packet(0x32, str(""), u16(7), properties(raw(0x23, 0, 1)), "x");
  return [
    ...rows,
    ["section 3.3.2.3.4", "has a topic alias that was never set", alias, closes(PROTOCOL)],
  ];
}

const subscribe = (version: Version, filter: string, options: number): Buffer =>
  packet(0x82, u16(7), version === v5 ? raw(0) : raw(), str(filter), raw(options));

/** [clause of 5, clause of 3.1.1, filter] */
const FILTERS: readonly (readonly [string, string, string])[] = [
  ["MQTT-4.7.1-1", "MQTT-4.7.1-2", "a#"],
  ["MQTT-4.7.1-1", "MQTT-4.7.1-2", "a/b#"],
  ["MQTT-4.7.1-1", "MQTT-4.7.1-2", "#/a"],
  ["MQTT-4.7.1-1", "MQTT-4.7.1-2", "a/#/b"],
  ["MQTT-4.7.1-1", "MQTT-4.7.1-2", "##"],
  ["MQTT-4.7.1-1", "MQTT-4.7.1-2", "a/#/"],
  ["MQTT-4.7.1-1", "MQTT-4.7.1-2", "#+"],
  ["MQTT-4.7.1-2", "MQTT-4.7.1-3", "a+"],
  ["MQTT-4.7.1-2", "MQTT-4.7.1-3", "+a"],
  ["MQTT-4.7.1-2", "MQTT-4.7.1-3", "a/+b"],
  ["MQTT-4.7.1-2", "MQTT-4.7.1-3", "a/b+/c"],
  ["MQTT-4.7.1-2", "MQTT-4.7.1-3", "++"],
  ["MQTT-4.7.1-2", "MQTT-4.7.1-3", "+#"],
  ["MQTT-4.7.3-1", "MQTT-4.7.3-1", ""],
];

/** [clause, filter] of shared subscriptions in version 5. */
const SHARED: readonly (readonly [string, string])[] = [
  ["MQTT-4.8.2-1", "$share//a"],
  ["MQTT-4.8.2-2", "$share/+/a"],
  ["MQTT-4.8.2-2", "$share/#/a"],
  ["MQTT-4.8.2-2", "$share/g+/a"],
  ["MQTT-4.8.2-2", "$share/g"],
  ["MQTT-4.8.2-2", "$share/g/"],
  ["MQTT-4.8.2-2", "$share/g/a#"],
  ["MQTT-4.8.2-2", "$share/g/#/a"],
];

const SHARED_ROWS: readonly Row[] = SHARED.map(([clause, filter]) => [
  clause,
  `has the topic filter "${filter}"`,
  subscribe(v5, filter, 0),
  answers(SUBACK, 0x8f),
]);

function filterRows(version: Version): Row[] {
  const of = version === v5 ? "" : " of 3.1.1";
  return FILTERS.map(([own, old, filter]) => [
    `${version === v5 ? own : old}${of}`,
    `has the topic filter "${filter}"`,
    subscribe(version, filter, 0),
    answers(SUBACK, version === v5 ? 0x8f : 0x80),
  ]);
}

function optionRows(version: Version): Row[] {
  const isV5 = version === v5;
  const reserved = isV5 ? [0x40, 0x80, 0xc0, 0xc1] : [0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xfc];
  const clause = isV5 ? "MQTT-3.8.3-5" : "MQTT-3.8.3-4 of 3.1.1";
  const rows = reserved.map((options): Row => {
    const fault = `has the reserved options 0x${options.toString(16)}`;
    return [clause, fault, subscribe(version, "a", options), closes(MALFORMED)];
  });
  const qos = isV5 ? "section 3.8.3.1" : "MQTT-3.8.3-4 of 3.1.1";
  rows.push([qos, "asks for QoS 3", subscribe(version, "a", 3), closes(PROTOCOL)]);
  if (isV5) {
    const shared = subscribe(v5, "$share/g/a", 4);
    rows.push(
      ["section 3.8.3.1", "has retain handling 3", subscribe(v5, "a", 0x30), closes(PROTOCOL)],
      ["MQTT-3.8.3-4", "has no local on a shared subscription", shared, closes(PROTOCOL)],
    );
  }
  const none = packet(0x82, u16(7), isV5 ? raw(0) : raw());
  const noFilter = isV5 ? "MQTT-3.8.3-2" : "MQTT-3.8.3-3 of 3.1.1";
  rows.push([noFilter, "has no topic filter", none, closes(PROTOCOL)]);
  return rows;
}

function unsubscribeRows(version: Version): Row[] {
  const isV5 = version === v5;
  const none = packet(0xa2, u16(7), isV5 ? raw(0) : raw());
  const clause = isV5 ? "MQTT-3.10.3-2" : "MQTT-3.10.3-2 of 3.1.1";
  return [[clause, "has no topic filter", none, closes(PROTOCOL)]];
}

/** QoS 1 and 2 messages that are never released. */
function publishes(count: number, from: number): Buffer {
  return Buffer.concat(
    Array.from({ length: count }, (_, i) => packet(0x34, str("t/a"), u16(from + i), raw(0), "x")),
  );
}

const QUOTA_CASES = casesOf(
  { packet: "PUBLISH", version: v5, base: publishes(RECEIVE_MAXIMUM, 1) },
  [
    [
      "MQTT-3.3.4-9",
      "exceeds the receive maximum by one",
      publishes(RECEIVE_MAXIMUM + 1, 1),
      closes(0x93),
    ],
  ],
);

const ping = packet(0xc0);

/** The cases of this file. */
export const CONVERSATION_CASES: readonly MalformedCase[] = [
  ...REASON_CASES,
  ...QUOTA_CASES,
  ...([v5, v311] as const).flatMap((version) => [
    ...casesOf({ packet: "unexpected", version, base: ping }, roleRows(version)),
    ...casesOf({ packet: "PUBLISH", version, base: publish(version, 1, "t/a") }, [
      ...topicRows(version),
      ...emptyTopicRows(version),
    ]),
    ...casesOf({ packet: "SUBSCRIBE", version, base: subscribe(version, "a", 0) }, [
      ...filterRows(version),
      ...(version === v5 ? SHARED_ROWS : []),
      ...optionRows(version),
    ]),
    ...casesOf(
      {
        packet: "UNSUBSCRIBE",
        version,
        base: packet(0xa2, u16(7), version === v5 ? raw(0) : raw(), str("a")),
      },
      unsubscribeRows(version),
    ),
  ]),
  ...casesOf({ packet: "SUBSCRIBE", version: v31, base: subscribe(v311, "a", 0) }, [
    ["section 3.8 of 3.1", "asks for QoS 3", subscribe(v311, "a", 3), closes(PROTOCOL)],
    ["section 3.8 of 3.1", "has no topic filter", packet(0x82, u16(7)), closes(PROTOCOL)],
    [
      "section 2.1 of 3.1",
      "lacks its QoS 1",
      packet(0x80, u16(7), str("a"), raw(0)),
      closes(MALFORMED),
    ],
  ]),
];
