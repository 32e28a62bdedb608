/** Ways to spoil a conversation. Each works on the packets of it, in place of them, and none keeps them valid on purpose. */
import { longVarint, raw, varint } from "../malformed/bytes.ts";
import type { Chance } from "./chance.ts";

/** Changes a list of packets. */
export type Mutation = (packets: Buffer[], chance: Chance) => void;

const INTERESTING = [0x00, 0x01, 0x02, 0x7f, 0x80, 0xff];
/** Properties with a value, and some that end too early. */
const PROPERTIES = [
  "0102",
  "020000000a",
  "030001ff",
  "0800012b",
  "0b00",
  "0b8001",
  "11ffffffff",
  "130000",
  "1500016d",
  "16000164",
  "1702",
  "1800000001",
  "1f000161",
  "210000",
  "22ffff",
  "230000",
  "23ffff",
  "2402",
  "260001610001",
  "26000161000162",
  "2700000000",
  "2a01",
  "7f",
  "ff",
].map((hex) => Buffer.from(hex, "hex"));
/** Packets that only a server sends, and types that nobody does. */
const FOREIGN = ["20020000", "2003000000", "9003000100", "b0020001", "d000", "0000", "f000"].map(
  (hex) => Buffer.from(hex, "hex"),
);
const LENGTHS = [
  raw(0xff, 0xff, 0xff, 0x7f),
  raw(0xff, 0xff, 0xff, 0xff),
  raw(0x80, 0x80, 0x80, 0x80, 0x01),
  raw(0x80, 0x00),
  raw(0xff, 0x7f),
  raw(0x80, 0x80, 0x04),
];

/** Which packet to spoil: seldom CONNECT, or nothing behind it is ever looked at. */
function indexOf(packets: readonly Buffer[], chance: Chance): number {
  return packets.length > 1 && !chance.oneIn(6) ? chance.between(1, packets.length - 1) : 0;
}

/** How many bytes the fixed header of a valid packet has. */
function headerBytes(packet: Buffer): number {
  let end = 1;
  while (end < packet.length && (packet[end] ?? 0) >= 0x80) end++;
  return Math.min(end + 1, packet.length);
}

/** Changes the body of one packet; its Remaining Length is made right again. */
const ofBody =
  (change: (body: Buffer, chance: Chance) => Buffer): Mutation =>
  (packets, chance) => {
    const index = indexOf(packets, chance);
    const packet = packets[index] ?? raw();
    const body = change(packet.subarray(headerBytes(packet)), chance);
    packets[index] = Buffer.concat([packet.subarray(0, 1), varint(body.length), body]);
  };

const insert = (body: Buffer, at: number, what: Buffer): Buffer =>
  Buffer.concat([body.subarray(0, at), what, body.subarray(at)]);

const flipBits: Mutation = (packets, chance) => {
  const bytes = packets[indexOf(packets, chance)];
  if (bytes === undefined || bytes.length === 0) return;
  for (let i = chance.between(1, 4); i > 0; i--) {
    const at = chance.below(bytes.length);
    bytes[at] = (bytes[at] ?? 0) ^ (1 << chance.below(8));
  }
};

const setBytes: Mutation = (packets, chance) => {
  const bytes = packets[indexOf(packets, chance)];
  if (bytes === undefined || bytes.length === 0) return;
  for (let i = chance.between(1, 3); i > 0; i--) {
    bytes[chance.below(bytes.length)] = chance.pick(INTERESTING);
  }
};

const editLength: Mutation = (packets, chance) => {
  const index = indexOf(packets, chance);
  const packet = packets[index] ?? raw();
  const body = packet.subarray(headerBytes(packet));
  const off = Math.max(0, body.length + chance.between(-4, 4));
  const length = chance.oneIn(3)
    ? chance.pick(LENGTHS)
    : chance.oneIn(4)
      ? longVarint(body.length)
      : varint(off);
  packets[index] = Buffer.concat([packet.subarray(0, 1), length, body]);
};

const truncate: Mutation = (packets, chance) => {
  const index = indexOf(packets, chance);
  const packet = packets[index] ?? raw();
  packets[index] = packet.subarray(0, chance.below(packet.length));
};

