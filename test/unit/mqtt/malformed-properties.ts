/** Packets of version 5 that are well-formed but for their properties. */
import assert from "node:assert/strict";
import { ProtocolVersion } from "../../../src/mqtt/packet.ts";
import type { Row } from "./malformed-packets.ts";
import { wire } from "./wire.ts";

const MALFORMED = 0x81;
const PROTOCOL = 0x82;
const ALIAS = 0x94;
const QUOTA = 0x97;
const { v5 } = ProtocolVersion;

/** A version 5 CONNECT without client identifier, with these properties. */
const connect = (properties: string): string => {
  const size = wire(properties).length;
  return `10 ${hex(13 + size)} 0004'MQTT' 05 02 0000 ${hex(size)} ${properties} 0000`;
};
/** The same with a will that has these properties. */
const will = (properties: string): string => {
  const size = wire(properties).length;
  return `10 ${hex(20 + size)} 0004'MQTT' 05 06 0000 00 0000 ${hex(size)} ${properties} 0001'w' 0001'x'`;
};
const publish = (properties: string): string => {
  const size = wire(properties).length;
  return `30 ${hex(4 + size)} 0001'a' ${hex(size)} ${properties}`;
};
const subscribe = (properties: string): string => {
  const size = wire(properties).length;
  return `82 ${hex(7 + size)} 0001 ${hex(size)} ${properties} 0001'a' 00`;
};
const connack = (properties: string): string => {
  const size = wire(properties).length;
  return `20 ${hex(3 + size)} 00 00 ${hex(size)} ${properties}`;
};
const disconnect = (properties: string): string => {
  const size = wire(properties).length;
  return `e0 ${hex(2 + size)} 00 ${hex(size)} ${properties}`;
};
const auth = (properties: string): string => {
  const size = wire(properties).length;
  return `f0 ${hex(2 + size)} 18 ${hex(size)} ${properties}`;
};
const hex = (byte: number): string => {
  assert.ok(byte < 0x80);
  return byte.toString(16).padStart(2, "0");
};

const server = (what: string, bytes: string, code: number): Row => [
  what,
  v5,
  "server",
  bytes,
  code,
];
const client = (what: string, bytes: string, code: number): Row => [
  what,
  v5,
  "client",
  bytes,
  code,
];

