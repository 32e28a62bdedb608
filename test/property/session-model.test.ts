import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { QoS } from "../../src/broker/message.ts";
import { PacketType, ProtocolVersion } from "../../src/mqtt/packet.ts";
import { type Delivery, ModelClient, settle } from "../support/model-client.ts";
import { modelRuns } from "../support/model-runs.ts";
import { VirtualNode } from "../support/virtual-node.ts";

/** References, spilled messages, QoS 2 deliveries and QoS 2 receptions (see src/broker/session-records.ts). */
const PER_MESSAGE_PREFIXES = [0x20, 0x24, 0x28, 0x30];
const SENDING_MAX = 12;
/** Retained messages, QoS 2: they come with each subscription and take packet identifiers like all others. */
const RETAINED = ["r0", "r1", "r2", "r3"];

/** One thing that happens. `who` and `count` mean what the kind makes of them. */
interface Step {
  readonly kind:
    | "publish"
    | "repeat"
    | "resubscribe"
    | "out"
    | "in"
    | "flush"
    | "seal"
    | "lose"
    | "connect"
    | "room"
    | "crash"
    | "spill";
  readonly who: number;
  readonly count: number;
}

interface Published {
  readonly publisher: ModelClient;
  readonly topic: string;
  readonly payload: string;
  readonly qos: QoS;
}

/** Two publishers and three subscribers around one node; the network moves when the steps say so. */
class World {
  readonly node: VirtualNode;
  readonly publishers: ModelClient[];
  readonly durable: ModelClient[];
  readonly clean: ModelClient;
  readonly clients: ModelClient[];
  readonly published: Published[] = [];

  constructor(pendingBytesMax: number, inflightMax: number) {
    this.node = new VirtualNode({ flushes: "manual", pendingBytesMax, outbound: { inflightMax } });
    const client = (
      clientId: string,
      version: ProtocolVersion,
      receiveMaximum: number,
      cleanStart: boolean,
      ...filters: { topicFilter: string; qos: QoS }[]
    ): ModelClient =>
      new ModelClient(this.node, { clientId, version, receiveMaximum, cleanStart, filters });
    const { v311, v5 } = ProtocolVersion;
    this.publishers = [client("p0", v311, 65_535, false), client("p1", v5, 65_535, false)];
    const everything = { topicFilter: "t/#", qos: 2 } as const;
    const first = { topicFilter: "t/+", qos: 1 } as const;
    const retained = { topicFilter: "r/+", qos: 2 } as const;
    this.durable = [
      client("s0", v5, 3, false, everything, first, retained),
      client("s1", v311, 65_535, false, first),
    ];
    this.clean = client("s2", v5, 2, true, everything, retained);
    this.clients = [...this.publishers, ...this.durable, this.clean];
  }

  start(): void {
    const keeper = this.node.connect("keeper");
    for (const name of RETAINED) {
      keeper.publish(`r/${name}`, name, { qos: 2, packetId: 1, retain: true });
      keeper.ack(PacketType.pubrel, 1);
    }
    keeper.disconnect();
    this.node.flushAll();
    for (const client of this.clients) client.connect();
    this.settle();
  }

  run({ kind, who, count }: Step): void {
    const client = this.clients[who % this.clients.length];
    const publisher = this.publishers[who % this.publishers.length];
    assert.ok(client !== undefined && publisher !== undefined);
    switch (kind) {
      case "publish":
        this.#publish(publisher, `t/${count % 2}`, count % 3 === 0 ? 1 : 2);
        break;
      case "repeat":
        this.publishers[0]?.repeat(count);
        break;
      case "resubscribe":
        client.resubscribe();
        break;
      case "out":
        client.out(count);
        break;
      case "in":
        client.in(count);
        break;
      case "flush":
        this.node.flush();
        break;
      case "seal":
        this.node.store.seal();
        break;
      case "lose":
        client.lose();
        break;
      case "connect":
        client.connect();
        break;
      case "room":
        client.setRoom(count % 2 === 0);
        break;
      case "spill":
        for (const { options } of this.durable) this.node.spill(options.clientId, count * 1_200);
        break;
      case "crash":
        this.node.crash();
        for (const each of this.clients) each.brokerCrashed();
        break;
    }
    for (const each of this.clients) each.collect();
  }

  /** The faults are over. */
  settle(): void {
    settle(this.node, this.clients);
  }

  #publish(publisher: ModelClient, topic: string, qos: QoS): void {
    if (!publisher.isConnected || publisher.sendingSize >= SENDING_MAX) return;
    const payload = String(this.published.length);
    this.published.push({ publisher, topic, payload, qos });
    publisher.publish(topic, payload, qos);
  }
}

