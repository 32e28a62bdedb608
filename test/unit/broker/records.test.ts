import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Message, MessageProperties, QoS } from "../../../src/broker/message.ts";
import { decodeMessageRecord, encodeMessageRecord } from "../../../src/broker/message-record.ts";
import { decodeSent } from "../../../src/broker/sent-records.ts";
import {
  clientIdOf,
  decodeReferences,
  encodeReferences,
  ordinalOf,
  packetIdOf,
  type Reference,
  receivedKey,
  receivedPrefix,
  referencesHeadOf,
  referencesKey,
  referencesPrefix,
  sentKey,
  sessionKey,
  sessionNumberOf,
  willKey,
} from "../../../src/broker/session-records.ts";
import type { LogId, Ordinal, Sequence } from "../../../src/broker/store.ts";
import { isTopicName, TopicTable } from "../../../src/broker/topic.ts";
import type { Instant } from "../../../src/lib/clock.ts";

const LARGEST = 2 ** 50;

/** As they come: ordinals grow. */
const references = fc
  .array(
    fc.record({
      log: fc.nat(65_535),
      sequence: fc.integer({ min: 1, max: LARGEST }),
      step: fc.integer({ min: 1, max: 2 ** 40 }),
      qos: fc.constantFrom<QoS>(1, 2),
      retain: fc.boolean(),
      subscriptionIds: fc.option(fc.array(fc.integer({ min: 1, max: 268_435_455 })), {
        nil: undefined,
      }),
      delivery: fc.oneof(
        fc.constant({ sent: 0, packetId: 0 }),
        fc.record({
          sent: fc.integer({ min: 1, max: 3 }),
          packetId: fc.integer({ min: 1, max: 65_535 }),
        }),
      ),
    }),
    { maxLength: 256 },
  )
  .map((list) => {
    let ordinal = 0;
    return list.map(({ step, log, sequence, delivery: drawn, ...rest }): Reference => {
      ordinal += step;
      const delivery = rest.qos === 2 ? drawn : { sent: 0, packetId: 0 };
      return {
        ...rest,
        ...delivery,
        log: log as LogId,
        sequence: sequence as Sequence,
        ordinal: ordinal as Ordinal,
      };
    });
  });

const HEAD = { bytes: 12_345, latestAt: 1_700_000_000_000 };

test("References are read as they were written, and counted without reading them.", () => {
  fc.assert(
    fc.property(references, fc.boolean(), (list, isSpilled) => {
      const record = encodeReferences(list, { ...HEAD, isSpilled });
      assert.deepEqual(decodeReferences(record), list);
      const hasSent = list.some(({ sent }) => sent > 0);
      assert.deepEqual(referencesHeadOf(record), {
        ...HEAD,
        isSpilled,
        hasSent,
        count: list.length,
      });
    }),
  );
});

test("Any bytes, and any record cut short, are references or damaged, never an error.", () => {
  const damaged = fc.tuple(references, fc.nat(1_000), fc.nat(0xff)).map(([list, at, value]) => {
    const record = encodeReferences(list, { ...HEAD, isSpilled: false });
    if (value % 2 === 0) return record.subarray(0, at % (record.length + 1));
    record[at % record.length] = value;
    return record;
  });
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), damaged), (bytes) => {
      const list = decodeReferences(bytes);
      assert.ok(list === undefined || list.length <= bytes.length);
      const { count, bytes: size, latestAt } = referencesHeadOf(bytes);
      for (const number of [count, size, latestAt]) assert.ok(Number.isSafeInteger(number));
    }),
    { numRuns: 2_000 },
  );
});

test("References that nothing could send are damaged: QoS 3, identifiers out of range, sent without QoS 2.", () => {
  const reference = {
    log: 1 as LogId,
    sequence: 1 as Sequence,
    ordinal: 1 as Ordinal,
    qos: 1,
    retain: false,
    sent: 0,
    packetId: 0,
  } as const;
  const head = { ...HEAD, isSpilled: false };
  const isRead = (changed: object): boolean =>
    decodeReferences(
      encodeReferences([{ ...reference, subscriptionIds: undefined, ...changed }], head),
    ) !== undefined;
  assert.equal(isRead({}), true);
  assert.equal(isRead({ qos: 3 }), false);
  assert.equal(isRead({ subscriptionIds: [1, 268_435_455] }), true);
  assert.equal(isRead({ subscriptionIds: [1, 0] }), false);
  assert.equal(isRead({ subscriptionIds: [268_435_456] }), false);
  assert.equal(isRead({ qos: 2, sent: 2, packetId: 65_535 }), true);
  assert.equal(isRead({ qos: 2, sent: 2, packetId: 0 }), false);
  assert.equal(isRead({ qos: 2, sent: 2, packetId: 65_536 }), false);
  assert.equal(isRead({ qos: 1, sent: 2, packetId: 1 }), false);
  assert.equal(isRead({ qos: 0, sent: 1, packetId: 1 }), false);
});

