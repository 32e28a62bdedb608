import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { LogId, LogRecord, Ordinal, Sequence } from "../../../src/broker/store.ts";
import { Topic } from "../../../src/broker/topic.ts";
import type { Instant } from "../../../src/lib/clock.ts";
import { decodePublishReply } from "../../../src/uplink/drivers/nats-ack.ts";
import { headerValue, recordHeaders } from "../../../src/uplink/drivers/nats-headers.ts";
import {
  barrierSubject,
  lanePrefix,
  subjectToken,
  topicTokens,
} from "../../../src/uplink/drivers/nats-subject.ts";
import { decodeRecordId, recordId } from "../../../src/uplink/record-id.ts";
import { plainClock } from "../../support/plain-clock.ts";

const level = fc.oneof(
  fc.string({ unit: "grapheme", maxLength: 8 }),
  fc.string({
    unit: fc.constantFrom("%", ".", "*", ">", " ", "$", "2", "E", "a", "\t"),
    maxLength: 6,
  }),
);
const topicName = fc.array(level, { minLength: 1, maxLength: 5 }).map((levels) => levels.join("/"));

test("topics become subjects as documented", () => {
  assert.equal(topicTokens("sim/d1/sensor"), "sim.d1.sensor");
  assert.equal(topicTokens("a.b/c d/%"), "a%2Eb.c%20d.%25");
  assert.equal(topicTokens("/a//b/"), "%.a.%.b.%");
  assert.equal(topicTokens("$SYS/x"), "%24SYS.x");
  assert.equal(topicTokens("größe/é"), "größe.é");
  assert.equal(subjectToken("*>\u0001\u00a0"), "%2A%3E%01%C2%A0");
  assert.equal(lanePrefix("plant.7", "telemetry"), "rill.plant%2E7.telemetry");
});

test("different topics never share a subject, and no subject holds what NATS would read into it", () => {
  fc.assert(
    fc.property(topicName, topicName, (one, other) => {
      assert.equal(topicTokens(one) === topicTokens(other), one === other);
      for (const token of topicTokens(one).split(".")) {
        assert.notEqual(token, "");
        assert.doesNotMatch(token, /[*>\s\p{Cc}$]/u);
      }
    }),
    { numRuns: 2_000 },
  );
});

test("no topic can publish to the barrier's subject", () => {
  const barrier = barrierSubject("rill.e.l");
  fc.assert(
    fc.property(topicName, (topic) => {
      assert.notEqual(`rill.e.l.${topicTokens(topic)}`, barrier);
    }),
  );
  assert.notEqual(`rill.e.l.${topicTokens("$barrier")}`, barrier);
});

test("header values survive the way and decode to what they were", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), (text) => {
      const value = headerValue(text);
      assert.doesNotMatch(value, /[\r\n]/);
      assert.equal(value, value.trim());
      assert.equal(decodeURIComponent(value), text);
    }),
  );
  assert.equal(headerValue("sim/d1/a b"), "sim/d1/a b");
});

function record(fields: Partial<LogRecord>): LogRecord {
  return {
    topic: new Topic("sim/d1"),
    qos: 1,
    retain: false,
    bytes: new Uint8Array(0),
    payloadStart: 0,
    payloadEnd: 0,
    properties: undefined,
    publisherId: "d1",
    receivedAt: 5 as Instant,
    expiresAt: undefined,
    log: 1 as LogId,
    sequence: 42 as Sequence,
    ordinal: 1 as Ordinal,
    epoch: "0123456789abcdef",
    ...fields,
  };
}

test("a device can forge neither the record id nor any header of ours", () => {
  const forged = [
    "Nats-Msg-Id",
    "Rill-Topic",
    "Nats-Expected-Last-Sequence",
    "a\r\nNats-Msg-Id: x",
  ];
  const built = recordHeaders(
    "edge",
    "telemetry",
    record({
      properties: { userProperties: forged.map((name) => [name, "evil\r\nNats-Msg-Id: y"]) },
    }),
    plainClock(() => 0),
  );
  assert.deepEqual(built.values("Nats-Msg-Id"), ["edge/0123456789abcdef/telemetry/42"]);
  assert.deepEqual(built.values("Rill-Topic"), ["sim/d1"]);
  for (const name of built.keys()) assert.match(name, /^(Nats-Msg-Id$|Rill-)/);
  assert.deepEqual(built.values("Rill-User-Nats-Msg-Id"), ["evil%0D%0ANats-Msg-Id: y"]);
});

test("a reply counts as stored only with a stream and a sequence above zero", () => {
  const decode = (body: unknown, status = 0): string => {
    const reply = decodePublishReply(status, Buffer.from(JSON.stringify(body)));
    return reply.kind === "stored" ? `stored ${reply.position}` : reply.failure.class;
  };
  assert.equal(decode({ stream: "S", seq: 7 }), "stored 7");
  assert.equal(decode({ stream: "S", seq: 7, duplicate: true }), "stored 7");
  assert.equal(decode({ stream: "S", seq: 0, duplicate: true }), "transport");
  assert.equal(decode({ seq: 3 }), "transport");
  assert.equal(decode(null), "transport");
  assert.equal(decode({}, 503), "transport");
  assert.equal(decode({ error: { code: 429, err_code: 10_167 } }), "throttle");
  assert.equal(decode({ error: { code: 503, err_code: 10_008 } }), "transport");
  assert.equal(decode({ error: { code: 503, err_code: 10_077, description: "full" } }), "lane");
  assert.equal(decodePublishReply(0, Buffer.from("+ACK")).kind, "failed");
});

test("record ids read back, and only for their own edge and stream", () => {
  const name = fc.string({ minLength: 1, maxLength: 12 });
  fc.assert(
    fc.property(name, name, fc.integer({ min: 1, max: 2 ** 50 }), (edge, stream, sequence) => {
      const epoch = "00ff00ff00ff00ff";
      const id = recordId(edge, epoch, stream, sequence);
      assert.deepEqual(decodeRecordId(id, edge, stream), { epoch, sequence });
      assert.equal(decodeRecordId(id, `${edge}x`, stream), undefined);
      assert.equal(decodeRecordId(id, edge, `${stream}x`), undefined);
    }),
  );
  assert.equal(decodeRecordId("e/00ff00ff00ff00ff/s/01", "e", "s"), undefined);
  assert.equal(decodeRecordId("", "e", "s"), undefined);
});
