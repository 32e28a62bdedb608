import assert from "node:assert/strict";
import { test } from "node:test";
import { PacketType } from "../../../src/mqtt/packet.ts";
import type { Received, VirtualClient } from "../../support/virtual-client.ts";
import { VirtualNode, type VirtualNodeOptions } from "../../support/virtual-node.ts";

const { puback, pubrec, pubrel, pubcomp } = PacketType;
const SENT = 0x28;
const SUBSCRIPTIONS = 0x1c;
const lasting = { cleanStart: false, properties: { sessionExpirySeconds: 3_600 } };
const COUNT = 20;

/** A node with 20 retained messages `r/00` to `r/19`, three of which may be in flight. */
function nodeWith(qos: 1 | 2, options: VirtualNodeOptions = {}): VirtualNode {
  const node = new VirtualNode({ outbound: { inflightMax: 3 }, ...options });
  const keeper = node.connect("keeper");
  for (let i = 0; i < COUNT; i++) keep(keeper, i, String(i), qos);
  keeper.take();
  return node;
}

const topicOf = (i: number): string => `r/${String(i).padStart(2, "0")}`;

function keep(keeper: VirtualClient, i: number, payload: string, qos: 1 | 2): void {
  keeper.publish(topicOf(i), payload, { qos, packetId: i + 1, retain: true });
  if (qos === 2) keeper.ack(pubrel, i + 1);
}

function subscriber(node: VirtualNode, qos: 0 | 1 | 2): VirtualClient {
  const client = node.connect("s", lasting);
  client.subscribe("r/+", { qos });
  return client;
}

const messagesOf = (client: VirtualClient): Received[] =>
  client.take().filter((packet): packet is Received => packet.type === PacketType.publish);

/** Takes and acknowledges up to `max` messages, whole exchanges with QoS 2. */
function receive(client: VirtualClient, max = 1_000): string[] {
  const got: string[] = [];
  for (let round = 0; round < 200 && got.length < max; round++) {
    for (const packet of client.take()) {
      if (packet.type === PacketType.publish) {
        got.push(packet.payload);
        if (packet.qos > 0) client.ack(packet.qos === 1 ? puback : pubrec, packet.packetId);
      } else if (packet.type === pubrel) {
        client.ack(pubcomp, packet.packetId);
      }
    }
  }
  return got;
}

const numbers = (from: number, to = COUNT - 1): string[] =>
  Array.from({ length: to - from + 1 }, (_, i) => String(from + i));

test("A replay goes on after a crash behind what was settled, a second at most ago.", () => {
  const node = nodeWith(1);
  const client = subscriber(node, 1);
  assert.deepEqual(receive(client, 9), numbers(0, 8));
  node.advance(1_000);
  node.crash();
  assert.deepEqual(receive(node.connect("s", lasting)), numbers(9));
  node.crash();
  assert.deepEqual(receive(node.connect("s", lasting)), []);
});

test("What a QoS 1 replay writes does not grow with its messages.", () => {
  const node = nodeWith(1);
  const client = subscriber(node, 1);
  const { commits } = node.disk;
  assert.equal(receive(client).length, COUNT);
  assert.ok(node.disk.commits - commits <= 2, `${node.disk.commits - commits} commits`);
});

/** A client of QoS 2 that knows what it has across connections. */
class ExactClient {
  readonly got: string[] = [];
  readonly #unreleased = new Set<number>();

  /** Handles up to `max` packets, one commit after each lot. */
  work(node: VirtualNode, client: VirtualClient, max: number): void {
    for (let done = 0, idle = 0; done < max && idle < 5; ) {
      const packets = client.take();
      idle = packets.length === 0 ? idle + 1 : 0;
      done += packets.length;
      for (const packet of packets) {
        if (packet.type === PacketType.publish) this.#take(client, packet);
        if (packet.type === pubrel) this.#release(client, packet.packetId);
      }
      node.flush();
    }
  }

  #take(client: VirtualClient, { packetId, payload }: Received): void {
    if (!this.#unreleased.has(packetId)) this.got.push(payload);
    this.#unreleased.add(packetId);
    client.ack(pubrec, packetId);
  }

  #release(client: VirtualClient, packetId: number): void {
    this.#unreleased.delete(packetId);
    client.ack(pubcomp, packetId);
  }
}

test("A crash at any point of a QoS 2 replay repeats nothing and loses nothing.", () => {
  for (let steps = 0; steps < 40; steps++) {
    const node = nodeWith(2, { flushes: "manual" });
    node.flushAll();
    const client = node.connect("s", lasting);
    node.flushAll();
    client.subscribe("r/+", { qos: 2 });
    node.flush();
    const exact = new ExactClient();
    exact.work(node, client, steps);
    node.crash();
    node.flushAll();
    const again = node.connect("s", lasting);
    node.flushAll();
    exact.work(node, again, 1_000);
    assert.deepEqual(exact.got.toSorted(), numbers(0).toSorted(), `after ${steps} packets`);
    node.flushAll();
    assert.deepEqual(node.metaKeys(SENT), []);
  }
});

