import assert from "node:assert/strict";
import { test } from "node:test";
import type { LogId, Sequence } from "../../../src/broker/store.ts";
import { TopicTable } from "../../../src/broker/topic.ts";
import { Chunk, RecordDecoder } from "../../../src/store/chunk.ts";
import { sequenceOfLogKey } from "../../../src/store/keys.ts";
import { MemoryDisk, MemoryStore } from "../../../src/store/memory-store.ts";
import { writeUint32 } from "../../../src/store/numbers.ts";
import {
  CHUNK_HEADER_BYTES,
  decodeChunkHeader,
  encodeChunkHeader,
  recordChecksum,
  viewOf,
} from "../../../src/store/records.ts";
import { randomOf } from "../../torture/power-cut/random.ts";
import { messageOf, payloadOf } from "./store-fixtures.ts";

const FIRST = 1 as Sequence;
const MANY = 1_000_000;

interface Filled {
  readonly disk: MemoryDisk;
  readonly log: LogId;
  /** Keys of the log's chunks. */
  readonly keys: readonly Uint8Array[];
}

/** Five chunks of ten records. */
async function fill(): Promise<Filled> {
  const disk = new MemoryDisk();
  const store = new MemoryStore(disk);
  const log = store.openLog("s");
  for (let i = 0; i < 50; i++) {
    const properties = { contentType: "text", userProperties: [["a", `${i}`]] as const };
    const message = messageOf(`topic/${i % 3}`, `payload ${i}`, { properties, expiresAt: 1.8e12 });
    store.append(log, message);
    if (i % 10 === 9) await store.drain();
  }
  const keys = disk.keys("log").filter((key) => key[3] === log);
  assert.equal(keys.length, 5);
  return { disk, log, keys };
}

function damageOf(disk: MemoryDisk, log: LogId): { found: string[]; damaged: string[] } {
  const store = new MemoryStore(disk);
  const found: string[] = [];
  const damaged: string[] = [];
  for (let next = FIRST; next < store.stats(log).nextSequence; ) {
    const batch = store.read(log, next, 7, MANY);
    assert.ok(batch.next > next);
    found.push(...batch.records.map((record) => `${record.sequence}:${payloadOf(record)}`));
    for (const { from, to } of batch.damaged) {
      const before = damaged.at(-1)?.split("..");
      if (Number(before?.[1]) === from - 1) damaged.splice(-1, 1, `${before?.[0]}..${to}`);
      else damaged.push(`${from}..${to}`);
    }
    next = batch.next;
  }
  return { found, damaged };
}

function flip(disk: MemoryDisk, key: Uint8Array, at: number): void {
  const value = new Uint8Array(disk.tables.log.get(key) ?? []);
  value[at] = (value[at] ?? 0) ^ 0x10;
  disk.overwrite("log", key, value);
}

const storedChunk = (disk: MemoryDisk, key: Uint8Array | undefined): Uint8Array =>
  (key === undefined ? undefined : disk.tables.log.get(key)) ?? assert.fail("no such chunk");

test("a damaged payload costs its record and no other", async () => {
  const { disk, log, keys } = await fill();
  const [key] = keys.slice(1);
  const value = storedChunk(disk, key);
  const at = Buffer.from(value).indexOf("payload 14");
  flip(disk, key ?? value, at + 3);
  const { found, damaged } = damageOf(disk, log);
  assert.deepEqual(damaged, ["15..15"]);
  assert.equal(found.length, 49);
  assert.ok(found.includes("14:payload 13") && found.includes("16:payload 15"));
});

test("a damaged length costs the rest of its chunk at most", async () => {
  const { disk, log, keys } = await fill();
  const key = keys[2] ?? assert.fail();
  const value = storedChunk(disk, key);
  const chunk = new Chunk(log, sequenceOfLogKey(key), value, 0);
  flip(disk, key, chunk.startOf(24) ?? assert.fail());
  const { found, damaged } = damageOf(disk, log);
  assert.deepEqual(damaged, ["24..30"]);
  assert.ok(found.includes("23:payload 22") && found.includes("31:payload 30"));
  assert.equal(found.length, 43);
});

test("a damaged header costs its chunk, and reading goes on behind it", async () => {
  for (const at of [0, 4, 9, 13, 20, 30, 60, 75]) {
    const { disk, log, keys } = await fill();
    flip(disk, keys[2] ?? assert.fail(), at);
    const { found, damaged } = damageOf(disk, log);
    assert.deepEqual([found.length, damaged], [40, ["21..30"]], `byte ${at}`);
  }
});

