/** Shared subscriptions against what they promise, while networks break and the broker crashes between any two steps. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { QoS } from "../../src/broker/message.ts";
import type { Ordinal } from "../../src/broker/store.ts";
import { ProtocolVersion } from "../../src/mqtt/packet.ts";
import { ModelClient, settle } from "../support/model-client.ts";
import { modelRuns } from "../support/model-runs.ts";
import { VirtualNode } from "../support/virtual-node.ts";

/** References, spilled messages, QoS 2 sent, kept and received. */
const PER_MESSAGE_PREFIXES = [0x20, 0x24, 0x28, 0x2c, 0x30];
const SENDING_MAX = 12;
/** Two groups and one session with a plain subscription: so often each message is owed. */
const COPIES = 3;

interface Step {
  readonly kind:
    | "publish"
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

/** How the members subscribe and whether one of them ends with its connection. */
interface Shape {
  readonly granted: QoS;
  readonly hasPassing: boolean;
  readonly inflightMax: number;
}

class World {
  readonly node: VirtualNode;
  readonly publisher: ModelClient;
  readonly members: readonly ModelClient[];
  readonly clients: readonly ModelClient[];
  readonly published: { readonly payload: string; readonly qos: QoS }[] = [];

  constructor({ granted, hasPassing, inflightMax }: Shape) {
    this.node = new VirtualNode({ flushes: "manual", outbound: { inflightMax } });
    const client = (clientId: string, cleanStart: boolean, ...filters: string[]): ModelClient =>
      new ModelClient(this.node, {
        clientId,
        version: ProtocolVersion.v5,
        receiveMaximum: clientId === "s1" ? 2 : 65_535,
        cleanStart,
        filters: filters.map((topicFilter) => ({ topicFilter, qos: granted })),
      });
    this.publisher = client("p", false);
    this.members = [
      client("s0", false, "$share/g/t/#", "$share/h/t/+"),
      client("s1", false, "$share/g/t/#"),
      client("s2", false, "$share/h/t/+", "t/#"),
      ...(hasPassing ? [client("s3", true, "$share/g/t/#", "$share/h/t/+")] : []),
    ];
    this.clients = [this.publisher, ...this.members];
    for (const each of this.clients) each.connect();
    this.settle();
  }

  run({ kind, who, count }: Step): void {
    const client = this.clients[who % this.clients.length];
    assert.ok(client !== undefined);
    switch (kind) {
      case "publish":
        this.#publish(count % 3 === 0 ? 1 : 2);
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
        this.#spill();
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

  /** What groups and sessions are owed is copied, and the logs let go. */
  #spill(): void {
    const { broker } = this.node;
    const before = Number.MAX_SAFE_INTEGER as Ordinal;
    for (const shared of broker.shared.durable()) shared.spill(before, 1_000_000);
    this.node.spill("s2");
  }

  #publish(qos: QoS): void {
    if (!this.publisher.isConnected || this.publisher.sendingSize >= SENDING_MAX) return;
    const payload = String(this.published.length);
    this.published.push({ payload, qos });
    this.publisher.publish(`t/${this.published.length % 2}`, payload, qos);
  }
}

function check(world: World, { granted, hasPassing }: Shape): void {
  const counts = new Map<string, number>();
  for (const member of world.members) {
    for (const { payload } of member.deliveries) {
      counts.set(payload, (counts.get(payload) ?? 0) + 1);
    }
  }
  for (const { payload, qos } of world.published) {
    const count = counts.get(payload) ?? 0;
    const isOnce = Math.min(qos, granted) === 2;
    const title = `message ${payload} (QoS ${qos}) came ${count} times`;
    // A session that ends with the broker takes what it was to get once with it: it may have had it.
    if (!(isOnce && hasPassing)) assert.ok(count >= COPIES, title);
    if (isOnce) assert.ok(count <= COPIES, title);
  }
  for (const session of world.node.broker.sessions.all()) {
    assert.equal(session.outbound.inflightSize, 0, `${session.clientId}: in flight`);
    assert.equal(session.outbound.backlogSize, 0, `${session.clientId}: backlog`);
  }
  for (const shared of world.node.broker.shared.durable()) assert.equal(shared.backlogSize, 0);
  assert.equal(world.publisher.sendingSize, 0, "the publisher waits");
  world.node.flushAll();
  assert.deepEqual(world.node.metaKeys(...PER_MESSAGE_PREFIXES), [], "records left behind");
}

const kinds: readonly (readonly [Step["kind"], number])[] = [
  ["publish", 30],
  ["out", 40],
  ["in", 40],
  ["flush", 20],
  ["seal", 5],
  ["lose", 5],
  ["connect", 8],
  ["room", 4],
  ["crash", 3],
  ["spill", 2],
];

const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.oneof(...kinds.map(([kind, weight]) => ({ arbitrary: fc.constant(kind), weight }))),
  who: fc.nat(9),
  count: fc.integer({ min: 1, max: 6 }),
});

const shape: fc.Arbitrary<Shape> = fc.record({
  granted: fc.constantFrom<QoS>(2, 2, 1),
  hasPassing: fc.boolean(),
  inflightMax: fc.constantFrom(1, 3, 100),
});

test("Whatever breaks, each message of a group reaches one of its durable members, with QoS 2 exactly once.", () => {
  let count = 0;
  fc.assert(
    fc.property(
      fc.array(step, { minLength: 1, maxLength: 150, size: "max" }),
      shape,
      (steps, form) => {
        const world = new World(form);
        for (const each of steps) world.run(each);
        world.settle();
        check(world, form);
        count += world.published.length;
      },
    ),
    modelRuns(400),
  );
  assert.ok(count > 1_000, `only ${count} messages were published`);
});
