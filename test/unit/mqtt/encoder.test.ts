import assert from "node:assert/strict";
import { test } from "node:test";
import { ByteWriter } from "../../../src/lib/byte-writer.ts";
import { encodePacket, publishSize, writeAck, writePublish } from "../../../src/mqtt/encoder.ts";
import {
  type ConnackPacket,
  type OutgoingPacket,
  PacketType,
  ProtocolVersion,
} from "../../../src/mqtt/packet.ts";
import { PROPERTY_SPECS, type Properties } from "../../../src/mqtt/properties.ts";
import { decodeAll, decoderFor, wire } from "./wire.ts";

const { v31, v311, v5 } = ProtocolVersion;
const TOPIC = Buffer.from("a/b");

const written = (writer: ByteWriter): string =>
  Buffer.from(writer.bytes.subarray(0, writer.end)).toString("hex");

function encoded(packet: OutgoingPacket, version: ProtocolVersion, limit?: number): string {
  const writer = new ByteWriter();
  return encodePacket(writer, packet, version, limit) ? written(writer) : "nothing";
}

const hexOf = (notation: string): string => wire(notation).toString("hex");

test("A PUBLISH takes its part of the payload's buffer and goes behind what was written before.", () => {
  const writer = new ByteWriter();
  writer.writeByte(0xaa);
  writePublish(writer, v311, 1, true, false, 258, TOPIC, Buffer.from("--hi--"), 2, 4, undefined);
  writePublish(writer, v5, 0, false, true, 0, TOPIC, Buffer.from("x"), 0, 1, { topicAlias: 2 });
  assert.equal(
    written(writer),
    hexOf("aa 3a 09 0003'a/b' 0102 'hi' 31 0a 0003'a/b' 03 230002 'x'"),
  );
});

test("A part of a payload of any length is written whole, from a Buffer and from a Uint8Array.", () => {
  for (let length = 0; length <= 200; length++) {
    const source = Uint8Array.from({ length: length + 20 }, (_, i) => i + length);
    for (const bytes of [source, Buffer.from(source)]) {
      for (const start of [0, 7, 20]) {
        const writer = new ByteWriter();
        const end = start + length;
        writePublish(writer, v311, 0, false, false, 0, TOPIC, bytes, start, end, undefined);
        const payload = Buffer.from(source.subarray(start, end)).toString("hex");
        assert.ok(written(writer).endsWith(`0003612f62${payload}`));
        assert.equal(writer.end, publishSize(v311, 3, length, 0, undefined));
      }
    }
  }
});

test("In 3.x a PUBLISH loses its properties.", () => {
  const writer = new ByteWriter();
  const properties: Properties = { contentType: "text" };
  writePublish(writer, v31, 0, false, false, 0, TOPIC, TOPIC, 0, 0, properties);
  assert.equal(written(writer), hexOf("30 05 0003'a/b'"));
  assert.equal(publishSize(v31, 3, 0, 0, properties), 7);
});

test("Remaining Lengths on both sides of every border are written in as few bytes as possible.", () => {
  const borders: [size: number, header: string][] = [
    [0x7f, "307f"],
    [0x80, "308001"],
    [0x3fff, "30ff7f"],
    [0x4000, "30808001"],
    [0x1f_ffff, "30ffff7f"],
    [0x20_0000, "3080808001"],
  ];
  for (const [remaining, header] of borders) {
    const writer = new ByteWriter();
    const payload = new Uint8Array(remaining - 5).fill(7);
    writePublish(writer, v311, 0, false, false, 0, TOPIC, payload, 0, payload.length, undefined);
    assert.equal(Buffer.from(writer.bytes.subarray(0, header.length / 2)).toString("hex"), header);
    assert.equal(writer.end, header.length / 2 + remaining);
    assert.equal(writer.bytes[writer.end - 1], 7);
    assert.equal(publishSize(v311, 3, payload.length, 0, undefined), writer.end);
    const decoder = decoderFor("server", v311, { packetBytesMax: 3_000_000 });
    assert.equal(decodeAll(decoder, writer.bytes.subarray(0, writer.end)).length, 1);
  }
});

test("Acknowledgements without properties are of four bytes, of five with a reason code.", () => {
  const { puback, pubrec, pubrel, pubcomp } = PacketType;
  const writer = new ByteWriter();
  for (const type of [puback, pubrec, pubrel, pubcomp]) writeAck(writer, type, 0x1234, 0, v5);
  for (const type of [puback, pubrec]) writeAck(writer, type, 1, 0x10, v5);
  for (const type of [pubrel, pubcomp]) writeAck(writer, type, 65_535, 0x92, v5);
  for (const version of [v31, v311]) writeAck(writer, puback, 1, 0x10, version);
  assert.equal(
    written(writer),
    hexOf(
      "40021234 50021234 62021234 70021234 4003000110 5003000110 6203ffff92 7003ffff92 40020001 40020001",
    ),
  );
});

const refusal: ConnackPacket = {
  type: PacketType.connack,
  sessionPresent: false,
  reasonCode: 0x87,
  properties: { reasonString: "because", userProperties: [["name", "value"]] },
};

