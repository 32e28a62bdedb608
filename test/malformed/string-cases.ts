/** Strings that are not UTF-8, have U+0000 in them, or are longer than their packet [MQTT 5.0 section 1.5.4]. */
import { join, packet, properties, raw, str, u16 } from "./bytes.ts";
import {
  casesOf,
  closes,
  MALFORMED,
  type MalformedCase,
  type Row,
  refuses,
  v5,
  v311,
} from "./malformed-case.ts";
import { bytesOf, packetNamed, V5_PACKETS, V311_PACKETS, withField } from "./valid-packets.ts";

type Version = typeof v5 | typeof v311;

/** [what it is, bytes] */
const ILL_FORMED: readonly (readonly [string, Buffer])[] = [
  ["an overlong form", raw(0xc0, 0x80)],
  ["an overlong slash", raw(0xc0, 0xaf)],
  ["a continuation byte alone", raw(0x61, 0x80)],
  ["a high surrogate", raw(0xed, 0xa0, 0x80)],
  ["a low surrogate", raw(0xed, 0xbf, 0xbf)],
  ["a character beyond U+10FFFF", raw(0xf4, 0x90, 0x80, 0x80)],
  ["a sequence cut short", raw(0x61, 0xe2, 0x82)],
  ["a byte that UTF-8 never has", raw(0xff, 0x61)],
];
const WITH_NUL: readonly (readonly [string, Buffer])[] = [
  ["U+0000 at its end", raw(0x61, 0x00)],
  ["U+0000 alone", raw(0x00)],
];

/** A string somewhere in a packet. */
interface Place {
  readonly packet: string;
  readonly name: string;
  readonly version: Version;
  readonly base: Buffer;
  readonly build: (string: Buffer) => Buffer;
}

function fieldPlaces(version: Version, fields: readonly (readonly [string, string])[]): Place[] {
  const packets = version === v5 ? V5_PACKETS : V311_PACKETS;
  return fields.map(([name, field]) => {
    const valid = packetNamed(packets, name);
    const build = (bytes: Buffer): Buffer => withField(valid, field, bytes);
    return { packet: name, name: field, version, base: bytesOf(valid), build };
  });
}

const FIELDS = [
  ["CONNECT", "client identifier"],
  ["CONNECT", "will topic"],
  ["CONNECT", "user name"],
  ["PUBLISH", "topic name"],
  ["SUBSCRIBE", "topic filter"],
  ["UNSUBSCRIBE", "topic filter"],
] as const;

/** [packet, property, identifier, packet with this list] */
const LISTS: readonly (readonly [string, string, number, (list: Buffer) => Buffer])[] = [
  ["CONNECT", "authentication method", 0x15, connectWith],
  ["will", "content type", 0x03, willWith],
  ["will", "response topic", 0x08, willWith],
  ["PUBLISH", "content type", 0x03, publishWith],
  ["PUBLISH", "response topic", 0x08, publishWith],
  ["PUBACK", "reason string", 0x1f, (list) => packet(0x40, u16(7), raw(0), list)],
  ["PUBREC", "reason string", 0x1f, (list) => packet(0x50, u16(7), raw(0), list)],
  ["PUBREL", "reason string", 0x1f, (list) => packet(0x62, u16(7), raw(0), list)],
  ["PUBCOMP", "reason string", 0x1f, (list) => packet(0x70, u16(7), raw(0), list)],
  ["DISCONNECT", "reason string", 0x1f, (list) => packet(0xe0, raw(0), list)],
];

function connectWith(list: Buffer): Buffer {
  return packet(0x10, str("MQTT"), raw(5, 2), u16(60), list, str("corpus"));
}

function willWith(list: Buffer): Buffer {
  const head = join(str("MQTT"), raw(5, 6), u16(60), raw(0), str("corpus"));
  return packet(0x10, head, list, str("w/t"), str("x"));
}

function publishWith(list: Buffer): Buffer {
  return packet(0x32, str("t/a"), u16(7), list, "x");
}

const PROPERTY_PLACES: readonly Place[] = LISTS.map(([name, property, id, build]) => ({
  packet: name,
  name: property,
  version: v5,
  base: build(properties()),
  build: (bytes) => build(properties(raw(id), bytes)),
}));

const USER_PLACES: readonly Place[] = [
  ["CONNECT", connectWith],
  ["will", willWith],
  ["PUBLISH", publishWith],
].flatMap(([name, build]) => {
  const make = build as (list: Buffer) => Buffer;
  const common = { packet: name as string, version: v5, base: make(properties()) };
  return [
    {
      ...common,
      name: "user property's name",
      build: (bytes: Buffer) => make(properties(raw(0x26), bytes, str("v"))),
    },
    {
      ...common,
      name: "user property's value",
      build: (bytes: Buffer) => make(properties(raw(0x26), str("k"), bytes)),
    },
  ];
});

function rowsOf(place: Place): Row[] {
  const { packet: name, version, build } = place;
  const expected = name === "CONNECT" || name === "will" ? refuses(MALFORMED) : closes(MALFORMED);
  const isV5 = version === v5;
  const utf8 = isV5 ? "MQTT-1.5.4-1" : "MQTT-1.5.3-1 of 3.1.1";
  const nul = isV5 ? "MQTT-1.5.4-2" : "MQTT-1.5.3-2 of 3.1.1";
  const length = isV5 ? "section 1.5.4" : "section 1.5.3 of 3.1.1";
  const row =
    (clause: string) =>
    ([what, bytes]: readonly [string, Buffer]): Row => [
      clause,
      `has ${what} in its ${place.name}`,
      build(str(bytes)),
      expected,
    ];
  return [
    ...ILL_FORMED.map(row(utf8)),
    ...WITH_NUL.map(row(nul)),
    [length, `has a ${place.name} longer than it is`, build(str("a", 0x7fff)), expected],
    [length, `has a ${place.name} of the greatest length`, build(str("a", 0xffff)), expected],
  ];
}

/** The cases of this file. */
export const STRING_CASES: readonly MalformedCase[] = [
  ...fieldPlaces(v5, FIELDS),
  ...fieldPlaces(v311, FIELDS),
  ...PROPERTY_PLACES,
  ...USER_PLACES,
].flatMap((place) => casesOf(place, rowsOf(place)));
