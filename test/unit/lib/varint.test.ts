import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ByteWriter } from "../../../src/lib/byte-writer.ts";
import { VARINT_BYTES_MAX, VarintReader, writeVarint } from "../../../src/lib/varint.ts";

const encode = (value: number): Uint8Array => {
  const writer = new ByteWriter();
  writeVarint(writer, value);
  return writer.bytes.slice(0, writer.end);
};

for (const [value, hex] of [
  [0, "00"],
  [127, "7f"],
  [128, "8001"],
  [16_383, "ff7f"],
  [2 ** 31, "8080808008"],
  [2 ** 32 - 1, "ffffffff0f"],
  [Number.MAX_SAFE_INTEGER, "ffffffffffffff0f"],
] as const) {
  test(`${value} is written as ${hex} and read again.`, () => {
    const bytes = encode(value);
    assert.equal(Buffer.from(bytes).toString("hex"), hex);
    const reader = new VarintReader(bytes);
    assert.equal(reader.readVarint(), value);
    assert.equal(reader.isBroken, false);
    assert.equal(reader.offset, bytes.length);
  });
}

test("Any run of numbers is read as it was written.", () => {
  fc.assert(
    fc.property(fc.array(fc.maxSafeNat()), (values) => {
      const writer = new ByteWriter();
      for (const value of values) writeVarint(writer, value);
      const reader = new VarintReader(writer.bytes, 0, writer.end);
      for (const value of values) assert.equal(reader.readVarint(), value);
      assert.equal(reader.isBroken, false);
      assert.equal(reader.readVarint(), 0);
      assert.equal(reader.isBroken, true);
    }),
  );
});

test("Any bytes are read without an error, never beyond their end, and give safe numbers.", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      const reader = new VarintReader(bytes);
      for (let i = 0; i < 50; i++) assert.ok(Number.isSafeInteger(reader.readVarint()));
      assert.ok(reader.isBroken && reader.offset <= bytes.length);
    }),
  );
});

for (const hex of ["ffffffffffffff10", "ffffffffffffffff", "8080808080808080"]) {
  test(`${hex} is broken: too large or too long.`, () => {
    assert.equal(hex.length / 2, VARINT_BYTES_MAX);
    const reader = new VarintReader(Buffer.from(hex, "hex"));
    assert.equal(reader.readVarint(), 0);
    assert.equal(reader.isBroken, true);
  });
}