test("QoS 2 deliveries that are finished out of order are not repeated after a crash.", () => {
  const node = nodeWith(2);
  const client = subscriber(node, 2);
  const [first, second, third] = messagesOf(client);
  assert.ok(first !== undefined && second !== undefined && third !== undefined);
  for (const { packetId } of [third, second]) {
    client.ack(pubrec, packetId);
    client.ack(pubcomp, packetId);
  }
  node.crash();
  // Their packet identifiers are free: nothing is said about them any more.
  const packets = node.connect("s", lasting).takeText();
  assert.ok(!packets.some((text) => text.startsWith("pubrel")), `${packets}`);
  node.crash();
  const again = node.connect("s", lasting);
  const got = receive(again);
  assert.deepEqual(got.slice(0, 1), ["0"]);
  assert.ok(!got.includes("1") && !got.includes("2"));
  assert.equal(new Set(got).size, COUNT - 2);
  assert.deepEqual(node.metaKeys(SENT), []);
});

test("A QoS 2 delivery under way whose message has changed is not sent with another content after a crash.", () => {
  const node = nodeWith(2);
  const client = subscriber(node, 2);
  client.take();
  node.advance(5);
  keep(node.connect("keeper"), 0, "newer", 2);
  node.crash();
  const again = node.connect("s", lasting);
  const packets = again.takeText();
  assert.ok(packets.includes("pubrel 1"));
  assert.ok(!packets.some((text) => text.includes("#1 ")));
  again.ack(pubcomp, 1, 0x92);
  assert.deepEqual(
    receive(again).filter((payload) => payload === "newer"),
    ["newer"],
  );
});

test("A topic of which something newer was delivered meanwhile is left out, the newest comes last.", () => {
  for (const qos of [1, 2] as const) {
    const node = nodeWith(2);
    const client = subscriber(node, qos);
    const keeper = node.connect("keeper");
    keeper.publish(topicOf(10), "live", { qos: 1, packetId: 50 });
    keeper.publish(topicOf(11), "by the way", { qos: 0 });
    keep(keeper, 12, "changed", 2);
    const got = receive(client);
    for (const old of ["10", "11", "12"]) assert.ok(!got.includes(old), `${old} in ${got}`);
    for (const live of ["live", "by the way", "changed"]) {
      assert.equal(got.filter((payload) => payload === live).length, 1, live);
    }
    assert.equal(got.length, COUNT);
  }
});

test("What did not reach a client that has no room does not displace what is retained.", () => {
  const node = nodeWith(1);
  const client = node.connect("s", lasting);
  client.setRoom(false);
  client.subscribe("r/+", { qos: 0 });
  node.connect("keeper").publish(topicOf(5), "passed by", { qos: 0 });
  client.setRoom(true);
  assert.deepEqual(receive(client), numbers(0));
});

test("Subscribing again and again without reading holds one replay, and brings the messages once.", () => {
  const node = nodeWith(1);
  const client = node.connect("s", lasting);
  client.setRoom(false);
  for (let i = 0; i < 1_000; i++) client.subscribe("r/+", { qos: 1 });
  client.setRoom(true);
  assert.deepEqual(receive(client), numbers(0));
});

test("A subscription that ends takes its replay along, also over a crash.", () => {
  for (const qos of [1, 2] as const) {
    const node = nodeWith(qos);
    const client = subscriber(node, qos);
    assert.equal(messagesOf(client).length, 3);
    client.unsubscribe("r/+");
    node.crash();
    assert.deepEqual(node.metaKeys(SUBSCRIPTIONS), []);
    assert.deepEqual(receive(node.connect("s", lasting)), []);
    node.advance(1_000);
    assert.deepEqual(node.metaKeys(SENT), []);
  }
});

test("More topics than a page holds come once each and in order.", () => {
  const node = new VirtualNode({ outbound: { inflightMax: 100 } });
  const keeper = node.connect("keeper");
  const names = Array.from({ length: 1_500 }, (_, i) => `r/${(i * 7_919) % 1_500}/x`);
  for (const name of names) keeper.publish(name, name, { qos: 0, retain: true });
  const client = node.connect("s", lasting);
  client.subscribe("r/#", { qos: 1 });
  assert.deepEqual(receive(client), names.toSorted());
});

