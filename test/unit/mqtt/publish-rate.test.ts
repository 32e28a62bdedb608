import assert from "node:assert/strict";
import { test } from "node:test";
import { PublishRate } from "../../../src/broker/publish-rate.ts";
import type { Instant } from "../../../src/lib/clock.ts";
import { PacketType, ProtocolVersion } from "../../../src/mqtt/packet.ts";
import { publishPacket } from "../../support/virtual-client.ts";
import { VirtualNode } from "../../support/virtual-node.ts";

const at = (ms: number): Instant => ms as Instant;

function rateOf(messages: number, bytes: number): PublishRate {
  const limits = { publishRateMax: messages, publishBytesPerSecondMax: bytes };
  const rate = PublishRate.of(limits, at(0));
  assert.ok(rate !== undefined);
  return rate;
}

test("Without limits there is nothing to count.", () => {
  const none = { publishRateMax: 0, publishBytesPerSecondMax: 0 };
  assert.equal(PublishRate.of(none, at(0)), undefined);
});

test("One second's worth may come at once; what is beyond it waits as long as it takes to fill up.", () => {
  const rate = rateOf(4, 0);
  for (let i = 0; i < 4; i++) assert.equal(rate.take(1_000_000, at(0)), undefined);
  assert.equal(rate.take(1, at(0)), at(250));
  assert.equal(rate.take(1, at(250)), at(500));
  // An hour of silence saves no more than a second's worth.
  for (let i = 0; i < 4; i++) assert.equal(rate.take(1, at(3_600_000)), undefined);
  assert.equal(rate.take(1, at(3_600_000)), at(3_600_250));
});

test("A packet larger than a second's worth is taken and then waited for; the stricter limit decides.", () => {
  const bytes = rateOf(0, 1_000);
  assert.equal(bytes.take(3_500, at(0)), at(2_500));
  const both = rateOf(1, 1_000);
  assert.equal(both.take(1_500, at(0)), at(500));
  assert.equal(both.take(1, at(500)), at(1_000));
});

/** The numbers of the messages that came, until now. */
const numbers = (payloads: readonly { readonly payload: string }[]): number[] =>
  payloads.map(({ payload }) => Number(payload));

test("A client that publishes too fast is not read for a while; nothing is lost, and others go on.", () => {
  const node = new VirtualNode({ connection: { publishRateMax: 10 } });
  const observer = node.connect("observer");
  observer.subscribe("t");
  observer.take();
  const fast = node.connect("fast");
  fast.take();
  const packets = Array.from({ length: 31 }, (_, i) => publishPacket("t", String(i)));
  fast.send(...packets, { type: PacketType.pingreq });
  assert.deepEqual(
    numbers(observer.takeMessages()),
    Array.from({ length: 11 }, (_, i) => i),
  );
  assert.equal(fast.link.isPaused, true);
  assert.deepEqual(fast.takeText(), []);
  observer.send({ type: PacketType.pingreq });
  assert.deepEqual(observer.takeText(), ["pingresp"]);
  node.advance(1_000);
  assert.equal(observer.takeMessages().length, 10);
  node.advance(1_000);
  assert.equal(observer.takeMessages().length, 10);
  node.advance(100);
  assert.equal(fast.link.isPaused, false);
  assert.deepEqual(fast.takeText(), ["pingresp"]);
  assert.equal(node.broker.counters.limitPublishRate, 21);
});

test("While a client is not read for its rate, its keep alive is suspended; afterwards it counts anew.", () => {
  const node = new VirtualNode({ connection: { publishBytesPerSecondMax: 100 } });
  const fast = node.connect("fast", { keepAliveSeconds: 2 });
  fast.publish("t", "x".repeat(2_000));
  node.advance(18_000);
  assert.equal(fast.isClosed, false);
  assert.equal(fast.link.isPaused, true);
  node.advance(2_000);
  assert.equal(fast.link.isPaused, false);
  assert.equal(fast.isClosed, false);
  node.advance(3_000);
  assert.equal(fast.isClosed, true);
});

test("A publisher that is too fast and waits for the store as well is closed at holdMaxMs and not before.", () => {
  const node = new VirtualNode({
    flushes: "manual",
    pendingBytesMax: 500,
    streams: [{ name: "s", filters: ["t"], bytesMax: 1e9, whenFull: "reject" }],
    connection: { publishRateMax: 1, holdMaxMs: 5_000 },
  });
  const fast = node.connect("fast", { version: ProtocolVersion.v311 });
  node.flushAll();
  fast.take();
  for (let packetId = 1; packetId <= 4; packetId++) {
    fast.publish("t", "x".repeat(400), { qos: 1, packetId });
  }
  node.advance(4_900);
  assert.equal(fast.isClosed, false);
  node.advance(3_000);
  assert.equal(fast.isClosed, true);
});
