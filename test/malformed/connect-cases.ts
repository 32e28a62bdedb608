/** CONNECT: its name, level and flags, what comes instead of it, and a second one. */
import { join, packet, properties, raw, str, u16 } from "./bytes.ts";
import {
  casesOf,
  closes,
  MALFORMED,
  type MalformedCase,
  PROTOCOL,
  type Row,
  refuses,
  refusesLoudly,
  v5,
  v31,
  v311,
} from "./malformed-case.ts";
import { bytesOf, packetNamed, V5_PACKETS, V311_PACKETS } from "./valid-packets.ts";

type Version = typeof v5 | typeof v311;

const NO_SUCH_VERSION = 0x84;
const connect = (name: string, level: number, flags: number, ...payload: Buffer[]): Buffer =>
  packet(
    0x10,
    str(name),
    raw(level, flags),
    u16(60),
    level === 5 ? raw(0) : raw(),
    str("corpus"),
    ...payload,
  );

const plain = { 4: connect("MQTT", 4, 2), 5: connect("MQTT", 5, 2) };

/** [protocol name, level] that are none of the three versions. */
const NAMES: readonly (readonly [string, number])[] = [
  ["MQTX", 4],
  ["mqtt", 4],
  ["MQTT ", 4],
  ["MQT", 4],
  ["MQTTT", 5],
  ["", 4],
  ["MQIsdp", 4],
  ["MQISDP", 3],
  ["AMQP", 5],
];
const LEVELS = [0, 1, 2, 3, 6, 7, 127, 128, 131, 132, 133, 255];

function versionRows(): Row[] {
  const names = NAMES.map(([name, level]): Row => {
    const fault = `has the protocol name "${name}" with level ${level}`;
    return ["MQTT-3.1.2-1", fault, connect(name, level, 2), refusesLoudly(NO_SUCH_VERSION)];
  });
  const levels = LEVELS.map((level): Row => {
    const fault = `has protocol level ${level}`;
    return ["MQTT-3.1.2-2", fault, connect("MQTT", level, 2), refusesLoudly(NO_SUCH_VERSION)];
  });
  return [...names, ...levels];
}

/** [clause of 5, clause of 3.1.1, fault, flags, what follows the client identifier] */
const FLAGS: readonly (readonly [string, string, string, number, Buffer[]])[] = [
  ["MQTT-3.1.2-3", "MQTT-3.1.2-3", "has the reserved flag", 0x03, []],
  ["MQTT-3.1.2-3", "MQTT-3.1.2-3", "has the reserved flag and a user name", 0x83, [str("u")]],
  ["MQTT-3.1.2-11", "MQTT-3.1.2-13", "has will QoS 1 without will", 0x0a, []],
  ["MQTT-3.1.2-11", "MQTT-3.1.2-13", "has will QoS 2 without will", 0x12, []],
  ["MQTT-3.1.2-11", "MQTT-3.1.2-13", "has will QoS 3 without will", 0x1a, []],
  ["MQTT-3.1.2-13", "MQTT-3.1.2-15", "has will retain without will", 0x22, []],
  ["MQTT-3.1.2-9", "MQTT-3.1.2-9", "has the will flag without will", 0x06, []],
  ["MQTT-3.1.2-16", "MQTT-3.1.2-18", "has a user name without its flag", 0x02, [str("u")]],
  ["MQTT-3.1.2-17", "MQTT-3.1.2-19", "has the user name flag without user name", 0x82, []],
  ["MQTT-3.1.2-18", "MQTT-3.1.2-20", "has a password without its flag", 0x82, [str("u"), str("p")]],
  ["MQTT-3.1.2-19", "MQTT-3.1.2-21", "has the password flag without password", 0xc2, [str("u")]],
];

function flagRows(version: Version): Row[] {
  const of = version === v5 ? "" : " of 3.1.1";
  const rows = FLAGS.map(([own, old, fault, flags, payload]): Row => {
    const clause = `${version === v5 ? own : old}${of}`;
    return [clause, fault, connect("MQTT", version, flags, ...payload), refuses(MALFORMED)];
  });
  const will = version === v5 ? [raw(0), str("w"), str("x")] : [str("w"), str("x")];
  const topic = (text: string): Buffer =>
    connect("MQTT", version, 6, ...(version === v5 ? [raw(0)] : []), str(text), str("x"));
  const code = version === v5 ? 0x90 : 0x88;
  const wildcard = version === v5 ? "MQTT-4.7.0-1" : "MQTT-4.7.1-1 of 3.1.1";
  return [
    ...rows,
    [
      `${version === v5 ? "MQTT-3.1.2-12" : "MQTT-3.1.2-14"}${of}`,
      "has will QoS 3",
      connect("MQTT", version, 0x1e, ...will),
      refuses(MALFORMED),
    ],
    ...["#", "a/#", "+", "a/+/b"].map(
      (text): Row => [wildcard, `has the will topic ${text}`, topic(text), refusesLoudly(code)],
    ),
    [`MQTT-4.7.3-1${of}`, "has an empty will topic", topic(""), refusesLoudly(code)],
  ];
}

