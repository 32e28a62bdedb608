import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { pack, Unpackr } from "msgpackr";
import { ByteWriter } from "../../src/lib/byte-writer.ts";
import {
  MessagePackReader,
  packMessagePack,
  writeMessagePack,
} from "../../src/native/message-pack.ts";

const theirs = new Unpackr({ useRecords: false, mapsAsObjects: true, int64AsType: "number" });

/** What frames are made of. */
const { frame } = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.constant(null),
    fc.boolean(),
    fc.integer(),
    fc.maxSafeInteger(),
    fc.double({ noNaN: true }).filter((value) => !Object.is(value, -0)),
    fc.string({ unit: "grapheme", maxLength: 80 }),
    fc.uint8Array({ maxLength: 300 }),
    fc.array(tie("value"), { maxLength: 20 }),
    tie("frame"),
  ),
  frame: fc.dictionary(
    fc.string({ maxLength: 40 }).filter((field) => field !== "__proto__"),
    tie("value"),
    { maxKeys: 20, noNullPrototype: true },
  ),
}));

/** Bytes as lists, so that views of different kinds compare by content. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return [...value];
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([field, part]) => [field, plain(part)]));
}

test("What is written is read again, by others too, and what others write is read.", () => {
  const reader = new MessagePackReader();
  fc.assert(
    fc.property(frame, (value) => {
      const bytes = packMessagePack(value);
      assert.deepEqual(plain(reader.read(bytes)), plain(value));
      assert.deepEqual(plain(theirs.unpack(bytes)), plain(value));
      assert.deepEqual(plain(reader.read(pack(value))), plain(value));
    }),
  );
});

test("Whatever bytes come are a value or an error, and no value has more parts than bytes.", () => {
  const reader = new MessagePackReader();
  const partsOf = (value: unknown): number =>
    typeof value !== "object" || value === null || value instanceof Uint8Array
      ? 1
      : Object.values(value).reduce<number>((sum, part) => sum + partsOf(part), 1);
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 60 }),
    fc.tuple(frame, fc.nat(), fc.nat(255)).map(([value, at, byte]) => {
      const packed = packMessagePack(value);
      packed[at % packed.length] = byte;
      return packed;
    }),
  );
  fc.assert(
    fc.property(bytes, (message) => {
      let value: unknown;
      try {
        value = reader.read(message);
      } catch (error) {
        assert.ok(error instanceof Error && !(error instanceof RangeError), String(error));
        return;
      }
      assert.ok(partsOf(value) <= message.length);
    }),
    { numRuns: 2_000 },
  );
});

test("Cut off anywhere, with something behind it, with an extension or with a broken text it is refused.", () => {
  const reader = new MessagePackReader();
  const whole = packMessagePack({ op: "send", list: [1, 300, 70_000, 2 ** 40], on: true });
  for (let end = 0; end < whole.length; end++)
    assert.throws(() => reader.read(whole.subarray(0, end)));
  assert.throws(() => reader.read(Uint8Array.of(...whole, 1)), /more than one value/);
  assert.throws(() => reader.read(Uint8Array.of(0xd4, 1, 0)), /extension/);
  assert.throws(() => reader.read(Uint8Array.of(0xa2, 0xc3, 0x28)));
  assert.throws(() => reader.read(Uint8Array.of(0x81, 1, 1)), /no text/);
});

test("A field that would change what an object is is left out, and text that was read before is not mixed up.", () => {
  const reader = new MessagePackReader();
  const bytes = packMessagePack(JSON.parse('{"__proto__":{"id":1},"op":"ping"}'));
  const value = reader.read(bytes) as Record<string, unknown>;
  assert.equal(value["id"], undefined);
  assert.equal(value["op"], "ping");
  const texts = Array.from({ length: 5_000 }, (_, i) => `n${i}`);
  for (let again = 0; again < 2; again++) {
    for (const text of texts) assert.equal(reader.read(packMessagePack(text)), text);
  }
});

test("It is written behind what is there, without fields that are undefined.", () => {
  const output = new ByteWriter();
  output.writeByte(0xc0);
  writeMessagePack(output, { op: "ok", id: undefined });
  assert.deepEqual(
    [...output.bytes.subarray(0, output.end)],
    [0xc0, ...packMessagePack({ op: "ok" })],
  );
});