const swap: Mutation = (packets, chance) => {
  const a = chance.below(packets.length);
  const b = chance.below(packets.length);
  [packets[a], packets[b]] = [packets[b] ?? raw(), packets[a] ?? raw()];
};

const repeat: Mutation = (packets, chance) => {
  const at = chance.below(packets.length);
  const copies = Array.from({ length: chance.between(1, 3) }, () => Buffer.from(packets[at] ?? []));
  packets.splice(chance.below(packets.length + 1), 0, ...copies);
};

const drop: Mutation = (packets, chance) => {
  packets.splice(chance.below(packets.length), 1);
};

const splice: Mutation = (packets, chance) => {
  const from = chance.pick(packets);
  const start = chance.below(from.length + 1);
  const piece = from.subarray(start, start + chance.below(20));
  const index = indexOf(packets, chance);
  const packet = packets[index] ?? raw();
  packets[index] = insert(packet, chance.below(packet.length + 1), Buffer.from(piece));
};

const foreign: Mutation = (packets, chance) => {
  const at = chance.below(packets.length + 1);
  packets.splice(at, 0, Buffer.from(chance.pick(FOREIGN)));
};

const noise: Mutation = (packets, chance) => {
  packets.splice(chance.below(packets.length + 1), 0, chance.bytes(chance.below(40)));
};

/** By name. */
export const MUTATIONS: Readonly<Record<string, Mutation>> = {
  "bits turned over": flipBits,
  "bytes set": setBytes,
  "length edited": editLength,
  truncated: truncate,
  "order changed": swap,
  "packets repeated": repeat,
  "a packet left out": drop,
  "pieces spliced in": splice,
  "packets of the other side": foreign,
  noise,
  "a piece of the body repeated": ofBody((body, chance) => {
    const start = chance.below(body.length + 1);
    const piece = body.subarray(start, start + chance.below(12));
    return insert(body, start, Buffer.from(piece));
  }),
  "a piece of the body cut out": ofBody((body, chance) => {
    const start = chance.below(body.length + 1);
    return Buffer.concat([body.subarray(0, start), body.subarray(start + chance.below(6))]);
  }),
  "bytes put into the body": ofBody((body, chance) =>
    insert(body, chance.below(body.length + 1), chance.bytes(chance.between(1, 4))),
  ),
  "properties put into the body": ofBody((body, chance) =>
    insert(body, chance.below(body.length + 1), chance.pick(PROPERTIES)),
  ),
  "a property list grown": ofBody((body, chance) => {
    const at = chance.below(Math.min(body.length, 12) + 1);
    const property = chance.pick(PROPERTIES);
    const grown = insert(body, at, property);
    if (at > 0) grown[at - 1] = ((grown[at - 1] ?? 0) + property.length) & 0xff;
    return grown;
  }),
  "a string's length edited": ofBody((body, chance) => {
    if (body.length < 2) return body;
    const edited = Buffer.from(body);
    const length = chance.pick([0, 1, 2, 255, 256, 65_535]);
    edited.writeUInt16BE(length, chance.below(edited.length - 1));
    return edited;
  }),
};

/** A whole conversation, spoiled in up to three ways, as the chunks in which it arrives; and the names of the ways. */
export function spoil(
  packets: readonly Buffer[],
  chance: Chance,
): { readonly chunks: readonly Buffer[]; readonly ways: readonly string[] } {
  const spoiled = packets.map((packet) => Buffer.from(packet));
  const ways: string[] = [];
  const count = chance.pick([0, 1, 1, 1, 1, 2, 2, 3]);
  const names = Object.keys(MUTATIONS);
  for (let i = 0; i < count && spoiled.length > 0; i++) {
    const way = chance.pick(names);
    MUTATIONS[way]?.(spoiled, chance);
    ways.push(way);
  }
  return { chunks: cut(spoiled, chance), ways };
}

/** In one piece, packet by packet, in single bytes, or at random. */
function cut(packets: readonly Buffer[], chance: Chance): Buffer[] {
  const bytes = Buffer.concat(packets);
  const how = chance.below(5);
  if (how <= 1) return packets.filter((packet) => packet.length > 0);
  if (how === 2) return bytes.length === 0 ? [] : [bytes];
  const chunks: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const size = how === 3 ? chance.between(1, 40) : 1;
    chunks.push(bytes.subarray(at, at + size));
    at += size;
  }
  return chunks;
}
