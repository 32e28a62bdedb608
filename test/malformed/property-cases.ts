/** Properties: in the wrong packet, twice, out of range, cut short, with wrong lengths around them. */
import { join, packet, properties, raw, str, u16, u32 } from "./bytes.ts";
import {
  casesOf,
  closes,
  type Expected,
  MALFORMED,
  type MalformedCase,
  PROTOCOL,
  type Row,
  refuses,
  v5,
} from "./malformed-case.ts";

/** [identifier, name, a valid value] [MQTT 5.0 section 2.2.2.2] */
const PROPERTIES: readonly (readonly [number, string, Buffer])[] = [
  [0x01, "payload format indicator", raw(1)],
  [0x02, "message expiry interval", u32(60)],
  [0x03, "content type", str("text")],
  [0x08, "response topic", str("r/t")],
  [0x09, "correlation data", str("c")],
  [0x0b, "subscription identifier", raw(5)],
  [0x11, "session expiry interval", u32(0)],
  [0x12, "assigned client identifier", str("i")],
  [0x13, "server keep alive", u16(9)],
  [0x15, "authentication method", str("m")],
  [0x16, "authentication data", str("d")],
  [0x17, "request problem information", raw(1)],
  [0x18, "will delay interval", u32(1)],
  [0x19, "request response information", raw(1)],
  [0x1a, "response information", str("i")],
  [0x1c, "server reference", str("s")],
  [0x1f, "reason string", str("why")],
  [0x21, "receive maximum", u16(5)],
  [0x22, "topic alias maximum", u16(5)],
  [0x23, "topic alias", u16(1)],
  [0x24, "maximum QoS", raw(1)],
  [0x25, "retain available", raw(1)],
  [0x26, "user property", join(str("k"), str("v"))],
  [0x27, "maximum packet size", u32(1_000)],
  [0x28, "wildcard subscription available", raw(1)],
  [0x29, "subscription identifiers available", raw(1)],
  [0x2a, "shared subscription available", raw(1)],
];

const byIdentifier = new Map(PROPERTIES.map(([id, name, value]) => [id, { name, value }]));

/** Identifier and valid value of a property. */
const property = (id: number): Buffer =>
  join(raw(id), byIdentifier.get(id)?.value ?? Buffer.alloc(0));

/** What has a property list. */
interface Carrier {
  readonly packet: string;
  readonly section: string;
  /** The packet with these bytes where property length and properties belong. */
  readonly build: (list: Buffer) => Buffer;
  /** Identifiers that a client may put here. */
  readonly allowed: readonly number[];
  /** Identifiers that only the server may put here: left out, or judged by a rule of their own. */
  readonly unjudged?: readonly number[];
  /** What the base has; by default nothing. */
  readonly needed?: Buffer;
}

const ack = (name: string, first: number, section: string): Carrier => ({
  packet: name,
  section,
  build: (list) => packet(first, u16(7), raw(0), list),
  allowed: [0x1f, 0x26],
});

const CARRIERS: readonly Carrier[] = [
  {
    packet: "CONNECT",
    section: "3.1.2.11",
    build: (list) => packet(0x10, str("MQTT"), raw(5, 2), u16(60), list, str("corpus")),
    allowed: [0x11, 0x15, 0x16, 0x17, 0x19, 0x21, 0x22, 0x26, 0x27],
  },
  {
    packet: "will",
    section: "3.1.3.2",
    build: (list) =>
      packet(
        0x10,
        join(str("MQTT"), raw(5, 6), u16(60), raw(0), str("corpus")),
        list,
        str("w/t"),
        str("x"),
      ),
    allowed: [0x01, 0x02, 0x03, 0x08, 0x09, 0x18, 0x26],
  },
  {
    packet: "PUBLISH",
    section: "3.3.2.3",
    build: (list) => packet(0x32, str("t/a"), u16(7), list, "x"),
    allowed: [0x01, 0x02, 0x03, 0x08, 0x09, 0x23, 0x26],
    unjudged: [0x0b],
  },
  ack("PUBACK", 0x40, "3.4.2.2"),
  ack("PUBREC", 0x50, "3.5.2.2"),
  ack("PUBREL", 0x62, "3.6.2.2"),
  ack("PUBCOMP", 0x70, "3.7.2.2"),
  {
    packet: "SUBSCRIBE",
    section: "3.8.2.1",
    build: (list) => packet(0x82, u16(7), list, str("t/a"), raw(0)),
    allowed: [0x0b, 0x26],
  },
  {
    packet: "UNSUBSCRIBE",
    section: "3.10.2.1",
    build: (list) => packet(0xa2, u16(7), list, str("t/a")),
    allowed: [0x26],
  },
  {
    packet: "DISCONNECT",
    section: "3.14.2.2",
    build: (list) => packet(0xe0, raw(0), list),
    allowed: [0x11, 0x1f, 0x26],
    unjudged: [0x1c],
  },
  {
    packet: "AUTH",
    section: "3.15.2.2",
    build: (list) => packet(0xf0, raw(0x18), list),
    allowed: [0x15, 0x16, 0x1f, 0x26],
    needed: property(0x15),
  },
];

