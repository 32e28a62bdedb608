import assert from "node:assert/strict";
import { test } from "node:test";
import { SESSION_LOG } from "../../../src/broker/store.ts";
import { PacketType } from "../../../src/mqtt/packet.ts";
import { VirtualNode, type VirtualNodeOptions } from "../../support/virtual-node.ts";

const PIN_BYTES_MAX = 65_536;
const SPILLED = 0x24;
const PER_MESSAGE = [0x20, SPILLED, 0x28];
const lasting = { cleanStart: false, properties: { sessionExpirySeconds: 3_600 } };

function nodeWith(options: VirtualNodeOptions = {}): VirtualNode {
  const limits = { pinBytesMax: PIN_BYTES_MAX, ...options.limits };
  return new VirtualNode({ ...options, limits });
}

/** A durable session that keeps up with `noise/#`; returns what makes noise: messages of a kilobyte, acknowledged at once. */
function noiseOf(node: VirtualNode): (messages: number) => void {
  const reader = node.connect("reader", lasting);
  reader.subscribe("noise/#", { qos: 1 });
  reader.take();
  const publisher = node.connect("noise");
  return (messages) => {
    for (let i = 1; i <= messages; i++) {
      publisher.publish("noise/a", "x".repeat(1_000), { qos: 1, packetId: i });
      for (const { packetId } of reader.takeMessages()) reader.ack(PacketType.puback, packetId);
    }
    publisher.take();
  };
}

const logBytes = (node: VirtualNode): number => node.store.stats(SESSION_LOG).bytes;

/** `slow` is owed five messages and away, and the log behind them grows beyond what it may hold. */
function fallBehind(node: VirtualNode, qos: 1 | 2 = 1): void {
  const slow = node.connect("slow", lasting);
  slow.subscribe("rare/#", { qos, retainAsPublished: true }, { subscriptionIdentifiers: [7] });
  slow.disconnect(0, { sessionExpirySeconds: 3_600 });
  const publisher = node.connect("rare");
  for (let i = 1; i <= 5; i++) {
    const userProperties = [["n", String(i)]] as const;
    const properties = { userProperties, messageExpirySeconds: 1_000, contentType: "text" };
    publisher.publish(`rare/${i}`, `value ${i}`, { qos, packetId: i, retain: i === 5, properties });
    if (qos === 2) publisher.ack(PacketType.pubrel, i);
  }
  publisher.disconnect();
  noiseOf(node)(100);
}

test("What a session far behind is owed is copied, and the log behind it is let go.", () => {
  const node = nodeWith();
  fallBehind(node);
  assert.ok(logBytes(node) > 100_000, "the session holds the log");
  node.advance(3_000);
  assert.ok(logBytes(node) < 10_000, `${logBytes(node)} bytes are still there`);
  assert.ok(node.disk.keys("log").length <= 4);
  assert.equal(node.metaKeys(SPILLED).length, 5);
  node.advance(10_000);
  const slow = node.connect("slow", lasting);
  const [connack, ...messages] = slow.take();
  assert.ok(connack?.type === PacketType.connack && connack.sessionPresent);
  for (const [index, message] of messages.entries()) {
    assert.ok(message.type === PacketType.publish);
    assert.equal(message.topic, `rare/${index + 1}`);
    assert.equal(message.payload, `value ${index + 1}`);
    assert.equal(message.retain, index === 4);
    assert.deepEqual(message.properties.subscriptionIdentifiers, [7]);
    assert.deepEqual(message.properties.userProperties, [["n", String(index + 1)]]);
    assert.equal(message.properties.contentType, "text");
    assert.equal(message.properties.messageExpirySeconds, 987);
    slow.ack(PacketType.puback, message.packetId);
  }
  assert.equal(messages.length, 5);
  assert.deepEqual(node.metaKeys(...PER_MESSAGE), []);
  assert.equal(node.broker.sessions.get("slow")?.outbound.spilledBytes, 0);
});

test("A crash after any commit of a spill, and one with it under way, loses nothing and repeats no QoS 2 message.", () => {
  for (let commits = 0; commits < 6; commits++) {
    for (const seals of [false, true]) crashDuringSpill(commits, seals);
  }
});

/** The broker ends after so many commits of the spill, with or without another one under way. */
function crashDuringSpill(commits: number, seals: boolean): void {
  const node = nodeWith({ flushes: "manual" });
  const owed = nodeFilled(node);
  node.advance(1_500);
  for (let i = 0; i < commits; i++) {
    node.flush();
    node.advance(200);
  }
  if (seals) node.store.seal();
  node.crash();
  node.flushAll();
  const got = receiveAll(node);
  assert.deepEqual(got, owed, `${commits} commits, ${seals ? "one under way" : "at rest"}`);
  node.advance(3_000);
  node.flushAll();
  assert.deepEqual(node.metaKeys(...PER_MESSAGE), []);
  assert.ok(logBytes(node) < 10_000);
}

/** `slow` takes all it is owed, with QoS 2. */
function receiveAll(node: VirtualNode): string[] {
  const got: string[] = [];
  const slow = node.connect("slow", lasting);
  for (let round = 0; round < 40; round++) {
    node.flushAll();
    for (const packet of slow.take()) {
      if (packet.type === PacketType.publish) {
        got.push(packet.payload);
        slow.ack(PacketType.pubrec, packet.packetId);
      } else if (packet.type === PacketType.pubrel) {
        slow.ack(PacketType.pubcomp, packet.packetId);
      }
    }
  }
  return got;
}

