import assert from "node:assert/strict";
import { test } from "node:test";
import { ByteWriter } from "../../../src/lib/byte-writer.ts";
import type { Decoder } from "../../../src/mqtt/decoder.ts";
import { encodePacket, writePublish } from "../../../src/mqtt/encoder.ts";
import { PacketType, ProtocolVersion, type PublishPacket } from "../../../src/mqtt/packet.ts";
import { CONTROL_VECTORS } from "./control-vectors.ts";
import { MESSAGE_VECTORS, type Vector } from "./message-vectors.ts";
import { decodeAll, decoderFor, snapshot, wire } from "./wire.ts";

const { v311, v5 } = ProtocolVersion;
const VECTORS = [...MESSAGE_VECTORS, ...CONTROL_VECTORS];

function nextPublish(decoder: Decoder): PublishPacket {
  const packet = decoder.next();
  assert.ok(packet?.type === PacketType.publish);
  return packet;
}

/** A 3.1.1 PUBLISH on topic t with QoS 0 and a payload of this many bytes. */
function largePublish(payloadBytes: number): Uint8Array {
  const payload = new Uint8Array(payloadBytes).map((_, i) => i * 31);
  const writer = new ByteWriter();
  const topic = Uint8Array.of(0x74);
  writePublish(writer, v311, 0, false, false, 0, topic, payload, 0, payloadBytes, undefined);
  return writer.bytes.slice(0, writer.end);
}

test("One byte at a time gives the same packets.", () => {
  for (const [title, version, reader, bytes, packet] of VECTORS) {
    const pieces = [...wire(bytes)].map((byte) => Uint8Array.of(byte));
    assert.deepEqual(decodeAll(decoderFor(reader, version), ...pieces), [snapshot(packet)], title);
  }
});

test("A split at every offset gives the same packets.", () => {
  for (const [title, version, reader, bytes, packet] of VECTORS) {
    const whole = wire(bytes);
    for (let at = 0; at <= whole.length; at++) {
      const decoder = decoderFor(reader, version);
      const packets = decodeAll(decoder, whole.subarray(0, at), whole.subarray(at));
      assert.deepEqual(packets, [snapshot(packet)], `${title} at ${at}`);
    }
  }
});

/** All vectors of one version for one reader, CONNECT aside, as one run of bytes. */
function run(
  version: ProtocolVersion,
  reader: "server" | "client",
): { bytes: Buffer; packets: unknown[] } {
  const vectors = VECTORS.filter(
    (each: Vector) =>
      each[1] === version && each[2] === reader && each[4].type !== PacketType.connect,
  );
  return {
    bytes: Buffer.concat(vectors.map((each) => wire(each[3]))),
    packets: vectors.map((each) => snapshot(each[4])),
  };
}

test("Runs of packets in chunks of any size give the same packets.", () => {
  for (const version of Object.values(ProtocolVersion)) {
    for (const reader of ["server", "client"] as const) {
      const { bytes, packets } = run(version, reader);
      assert.ok(packets.length > 3);
      for (let size = 1; size <= bytes.length; size++) {
        const chunks: Uint8Array[] = [];
        for (let at = 0; at < bytes.length; at += size) chunks.push(bytes.subarray(at, at + size));
        assert.deepEqual(
          decodeAll(decoderFor(reader, version), ...chunks),
          packets,
          `size ${size}`,
        );
      }
    }
  }
});

test("The caller may overwrite a chunk once next has returned undefined.", () => {
  const { bytes, packets } = run(v5, "server");
  const decoder = decoderFor("server", v5);
  const chunk = Buffer.alloc(7);
  const seen: unknown[] = [];
  for (let at = 0; at < bytes.length; at += chunk.length) {
    const count = bytes.copy(chunk, 0, at);
    seen.push(...decodeAll(decoder, chunk.subarray(0, count)));
    chunk.fill(0xee);
  }
  assert.deepEqual(seen, packets);
});

test("What a packet keeps is its own: overwriting the chunk does not change it.", () => {
  for (const [title, version, reader, bytes, packet] of VECTORS) {
    if (packet.type === PacketType.publish) continue;
    const chunk = wire(bytes);
    const decoder = decoderFor(reader, version);
    decoder.feed(chunk);
    const decoded = decoder.next();
    assert.ok(decoded !== undefined);
    chunk.fill(0xee);
    assert.deepEqual(snapshot(decoded), snapshot(packet), title);
  }
});