test("User properties go first, then the reason string, then the packet is not written.", () => {
  const both = hexOf("20 1b 00 87 18 1f0007'because' 260004'name'0005'value'");
  const reason = hexOf("20 0d 00 87 0a 1f0007'because'");
  const none = hexOf("20 03 00 87 00");
  assert.equal(encoded(refusal, v5), both);
  assert.equal(encoded(refusal, v5, 29), both);
  assert.equal(encoded(refusal, v5, 28), reason);
  assert.equal(encoded(refusal, v5, 15), reason);
  assert.equal(encoded(refusal, v5, 14), none);
  assert.equal(encoded(refusal, v5, 5), none);
  assert.equal(encoded(refusal, v5, 4), "nothing");
});

test("An acknowledgement that loses its properties also loses what stood for them.", () => {
  const packet: OutgoingPacket = {
    ...refusal,
    type: PacketType.puback,
    packetId: 1,
    reasonCode: 0,
  };
  assert.equal(encoded(packet, v5, 4), hexOf("40 02 0001"));
});

test("A PUBLISH loses nothing: it fits or is not written.", () => {
  const packet: OutgoingPacket = {
    type: PacketType.publish,
    dup: false,
    qos: 0,
    retain: false,
    packetId: 0,
    topic: "t",
    payload: new Uint8Array(0),
    properties: { userProperties: [["a", "b"]] },
  };
  assert.equal(encoded(packet, v5, 13), hexOf("30 0b 0001't' 07 260001'a'0001'b'"));
  assert.equal(encoded(packet, v5, 12), "nothing");
});

test("A SUBSCRIBE loses nothing either.", () => {
  const packet: OutgoingPacket = {
    type: PacketType.unsubscribe,
    packetId: 1,
    topicFilters: ["t"],
    properties: { userProperties: [["a", "b"]] },
  };
  assert.equal(encoded(packet, v5, 15), hexOf("a2 0d 0001 07 260001'a'0001'b' 0001't'"));
  assert.equal(encoded(packet, v5, 14), "nothing");
});

test("Properties that a packet may not have are left out.", () => {
  const everything: Properties = {
    userProperties: [["a", "b"]],
    willDelaySeconds: 1,
    receiveMaximum: 3,
    subscriptionIdentifiers: [7],
    contentType: "text",
  };
  assert.equal(
    encoded({ ...refusal, properties: everything }, v5),
    hexOf("20 0d 00 87 0a 210003 260001'a'0001'b'"),
  );
});

test("In 3.x reason codes travel as what the version has.", () => {
  const suback = { type: PacketType.suback, packetId: 1, reasonCodes: [0, 1, 2, 0x80, 0x87, 0xa2] };
  for (const version of [v31, v311]) {
    assert.equal(encoded(refusal, version), hexOf("20 02 00 05"));
    assert.equal(encoded(suback, version), hexOf("90 08 0001 00 01 02 80 80 80"));
    const unsuback = { type: PacketType.unsuback, packetId: 1, reasonCodes: [0, 0x11] };
    assert.equal(encoded(unsuback, version), hexOf("b0 02 0001"));
    const disconnect = {
      type: PacketType.disconnect,
      reasonCode: 0x8e,
      properties: { reasonString: "x" },
    };
    assert.equal(encoded(disconnect, version), hexOf("e0 00"));
    const puback = { type: PacketType.puback, packetId: 1, reasonCode: 0x97 };
    assert.equal(encoded(puback, version), hexOf("40 02 0001"));
  }
});

test("Options of version 5 stay away from a 3.1.1 SUBSCRIBE.", () => {
  const packet: OutgoingPacket = {
    type: PacketType.subscribe,
    packetId: 1,
    subscriptions: [
      { topicFilter: "a", qos: 2, noLocal: true, retainAsPublished: true, retainHandling: 2 },
    ],
    properties: { subscriptionIdentifiers: [1] },
  };
  assert.equal(encoded(packet, v311), hexOf("82 06 0001 0001'a' 02"));
  assert.equal(encoded(packet, v5), hexOf("82 09 0001 02 0b01 0001'a' 2e"));
});

test("Session present is not said in 3.1, where its byte is reserved.", () => {
  const packet: ConnackPacket = { ...refusal, sessionPresent: true, reasonCode: 0, properties: {} };
  assert.equal(encoded(packet, v31), hexOf("20 02 00 00"));
  assert.equal(encoded(packet, v311), hexOf("20 02 01 00"));
});

test("What cannot be encoded throws and leaves nothing behind.", () => {
  const long = "x".repeat(65_536);
  const connect: OutgoingPacket = {
    type: PacketType.connect,
    protocolVersion: v311,
    cleanStart: true,
    keepAliveSeconds: 0,
    clientId: "c",
    properties: {},
  };
  const impossible: [OutgoingPacket, ProtocolVersion][] = [
    [{ ...connect, clientId: long }, v311],
    [{ ...connect, password: new Uint8Array(1) }, v311],
    [{ ...connect, username: "u", password: new Uint8Array(65_536) }, v5],
    [{ type: PacketType.auth, reasonCode: 0x18 }, v311],
    [{ ...refusal, properties: { reasonString: long } }, v5],
  ];
  for (const [packet, version] of impossible) {
    const writer = new ByteWriter();
    writer.writeByte(0xaa);
    assert.throws(() => encodePacket(writer, packet, version), RangeError);
    assert.equal(writer.end, 1);
  }
});

test("No property has the identifier, or the name, of another.", () => {
  assert.equal(new Set(PROPERTY_SPECS.map((spec) => spec.id)).size, 27);
  assert.equal(new Set(PROPERTY_SPECS.map((spec) => spec.name)).size, 27);
});
