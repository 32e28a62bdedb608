import assert from "node:assert/strict";
import { test } from "node:test";
import { ByteWriter } from "../../../src/lib/byte-writer.ts";
import { encodePacket } from "../../../src/mqtt/encoder.ts";
import { PacketType, ProtocolVersion } from "../../../src/mqtt/packet.ts";
import { PROPERTY_SPECS } from "../../../src/mqtt/properties.ts";
import { CONTROL_VECTORS } from "./control-vectors.ts";
import { MESSAGE_VECTORS } from "./message-vectors.ts";
import { decodeAll, decoderFor, snapshot, wire } from "./wire.ts";

const VECTORS = [...MESSAGE_VECTORS, ...CONTROL_VECTORS];

for (const [title, version, reader, bytes, packet, isDecodeOnly] of VECTORS) {
  test(`${title} is decoded.`, () => {
    const decoder = decoderFor(reader, version);
    assert.deepEqual(decodeAll(decoder, wire(bytes)), [snapshot(packet)]);
    assert.equal(decoder.bufferedBytes, 0);
  });

  if (isDecodeOnly !== undefined) continue;
  test(`${title} is encoded.`, () => {
    const writer = new ByteWriter();
    assert.equal(encodePacket(writer, packet, version), true);
    const written = Buffer.from(writer.bytes.subarray(0, writer.end));
    assert.equal(written.toString("hex"), wire(bytes).toString("hex"));
  });
}

test("A writer with any room left takes every packet.", () => {
  for (const [title, version, , bytes, packet, isDecodeOnly] of VECTORS) {
    if (isDecodeOnly !== undefined) continue;
    const expected = wire(bytes);
    for (let room = 0; room <= expected.length + 5; room++) {
      const writer = new ByteWriter();
      writer.reserve(1);
      const start = writer.bytes.length - room;
      writer.end = start;
      encodePacket(writer, packet, version);
      const written = Buffer.from(writer.bytes.subarray(start, writer.end));
      assert.equal(written.toString("hex"), expected.toString("hex"), `${title}, room ${room}`);
    }
  }
});

test("The vectors cover every packet type in every version that has it.", () => {
  for (const version of Object.values(ProtocolVersion)) {
    const seen = new Set(VECTORS.filter((each) => each[1] === version).map((each) => each[4].type));
    const expected = Object.values(PacketType).filter(
      (type) => type !== PacketType.auth || version === ProtocolVersion.v5,
    );
    assert.deepEqual([...seen].sort(byNumber), expected);
  }
});

test("The vectors cover every property.", () => {
  const seen = new Set<string>();
  for (const [, , , , packet] of VECTORS) {
    if ("properties" in packet)
      for (const name of Object.keys(packet.properties ?? {})) seen.add(name);
    if (packet.type === PacketType.connect) {
      for (const name of Object.keys(packet.will?.properties ?? {})) seen.add(name);
    }
  }
  assert.equal(PROPERTY_SPECS.length, 27);
  assert.deepEqual([...seen].sort(), PROPERTY_SPECS.map((spec) => spec.name).sort());
});

const byNumber = (a: number, b: number): number => a - b;