/** As `fallBehind` with QoS 2 where flushes are manual; what the session is owed. */
function nodeFilled(node: VirtualNode): string[] {
  const turn = node.turn.bind(node);
  node.turn = () => {
    turn();
    node.flushAll();
  };
  fallBehind(node, 2);
  node.turn = turn;
  return [1, 2, 3, 4, 5].map((i) => `value ${i}`);
}

test("What is in flight to a client that does not acknowledge is copied too, and sent again from the copy.", () => {
  const node = nodeWith();
  const slow = node.connect("slow", lasting);
  slow.subscribe("rare/#", { qos: 2 });
  slow.take();
  const rare = node.connect("rare");
  rare.publish("rare/1", "one", { qos: 1, packetId: 1 });
  rare.publish("rare/2", "two", { qos: 2, packetId: 2 });
  assert.deepEqual(slow.takeText(), ["publish rare/1 q1 #1: one", "publish rare/2 q2 #2: two"]);
  noiseOf(node)(100);
  node.advance(3_000);
  assert.ok(logBytes(node) < 10_000);
  slow.lose();
  const again = node.connect("slow", lasting);
  assert.deepEqual(again.takeText(), [
    "connack present",
    "publish rare/1 q1 #1 dup: one",
    "publish rare/2 q2 #2 dup: two",
  ]);
  node.crash();
  const later = node.connect("slow", lasting);
  assert.deepEqual(later.takeText(), [
    "connack present",
    "publish rare/1 q1 #1: one",
    "publish rare/2 q2 #2 dup: two",
  ]);
  later.ack(PacketType.puback, 1);
  later.ack(PacketType.pubrec, 2);
  later.ack(PacketType.pubcomp, 2);
  assert.deepEqual(node.metaKeys(...PER_MESSAGE), []);
});

test("A session that ends gives back the log, its spill and the bytes that were counted for it.", () => {
  for (const crashes of [false, true]) {
    const node = nodeWith({ storeBytesMax: 60_000 });
    const bulk = node.connect("bulk", lasting);
    bulk.subscribe("bulk", { qos: 1 });
    bulk.disconnect(0, { sessionExpirySeconds: 60 });
    const publisher = node.connect("p");
    for (let i = 1; i <= 20; i++) {
      publisher.publish("bulk", "x".repeat(1_000), { qos: 1, packetId: i });
    }
    publisher.disconnect();
    assert.ok(node.store.refusal() === undefined);
    node.spill("bulk");
    assert.equal(node.metaKeys(SPILLED).length, 20);
    if (crashes) node.crash();
    assert.ok(node.broker.sessions.get("bulk")?.outbound.spilledBytes);
    const again = node.connect("p");
    for (let i = 1; i <= 50; i++) {
      again.publish("bulk", "x".repeat(1_000), { qos: 1, packetId: i });
    }
    const refused = again.takeText().filter((text) => text.endsWith("0x97")).length;
    assert.ok(refused > 5 && refused < 25, `${refused} refused: the spill counts`);
    node.advance(70_000);
    assert.deepEqual(node.metaKeys(...PER_MESSAGE), []);
    assert.equal(node.store.refusal(), undefined);
    assert.ok(logBytes(node) < 5_000);
  }
});

test("A large spill goes in steps, and the log is let go of step by step.", () => {
  const node = nodeWith({ limits: { pinBytesMax: 1_000_000 } });
  const slow = node.connect("slow", lasting);
  slow.subscribe("rare", { qos: 1 });
  slow.disconnect(0, { sessionExpirySeconds: 3_600 });
  const rare = node.connect("rare");
  for (let i = 1; i <= 3_000; i++) rare.publish("rare", String(i), { qos: 1, packetId: i });
  noiseOf(node)(2_000);
  const spilled: number[] = [];
  for (let i = 0; i < 30; i++) {
    node.advance(100);
    spilled.push(node.metaKeys(SPILLED).length);
  }
  const steps = spilled.map((count, i) => count - (spilled[i - 1] ?? 0)).filter((n) => n > 0);
  assert.ok(steps.length >= 3, `${steps}`);
  assert.ok(
    steps.every((step) => step <= 1_200),
    `${steps}`,
  );
  assert.equal(spilled.at(-1), 3_000);
  assert.ok(logBytes(node) < 10_000);
  node.crash();
  const got: string[] = [];
  const again = node.connect("slow", lasting);
  for (let round = 0; round < 10; round++) {
    for (const packet of again.take()) {
      if (packet.type !== PacketType.publish) continue;
      got.push(packet.payload);
      again.ack(PacketType.puback, packet.packetId);
    }
  }
  assert.deepEqual(
    got,
    Array.from({ length: 3_000 }, (_, i) => String(i + 1)),
  );
});

test("What exceeds the limits of the backlog is dropped from the spill as well.", () => {
  const node = nodeWith({ outbound: { backlogMessagesMax: 3 } });
  fallBehind(node);
  node.advance(3_000);
  const rare = node.connect("rare");
  for (let i = 6; i <= 7; i++) rare.publish(`rare/${i}`, `value ${i}`, { qos: 1, packetId: i });
  node.advance(1_000);
  const slow = node.connect("slow", lasting);
  assert.deepEqual(slow.takeText().slice(1), [
    "publish rare/5 q1 #1 retain: value 5",
    "publish rare/6 q1 #2: value 6",
    "publish rare/7 q1 #3: value 7",
  ]);
  assert.equal(node.broker.counters.droppedOldest, 4);
  assert.deepEqual(node.backlogDrops.at(-1)?.[0], "slow");
});
