import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ByteWriter, recycle } from "../../../src/lib/byte-writer.ts";

const step = fc.oneof(
  fc.record({ kind: fc.constant("byte" as const), value: fc.nat(0xff) }),
  fc.record({ kind: fc.constant("uint16" as const), value: fc.nat(0xffff) }),
  fc.record({ kind: fc.constant("uint32" as const), value: fc.nat(0xffff_ffff) }),
  fc.record({
    kind: fc.constant("bytes" as const),
    value: fc.nat(5_000),
    start: fc.nat(20),
  }),
);

test("What is written is there, in order, however the buffer grew.", () => {
  const source = Buffer.from(Array.from({ length: 6_000 }, (_, i) => i * 7));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60, size: "max" }), (steps) => {
      const writer = new ByteWriter();
      const expected: Buffer[] = [];
      for (const each of steps) {
        const { value } = each;
        if (each.kind === "byte") {
          writer.writeByte(value);
          expected.push(Buffer.from([value]));
        } else if (each.kind === "uint16") {
          writer.writeUint16(value);
          expected.push(Buffer.from([value >>> 8, value]));
        } else if (each.kind === "uint32") {
          writer.writeUint32(value);
          expected.push(Buffer.from([value >>> 24, value >>> 16, value >>> 8, value]));
        } else {
          writer.writeBytes(source, each.start, each.start + value);
          expected.push(source.subarray(each.start, each.start + value));
        }
      }
      const all = Buffer.concat(expected);
      assert.equal(writer.end, all.length);
      assert.ok(all.equals(writer.bytes.subarray(0, writer.end)));
      recycle(writer.detach());
      assert.equal(writer.end, 0);
    }),
  );
});

test("A whole source of any length is copied.", () => {
  for (let length = 0; length < 200; length++) {
    const source = Buffer.alloc(length, length);
    const writer = new ByteWriter();
    writer.writeBytes(source);
    assert.ok(source.equals(writer.bytes.subarray(0, writer.end)));
  }
});

test("A buffer that was handed over is never written to again, unless it was given back.", () => {
  const writer = new ByteWriter();
  writer.writeBytes(Buffer.from("mine"));
  const mine = writer.detach();
  for (let i = 0; i < 1_000; i++) {
    const other = new ByteWriter();
    other.writeBytes(Buffer.alloc(3_000, 1));
    recycle(other.detach());
  }
  writer.writeBytes(Buffer.from("yours"));
  assert.equal(Buffer.from(mine.subarray(0, 4)).toString(), "mine");
});

test("Two writers never share a buffer, also after growing and giving back.", () => {
  const writers = Array.from({ length: 50 }, () => new ByteWriter());
  for (let round = 0; round < 3; round++) {
    for (const [i, writer] of writers.entries())
      writer.writeBytes(Buffer.alloc(900 * (round + 1), i));
    assert.equal(new Set(writers.map(({ bytes }) => bytes)).size, writers.length);
    for (const [i, writer] of writers.entries()) {
      assert.ok(writer.bytes.subarray(0, writer.end).every((byte) => byte === i));
    }
  }
  for (const writer of writers) recycle(writer.detach());
});