export const MALFORMED_PROPERTIES: readonly Row[] = [
  server("an unknown property", connect("0400"), MALFORMED),
  server("property 0", connect("0000"), MALFORMED),
  server("property 0x2b", connect("2b00"), MALFORMED),
  server("a property identifier of five bytes", connect("ffffffff01"), MALFORMED),
  server("a property identifier longer than needed", connect("918000 00000001"), MALFORMED),
  server("properties longer than the packet", "10 0d 0004'MQTT' 05 02 0000 05 0000", MALFORMED),
  server(
    "a property length of five bytes",
    "10 11 0004'MQTT' 05 02 0000 8080808000 0000",
    MALFORMED,
  ),
  server("a property cut by the list's end", connect("110000"), MALFORMED),
  server("a string cut by the list's end", connect("150005'm'"), MALFORMED),
  server("a user property without value", connect("260001'a'"), MALFORMED),
  server("a user property with U+0000", connect("260001'a'0001 00"), MALFORMED),
  server("a user property of ill-formed UTF-8", connect("260001 80 0000"), MALFORMED),
  server("session expiry twice", connect("1100000000 1100000000"), PROTOCOL),
  server("receive maximum 0", connect("210000"), PROTOCOL),
  server("receive maximum twice", connect("210001 210001"), PROTOCOL),
  server("maximum packet size 0", connect("2700000000"), PROTOCOL),
  server("maximum packet size twice", connect("2700000001 2700000001"), PROTOCOL),
  server("topic alias maximum twice", connect("220000 220000"), PROTOCOL),
  server("request response information 2", connect("1902"), PROTOCOL),
  server("request response information twice", connect("1900 1900"), PROTOCOL),
  server("request problem information 255", connect("17ff"), PROTOCOL),
  server("request problem information twice", connect("1701 1701"), PROTOCOL),
  server("authentication method twice", connect("150001'm' 150001'm'"), PROTOCOL),
  server("authentication data twice", connect("150001'm' 160000 160000"), PROTOCOL),
  server("authentication data without method", connect("16000100"), PROTOCOL),
  server("a will property in CONNECT", connect("1800000001"), MALFORMED),
  server("a CONNACK property in CONNECT", connect("13001e"), MALFORMED),
  server("a reason string in CONNECT", connect("1f0001'r'"), MALFORMED),
  server("a topic alias in CONNECT", connect("230001"), MALFORMED),
  server("will delay twice", will("1800000001 1800000001"), PROTOCOL),
  server("payload format 2 in a will", will("0102"), PROTOCOL),
  server("a response topic with # in a will", will("080001'#'"), PROTOCOL),
  server("session expiry in a will", will("1100000000"), MALFORMED),
  server("a topic alias in a will", will("230001"), MALFORMED),
  server("topic alias 0", publish("230000"), ALIAS),
  server("topic alias twice", publish("230001 230001"), PROTOCOL),
  server("payload format 2", publish("0102"), PROTOCOL),
  server("payload format twice", publish("0101 0101"), PROTOCOL),
  server("message expiry twice", publish("0200000001 0200000001"), PROTOCOL),
  server("content type twice", publish("030001'a' 030001'a'"), PROTOCOL),
  server("response topic twice", publish("080001'a' 080001'a'"), PROTOCOL),
  server("response topic with +", publish("080003'a/+'"), PROTOCOL),
  server("response topic with #", publish("080001'#'"), PROTOCOL),
  server("an empty response topic", publish("080000"), PROTOCOL),
  server("response topic with U+0000", publish("080001 00"), MALFORMED),
  server("correlation data twice", publish("090000 090000"), PROTOCOL),
  server("a subscription identifier from a client", publish("0b01"), PROTOCOL),
  client("subscription identifier 0 from a server", publish("0b00"), PROTOCOL),
  client("a subscription identifier of five bytes", publish("0b8080808001"), MALFORMED),
  server("a reason string in PUBLISH", publish("1f0001'r'"), MALFORMED),
  server("a will delay in PUBLISH", publish("1800000001"), MALFORMED),
  server("subscription identifier 0", subscribe("0b00"), PROTOCOL),
  server("two subscription identifiers in SUBSCRIBE", subscribe("0b01 0b02"), PROTOCOL),
  server("a subscription identifier longer than needed", subscribe("0b8100"), MALFORMED),
  server("a reason string in SUBSCRIBE", subscribe("1f0001'r'"), MALFORMED),
  server("a subscription identifier in UNSUBSCRIBE", "a2 08 0001 02 0b01 0001'a'", MALFORMED),
  server("a server reference in PUBACK", "40 08 0001 00 04 1c0001's'", MALFORMED),
  server("a reason string twice in PUBREC", "50 0c 0001 00 08 1f0001'r' 1f0001'r'", PROTOCOL),
  server("properties of PUBREL beyond its end", "62 05 0001 00 05 1f", MALFORMED),
  client("maximum QoS 2", connack("2402"), PROTOCOL),
  client("maximum QoS twice", connack("2400 2400"), PROTOCOL),
  client("retain available 2", connack("2502"), PROTOCOL),
  client("wildcard subscription available 2", connack("2802"), PROTOCOL),
  client("subscription identifiers available 2", connack("2902"), PROTOCOL),
  client("shared subscription available 2", connack("2a02"), PROTOCOL),
  client("assigned client identifier twice", connack("120001'a' 120001'a'"), PROTOCOL),
  client("server keep alive twice", connack("130001 130001"), PROTOCOL),
  client("receive maximum 0 in CONNACK", connack("210000"), PROTOCOL),
  client("maximum packet size 0 in CONNACK", connack("2700000000"), PROTOCOL),
  client("authentication data without method in CONNACK", connack("160000"), PROTOCOL),
  client("request problem information in CONNACK", connack("1701"), MALFORMED),
  server("session expiry twice in DISCONNECT", disconnect("1100000000 1100000000"), PROTOCOL),
  server("a receive maximum in DISCONNECT", disconnect("210001"), MALFORMED),
  client("session expiry in a server's DISCONNECT", disconnect("1100000000"), PROTOCOL),
  server("AUTH without method", auth("1f0001'r'"), PROTOCOL),
  server("AUTH with data and without method", auth("160000"), PROTOCOL),
  server("AUTH with a session expiry", auth("1100000000"), MALFORMED),
  server("65 user properties", manyUserProperties(65), QUOTA),
];

/** A PUBLISH with this many user properties of five bytes each. */
function manyUserProperties(count: number): string {
  const size = 5 * count;
  const length = [(size & 0x7f) | 0x80, size >>> 7];
  const remaining = 3 + 2 + size;
  const bytes = [0x30, (remaining & 0x7f) | 0x80, remaining >>> 7, 0, 1, 0x61, ...length];
  return Buffer.from(bytes).toString("hex") + "2600000000".repeat(count);
}
