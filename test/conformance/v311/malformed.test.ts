/** What is malformed or a violation ends the network connection it came on, and no other. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { PacketType, ProtocolVersion } from "../../../src/mqtt/packet.ts";
import { WireClient } from "../../support/wire-client.ts";
import { edgeForFile } from "../edge.ts";
import { field, packet, RawClient } from "../raw-client.ts";

const edge = edgeForFile();
let bystander: WireClient | undefined;

type Row = readonly [title: string, bytes: Uint8Array];

const CONNECT_HEAD = `${field("MQTT")} 04`;
const CONNECT = packet(0x10, `${CONNECT_HEAD} 02 0000 ${field("malformed")}`);
const ONE = "0001";
const A = field("a");

/** As the first packet: closed without a word. */
const CONNECTS: readonly Row[] = [
  ["A PINGREQ before CONNECT ends the connection [MQTT-3.1.0-1]", packet(0xc0)],
  ["A PUBLISH before CONNECT ends the connection [MQTT-3.1.0-1]", packet(0x30, `${A} 'x'`)],
  ["A SUBSCRIBE before CONNECT ends the connection [MQTT-3.1.0-1]", packet(0x82, `${ONE} ${A} 00`)],
  [
    "CONNECT with the reserved connect flag ends the connection without CONNACK [MQTT-3.1.2-3, MQTT-3.1.4-1]",
    packet(0x10, `${CONNECT_HEAD} 03 0000 ${A}`),
  ],
  [
    "CONNECT with flags in its fixed header ends the connection without CONNACK [MQTT-2.2.2-1, MQTT-2.2.2-2, MQTT-3.1.4-1]",
    packet(0x11, `${CONNECT_HEAD} 02 0000 ${A}`),
  ],
  [
    "CONNECT with will flag and no will ends the connection [MQTT-3.1.2-9, MQTT-3.1.4-1]",
    packet(0x10, `${CONNECT_HEAD} 06 0000 ${A}`),
  ],
  [
    "CONNECT with will flag and a will topic alone ends the connection [MQTT-3.1.2-9]",
    packet(0x10, `${CONNECT_HEAD} 06 0000 ${A} ${field("will")}`),
  ],
  [
    "CONNECT with a will and no will flag ends the connection [MQTT-3.1.2-11]",
    packet(0x10, `${CONNECT_HEAD} 02 0000 ${A} ${field("will")} ${field("x")}`),
  ],
  [
    "CONNECT with will QoS 1 and no will flag ends the connection [MQTT-3.1.2-11, MQTT-3.1.2-13]",
    packet(0x10, `${CONNECT_HEAD} 0a 0000 ${A}`),
  ],
  [
    "CONNECT with will QoS 2 and no will flag ends the connection [MQTT-3.1.2-13]",
    packet(0x10, `${CONNECT_HEAD} 12 0000 ${A}`),
  ],
  [
    "CONNECT with will QoS 3 ends the connection [MQTT-3.1.2-14]",
    packet(0x10, `${CONNECT_HEAD} 1e 0000 ${A} ${field("will")} ${field("x")}`),
  ],
  [
    "CONNECT with will retain and no will flag ends the connection [MQTT-3.1.2-11, MQTT-3.1.2-15]",
    packet(0x10, `${CONNECT_HEAD} 22 0000 ${A}`),
  ],
  [
    "CONNECT with a user name and no flag for it ends the connection [MQTT-3.1.2-18]",
    packet(0x10, `${CONNECT_HEAD} 02 0000 ${A} ${field("user")}`),
  ],
  [
    "CONNECT with the flag for a user name and none ends the connection [MQTT-3.1.2-19]",
    packet(0x10, `${CONNECT_HEAD} 82 0000 ${A}`),
  ],
  [
    "CONNECT with a password and no flag for it ends the connection [MQTT-3.1.2-20]",
    packet(0x10, `${CONNECT_HEAD} 82 0000 ${A} ${field("user")} ${field("secret")}`),
  ],
  [
    "CONNECT with the flag for a password and none ends the connection [MQTT-3.1.2-21]",
    packet(0x10, `${CONNECT_HEAD} c2 0000 ${A} ${field("user")}`),
  ],
  [
    "CONNECT with a password and no user name ends the connection [MQTT-3.1.2-22]",
    packet(0x10, `${CONNECT_HEAD} 42 0000 ${A} ${field("secret")}`),
  ],
  [
    "CONNECT without a client identifier field ends the connection [MQTT-3.1.3-3]",
    packet(0x10, `${CONNECT_HEAD} 02 0000`),
  ],
  [
    "A client identifier with a byte that is no UTF-8 ends the connection [MQTT-1.5.3-1, MQTT-3.1.3-4]",
    packet(0x10, `${CONNECT_HEAD} 02 0000 ${field("a", "ff")}`),
  ],
  [
    "A client identifier with a surrogate ends the connection [MQTT-1.5.3-1, MQTT-3.1.3-4]",
    packet(0x10, `${CONNECT_HEAD} 02 0000 ${field("a", "eda080")}`),
  ],
  [
    "A client identifier with U+0000 ends the connection [MQTT-1.5.3-2]",
    packet(0x10, `${CONNECT_HEAD} 02 0000 ${field("a", "00")}`),
  ],
  [
    "A will topic that is no UTF-8 ends the connection [MQTT-1.5.3-1, MQTT-3.1.3-10]",
    packet(0x10, `${CONNECT_HEAD} 06 0000 ${A} ${field("w", "c328")} ${field("x")}`),
  ],
  [
    "A will topic with U+0000 ends the connection [MQTT-1.5.3-2]",
    packet(0x10, `${CONNECT_HEAD} 06 0000 ${A} ${field("w", "00")} ${field("x")}`),
  ],
  [
    "A user name that is no UTF-8 ends the connection [MQTT-1.5.3-1, MQTT-3.1.3-11]",
    packet(0x10, `${CONNECT_HEAD} 82 0000 ${A} ${field("u", "80")}`),
  ],
  [
    "A user name with U+0000 ends the connection [MQTT-1.5.3-2]",
    packet(0x10, `${CONNECT_HEAD} 82 0000 ${A} ${field("u", "00")}`),
  ],
];

