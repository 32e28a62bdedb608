/** What a remote that is broken, or bad, may say to the MQTT client of an uplink. */
import { join, packet, properties, raw, str, u16 } from "./bytes.ts";
import { CORPUS } from "./corpus.ts";
import { nameOf } from "./malformed-case.ts";

/** When it says it. */
export type UplinkMoment = "instead of CONNACK" | "after CONNACK" | "instead of PUBACK";

export interface UplinkCase {
  readonly name: string;
  readonly moment: UplinkMoment;
  readonly bytes: Uint8Array;
}

const MOMENTS: readonly UplinkMoment[] = [
  "instead of CONNACK",
  "after CONNACK",
  "instead of PUBACK",
];
/** Of the corpus every so many-th case; most of it is wrong for a client too, the rest is illegal from a server. */
const CORPUS_STEP = 17;

const fromCorpus: readonly UplinkCase[] = CORPUS.filter((_, i) => i % CORPUS_STEP === 0).map(
  (each, i) => ({
    name: nameOf(each),
    moment: MOMENTS[i % MOMENTS.length] ?? "after CONNACK",
    bytes: each.bytes,
  }),
);

/** [what, bytes] */
const OWN: readonly (readonly [string, Buffer])[] = [
  ["CONNACK without reason code", packet(0x20, raw(0))],
  ["CONNACK with flags", packet(0x20, raw(0xfe, 0, 0))],
  ["CONNACK with an unknown code", packet(0x20, raw(0, 0x7f, 0))],
  ["CONNACK with a property twice", packet(0x20, raw(0, 0), properties(raw(0x24, 0, 0x24, 0)))],
  ["CONNACK with receive maximum 0", packet(0x20, raw(0, 0), properties(raw(0x21, 0, 0)))],
  [
    "CONNACK with maximum packet size 0",
    packet(0x20, raw(0, 0), properties(raw(0x27, 0, 0, 0, 0))),
  ],
  ["CONNACK with an unknown property", packet(0x20, raw(0, 0), properties(raw(0x7e, 0)))],
  ["CONNACK with properties cut short", packet(0x20, raw(0, 0, 9, 0x26, 0, 1))],
  ["CONNACK twice", join(packet(0x20, raw(0, 0, 0)), packet(0x20, raw(0, 0, 0)))],
  ["PUBACK without packet identifier", packet(0x40)],
  ["PUBACK for packet identifier 0", packet(0x40, u16(0))],
  ["PUBACK for what was never sent", packet(0x40, u16(60_000))],
  ["PUBACK with an unknown reason code", packet(0x40, u16(1), raw(0x55))],
  ["PUBACK with flags", packet(0x4f, u16(1))],
  ["PUBREC for QoS 1", packet(0x50, u16(1))],
  ["PUBREL for nothing", packet(0x62, u16(1))],
  ["PUBCOMP for QoS 1", packet(0x70, u16(1))],
  ["SUBACK for nothing", packet(0x90, u16(1), raw(0, 0))],
  ["SUBACK without body", packet(0x90)],
  ["UNSUBACK for nothing", packet(0xb0, u16(1), raw(0, 0))],
  ["PUBLISH that nobody subscribed to", packet(0x30, str("a"), raw(0), "x")],
  ["PUBLISH with QoS 2 that nobody subscribed to", packet(0x34, str("a"), u16(9), raw(0), "x")],
  ["PUBLISH with QoS 3", packet(0x36, str("a"), u16(9), raw(0), "x")],
  ["PUBLISH with ill-formed UTF-8", packet(0x30, str(raw(0xff, 0xfe)), raw(0), "x")],
  ["PUBLISH with an alias never set", packet(0x30, str(""), properties(raw(0x23, 0, 3)), "x")],
  ["PUBLISH cut short", packet(0x30, raw(0x7f, 0xff))],
  ["DISCONNECT with an unknown reason code", packet(0xe0, raw(0x55))],
  ["DISCONNECT with a session expiry", packet(0xe0, raw(0), properties(raw(0x11, 0, 0, 0, 1)))],
  ["AUTH out of nothing", packet(0xf0, raw(0x18), properties(raw(0x15), str("m")))],
  ["AUTH without anything", packet(0xf0)],
  ["CONNECT", packet(0x10, str("MQTT"), raw(5, 2), u16(0), raw(0), str("r"))],
  ["SUBSCRIBE", packet(0x82, u16(1), raw(0), str("#"), raw(0))],
  ["PINGREQ", packet(0xc0)],
  ["a packet of type 0", packet(0x00)],
  ["a Remaining Length of five bytes", raw(0x40, 0x80, 0x80, 0x80, 0x80, 1)],
  ["the beginning of the longest packet", join(raw(0x30, 0xff, 0xff, 0xff, 0x7f), Buffer.alloc(9))],
];

/** All of them, in every moment. */
export const UPLINK_CASES: readonly UplinkCase[] = [
  ...fromCorpus,
  ...OWN.flatMap(([name, bytes]) => MOMENTS.map((moment) => ({ name, moment, bytes }))),
];