/** Each message once at least, and once at most where both sides agreed on QoS 2. */
function checkDelivered(world: World, subscriber: ModelClient, grantedQos: QoS): void {
  const counts = new Map<string, number>();
  for (const { payload } of subscriber.deliveries) {
    counts.set(payload, (counts.get(payload) ?? 0) + 1);
  }
  const { clientId, filters } = subscriber.options;
  if (filters.some(({ topicFilter }) => topicFilter === "r/+")) {
    for (const name of RETAINED) assert.ok(counts.has(name), `${clientId}: ${name} did not come`);
  }
  for (const { payload, qos } of world.published) {
    const count = counts.get(payload) ?? 0;
    assert.ok(count > 0, `${clientId}: message ${payload} (QoS ${qos}) is lost`);
    if (Math.min(qos, grantedQos) === 2) {
      assert.equal(count, 1, `${clientId}: message ${payload} (QoS 2) came more than once`);
    }
  }
}

/** First deliveries of one publisher, topic and QoS come in the order of publishing [MQTT-4.6.0-6]. */
function checkOrder(
  world: World,
  subscriber: ModelClient,
  deliveries: readonly Delivery[] = subscriber.deliveries,
): void {
  const seen = new Set<string>();
  const last = new Map<string, number>();
  for (const { payload, topic, qos } of deliveries) {
    if (seen.has(payload) || RETAINED.includes(payload)) continue;
    seen.add(payload);
    const publisher = world.published[Number(payload)]?.publisher.options.clientId;
    const key = `${publisher} ${topic} ${qos}`;
    const before = last.get(key) ?? -1;
    const { clientId } = subscriber.options;
    assert.ok(Number(payload) > before, `${clientId}: ${payload} after ${before} (${key})`);
    last.set(key, Number(payload));
  }
}

/**
 * A session without expiry promises nothing across connections; within one QoS 2 comes once and in order. (A QoS 1
 * message from before it subscribed may come late, when its publisher repeats it.)
 */
function checkClean(world: World, subscriber: ModelClient): void {
  const connections = new Set(subscriber.deliveries.map((each) => each.connectionNumber));
  for (const number of connections) {
    const once = subscriber.deliveries.filter(
      ({ connectionNumber, qos, payload }) =>
        connectionNumber === number && qos === 2 && !RETAINED.includes(payload),
    );
    checkOrder(world, subscriber, once);
    assert.equal(new Set(once.map(({ payload }) => payload)).size, once.length, "QoS 2 repeated");
  }
}

/** Retained messages come with each subscription, with QoS 2 once, whatever breaks on the way. */
function checkRetained({ deliveries, options, subscribes }: ModelClient): void {
  for (const name of RETAINED) {
    const count = deliveries.filter(({ payload }) => payload === name).length;
    const what = `${options.clientId}: ${name} came ${count} times for ${subscribes} subscriptions`;
    assert.ok(count >= 1 && count <= subscribes, what);
  }
}

function checkAtRest(world: World): void {
  for (const { sendingSize, options } of world.publishers) {
    assert.equal(sendingSize, 0, `${options.clientId} waits for acknowledgements`);
  }
  for (const session of world.node.broker.sessions.all()) {
    assert.equal(session.outbound.inflightSize, 0, `${session.clientId}: in flight`);
    assert.equal(session.outbound.backlogSize, 0, `${session.clientId}: backlog`);
  }
  world.node.flushAll();
  assert.deepEqual(world.node.metaKeys(...PER_MESSAGE_PREFIXES), [], "records left behind");
}

const kinds: readonly (readonly [Step["kind"], number])[] = [
  ["publish", 30],
  ["repeat", 4],
  ["resubscribe", 3],
  ["out", 30],
  ["in", 30],
  ["flush", 15],
  ["seal", 5],
  ["lose", 4],
  ["connect", 8],
  ["room", 4],
  ["crash", 2],
  ["spill", 4],
];

const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.oneof(...kinds.map(([kind, weight]) => ({ arbitrary: fc.constant(kind), weight }))),
  who: fc.nat(9),
  count: fc.integer({ min: 1, max: 6 }),
});

test("Whatever breaks, an acknowledged message reaches each durable session, QoS 2 exactly once and in order.", () => {
  const steps = fc.array(step, { minLength: 1, maxLength: 150, size: "max" });
  const pendingBytesMax = fc.constantFrom(600, 4_000, 1_000_000);
  const inflightMax = fc.constantFrom(2, 5, 100);
  let acknowledged = 0;
  fc.assert(
    fc.property(steps, pendingBytesMax, inflightMax, (sequence, pending, inflight) => {
      const world = new World(pending, inflight);
      world.start();
      for (const each of sequence) world.run(each);
      world.settle();
      const [everything, first] = world.durable;
      assert.ok(everything !== undefined && first !== undefined);
      checkDelivered(world, everything, 2);
      checkDelivered(world, first, 1);
      checkRetained(everything);
      for (const subscriber of world.durable) checkOrder(world, subscriber);
      checkClean(world, world.clean);
      checkAtRest(world);
      for (const publisher of world.publishers) acknowledged += publisher.acknowledged.size;
    }),
    modelRuns(500),
  );
  assert.ok(acknowledged > 1_000, `only ${acknowledged} messages were acknowledged`);
});
