import assert from "node:assert/strict";
import { test } from "node:test";
import { ByteReader, UnderflowError } from "../../../src/lib/byte-reader.ts";

const BYTES = Uint8Array.of(0xff, 1, 2, 3, 0xf0, 0, 0, 4, 9, 0xff);

function readerOf(position: number, end: number): ByteReader {
  const reader = new ByteReader();
  reader.reset(BYTES, position, end);
  return reader;
}

test("Numbers are read big endian and without sign, one after the other.", () => {
  const reader = readerOf(1, 9);
  assert.equal(reader.remaining, 8);
  assert.equal(reader.readByte(), 1);
  assert.equal(reader.readUint16(), 0x0203);
  assert.equal(reader.readUint32(), 0xf000_0004);
  assert.equal(reader.remaining, 1);
});

test("A read beyond the end throws and moves nothing.", () => {
  const reads: ((reader: ByteReader) => unknown)[] = [
    (reader) => reader.skip(2),
    (reader) => reader.readUint16(),
    (reader) => reader.readBytes(2),
  ];
  for (const read of reads) {
    const reader = readerOf(8, 9);
    assert.throws(() => read(reader), UnderflowError);
    assert.equal(reader.readByte(), 9);
    assert.throws(() => reader.readByte(), UnderflowError);
  }
});

test("A number of four bytes that ends early moves nothing.", () => {
  const reader = readerOf(5, 8);
  assert.throws(() => reader.readUint32(), UnderflowError);
  assert.equal(reader.remaining, 3);
});

test("Bytes are a copy, also of a Buffer.", () => {
  const source = Buffer.from([1, 2, 3]);
  const reader = new ByteReader();
  reader.reset(source);
  const copy = reader.readBytes(2);
  source.fill(0xee);
  assert.deepEqual(copy, Uint8Array.of(1, 2));
  assert.equal(copy.buffer.byteLength, 2);
});

test("Without arguments reset lets go of the bytes.", () => {
  const reader = readerOf(0, 3);
  reader.reset();
  assert.equal(reader.remaining, 0);
  assert.notEqual(reader.bytes, BYTES);
});