const wrong = ({ packet: name }: Carrier, reasonCode: number): Expected =>
  name === "CONNECT" || name === "will" ? refuses(reasonCode) : closes(reasonCode);

function misplacedRows(carrier: Carrier): Row[] {
  const { allowed, unjudged = [], build } = carrier;
  const strange = PROPERTIES.filter(([id]) => !allowed.includes(id) && !unjudged.includes(id));
  return strange.map(([id, name]) => [
    "section 2.2.2.2",
    `has the property ${name}`,
    build(properties(property(id))),
    wrong(carrier, MALFORMED),
  ]);
}

/** Identifiers that no property has; the last one is in two bytes. */
const UNKNOWN = [raw(0x00), raw(0x04), raw(0x0a), raw(0x2b), raw(0x7f), raw(0x80, 0x01)];

function identifierRows(carrier: Carrier): Row[] {
  const unknown = UNKNOWN.map((id): Row => {
    const fault = `has a property with the unknown identifier ${id.toString("hex")}`;
    const list = properties(id, raw(0, 0, 0, 0));
    return ["section 2.2.2.2", fault, carrier.build(list), wrong(carrier, MALFORMED)];
  });
  const long = properties(raw(0xa6, 0x00), str("k"), str("v"));
  return [
    ...unknown,
    [
      "MQTT-1.5.5-1",
      "has a property identifier with a byte too many",
      carrier.build(long),
      wrong(carrier, MALFORMED),
    ],
    [
      "section 1.5.5",
      "has a property identifier of five bytes",
      carrier.build(properties(raw(0xff, 0xff, 0xff, 0xff, 0x01))),
      wrong(carrier, MALFORMED),
    ],
  ];
}

function repeatedRows(carrier: Carrier): Row[] {
  const repeatable = 0x26;
  return carrier.allowed
    .filter((id) => id !== repeatable)
    .map((id) => [
      `section ${carrier.section}`,
      `has the ${byIdentifier.get(id)?.name} twice`,
      carrier.build(properties(needsMethod(id), property(id), property(id))),
      wrong(carrier, PROTOCOL),
    ]);
}

/** Authentication data stands beside a method alone. */
const needsMethod = (id: number): Buffer => (id === 0x16 ? property(0x15) : Buffer.alloc(0));

/** The list ends within the value, byte by byte. */
function cutRows(carrier: Carrier): Row[] {
  return carrier.allowed.flatMap((id) => {
    const whole = property(id);
    return Array.from({ length: whole.length - 1 }, (_, cut): Row => {
      const fault = `has a ${byIdentifier.get(id)?.name} cut after ${cut} of ${whole.length - 1} bytes`;
      const list = properties(needsMethod(id), whole.subarray(0, cut + 1));
      return [`section ${carrier.section}`, fault, carrier.build(list), wrong(carrier, MALFORMED)];
    });
  });
}

function lengthRows(carrier: Carrier): Row[] {
  const { build, section } = carrier;
  const user = property(0x26);
  const list = (length: Buffer): Buffer => build(join(length, user));
  const expected = wrong(carrier, MALFORMED);
  return [
    [`section ${section}`, "has a property length beyond its end", list(raw(0x7f)), expected],
    [
      `section ${section}`,
      "has a property length of two bytes beyond its end",
      list(raw(0xff, 0x7f)),
      expected,
    ],
    [
      `section ${section}`,
      "has a property length that cuts the last property",
      list(raw(user.length - 1)),
      expected,
    ],
    ["MQTT-1.5.5-1", "has a property length with a byte too many", build(raw(0x80, 0)), expected],
    [
      "section 1.5.5",
      "has a property length of five bytes",
      list(raw(0xff, 0xff, 0xff, 0xff, 1)),
      expected,
    ],
  ];
}

