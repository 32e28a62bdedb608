/** What a client may send, field by field: the packets that the cases spoil. */
import { join, type Part, packet, properties, raw, str, u16 } from "./bytes.ts";

/** One field with its name and bytes. */
export type Field = readonly [name: string, bytes: Buffer];

/** A packet that clients send. */
export interface ValidPacket {
  readonly name: string;
  /** First byte: type and flags. */
  readonly first: number;
  /** Chapter of the standard, `3.3`. */
  readonly section: string;
  readonly fields: readonly Field[];
}

const V5_CONNECT: readonly Field[] = [
  ["protocol name", str("MQTT")],
  ["protocol level", raw(5)],
  ["connect flags", raw(0xc6)],
  ["keep alive", u16(60)],
  ["properties", properties(raw(0x21, 0, 10))],
  ["client identifier", str("corpus")],
  ["will properties", properties(raw(0x18, 0, 0, 0, 1))],
  ["will topic", str("will/t")],
  ["will payload", str("gone")],
  ["user name", str("user")],
  ["password", str("secret")],
];
const V311_CONNECT: readonly Field[] = [
  ["protocol name", str("MQTT")],
  ["protocol level", raw(4)],
  ["connect flags", raw(0xc6)],
  ["keep alive", u16(60)],
  ["client identifier", str("corpus")],
  ["will topic", str("will/t")],
  ["will payload", str("gone")],
  ["user name", str("user")],
  ["password", str("secret")],
];

const id: Field = ["packet identifier", u16(7)];
const list: Field = ["properties", properties(raw(0x26), str("k"), str("v"))];
const filter: Field = ["topic filter", str("t/a")];

const ACKS = [
  ["PUBACK", 0x40, "3.4"],
  ["PUBREC", 0x50, "3.5"],
  ["PUBREL", 0x62, "3.6"],
  ["PUBCOMP", 0x70, "3.7"],
] as const;

/** Of version 5. AUTH is well-formed, though a client without enhanced authentication may not send it. */
export const V5_PACKETS: readonly ValidPacket[] = [
  { name: "CONNECT", first: 0x10, section: "3.1", fields: V5_CONNECT },
  {
    name: "PUBLISH",
    first: 0x32,
    section: "3.3",
    fields: [["topic name", str("t/a")], id, list],
  },
  ...ACKS.map(([name, first, section]) => ({
    name,
    first,
    section,
    fields: [id, ["reason code", raw(0)], list] satisfies Field[],
  })),
  {
    name: "SUBSCRIBE",
    first: 0x82,
    section: "3.8",
    fields: [id, list, filter, ["subscription options", raw(1)]],
  },
  { name: "UNSUBSCRIBE", first: 0xa2, section: "3.10", fields: [id, list, filter] },
  { name: "PINGREQ", first: 0xc0, section: "3.12", fields: [] },
  { name: "DISCONNECT", first: 0xe0, section: "3.14", fields: [["reason code", raw(0)], list] },
  {
    name: "AUTH",
    first: 0xf0,
    section: "3.15",
    fields: [
      ["reason code", raw(0x18)],
      ["properties", properties(raw(0x15), str("m"))],
    ],
  },
];

/** Of version 3.1.1. */
export const V311_PACKETS: readonly ValidPacket[] = [
  { name: "CONNECT", first: 0x10, section: "3.1", fields: V311_CONNECT },
  { name: "PUBLISH", first: 0x32, section: "3.3", fields: [["topic name", str("t/a")], id] },
  ...ACKS.map(([name, first, section]) => ({ name, first, section, fields: [id] })),
  {
    name: "SUBSCRIBE",
    first: 0x82,
    section: "3.8",
    fields: [id, filter, ["requested QoS", raw(1)]],
  },
  { name: "UNSUBSCRIBE", first: 0xa2, section: "3.10", fields: [id, filter] },
  { name: "PINGREQ", first: 0xc0, section: "3.12", fields: [] },
  { name: "DISCONNECT", first: 0xe0, section: "3.14", fields: [] },
];

/** Its body. */
export const bodyOf = ({ fields }: ValidPacket): Buffer =>
  join(...fields.map(([, bytes]) => bytes));

/** Its bytes. */
export const bytesOf = (valid: ValidPacket): Buffer => packet(valid.first, bodyOf(valid));

/** Its bytes with one field replaced. */
export function withField(valid: ValidPacket, field: string, bytes: Part): Buffer {
  const parts = valid.fields.map((each): Part => (each[0] === field ? bytes : each[1]));
  return packet(valid.first, ...parts);
}

/** The packet of this name in this list. */
export function packetNamed(packets: readonly ValidPacket[], name: string): ValidPacket {
  const found = packets.find((each) => each.name === name);
  if (found === undefined) throw new RangeError(`no packet ${name}`);
  return found;
}
