/** Fixed header, Remaining Length, fields that end too early and bytes that nobody asked for. */
import { join, longVarint, packet, raw, varint } from "./bytes.ts";
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
  v311,
  WAITS,
} from "./malformed-case.ts";
import { bodyOf, bytesOf, V5_PACKETS, V311_PACKETS, type ValidPacket } from "./valid-packets.ts";

type Version = typeof v5 | typeof v311;

const wrong = ({ name }: ValidPacket, reasonCode: number): Expected =>
  name === "CONNECT" ? refuses(reasonCode) : closes(reasonCode);

/** Every flag bit of every packet but PUBLISH is reserved. */
function flagRows(valid: ValidPacket, version: Version): Row[] {
  if (valid.name === "PUBLISH") {
    const body = bodyOf(valid);
    const dup = version === v5 ? "MQTT-3.3.1-2" : "MQTT-3.3.1-2 of 3.1.1";
    const qos3 = version === v5 ? "MQTT-3.3.1-4" : "MQTT-3.3.1-4 of 3.1.1";
    return [
      [qos3, "QoS 3", packet(0x36, body), closes(MALFORMED)],
      [qos3, "QoS 3 with DUP", packet(0x3e, body), closes(MALFORMED)],
      [qos3, "QoS 3 with RETAIN", packet(0x37, body), closes(MALFORMED)],
      [dup, "DUP with QoS 0", packet(0x38, body), closes(MALFORMED)],
      [dup, "DUP and RETAIN with QoS 0", packet(0x39, body), closes(MALFORMED)],
    ];
  }
  const clause = version === v5 ? "MQTT-2.1.3-1" : "MQTT-2.2.2-2 of 3.1.1";
  return [0, 1, 2, 3].map((bit) => {
    const bytes = packet(valid.first ^ (1 << bit), bodyOf(valid));
    return [clause, `flag bit ${bit} is turned over`, bytes, wrong(valid, MALFORMED)];
  });
}

function lengthRows(valid: ValidPacket, version: Version): Row[] {
  const body = bodyOf(valid);
  const first = raw(valid.first);
  const section = version === v5 ? "section 1.5.5" : "section 2.2.3 of 3.1.1";
  const rows: Row[] = [
    [
      section,
      "Remaining Length of five bytes",
      join(first, raw(0x80, 0x80, 0x80, 0x80, 1), body),
      wrong(valid, MALFORMED),
    ],
    [
      section,
      "Remaining Length that does not end",
      join(first, raw(0xff, 0xff, 0xff, 0xff, 0xff, 0xff)),
      wrong(valid, MALFORMED),
    ],
    [
      version === v5 ? "section 2.1.4" : "section 2.2.3 of 3.1.1",
      "the connection ends a byte before the packet does",
      join(first, varint(body.length + 1), body),
      WAITS,
    ],
    [
      version === v5 ? "section 3.1.2.11.4" : "section 2.2.3 of 3.1.1",
      "the longest Remaining Length there is",
      join(first, raw(0xff, 0xff, 0xff, 0x7f), body),
      // Before the level of CONNECT is read, the answer is that of 3.1.1: server unavailable.
      valid.name === "CONNECT" ? refuses(0x88) : closes(0x95),
    ],
  ];
  if (version === v5) {
    rows.push([
      "MQTT-1.5.5-1",
      "Remaining Length with a byte too many",
      join(first, longVarint(body.length), body),
      wrong(valid, MALFORMED),
    ]);
  }
  return rows;
}

/** What may be missing: fields at the end that have a default, and SUBSCRIBE's and UNSUBSCRIBE's own rule. */
const OPTIONAL = new Set(["reason code", "properties"]);
const BEHIND_IDENTIFIER = new Set(["PUBACK", "PUBREC", "PUBREL", "PUBCOMP", "DISCONNECT", "AUTH"]);

/** The packet ends at the beginning and in the middle of every field. */
function cutRows(valid: ValidPacket, version: Version): Row[] {
  const of = version === v5 ? "" : " of 3.1.1";
  const rows: Row[] = [];
  let before: Buffer = Buffer.alloc(0);
  for (const [name, bytes] of valid.fields) {
    const isOptional = BEHIND_IDENTIFIER.has(valid.name) && OPTIONAL.has(name);
    const isFilter = name === "topic filter";
    if (!isOptional && !isFilter) {
      const fault = `ends before its ${name}`;
      rows.push([
        `section ${valid.section}${of}`,
        fault,
        packet(valid.first, before),
        wrong(valid, MALFORMED),
      ]);
    }
    for (let cut = 1; cut < bytes.length; cut++) {
      const fault = `ends after ${cut} of ${bytes.length} bytes of its ${name}`;
      const body = join(before, bytes.subarray(0, cut));
      rows.push([
        `section ${valid.section}${of}`,
        fault,
        packet(valid.first, body),
        wrong(valid, MALFORMED),
      ]);
    }
    before = join(before, bytes);
  }
  return rows;
}

/** PUBLISH ends in its payload and so takes what comes. */
function leftoverRows(valid: ValidPacket, version: Version): Row[] {
  if (valid.name === "PUBLISH") return [];
  const of = version === v5 ? "" : " of 3.1.1";
  const row = (count: number): Row => [
    `section ${valid.section}${of}`,
    `${count} bytes left at its end`,
    packet(valid.first, bodyOf(valid), Buffer.alloc(count)),
    wrong(valid, MALFORMED),
  ];
  // Two zero bytes are an empty topic filter to UNSUBSCRIBE.
  return valid.name === "UNSUBSCRIBE" ? [row(1)] : [row(1), row(2)];
}

function identifierRows(valid: ValidPacket, version: Version): Row[] {
  if (!valid.fields.some(([name]) => name === "packet identifier")) return [];
  const parts = valid.fields.map(([name, bytes]) =>
    name === "packet identifier" ? raw(0, 0) : bytes,
  );
  const isAck = valid.name.startsWith("PUB") && valid.name !== "PUBLISH";
  const own = version === v5 ? "MQTT-2.2.1-3" : "MQTT-2.3.1-1 of 3.1.1";
  const ack = version === v5 ? `section ${valid.section}.2` : `section ${valid.section} of 3.1.1`;
  return [
    [isAck ? ack : own, "packet identifier 0", packet(valid.first, ...parts), closes(PROTOCOL)],
  ];
}

const ALL = [
  [v5, V5_PACKETS],
  [v311, V311_PACKETS],
] as const;

/** The cases of this file. */
export const FRAMING_CASES: readonly MalformedCase[] = ALL.flatMap(([version, packets]) =>
  packets.flatMap((valid) =>
    casesOf({ packet: valid.name, version, base: bytesOf(valid) }, [
      ...flagRows(valid, version),
      ...lengthRows(valid, version),
      ...cutRows(valid, version),
      ...leftoverRows(valid, version),
      ...identifierRows(valid, version),
    ]),
  ),
);