test("The properties of a PUBLISH are its own and may be kept.", () => {
  const chunk = wire("30 0a 0001'a' 04 0900010a 'hi' 30 0a 0001'a' 04 0900010b 'hi'");
  const decoder = decoderFor("server", v5);
  decoder.feed(chunk);
  const first = nextPublish(decoder).properties;
  const second = nextPublish(decoder).properties;
  chunk.fill(0xee);
  assert.deepEqual(first, { correlationData: Uint8Array.of(10) });
  assert.deepEqual(second, { correlationData: Uint8Array.of(11) });
});

test("A PUBLISH is one object, filled anew, and lies in the chunk.", () => {
  const chunk = wire("30 05 0001'a''hi' 32 07 0001'b' 0009 'yo'");
  const decoder = decoderFor("server", v311);
  decoder.feed(chunk);
  const first = nextPublish(decoder);
  const { frameStart, frameEnd, topicStart, topicEnd, payloadStart, payloadEnd } = first;
  assert.equal(first.bytes, chunk);
  assert.deepEqual(
    [frameStart, topicStart, topicEnd, payloadStart, payloadEnd, frameEnd],
    [0, 4, 5, 5, 7, 7],
  );
  const second = nextPublish(decoder);
  assert.equal(second, first);
  assert.equal(second.packetId, 9);
  assert.equal(second.frameStart, 7);
  assert.equal(second.frameEnd, 16);
  assert.equal(decoder.next(), undefined);
  assert.notEqual(first.bytes, chunk);
});

test("Properties of one PUBLISH do not show in the next.", () => {
  const decoder = decoderFor("server", v5);
  decoder.feed(wire("30 09 0001'a' 03 230001 'hi' 30 06 0001'a' 00 'hi'"));
  assert.deepEqual(nextPublish(decoder).properties, { topicAlias: 1 });
  assert.equal(nextPublish(decoder).properties, undefined);
});

test("A header that announces 256 MB allocates nothing of that size.", () => {
  const decoder = decoderFor("server", v311, { packetBytesMax: 268_435_460 });
  const before = process.memoryUsage().arrayBuffers;
  decoder.feed(wire("30 ffffff7f 0001'a'"));
  assert.equal(decoder.next(), undefined);
  decoder.feed(new Uint8Array(10_000));
  assert.equal(decoder.next(), undefined);
  assert.equal(decoder.bufferedBytes, 10_008);
  assert.ok(process.memoryUsage().arrayBuffers - before < 1_000_000);
});

test("A packet in many pieces is copied a few times, not once per piece.", () => {
  const packet = largePublish(4_000_000);
  const decoder = decoderFor("server", v311, { packetBytesMax: 5_000_000 });
  const allocate = Buffer.allocUnsafeSlow;
  let allocatedBytes = 0;
  Buffer.allocUnsafeSlow = (size: number): Buffer<ArrayBuffer> => {
    allocatedBytes += size;
    return allocate(size);
  };
  try {
    for (let at = 0; at < packet.length; at += 1_000) {
      assert.equal(decoder.next(), undefined);
      decoder.feed(packet.subarray(at, at + 1_000));
    }
    const { bytes, payloadStart, payloadEnd } = nextPublish(decoder);
    assert.ok(
      Buffer.from(packet.subarray(-4_000_000)).equals(bytes.subarray(payloadStart, payloadEnd)),
    );
  } finally {
    Buffer.allocUnsafeSlow = allocate;
  }
  assert.ok(allocatedBytes < 3 * packet.length, `${allocatedBytes} bytes allocated`);
});

test("A packet of exactly the limit is taken, one byte more is too large, as soon as its header is there.", () => {
  const decoder = decoderFor("server", v311, { packetBytesMax: 102 });
  decoder.feed(largePublish(97));
  assert.equal(nextPublish(decoder).frameEnd, 102);
  decoder.feed(wire("30 65"));
  assert.throws(() => decoder.next(), { name: "ProtocolError", reasonCode: 0x95 });
});

test("The limit may be raised between packets.", () => {
  const decoder = decoderFor("server", v311, { packetBytesMax: 16 });
  decoder.feed(wire("10 0c 0004'MQTT' 04 02 0000 0000"));
  assert.equal(decoder.next()?.type, PacketType.connect);
  decoder.packetBytesMax = 2_000;
  decoder.feed(largePublish(1_000));
  assert.equal(nextPublish(decoder).payloadEnd, 1_006);
});

