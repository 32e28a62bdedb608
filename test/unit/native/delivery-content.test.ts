import assert from "node:assert/strict";
import { test } from "node:test";
import type { LogDelivery } from "../../../src/broker/delivery-receiver.ts";
import type { LogRecord } from "../../../src/broker/store.ts";
import { Topic } from "../../../src/broker/topic.ts";
import { ByteWriter } from "../../../src/lib/byte-writer.ts";
import type { Clock, Instant } from "../../../src/lib/clock.ts";
import { deliveryOf, writeDeliveries } from "../../../src/native/delivery-content.ts";
import { codecOf } from "../../../src/native/frame-codec.ts";
import { FrameWriter } from "../../../src/native/frame-writer.ts";
import { packMessagePack } from "../../../src/native/message-pack.ts";

const clock: Clock = {
  now: () => 1_000 as Instant,
  since: (stamp) => 1_000 - stamp,
  wallOf: (stamp) => stamp + 1_700_000_000_000,
};

/** A payload somewhere in a larger buffer, as records have it. */
function recordOf(payloadBytes: number, extra: Partial<LogRecord> = {}): LogRecord {
  const bytes = new Uint8Array(payloadBytes + 20).map((_byte, i) => i);
  const message = {
    topic: new Topic("jobs"),
    qos: 1,
    retain: false,
    properties: undefined,
  } as const;
  const times = { publisherId: "p", receivedAt: 900 as Instant, expiresAt: undefined };
  const numbers = { log: 3, sequence: 70_000, ordinal: 5, epoch: "0123456789abcdef" };
  const place = { bytes, payloadStart: 7, payloadEnd: 7 + payloadBytes };
  return { ...message, ...times, ...numbers, ...place, ...extra } as LogRecord;
}

const deliveryWith = (record: LogRecord, deliveryCount = 1): LogDelivery => ({
  delivery: record.sequence * 65_536 + deliveryCount,
  record,
  deliveryCount,
  visibleAt: 31_000 as Instant,
});

const RECORDS: Readonly<Record<string, LogRecord>> = {
  "with a payload of a few bytes": recordOf(3),
  "with one of 300 bytes": recordOf(300),
  "with one of 70,000 bytes": recordOf(70_000),
  "without a payload": recordOf(0),
  "that expires": recordOf(10, { expiresAt: 5_000 as Instant }),
  "with properties": recordOf(10, {
    properties: { contentType: "text/plain", attributes: { reroutedFrom: "others" } },
  }),
  "with a topic beyond ASCII": recordOf(10, { topic: new Topic("Aufträge/Öfen/".repeat(4)) }),
};

for (const [what, record] of Object.entries(RECORDS)) {
  test(`A message ${what} is written as it would be from its object.`, () => {
    const output = new ByteWriter();
    const deliveries = [deliveryWith(record), deliveryWith(record, 300)];
    writeDeliveries(output, 12, deliveries, clock);
    const frame = { op: "deliveries", sub: 12, deliveries: [] as unknown[] };
    for (const one of deliveries) frame.deliveries.push(deliveryOf(one, clock));
    assert.deepEqual(output.bytes.slice(0, output.end), packMessagePack(frame));
  });
}

test("Lists of deliveries of any length are whole, and frames of all kinds go into one list.", () => {
  for (const count of [0, 1, 15, 16, 300]) {
    for (const name of ["rill.v1+msgpack", "rill.v1+json"] as const) {
      const codec = codecOf(name);
      const writer = new FrameWriter(codec);
      const output = new ByteWriter();
      const deliveries = Array.from({ length: count }, () => deliveryWith(recordOf(40)));
      writer.writeOk(output, 7, { results: [{ sequence: 9 }], nothing: undefined });
      writer.writeDeliveries(output, 4, deliveries, clock);
      writer.write(output, { op: "pong", id: 2 });
      const frames = codec.decode(output.bytes.subarray(0, output.end)) as Record<
        string,
        unknown
      >[];
      assert.deepEqual(frames[0], { op: "ok", id: 7, results: [{ sequence: 9 }] });
      assert.equal((frames[1] as { deliveries: unknown[] }).deliveries.length, count);
      assert.deepEqual(frames[2], { op: "pong", id: 2 });
    }
  }
});