const OLD_ROWS: readonly Row[] = [
  [
    "MQTT-3.1.2-22 of 3.1.1",
    "has a password without user name",
    connect("MQTT", 4, 0x42, str("p")),
    refuses(MALFORMED),
  ],
  [
    "MQTT-3.1.3-8 of 3.1.1",
    "has no client identifier and no clean session",
    packet(0x10, str("MQTT"), raw(4, 0), u16(60), str("")),
    refusesLoudly(0x85),
  ],
];

/** The first packet must be CONNECT. */
function insteadRows(version: Version): Row[] {
  const packets = version === v5 ? V5_PACKETS : V311_PACKETS;
  const clause = version === v5 ? "MQTT-3.1.0-1" : "MQTT-3.1.0-1 of 3.1.1";
  return packets
    .filter(({ name }) => name !== "CONNECT")
    .map((valid) => [clause, `${valid.name} comes first`, bytesOf(valid), refuses(PROTOCOL)]);
}

/** What other programs say first, by mistake or to look around. */
const STRANGERS: readonly (readonly [string, Buffer])[] = [
  ["an HTTP request", join("GET / HTTP/1.1\r\nHost: broker\r\n\r\n")],
  ["an HTTP/2 preface", join("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")],
  ["a TLS hello", raw(0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03)],
  ["an SSH banner", join("SSH-2.0-OpenSSH_9.2\r\n")],
  ["an AMQP header", join("AMQP", raw(0, 0, 9, 1))],
  ["a Redis command", join("*1\r\n$4\r\nPING\r\n")],
  ["an SMTP greeting", join("EHLO device\r\n")],
  ["a PROXY protocol header", join("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n")],
  ["a binary PROXY header", join(raw(0x0d, 0x0a, 0x0d, 0x0a, 0, 0x0d, 0x0a), "QUIT\n")],
  ["zeros", Buffer.alloc(64)],
  ["ones", Buffer.alloc(64, 0xff)],
];

const STRANGER_ROWS: readonly Row[] = STRANGERS.map(([what, bytes]) => [
  "MQTT-3.1.0-1",
  `${what} comes first`,
  bytes,
  refuses(MALFORMED),
]);

function secondRows(version: Version): Row[] {
  const clause = version === v5 ? "MQTT-3.1.0-2" : "MQTT-3.1.0-2 of 3.1.1";
  const packets = version === v5 ? V5_PACKETS : V311_PACKETS;
  const full = bytesOf(packetNamed(packets, "CONNECT"));
  return [
    [clause, "a second CONNECT", plain[version], closes(PROTOCOL)],
    [clause, "a second CONNECT with everything in it", full, closes(PROTOCOL)],
    [clause, "a second CONNECT of no version", connect("MQTT", 9, 2), closes(PROTOCOL)],
    [clause, "a second CONNECT of another protocol", connect("MQTX", 4, 2), closes(PROTOCOL)],
  ];
}

const ping = packet(0xc0);

/** The cases of this file. */
export const CONNECT_CASES: readonly MalformedCase[] = [
  ...casesOf({ packet: "CONNECT", version: v311, base: plain[4] }, versionRows()),
  ...([v5, v311] as const).flatMap((version) => [
    ...casesOf({ packet: "CONNECT", version, base: plain[version] }, [
      ...flagRows(version),
      ...insteadRows(version),
    ]),
    ...casesOf({ packet: "second CONNECT", version, base: ping }, secondRows(version)),
  ]),
  ...casesOf({ packet: "CONNECT", version: v311, base: plain[4] }, OLD_ROWS),
  ...casesOf({ packet: "CONNECT", version: v311, base: plain[4] }, STRANGER_ROWS),
  ...casesOf({ packet: "CONNECT", version: v31, base: connect("MQIsdp", 3, 2) }, [
    ["section 3.1 of 3.1", "has will QoS 3", connect("MQIsdp", 3, 0x1e), refuses(MALFORMED)],
    [
      "section 3.1 of 3.1",
      "has will QoS without will",
      connect("MQIsdp", 3, 0x0a),
      refuses(MALFORMED),
    ],
    [
      "section 3.1 of 3.1",
      "has the will flag without will",
      connect("MQIsdp", 3, 0x06),
      refuses(MALFORMED),
    ],
    ["section 3.1 of 3.1", "has properties", withList(), refuses(MALFORMED)],
  ]),
];

/** As if 3.1 had properties. */
function withList(): Buffer {
  const list = properties(raw(0x21, 0, 9));
  return packet(0x10, str("MQIsdp"), raw(3, 2), u16(60), list, str("corpus"));
}