test("A packet that the reader may not get is refused before its body is there.", () => {
  const decoder = decoderFor("client", v311);
  decoder.feed(wire("82 7f"));
  assert.throws(() => decoder.next(), { name: "ProtocolError", reasonCode: 0x82 });
});

test("A CONNECT sets the version for what follows in the same chunk.", () => {
  const decoder = decoderFor("server", v311);
  const packets = decodeAll(
    decoder,
    wire("10 0d 0004'MQTT' 05 02 0000 00 0000 30 06 0001'a' 00 'hi'"),
  );
  assert.equal(decoder.protocolVersion, v5);
  assert.equal(packets.length, 2);
  assert.deepEqual((packets[1] as { payload: string }).payload, "bytes 6869");
});

test("A chunk that comes before the last one is used up is kept behind it.", () => {
  const { bytes, packets } = run(v5, "server");
  const decoder = decoderFor("server", v5);
  const seen: unknown[] = [];
  let last = Buffer.alloc(0);
  for (let at = 0; at < bytes.length; at += 11) {
    const chunk = Buffer.from(bytes.subarray(at, at + 11));
    decoder.feed(chunk);
    last.fill(0xee);
    last = chunk;
    // One packet for every two chunks: the decoder falls behind.
    const packet = (at / 11) % 2 === 0 ? decoder.next() : undefined;
    if (packet !== undefined) seen.push(snapshot(packet));
  }
  assert.ok(decoder.bufferedBytes > 0);
  seen.push(...decodeAll(decoder, new Uint8Array(0)));
  assert.deepEqual(seen, packets);
  assert.equal(decoder.bufferedBytes, 0);
});

test("After an error the decoder holds nothing and says the same again.", () => {
  const decoder = decoderFor("server", v311);
  decoder.feed(wire("c0 00 00 00 c0 00"));
  assert.equal(decoder.next()?.type, PacketType.pingreq);
  assert.throws(() => decoder.next(), { reasonCode: 0x81 });
  assert.equal(decoder.bufferedBytes, 0);
  decoder.feed(wire("c0 00"));
  assert.throws(() => decoder.next(), { reasonCode: 0x81 });
  assert.equal(decoder.bufferedBytes, 0);
});

test("User properties are bounded by count and by bytes, per packet and per will.", () => {
  const limits = { userPropertiesMax: 2, userPropertiesBytesMax: 24 };
  const publish = (pair: string, count: number): Uint8Array => {
    const properties = Buffer.concat(Array.from({ length: count }, () => wire(pair)));
    const header = Buffer.from([0x30, properties.length + 4, 0, 1, 0x61, properties.length]);
    return Buffer.concat([header, properties]);
  };
  const decoder = (): Decoder => decoderFor("server", v5, limits);
  assert.equal(
    decodeAll(decoder(), publish("260001'a'0001'b'", 2), publish("2600000000", 2)).length,
    2,
  );
  assert.throws(() => decodeAll(decoder(), publish("2600000000", 3)), { reasonCode: 0x97 });
  assert.throws(() => decodeAll(decoder(), publish("260004'name'0004'text'", 2)), {
    reasonCode: 0x97,
  });
});

test("Properties do not run on into the next packet.", () => {
  const decoder = decoderFor("server", v5);
  decoder.feed(wire("40 04 0001 00 05 1f0002'no'"));
  assert.throws(() => decoder.next(), { reasonCode: 0x81, message: /properties are longer/ });
});

test("A Remaining Length in too many bytes is forgiven in 3.1.1 and not held against later packets.", () => {
  const decoder = decoderFor("server", v311);
  assert.equal(decodeAll(decoder, wire("c0 8000")).length, 1);
  decoder.protocolVersion = v5;
  assert.equal(decodeAll(decoder, wire("c0 00")).length, 1);
});

test("More topic filters in one packet than the bound are refused.", () => {
  const writer = new ByteWriter();
  const entry = {
    topicFilter: "",
    qos: 0,
    noLocal: false,
    retainAsPublished: false,
    retainHandling: 0,
  } as const;
  const subscriptions = new Array(16_385).fill(entry);
  encodePacket(writer, { type: PacketType.subscribe, packetId: 1, subscriptions }, v311);
  const decoder = decoderFor("server", v311);
  decoder.feed(writer.bytes.subarray(0, writer.end));
  assert.throws(() => decoder.next(), { reasonCode: 0x97 });
});