/** [packet, clause, fault, properties, reason code] */
const VALUES: readonly (readonly [string, string, string, Buffer, number])[] = [
  ["CONNECT", "section 3.1.2.11.3", "has receive maximum 0", raw(0x21, 0, 0), PROTOCOL],
  ["CONNECT", "section 3.1.2.11.4", "has maximum packet size 0", raw(0x27, 0, 0, 0, 0), PROTOCOL],
  ["CONNECT", "section 3.1.2.11.6", "has request response information 2", raw(0x19, 2), PROTOCOL],
  ["CONNECT", "section 3.1.2.11.7", "has request problem information 2", raw(0x17, 2), PROTOCOL],
  [
    "CONNECT",
    "section 3.1.2.11.7",
    "has request problem information 255",
    raw(0x17, 255),
    PROTOCOL,
  ],
  [
    "CONNECT",
    "section 3.1.2.11.10",
    "has authentication data without method",
    property(0x16),
    PROTOCOL,
  ],
  ["will", "section 3.1.3.2.3", "has payload format indicator 2", raw(0x01, 2), PROTOCOL],
  ["will", "section 3.1.3.2.6", "has a response topic with #", join(raw(8), str("r/#")), PROTOCOL],
  ["will", "section 3.1.3.2.6", "has a response topic with +", join(raw(8), str("+/r")), PROTOCOL],
  ["PUBLISH", "section 3.3.2.3.2", "has payload format indicator 2", raw(0x01, 2), PROTOCOL],
  ["PUBLISH", "section 3.3.2.3.2", "has payload format indicator 255", raw(0x01, 255), PROTOCOL],
  ["PUBLISH", "MQTT-3.3.2-8", "has topic alias 0", raw(0x23, 0, 0), 0x94],
  ["PUBLISH", "MQTT-3.3.2-9", "has a topic alias above the maximum", raw(0x23, 255, 255), 0x94],
  ["PUBLISH", "MQTT-3.3.2-14", "has a response topic with #", join(raw(8), str("#")), PROTOCOL],
  ["PUBLISH", "MQTT-3.3.2-14", "has a response topic with +", join(raw(8), str("a/+/b")), PROTOCOL],
  ["PUBLISH", "MQTT-4.7.3-1", "has an empty response topic", join(raw(8), str("")), PROTOCOL],
  ["PUBLISH", "MQTT-3.3.4-6", "has a subscription identifier", raw(0x0b, 5), PROTOCOL],
  ["SUBSCRIBE", "section 3.8.2.1.2", "has subscription identifier 0", raw(0x0b, 0), PROTOCOL],
  [
    "SUBSCRIBE",
    "MQTT-1.5.5-1",
    "has a subscription identifier with a byte too many",
    raw(0x0b, 0x85, 0),
    MALFORMED,
  ],
  [
    "SUBSCRIBE",
    "section 1.5.5",
    "has a subscription identifier of five bytes",
    raw(0x0b, 0x80, 0x80, 0x80, 0x80, 1),
    MALFORMED,
  ],
  [
    "DISCONNECT",
    "section 3.14.2.2.2",
    "has a session expiry interval where CONNECT had none",
    raw(0x11, 0, 0, 0, 9),
    PROTOCOL,
  ],
  [
    "AUTH",
    "section 3.15.2.2.3",
    "has authentication data without method",
    property(0x16),
    PROTOCOL,
  ],
  ["AUTH", "section 3.15.2.2.2", "has no authentication method", property(0x26), PROTOCOL],
];

function valueRows(carrier: Carrier): Row[] {
  return VALUES.filter(([name]) => name === carrier.packet).map(
    ([, clause, fault, list, reasonCode]) => [
      clause,
      fault,
      carrier.build(properties(list)),
      wrong(carrier, reasonCode),
    ],
  );
}

/** The cases of this file. */
export const PROPERTY_CASES: readonly MalformedCase[] = CARRIERS.flatMap((carrier) => {
  const base = carrier.build(properties(carrier.needed ?? Buffer.alloc(0)));
  return casesOf({ packet: carrier.packet, version: v5, base }, [
    ...misplacedRows(carrier),
    ...identifierRows(carrier),
    ...repeatedRows(carrier),
    ...cutRows(carrier),
    ...lengthRows(carrier),
    ...valueRows(carrier),
  ]);
});
