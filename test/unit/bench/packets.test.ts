import assert from "node:assert/strict";
import { test } from "node:test";
import * as oracle from "mqtt-packet";
import {
  encodeConnect,
  encodePublish,
  encodePublishQos1,
  encodePublishRing,
  encodePublishRun,
  encodeRemainingLength,
  encodeSubscribe,
  INCOMPLETE,
  packetBytes,
  publishPacketId,
} from "../../../bench/load/packets.ts";

function decode(bytes: Buffer): oracle.Packet[] {
  const packets: oracle.Packet[] = [];
  const parser = oracle.parser();
  parser.on("packet", (packet) => packets.push(packet));
  parser.on("error", (error) => {
    throw error;
  });
  assert.equal(parser.parse(bytes), 0, "no bytes are left over");
  return packets;
}

test("the remaining length is encoded as the specification's table says", () => {
  assert.deepEqual(encodeRemainingLength(0), [0x00]);
  assert.deepEqual(encodeRemainingLength(127), [0x7f]);
  assert.deepEqual(encodeRemainingLength(128), [0x80, 0x01]);
  assert.deepEqual(encodeRemainingLength(16_383), [0xff, 0x7f]);
  assert.deepEqual(encodeRemainingLength(16_384), [0x80, 0x80, 0x01]);
  assert.deepEqual(encodeRemainingLength(268_435_455), [0xff, 0xff, 0xff, 0x7f]);
  assert.throws(() => encodeRemainingLength(268_435_456), RangeError);
});

test("an independent decoder reads CONNECT and SUBSCRIBE as meant", () => {
  const bytes = Buffer.concat([encodeConnect("c1", false), encodeSubscribe(7, "a/+", 1)]);
  const [connect, subscribe] = decode(bytes);
  assert.ok(connect?.cmd === "connect" && subscribe?.cmd === "subscribe");
  assert.equal(connect.clientId, "c1");
  assert.equal(connect.clean, false);
  assert.equal(connect.protocolVersion, 4);
  assert.equal(connect.keepalive, 0);
  assert.equal(subscribe.messageId, 7);
  assert.equal(subscribe.subscriptions[0]?.topic, "a/+");
  assert.equal(subscribe.subscriptions[0]?.qos, 1);
});

test("a run of QoS 0 packets is as many packets with the payload asked for", () => {
  const shape = { topic: "bench/in/001", payloadBytes: 64 };
  const packets = decode(encodePublishRun(shape, 32));
  assert.equal(packets.length, 32);
  for (const packet of packets) {
    assert.ok(packet.cmd === "publish");
    assert.equal(packet.topic, "bench/in/001");
    assert.equal(packet.qos, 0);
    assert.equal(packet.payload.length, 64);
  }
});

test("a ring holds the window's packet identifiers twice in order", () => {
  const packets = decode(encodePublishRing({ topic: "t", payloadBytes: 4 }, 3));
  const ids = packets.map((packet) => packet.messageId);
  assert.deepEqual(ids, [1, 2, 3, 1, 2, 3]);
});

test("packet identifiers outside 1..65535 are refused", () => {
  const shape = { topic: "t", payloadBytes: 1 };
  assert.throws(() => encodePublishQos1(shape, 0), RangeError);
  assert.throws(() => encodePublishQos1(shape, 65_536), RangeError);
});

test("a packet's size is known as soon as its fixed header is there and not before", () => {
  for (const payloadBytes of [0, 64, 200, 20_000]) {
    const packet = encodePublish({ topic: "t", payloadBytes });
    const headerBytes = packet.length - 3 - payloadBytes;
    for (let end = 1; end < headerBytes; end++)
      assert.equal(packetBytes(packet, 0, end), INCOMPLETE);
    assert.equal(packetBytes(packet, 0, headerBytes), packet.length);
    assert.equal(packetBytes(packet, 0, packet.length), packet.length);
  }
});

test("a remaining length of more than four bytes is malformed", () => {
  const bytes = Buffer.from([0x30, 0x80, 0x80, 0x80, 0x80, 0x01]);
  assert.throws(() => packetBytes(bytes, 0, bytes.length), /malformed/);
});

test("the packet identifier of a PUBLISH is found behind a long fixed header and topic", () => {
  for (const payloadBytes of [0, 64, 200, 20_000]) {
    const shape = { topic: "bench/in/049", payloadBytes };
    assert.equal(publishPacketId(encodePublishQos1(shape, 0x1234), 0), 0x1234);
  }
});