test("a chunk that is missing, cut or in the wrong place is a damaged range", async () => {
  const { disk, log, keys } = await fill();
  const [, second, third, fourth] = keys;
  if (second === undefined || third === undefined || fourth === undefined) assert.fail();
  disk.overwrite("log", second, undefined);
  disk.overwrite("log", third, storedChunk(disk, fourth));
  disk.overwrite("log", fourth, storedChunk(disk, fourth).slice(0, 200));
  const { found, damaged } = damageOf(disk, log);
  assert.deepEqual(damaged, ["11..30", "33..40"]);
  assert.deepEqual(found.slice(9, 13), [
    "10:payload 9",
    "31:payload 30",
    "32:payload 31",
    "41:payload 40",
  ]);
});

test("numbers go on behind a damaged last chunk", async () => {
  const { disk, log, keys } = await fill();
  const last = keys.at(-1) ?? assert.fail();
  const before = new MemoryStore(disk).read(log, 50 as Sequence, 1, MANY).records[0];
  flip(disk, last, 20);
  const store = new MemoryStore(disk);
  const record = store.append(log, messageOf("t", "next"));
  await store.drain();
  assert.ok(record.sequence > 50 && record.ordinal > (before?.ordinal ?? 0));
  const { found, damaged } = damageOf(disk, log);
  assert.equal(damaged[0]?.startsWith("41.."), true);
  assert.deepEqual(found.slice(-2), ["40:payload 39", `${record.sequence}:next`]);
});

test("a layout of a later version is refused", async () => {
  const disk = new MemoryDisk();
  disk.overwrite("meta", Uint8Array.of(0, 0), Uint8Array.of(0, 0, 0, 9));
  assert.throws(() => new MemoryStore(disk), { code: "data-folder-unusable" });
});

/** Damages some bytes, cuts, or doubles a part; with `isSealed` the header's checksum is made right again. */
function fuzz(value: Uint8Array, random: (below: number) => number, isSealed: boolean): Uint8Array {
  let bytes = new Uint8Array(value);
  for (let i = random(6); i >= 0; i--) {
    const at = random(bytes.length);
    if (random(4) > 0) bytes[at] = (bytes[at] ?? 0) ^ (1 << random(8));
    else bytes[at] = random(2) * 255;
  }
  if (random(5) === 0) bytes = bytes.slice(0, random(bytes.length));
  if (random(9) === 0) bytes.copyWithin(random(bytes.length), random(bytes.length));
  const header = decodeChunkHeader(value);
  if (isSealed && header !== undefined && bytes.length > 80) {
    const count = random(3) === 0 ? random(2 ** 31) : header.count;
    const buffer = Buffer.from(bytes.buffer, 0, bytes.length);
    encodeChunkHeader(buffer, { ...header, count, recordBytes: random(2) * 0xffffffff });
  }
  return bytes;
}

test("no damaged chunk makes the decoder throw, hang or give a record that was never there", async () => {
  const seed = Number(process.env["FUZZ_SEED"] ?? Date.now() % 2 ** 31);
  const random = randomOf(seed);
  const { disk, log, keys } = await fill();
  const decoder = new RecordDecoder(new TopicTable());
  let intact = 0;
  let lost = 0;
  for (let round = 0; round < 6_000; round++) {
    const key = keys[random(keys.length)] ?? assert.fail();
    const first = sequenceOfLogKey(key);
    const bytes = fuzz(storedChunk(disk, key), random, round % 3 === 0);
    const chunk = new Chunk(log, first, bytes, first + 10);
    for (let sequence = first; sequence < Math.min(chunk.end, first + 100); sequence++) {
      const record = decoder.decode(log, chunk, sequence);
      if (record === undefined) lost++;
      else {
        assert.equal(payloadOf(record), `payload ${sequence - 1}`, `FUZZ_SEED=${seed}`);
        assert.equal(record.topic.text, `topic/${(sequence - 1) % 3}`, `FUZZ_SEED=${seed}`);
        intact++;
      }
    }
  }
  assert.ok(intact > 1_000 && lost > 1_000, `${intact} intact, ${lost} lost`);
});

/** A chunk of ten records like those of sensors, a copy at each call, and what they hold. */
async function sensorChunk(): Promise<{ log: LogId; value: () => Uint8Array; texts: string[] }> {
  const disk = new MemoryDisk();
  const store = new MemoryStore(disk);
  const log = store.openLog("s");
  const texts = Array.from({ length: 10 }, (_, i) => `${i}`.repeat(200 + i));
  for (const text of texts) store.append(log, messageOf("sim/device/sensor", text));
  await store.drain();
  const key = disk.keys("log").find((each) => each[3] === log) ?? assert.fail();
  return { log, value: () => new Uint8Array(storedChunk(disk, key)), texts };
}

