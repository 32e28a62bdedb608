import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ByteWriter } from "../../src/lib/byte-writer.ts";
import type { Decoder } from "../../src/mqtt/decoder.ts";
import { encodePacket, publishSize } from "../../src/mqtt/encoder.ts";
import {
  type OutgoingPacket,
  type Packet,
  PacketType,
  ProtocolVersion,
  type Role,
} from "../../src/mqtt/packet.ts";
import { ProtocolError } from "../../src/mqtt/protocol-error.ts";
import { decodeUtf8 } from "../../src/mqtt/utf8.ts";
import {
  isKnownToOracle,
  oracleDecode,
  oracleEncode,
  oracleForm,
} from "../support/codec-oracle.ts";
import { packetFrom } from "../support/packet-arbitrary.ts";
import { decodeAll, decoderFor, snapshot } from "../unit/mqtt/wire.ts";

function encode(packets: readonly OutgoingPacket[], version: ProtocolVersion): Buffer {
  const writer = new ByteWriter();
  for (const packet of packets) assert.equal(encodePacket(writer, packet, version), true);
  return Buffer.from(writer.bytes.subarray(0, writer.end));
}

/** A decoded packet as the encoder takes it. */
function outgoing(packet: Packet): OutgoingPacket {
  if (packet.type !== PacketType.publish) return packet;
  const { type, dup, qos, retain, packetId, bytes, properties } = packet;
  const topic = decodeUtf8(bytes, packet.topicStart, packet.topicEnd);
  const payload = bytes.subarray(packet.payloadStart, packet.payloadEnd);
  return { type, dup, qos, retain, packetId, topic, payload, properties };
}

const opposite = (role: Role): Role => (role === "client" ? "server" : "client");

for (const version of Object.values(ProtocolVersion)) {
  for (const sender of ["client", "server"] as const) {
    const reader = opposite(sender);
    const packet = packetFrom(sender, version);
    const who = `a ${sender} in version ${version}`;

    test(`What ${who} encodes is decoded the same, however it is cut.`, () => {
      const packets = fc.array(packet, { minLength: 1, maxLength: 5 });
      const cuts = fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 20 });
      fc.assert(
        fc.property(packets, cuts, (sent, sizes) => {
          const bytes = encode(sent, version);
          const chunks: Uint8Array[] = [];
          let at = 0;
          for (const size of sizes) {
            chunks.push(bytes.subarray(at, at + size));
            at += size;
          }
          chunks.push(bytes.subarray(at));
          const decoder = decoderFor(reader, version);
          assert.deepEqual(decodeAll(decoder, ...chunks), sent.map(snapshot));
          assert.equal(decoder.bufferedBytes, 0);
        }),
        { numRuns: 150 },
      );
    });

    test(`What ${who} encodes reads the same to mqtt-packet.`, () => {
      fc.assert(
        fc.property(packet.filter(isKnownToOracle), (sent) => {
          assert.deepEqual(
            oracleDecode(encode([sent], version), version),
            oracleForm(sent, version),
          );
        }),
        { numRuns: 300 },
      );
    });

    test(`What mqtt-packet writes for ${who} reads the same to us.`, () => {
      fc.assert(
        fc.property(packet.filter(isKnownToOracle), (sent) => {
          const decoder = decoderFor(reader, version);
          decoder.feed(oracleEncode(sent, version));
          const received = decoder.next();
          assert.ok(received !== undefined);
          assert.deepEqual(oracleForm(outgoing(received), version), oracleForm(sent, version));
          assert.equal(decoder.next(), undefined);
        }),
        { numRuns: 300 },
      );
    });

    test(`Damaged packets of ${who} are refused, or decode to packets that encode again.`, () => {
      const damage = fc.array(fc.tuple(fc.nat(300), fc.nat(255)), { minLength: 1, maxLength: 3 });
      fc.assert(
        fc.property(packet, damage, (sent, changes) => {
          const bytes = encode([sent], version);
          for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
          assertSound(bytes, decoderFor(reader, version));
        }),
        { numRuns: 400 },
      );
    });

    test(`Arbitrary bytes to the reader of ${who} are refused, or decode to packets that encode again.`, () => {
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
          assertSound(bytes, decoderFor(reader, version));
        }),
        { numRuns: 400 },
      );
    });
  }
}

/** Whatever the decoder takes it takes again, the same, after the encoder had it; else it throws a ProtocolError. */
function assertSound(bytes: Uint8Array, decoder: Decoder): void {
  decoder.feed(bytes);
  try {
    for (let packet = decoder.next(); packet !== undefined; packet = decoder.next()) {
      const { protocolVersion } = decoder;
      const again = decoderFor(decoder.role, protocolVersion);
      const expected = snapshot(packet);
      assert.deepEqual(decodeAll(again, encode([outgoing(packet)], protocolVersion)), [expected]);
    }
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    assert.ok(error.reasonCode >= 0x80);
  }
}

test("The size of a PUBLISH is told exactly before it is written.", () => {
  for (const version of Object.values(ProtocolVersion)) {
    const publish = packetFrom("server", version).filter(
      (each) => each.type === PacketType.publish,
    );
    fc.assert(
      fc.property(publish, (sent) => {
        assert.ok(sent.type === PacketType.publish && "topic" in sent);
        const topicBytes = Buffer.byteLength(sent.topic);
        const size = publishSize(
          version,
          topicBytes,
          sent.payload.length,
          sent.qos,
          sent.properties,
        );
        assert.equal(encode([sent], version).length, size);
      }),
      { numRuns: 60 },
    );
  }
});

test("A limit is kept: the packet fits, loses only what it may, or is not written.", () => {
  const version = ProtocolVersion.v5;
  fc.assert(
    fc.property(packetFrom("server", version), fc.nat(120), (sent, limit) => {
      const writer = new ByteWriter();
      writer.writeByte(0xaa);
      const isWritten = encodePacket(writer, sent, version, limit);
      assert.equal(writer.bytes[0], 0xaa);
      if (!isWritten) assert.equal(writer.end, 1);
      else {
        assert.ok(writer.end - 1 <= limit);
        const [received] = decodeAll(
          decoderFor("client", version),
          writer.bytes.subarray(1, writer.end),
        );
        assert.deepEqual(withoutCourtesies(received), withoutCourtesies(snapshot(sent)));
      }
    }),
    { numRuns: 500 },
  );
});

/** Without what may be dropped from answers; a PUBLISH keeps all. */
function withoutCourtesies(packet: unknown): unknown {
  const { properties, ...rest } = packet as { type: number; properties?: Record<string, unknown> };
  if (rest.type === PacketType.publish) return packet;
  const { userProperties, reasonString, ...kept } = properties ?? {};
  return { ...rest, properties: kept };
}