test("A subscription costs a record of its own size, however many there are.", () => {
  const node = new VirtualNode();
  const client = node.connect("s", lasting);
  for (let i = 0; i < 1_000; i++) client.subscribe(`some/where/${i}`, { qos: 1 });
  const rows = node.disk.keys("meta").filter((key) => key[0] === SUBSCRIPTIONS);
  assert.equal(rows.length, 1_000);
  node.crash();
  assert.equal(node.broker.sessions.get("s")?.subscriptions.size, 1_000);
  assert.equal(node.broker.subscriptionCount, 1_000);
  node.connect("s", { cleanStart: true });
  node.advance(5_000);
  assert.deepEqual(node.metaKeys(SUBSCRIPTIONS), []);
});

test("Subscriptions with filters too long for a key are there after a restart, each once.", () => {
  const node = new VirtualNode();
  const client = node.connect("s", lasting);
  const filters = Array.from({ length: 50 }, (_, i) => `${"x".repeat(2_000)}/${i}`);
  for (const filter of filters) client.subscribe(filter, { qos: 1 });
  node.crash();
  const known = node.broker.sessions.get("s")?.subscriptions.keys() ?? [];
  assert.deepEqual([...known].toSorted(), filters.toSorted());
});

test("A damaged record of a subscription costs that one and is counted.", () => {
  const node = new VirtualNode();
  const client = node.connect("s", lasting);
  for (const filter of ["a", "b", "c"]) client.subscribe(filter, { qos: 1 });
  const [, second] = node.disk.keys("meta").filter((key) => key[0] === SUBSCRIPTIONS);
  assert.ok(second !== undefined);
  node.disk.overwrite("meta", second, Buffer.from('{"qos":7}'));
  node.crash();
  const known = node.broker.sessions.get("s")?.subscriptions.keys() ?? [];
  assert.deepEqual([...known], ["a", "c"]);
});

test("Retained messages that have expired go from memory and disk, and make room for others.", () => {
  const node = new VirtualNode({ retained: { messagesMax: 100 } });
  const keeper = node.connect("keeper");
  const keepFor = (name: string, messageExpirySeconds: number): void => {
    const properties = { messageExpirySeconds };
    keeper.publish(name, "x", { qos: 1, packetId: 1, retain: true, properties });
  };
  for (let i = 0; i < 100; i++) keepFor(`r/${i}`, i < 60 ? 10 : 1_000);
  // Renewed in time: it stays.
  node.advance(9_000);
  keepFor("r/0", 1_000);
  node.advance(3_000);
  assert.equal(node.broker.retained.size, 41);
  assert.equal(node.disk.keys("retained").length, 41);
  keeper.take();
  for (let i = 0; i < 59; i++) keepFor(`new/${i}`, 1_000);
  assert.ok(keeper.takeText().every((text) => text === "puback 1 0x10"));
  node.crash();
  assert.equal(node.broker.retained.size, 100);
  node.advance(1_100_000);
  assert.equal(node.broker.retained.size, 0);
  assert.equal(node.disk.keys("retained").length, 0);
});

test("A retained message that expires while it waits for its turn is not sent, also before it is swept. [v5 MQTT-3.3.2-5]", () => {
  const node = new VirtualNode();
  // Between two looks at what has expired.
  node.advance(1_500);
  const keeper = node.connect("keeper");
  keeper.publish("a", "first", { qos: 1, packetId: 1, retain: true });
  const properties = { messageExpirySeconds: 1 };
  keeper.publish("b", "short", { qos: 1, packetId: 2, retain: true, properties });
  const client = node.connect("c", { properties: { receiveMaximum: 1 } });
  client.subscribe("#", { qos: 1 });
  client.take();
  node.advance(1_001);
  assert.equal(node.broker.retained.size, 2);
  client.ack(PacketType.puback, 1);
  assert.deepEqual(client.takeText(), []);
});

test("Retained messages that turn out to be older after a restart go as soon as that is known.", () => {
  const node = new VirtualNode();
  const properties = { messageExpirySeconds: 3_600 };
  node.connect("k").publish("a", "x", { qos: 1, packetId: 1, retain: true, properties });
  node.wall.isTrusted = false;
  node.off(7_200_000);
  node.advance(60_000);
  assert.equal(node.broker.retained.size, 1);
  node.wall.isTrusted = true;
  node.advance(3_000);
  assert.equal(node.broker.retained.size, 0);
});

test("An answer that changes nothing on disk does not wait for a commit.", () => {
  const node = new VirtualNode({ limits: { subscriptionsPerSessionMax: 1 } });
  const client = node.connect("s", lasting);
  client.subscribe("a");
  client.take();
  client.unsubscribe("b");
  client.subscribe("c");
  assert.deepEqual(client.takeText(), ["unsuback 2 0x11", "suback 1 0x97"]);
});
