import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { QoS } from "../../../src/broker/message.ts";
import type { LogId } from "../../../src/broker/store.ts";
import { TopicTable } from "../../../src/broker/topic.ts";
import { Chunk, RecordDecoder } from "../../../src/store/chunk.ts";
import {
  prefixEnd,
  restoreEntry,
  startsWith,
  storedKey,
  storedValue,
} from "../../../src/store/keys.ts";
import { unzigzag, writeVarint, zigzag } from "../../../src/store/numbers.ts";
import { RecordReader } from "../../../src/store/record-reader.ts";
import {
  CHUNK_HEADER_BYTES,
  encodeChunkHeader,
  encodeRecord,
  recordBytesMax,
  viewOf,
} from "../../../src/store/records.ts";
import { xxh32 } from "../../../src/store/xxh32.ts";
import { messageOf } from "./store-fixtures.ts";

const LOG = 3 as LogId;

/** The bytes that the hash's own sanity check runs over. */
function sanityBytes(count: number): Uint8Array {
  const bytes = new Uint8Array(count);
  let state = 0x9e3779b1;
  for (let i = 0; i < count; i++) {
    bytes[i] = state >>> 24;
    state = Math.imul(state, state) >>> 0;
  }
  return bytes;
}

test("the checksum is XXH32 as published", () => {
  const prime = 0x9e3779b1;
  const published: readonly (readonly [bytes: Uint8Array, seed: number, hash: number])[] = [
    [Buffer.from("a"), 0, 0x550d7456],
    [Buffer.from("abc"), 0, 0x32d153ff],
    [Buffer.from("Nobody inspects the spammish repetition"), 0, 0xe2293b2f],
    [sanityBytes(0), 0, 0x02cc5d05],
    [sanityBytes(0), prime, 0x36b78ae7],
    [sanityBytes(1), 0, 0xb85cbee5],
    [sanityBytes(1), prime, 0xd5845d64],
    [sanityBytes(14), 0, 0xe5aa0ab4],
    [sanityBytes(14), prime, 0x4481951d],
    [sanityBytes(101), 0, 0x1f1aa412],
    [sanityBytes(101), prime, 0x498ec8e2],
  ];
  for (const [bytes, seed, hash] of published) {
    assert.equal(xxh32(viewOf(bytes), 0, bytes.length, seed), hash, `${bytes.length} bytes`);
  }
});

test("the checksum does not depend on where the bytes lie", () => {
  const bytes = fc.uint8Array({ minLength: 21, maxLength: 400 });
  const seeds = fc.integer({ min: 0, max: 2 ** 32 - 1 });
  fc.assert(
    fc.property(bytes, seeds, fc.nat(20), (data, seed, start) => {
      const alone = data.slice(start);
      assert.equal(
        xxh32(viewOf(data), start, data.length, seed),
        xxh32(viewOf(alone), 0, alone.length, seed),
      );
    }),
  );
});

test("varints come back, also signed and large", () => {
  const reader = new RecordReader();
  fc.assert(
    fc.property(fc.maxSafeNat(), (value) => {
      const bytes = new Uint8Array(8);
      const end = writeVarint(bytes, 0, value);
      reader.reset(bytes, 0, end);
      assert.equal(reader.readVarint(), value);
      assert.deepEqual([reader.position, reader.isDamaged], [end, false]);
    }),
  );
  fc.assert(
    fc.property(fc.integer({ min: -(2 ** 51), max: 2 ** 51 }), (value) =>
      Object.is(unzigzag(zigzag(value)), value === 0 ? 0 : value),
    ),
  );
});