test("A QoS 2 delivery under way is damaged when its state or packet identifier makes no sense.", () => {
  assert.deepEqual(decodeSent(Uint8Array.of(2, 1, 0)), {
    state: 2,
    packetId: 256,
    origin: new Uint8Array(0),
  });
  for (const bytes of [[], [1], [1, 1], [0, 0, 1], [4, 0, 1], [1, 0, 0]]) {
    assert.equal(decodeSent(Uint8Array.from(bytes)), undefined, `${bytes}`);
  }
});

test("Keys say what they were made of and order by session, then by ordinal.", () => {
  fc.assert(
    fc.property(fc.nat(0xffff_ffff), fc.nat(LARGEST), fc.nat(LARGEST), (number, a, b) => {
      for (const makeKey of [referencesKey, sentKey]) {
        const key = makeKey(number, a);
        assert.equal(ordinalOf(key), a);
        assert.equal(sessionNumberOf(key), number);
        assert.equal(Math.sign(Buffer.compare(key, makeKey(number, b))), Math.sign(a - b));
      }
      assert.ok(Buffer.from(referencesKey(number, a)).indexOf(referencesPrefix(number)) === 0);
    }),
  );
  for (const packetId of [1, 255, 256, 65_535]) {
    const key = receivedKey(7, packetId);
    assert.equal(packetIdOf(key), packetId);
    assert.ok(Buffer.from(key).indexOf(receivedPrefix(7)) === 0);
  }
  for (const clientId of ["", "a", "ä😀"]) {
    assert.equal(clientIdOf(sessionKey(clientId)), clientId);
    assert.equal(clientIdOf(willKey(clientId)), clientId);
  }
});

const optional = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(arbitrary, { nil: undefined });

const text = fc.string({ unit: "grapheme", maxLength: 10 });

const properties: fc.Arbitrary<MessageProperties> = fc.record(
  {
    isUtf8: fc.boolean(),
    contentType: text,
    responseTopic: text,
    correlationData: fc.uint8Array({ maxLength: 20 }),
    userProperties: fc.array(fc.tuple(text, text), { maxLength: 3 }),
  },
  { requiredKeys: [] },
);

const message = (topics: TopicTable): fc.Arbitrary<Message> =>
  fc
    .record({
      name: text.filter(isTopicName),
      qos: fc.constantFrom<QoS>(0, 1, 2),
      retain: fc.boolean(),
      payload: fc.uint8Array({ maxLength: 100 }),
      properties: optional(properties),
      publisherId: text,
      receivedAt: fc.maxSafeNat(),
      expiresAt: optional(fc.maxSafeNat()),
    })
    .map(({ name, payload, receivedAt, expiresAt, ...rest }) => ({
      ...rest,
      topic: topics.of(name),
      bytes: payload,
      payloadStart: 0,
      payloadEnd: payload.length,
      receivedAt: receivedAt as Instant,
      expiresAt: expiresAt as Instant | undefined,
    }));

/** A message for comparison. */
function plain(of: Message | undefined): unknown {
  if (of === undefined) return undefined;
  const { bytes, payloadStart, payloadEnd, topic, properties: kept, ...rest } = of;
  const payload = Buffer.from(bytes.subarray(payloadStart, payloadEnd)).toString("hex");
  const correlationData =
    kept?.correlationData && Buffer.from(kept.correlationData).toString("hex");
  return { ...rest, topic: topic.text, payload, properties: kept && { ...kept, correlationData } };
}

test("A message record is read as it was written.", () => {
  const topics = new TopicTable();
  fc.assert(
    fc.property(message(topics), (written) => {
      const record = encodeMessageRecord(written);
      // Not at the start of its buffer, as a part of another record is not.
      const shifted = Buffer.concat([Buffer.from("head"), record]).subarray(4);
      assert.deepEqual(plain(decodeMessageRecord(shifted, topics)), plain(written));
    }),
  );
});

test("Any bytes are a message record or damaged, never an error.", () => {
  const topics = new TopicTable();
  const head = fc.json().map((json) => {
    const bytes = Buffer.from(json);
    const record = Buffer.alloc(5 + bytes.length);
    record[0] = 1;
    record.writeUInt32BE(bytes.length, 1);
    record.set(bytes, 5);
    return record;
  });
  const flipped = fc
    .tuple(message(topics), fc.nat(300), fc.nat(0xff))
    .map(([written, at, value]) => {
      const record = encodeMessageRecord(written);
      record[at % record.length] = value;
      return record;
    });
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array(), head, flipped), (bytes) => {
      const read = decodeMessageRecord(bytes, topics);
      assert.ok(read === undefined || typeof read.topic.text === "string");
    }),
    { numRuns: 2_000 },
  );
});

for (const json of ["null", "5", "{}", '{"topic":1}', '{"topic":"a","qos":3}']) {
  test(`A message record whose head is ${json} is damaged.`, () => {
    const record = Buffer.from(
      `\u0001\u0000\u0000\u0000${String.fromCharCode(json.length)}${json}`,
    );
    assert.equal(decodeMessageRecord(record, new TopicTable()), undefined);
  });
}
