import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { PacketWalker } from "../../../bench/load/packet-walker.ts";
import {
  encodePublish,
  encodePublishQos1,
  encodePublishRun,
  encodeSubscribe,
} from "../../../bench/load/packets.ts";
import { Reception } from "../../../bench/load/reception.ts";

const SHAPE = { topic: "bench/in/000", payloadBytes: 64 };

function feedInPieces(walker: PacketWalker, bytes: Uint8Array, cuts: readonly number[]): void {
  const ends = [...cuts.map((cut) => cut % bytes.length), bytes.length].sort((a, b) => a - b);
  let at = 0;
  for (const end of ends) {
    // The chunk is wiped afterwards: the walker may not keep a view of it.
    const chunk = Uint8Array.from(bytes.subarray(at, end));
    walker.feed(chunk);
    chunk.fill(0xff);
    at = end;
  }
}

test("packets are counted alike however the stream is cut", () => {
  const sizes = fc.array(fc.integer({ min: 0, max: 400 }), { minLength: 1, maxLength: 20 });
  const cuts = fc.array(fc.nat(), { maxLength: 30 });
  fc.assert(
    fc.property(sizes, cuts, (payloads, cutsAt) => {
      const packets = payloads.map((payloadBytes) => encodePublish({ topic: "t", payloadBytes }));
      const seen: number[] = [];
      const walker = new PacketWalker((bytes, at, size) => {
        assert.equal(bytes[at], 0x30);
        seen.push(size);
      });
      feedInPieces(walker, Buffer.concat(packets), cutsAt);
      assert.deepEqual(
        seen,
        packets.map(({ length }) => length),
      );
      assert.equal(walker.heldBytes, 0);
    }),
  );
});

test("an unfinished packet is not counted and its bytes are told", () => {
  const packet = encodePublish(SHAPE);
  const reception = new Reception(0, packet.length);
  const walker = new PacketWalker(reception.onPacket);
  walker.feed(Buffer.concat([packet, packet.subarray(0, 10)]));
  assert.equal(reception.received, 1);
  assert.equal(walker.heldBytes, 10);
});

test("only the bytes up to the count given are read from a reused buffer", () => {
  const packet = encodePublish(SHAPE);
  const reception = new Reception(0, packet.length);
  new PacketWalker(reception.onPacket).feed(encodePublishRun(SHAPE, 3), packet.length * 2);
  assert.equal(reception.received, 2);
});

test("QoS 0 is counted and not acknowledged", () => {
  const packet = encodePublish(SHAPE);
  const reception = new Reception(0, packet.length);
  new PacketWalker(reception.onPacket).feed(encodePublishRun(SHAPE, 32));
  assert.equal(reception.received, 32);
  assert.equal(reception.takeAcknowledgements(), undefined);
});

test("QoS 1 packets are acknowledged once each in their order", () => {
  const packets = [7, 300, 65_535].map((id) => encodePublishQos1(SHAPE, id));
  const reception = new Reception(1, packets[0]?.length ?? 0);
  new PacketWalker(reception.onPacket).feed(Buffer.concat(packets));
  const expected = "40020007" + "4002012c" + "4002ffff";
  assert.equal(Buffer.from(reception.takeAcknowledgements() ?? []).toString("hex"), expected);
  assert.equal(reception.takeAcknowledgements(), undefined);
});

test("a repeated QoS 1 packet is counted as redelivered and acknowledged again", () => {
  const packet = encodePublishQos1(SHAPE, 9);
  const repeated = Buffer.from(packet);
  repeated[0] = (repeated[0] ?? 0) | 0x08;
  const reception = new Reception(1, packet.length);
  new PacketWalker(reception.onPacket).feed(Buffer.concat([packet, repeated]));
  assert.equal(reception.received, 2);
  assert.equal(reception.redelivered, 1);
  assert.equal(reception.takeAcknowledgements()?.length, 8);
});

test("packets of another kind, QoS or size are counted as unexpected", () => {
  const packet = encodePublish(SHAPE);
  const reception = new Reception(0, packet.length);
  const others = [
    encodeSubscribe(1, "a", 0),
    encodePublishQos1({ ...SHAPE, payloadBytes: 62 }, 1), // the right size, the wrong QoS
    encodePublish({ ...SHAPE, payloadBytes: 65 }),
  ];
  assert.equal(others[1]?.length, packet.length);
  new PacketWalker(reception.onPacket).feed(Buffer.concat([...others, packet]));
  assert.equal(reception.unexpected, 3);
  assert.equal(reception.received, 1);
});