/** After CONNECT: closed after CONNACK without another word. */
const PACKETS: readonly Row[] = [
  ["CONNECT a second time ends the connection [MQTT-3.1.0-2, MQTT-4.8.0-1]", CONNECT],
  ["Packet type 0 ends the connection [MQTT-2.2.2-2]", packet(0x00)],
  ["Packet type 15 ends the connection [MQTT-4.8.0-1]", packet(0xf0)],
  ["A CONNACK from a client ends the connection [MQTT-4.8.0-1]", packet(0x20, "0000")],
  ["A SUBACK from a client ends the connection [MQTT-4.8.0-1]", packet(0x90, "000100")],
  ["An UNSUBACK from a client ends the connection [MQTT-4.8.0-1]", packet(0xb0, ONE)],
  ["A PINGRESP from a client ends the connection [MQTT-4.8.0-1]", packet(0xd0)],
  ["PUBACK with flags ends the connection [MQTT-2.2.2-1, MQTT-2.2.2-2]", packet(0x41, ONE)],
  ["PUBREC with flags ends the connection [MQTT-2.2.2-1, MQTT-2.2.2-2]", packet(0x52, ONE)],
  ["PUBCOMP with flags ends the connection [MQTT-2.2.2-1, MQTT-2.2.2-2]", packet(0x78, ONE)],
  ["PINGREQ with flags ends the connection [MQTT-2.2.2-1, MQTT-2.2.2-2]", packet(0xc2)],
  ["DISCONNECT with flag 0 ends the connection [MQTT-3.14.1-1]", packet(0xe1)],
  ["DISCONNECT with flag 3 ends the connection [MQTT-3.14.1-1]", packet(0xe8)],
  ["PUBREL with no flag ends the connection [MQTT-3.6.1-1, MQTT-2.2.2-2]", packet(0x60, ONE)],
  ["PUBREL with flag 0 besides ends the connection [MQTT-3.6.1-1]", packet(0x63, ONE)],
  ["PUBREL with flag 2 besides ends the connection [MQTT-3.6.1-1]", packet(0x66, ONE)],
  ["PUBREL with flag 3 besides ends the connection [MQTT-3.6.1-1]", packet(0x6a, ONE)],
  ["SUBSCRIBE with no flag ends the connection [MQTT-3.8.1-1]", packet(0x80, `${ONE} ${A} 00`)],
  [
    "SUBSCRIBE with flag 0 besides ends the connection [MQTT-3.8.1-1]",
    packet(0x83, `${ONE} ${A} 00`),
  ],
  [
    "SUBSCRIBE with flag 2 besides ends the connection [MQTT-3.8.1-1]",
    packet(0x86, `${ONE} ${A} 00`),
  ],
  [
    "SUBSCRIBE with flag 3 besides ends the connection [MQTT-3.8.1-1]",
    packet(0x8a, `${ONE} ${A} 00`),
  ],
  ["UNSUBSCRIBE with no flag ends the connection [MQTT-3.10.1-1]", packet(0xa0, `${ONE} ${A}`)],
  [
    "UNSUBSCRIBE with flag 0 besides ends the connection [MQTT-3.10.1-1]",
    packet(0xa3, `${ONE} ${A}`),
  ],
  [
    "UNSUBSCRIBE with flag 3 besides ends the connection [MQTT-3.10.1-1]",
    packet(0xaa, `${ONE} ${A}`),
  ],
  [
    "PUBLISH with both QoS bits ends the connection [MQTT-3.3.1-4]",
    packet(0x36, `${A} ${ONE} 'x'`),
  ],
  [
    "PUBLISH with both QoS bits and DUP ends the connection [MQTT-3.3.1-4]",
    packet(0x3e, `${A} ${ONE} 'x'`),
  ],
  ["PUBLISH with QoS 0 and DUP ends the connection [MQTT-3.3.1-2]", packet(0x38, `${A} 'x'`)],
  [
    "PUBLISH of QoS 1 with packet identifier 0 ends the connection [MQTT-2.3.1-1]",
    packet(0x32, `${A} 0000 'x'`),
  ],
  [
    "PUBLISH of QoS 2 with packet identifier 0 ends the connection [MQTT-2.3.1-1]",
    packet(0x34, `${A} 0000 'x'`),
  ],
  [
    "PUBLISH of QoS 1 without packet identifier ends the connection [MQTT-2.3.1-1]",
    packet(0x32, A),
  ],
  [
    "SUBSCRIBE with packet identifier 0 ends the connection [MQTT-2.3.1-1]",
    packet(0x82, `0000 ${A} 00`),
  ],
  [
    "UNSUBSCRIBE with packet identifier 0 ends the connection [MQTT-2.3.1-1]",
    packet(0xa2, `0000 ${A}`),
  ],
  ["PUBLISH without a topic name ends the connection [MQTT-3.3.2-1]", packet(0x30)],
  [
    "PUBLISH shorter than its topic name ends the connection [MQTT-3.3.2-1]",
    packet(0x30, "0005 'ab'"),
  ],
  ["PUBLISH to an empty topic name ends the connection [MQTT-4.7.3-1]", packet(0x30, "0000 'x'")],
  [
    "PUBLISH to a topic name that is no UTF-8 ends the connection [MQTT-1.5.3-1, MQTT-3.3.2-1, MQTT-4.7.3-3]",
    packet(0x30, `${field("a", "c0af")} 'x'`),
  ],
  [
    "PUBLISH to a topic name with a surrogate pair in UTF-8 ends the connection [MQTT-1.5.3-1]",
    packet(0x30, `${field("a", "eda0bdedb880")} 'x'`),
  ],
  [
    "PUBLISH to a topic name beyond U+10FFFF ends the connection [MQTT-1.5.3-1]",
    packet(0x30, `${field("a", "f4908080")} 'x'`),
  ],
  [
    "PUBLISH to a topic name with U+0000 ends the connection [MQTT-1.5.3-2, MQTT-4.7.3-2]",
    packet(0x30, `${field("a", "00")} 'x'`),
  ],
  [
    "PUBLISH to # ends the connection [MQTT-3.3.2-2, MQTT-4.7.1-1]",
    packet(0x30, `${field("#")} 'x'`),
  ],
  [
    "PUBLISH to a/+/b ends the connection [MQTT-3.3.2-2, MQTT-4.7.1-1]",
    packet(0x30, `${field("a/+/b")} 'x'`),
  ],
  [
    "PUBLISH to a/# with QoS 1 ends the connection [MQTT-3.3.2-2, MQTT-4.7.1-1]",
    packet(0x32, `${field("a/#")} ${ONE} 'x'`),
  ],
  [
    "PUBLISH to a+ ends the connection [MQTT-3.3.2-2, MQTT-4.7.1-1]",
    packet(0x30, `${field("a+")} 'x'`),
  ],
  ["SUBSCRIBE without a topic filter ends the connection [MQTT-3.8.3-3]", packet(0x82, ONE)],
  ["SUBSCRIBE without a QoS ends the connection [MQTT-3.8.3-3]", packet(0x82, `${ONE} ${A}`)],
  ["SUBSCRIBE with QoS 3 ends the connection [MQTT-3.8.3-4]", packet(0x82, `${ONE} ${A} 03`)],
  [
    "SUBSCRIBE with reserved bit 2 ends the connection [MQTT-3.8.3-4]",
    packet(0x82, `${ONE} ${A} 04`),
  ],
  [
    "SUBSCRIBE with reserved bit 3 ends the connection [MQTT-3.8.3-4]",
    packet(0x82, `${ONE} ${A} 09`),
  ],
  [
    "SUBSCRIBE with reserved bit 4 ends the connection [MQTT-3.8.3-4]",
    packet(0x82, `${ONE} ${A} 10`),
  ],
  [
    "SUBSCRIBE with reserved bit 5 ends the connection [MQTT-3.8.3-4]",
    packet(0x82, `${ONE} ${A} 20`),
  ],
  [
    "SUBSCRIBE with reserved bit 6 ends the connection [MQTT-3.8.3-4]",
    packet(0x82, `${ONE} ${A} 40`),
  ],
  [
    "SUBSCRIBE with reserved bit 7 ends the connection [MQTT-3.8.3-4]",
    packet(0x82, `${ONE} ${A} 82`),
  ],
  [
    "SUBSCRIBE with a reserved bit in its second pair ends the connection [MQTT-3.8.3-4]",
    packet(0x82, `${ONE} ${A} 01 ${field("b")} 05`),
  ],
  [
    "SUBSCRIBE to a filter that is no UTF-8 ends the connection [MQTT-3.8.3-1, MQTT-1.5.3-1]",
    packet(0x82, `${ONE} ${field("a", "fe")} 00`),
  ],
  [
    "SUBSCRIBE to a filter with U+0000 ends the connection [MQTT-1.5.3-2, MQTT-4.7.3-2]",
    packet(0x82, `${ONE} ${field("a", "00")} 00`),
  ],
  ["UNSUBSCRIBE without a topic filter ends the connection [MQTT-3.10.3-2]", packet(0xa2, ONE)],
  [
    "UNSUBSCRIBE from a filter that is no UTF-8 ends the connection [MQTT-3.10.3-1, MQTT-1.5.3-1]",
    packet(0xa2, `${ONE} ${field("a", "e28a")}`),
  ],
  [
    "UNSUBSCRIBE from a filter with U+0000 ends the connection [MQTT-1.5.3-2, MQTT-4.7.3-2]",
    packet(0xa2, `${ONE} ${field("a", "00")}`),
  ],
];

/** Another client is served as before. */
async function isServed(): Promise<void> {
  if (bystander === undefined) {
    bystander = await WireClient.open(edge.broker.port, ProtocolVersion.v311);
    await bystander.connect({ clientId: "bystander" });
  }
  bystander.send({ type: PacketType.pingreq });
  await bystander.takeType(PacketType.pingresp);
}

for (const [title, bytes] of CONNECTS) {
  test(title, async (t) => {
    const client = await RawClient.open(t, edge.broker.port);
    client.send(bytes);
    assert.equal(await client.ended(), "");
    await isServed();
  });
}

for (const [title, bytes] of PACKETS) {
  test(title, async (t) => {
    const client = await RawClient.open(t, edge.broker.port);
    client.send(CONNECT);
    await client.expect("20 02 0000");
    // Nothing behind it is looked at: the PINGREQ is not answered.
    client.send(bytes, "c000");
    assert.equal(await client.ended(), "");
    await isServed();
  });
}