test("no flipped bit, changed byte, zeroed run or torn block gives a record that was not written", async () => {
  const { log, value, texts } = await sensorChunk();
  const decoder = new RecordDecoder(new TopicTable());
  const random = randomOf(5);
  const { length } = value();
  let damages = 0;
  const check = (bytes: Uint8Array, what: string): void => {
    if (Buffer.compare(bytes, value()) === 0) return;
    damages++;
    const chunk = new Chunk(log, 1, bytes, 11);
    let intact = 0;
    for (let sequence = 1; sequence < Math.min(chunk.end, 100); sequence++) {
      const record = decoder.decode(log, chunk, sequence);
      if (record === undefined) continue;
      assert.equal(payloadOf(record), texts[sequence - 1], what);
      intact++;
    }
    assert.ok(intact < 10, `${what} is not noticed`);
  };
  for (let at = 0; at < length; at++) {
    for (const mask of [1, 2, 4, 8, 16, 32, 64, 128, 255, 1 + random(255)]) {
      const bytes = value();
      bytes[at] = (bytes[at] ?? 0) ^ mask;
      check(bytes, `byte ${at} with ${mask}`);
    }
    const run = 1 + random(64);
    check(value().fill(0, at, at + run), `${run} zeros at ${at}`);
    check(value().fill(255, at, at + run), `${run} ones at ${at}`);
    check(value().copyWithin(at, Math.max(0, at - 512), at), `what was 512 bytes before ${at}`);
  }
  for (let at = 0; at < length; at += 512) check(value().fill(0, at), `torn at ${at}`);
  assert.ok(damages > 12 * length);
});

test("no two flipped bits of a record of 250 bytes cancel each other", () => {
  const bytes = new Uint8Array(258).map((_, i) => i * 31);
  const view = viewOf(bytes);
  const right = recordChecksum(view, 0, bytes.length, 3);
  const flipBit = (bit: number): void => {
    bytes[8 + (bit >> 3)] = (bytes[8 + (bit >> 3)] ?? 0) ^ (1 << (bit & 7));
  };
  for (let first = 0; first < 2_000; first++) {
    flipBit(first);
    for (let second = first + 1; second < 2_000; second++) {
      flipBit(second);
      if (recordChecksum(view, 0, bytes.length, 3) === right) assert.fail(`${first}, ${second}`);
      flipBit(second);
    }
    flipBit(first);
  }
});

test("a record in the place of another of its length is damaged", async () => {
  const { log, value, texts } = await sensorChunk();
  const bytes = value();
  const chunk = new Chunk(log, 1, value(), 11);
  // The first record again where the second was: their lengths differ by one, so its last byte goes with it.
  const start = chunk.startOf(2) ?? assert.fail();
  bytes.copyWithin(start + 4, CHUNK_HEADER_BYTES + 4, CHUNK_HEADER_BYTES + chunk.sizeOf(1));
  const spoilt = new Chunk(log, 1, bytes, 11);
  assert.deepEqual(
    [spoilt.isIntact(1), spoilt.isIntact(2), spoilt.isIntact(3)],
    [true, false, true],
  );
  assert.equal(texts.length, 10);
});

/** Makes header and checksum right for a chunk of one record, whatever is in it. */
function sealRecord(bytes: Buffer): void {
  encodeChunkHeader(bytes, {
    log: 1,
    epoch: "0123456789abcdef",
    firstSequence: 1,
    firstOrdinal: 1,
    lastOrdinal: 1,
    baseTime: 1_000,
    latestTime: 1_000,
    bytesBefore: 0,
    count: 1,
    recordBytes: bytes.length - CHUNK_HEADER_BYTES,
  });
  writeUint32(bytes, CHUNK_HEADER_BYTES, bytes.length - CHUNK_HEADER_BYTES - 8);
  const checksum = recordChecksum(viewOf(bytes), CHUNK_HEADER_BYTES, bytes.length, 0);
  writeUint32(bytes, CHUNK_HEADER_BYTES + 4, checksum);
}

test("records with a right checksum and nonsense within are damaged, never a throw", () => {
  const random = randomOf(7);
  const decoder = new RecordDecoder(new TopicTable());
  const log = 1 as LogId;
  for (let round = 0; round < 2_000; round++) {
    const bytes = Buffer.alloc(76 + 8 + 6 + random(60));
    for (let i = 84; i < bytes.length; i++) bytes[i] = random(3) === 0 ? 255 : random(256);
    bytes[84] = 1;
    sealRecord(bytes);
    const chunk = new Chunk(log, 1, bytes, 2);
    assert.ok(chunk.header !== undefined);
    const record = decoder.decode(log, chunk, 1);
    if (record !== undefined) assert.ok(record.payloadStart <= record.payloadEnd);
  }
});