test("any message comes back from a chunk within the bound that was told", () => {
  const text = fc.string({ unit: "binary", maxLength: 200 });
  const topic = text.map((value) => `t${value}`);
  const properties = fc.option(
    fc.record(
      {
        isUtf8: fc.boolean(),
        contentType: text,
        responseTopic: text,
        correlationData: fc.uint8Array({ maxLength: 50 }),
        userProperties: fc.array(fc.tuple(text, text), { maxLength: 5 }),
      },
      { requiredKeys: [] },
    ),
    { nil: undefined },
  );
  const extras = fc.record({
    qos: fc.constantFrom<QoS>(0, 1, 2),
    retain: fc.boolean(),
    publisherId: text,
    receivedAt: fc.nat(2 ** 43),
    payload: fc.uint8Array({ maxLength: 300 }),
  });
  const expiry = fc.option(fc.integer({ min: -(2 ** 40), max: 2 ** 43 }), { nil: undefined });
  fc.assert(
    fc.property(
      topic,
      extras,
      properties,
      expiry,
      fc.nat(1_000),
      (name, extra, props, at, base) => {
        const message = {
          ...messageOf(name, "", extra),
          properties: props === undefined ? undefined : { ...props },
          expiresAt: at === undefined ? undefined : ((extra.receivedAt + at) as never),
        };
        const bytes = Buffer.alloc(CHUNK_HEADER_BYTES + recordBytesMax(message));
        const end = encodeRecord(bytes, viewOf(bytes), CHUNK_HEADER_BYTES, message, 0, 5, base);
        assert.ok(end <= bytes.length);
        sealHeader(bytes, end, base);
        const chunk = new Chunk(LOG, 7, new Uint8Array(bytes.subarray(0, end)), 8);
        const record = new RecordDecoder(new TopicTable()).decode(LOG, chunk, 7);
        assert.ok(record !== undefined);
        assert.equal(record.topic.text, name);
        assert.deepEqual([record.qos, record.retain], [message.qos, message.retain]);
        assert.equal(record.publisherId, message.publisherId);
        assert.deepEqual(
          [record.receivedAt, record.expiresAt],
          [message.receivedAt, message.expiresAt],
        );
        assert.deepEqual(record.properties, message.properties);
        assert.deepEqual(record.bytes.slice(record.payloadStart, record.payloadEnd), message.bytes);
        assert.deepEqual([record.sequence, record.ordinal], [7, 105]);
      },
    ),
  );
});

function sealHeader(bytes: Buffer, end: number, baseTime: number): void {
  encodeChunkHeader(bytes, {
    log: LOG,
    epoch: "00112233445566ff",
    firstSequence: 7,
    firstOrdinal: 100,
    lastOrdinal: 105,
    baseTime,
    latestTime: baseTime,
    bytesBefore: 0,
    count: 1,
    recordBytes: end - CHUNK_HEADER_BYTES,
  });
}

test("a plain record takes at most 18 bytes beside its topic, publisher and payload", () => {
  const message = messageOf("sim/device-17/sensor", "x".repeat(256), { publisherId: "device-17" });
  const bytes = Buffer.alloc(recordBytesMax(message));
  const size = encodeRecord(bytes, viewOf(bytes), 0, message, 100, 9_000, message.receivedAt - 500);
  assert.ok(size - 256 - 20 - 9 <= 18, `${size}`);
});

test("small records keep their keys however long, and a prefix ends where it should", () => {
  const key = fc.uint8Array({ minLength: 1, maxLength: 4_000, size: "max" });
  fc.assert(
    fc.property(key, fc.uint8Array({ maxLength: 40 }), (bytes, value) => {
      const stored = storedKey(bytes);
      assert.ok(stored.length <= 1_978);
      const [foundKey, foundValue] = restoreEntry(stored, storedValue(bytes, value));
      assert.equal(Buffer.compare(foundKey, bytes), 0);
      assert.equal(Buffer.compare(foundValue, value), 0);
    }),
  );
  const short = fc.uint8Array({ minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(short, short, (prefix, other) => {
      const end = prefixEnd(prefix);
      const isWithin =
        Buffer.compare(other, prefix) >= 0 && (end === undefined || Buffer.compare(other, end) < 0);
      assert.equal(startsWith(other, prefix), isWithin);
    }),
  );
});
