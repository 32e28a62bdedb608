import assert from "node:assert/strict";
import { test } from "node:test";
import { PacketType, ProtocolVersion } from "../../src/mqtt/packet.ts";
import { BrokerHome, type BrokerProcess } from "../support/broker-process.ts";
import { eventually } from "../support/json-process.ts";
import { publishPacket, WireClient } from "../support/wire-client.ts";

const MIB = 1_048_576;
const PAIRS = 20;
const ROUNDS = 400;
const PAYLOAD_BYTES = 16_384;
/** In all 128 MiB pass the frozen subscriber: keeping them would show. */
const GROWTH_BYTES_MAX = 96 * MIB;
/** Generous: a machine that does other things too. */
const ROUND_TRIP_MS_MAX = 5_000;
const DRAIN_MS_MAX = 30_000;

type PairQos = 0 | 1;

/** A publisher and its subscriber: each message goes when the one before has come. */
class Pair {
  readonly #publisher: WireClient;
  readonly #subscriber: WireClient;
  readonly #topic: string;
  readonly #qos: PairQos;
  slowestMs = 0;

  private constructor(publisher: WireClient, subscriber: WireClient, topic: string, qos: PairQos) {
    this.#publisher = publisher;
    this.#subscriber = subscriber;
    this.#topic = topic;
    this.#qos = qos;
  }

  static async open(port: number, index: number, qos: PairQos): Promise<Pair> {
    const topic = `pair/${index}`;
    const publisher = await WireClient.open(port, ProtocolVersion.v311);
    await publisher.connect({ clientId: `publisher-${index}` });
    const subscriber = await WireClient.open(port, ProtocolVersion.v311);
    await subscriber.connect({ clientId: `subscriber-${index}` });
    await subscriber.subscribe(1, topic, qos);
    return new Pair(publisher, subscriber, topic, qos);
  }

  async run(): Promise<void> {
    for (let round = 0; round < ROUNDS; round++) await this.#round(round);
  }

  async #round(round: number): Promise<void> {
    const packetId = this.#qos === 0 ? 0 : round + 1;
    const payload = Buffer.alloc(PAYLOAD_BYTES, ".");
    payload.writeUInt32BE(round);
    const fields = { qos: this.#qos, packetId };
    const sentAt = this.#publisher.send(publishPacket(this.#topic, payload, fields));
    const { packet, at } = await this.#subscriber.takeType(PacketType.publish);
    assert.equal(Buffer.from(packet.payload).readUInt32BE(), round);
    this.slowestMs = Math.max(this.slowestMs, at - sentAt);
    if (this.#qos === 0) return;
    this.#subscriber.send({ type: PacketType.puback, packetId: packet.packetId, reasonCode: 0 });
    await this.#publisher.takeType(PacketType.puback, packetId);
  }
}

/** Runs the pairs; none may be slow, and the broker may not grow by what a frozen subscriber is owed. */
async function runPairs(broker: BrokerProcess, qos: PairQos): Promise<void> {
  const indexes = Array.from({ length: PAIRS }, (_, index) => index);
  const pairs = await Promise.all(indexes.map((index) => Pair.open(broker.port, index, qos)));
  const bytesBefore = broker.anonymousBytes;
  let bytesMost = bytesBefore;
  const sampler = setInterval(() => {
    bytesMost = Math.max(bytesMost, broker.anonymousBytes);
  }, 50);
  try {
    await Promise.all(pairs.map((pair) => pair.run()));
  } finally {
    clearInterval(sampler);
  }
  const slowestMs = Math.max(...pairs.map((pair) => pair.slowestMs));
  assert.ok(slowestMs < ROUND_TRIP_MS_MAX, `slowest round trip ${slowestMs} ms`);
  const grown = bytesMost - bytesBefore;
  assert.ok(grown < GROWTH_BYTES_MAX, `grown by ${Math.round(grown / MIB)} MiB`);
}

/** A subscriber to all pairs that reads nothing more. */
async function openFrozen(
  broker: BrokerProcess,
  qos: PairQos,
  cleanStart: boolean,
): Promise<WireClient> {
  const wire = await WireClient.open(broker.port, ProtocolVersion.v311);
  await wire.connect({ clientId: "frozen", cleanStart });
  await wire.subscribe(1, "pair/#", qos);
  wire.freeze();
  return wire;
}

async function metric(broker: BrokerProcess, pattern: RegExp): Promise<number> {
  const text = await (await fetch(`${broker.httpUrl}/metrics`)).text();
  return Number(pattern.exec(text)?.[1]);
}

test("a frozen QoS 0 subscriber loses messages, and nobody else is slowed down", async (t) => {
  const broker = await new BrokerHome(t).start();
  const frozen = await openFrozen(broker, 0, true);
  await runPairs(broker, 0);
  const dropped = await metric(broker, /^rillmq_\w*dropped\w*\{[^}]*slow[^}]*\} (\d+)$/m);
  assert.ok(dropped > 0 && dropped < PAIRS * ROUNDS, `${dropped} dropped`);
  // It is still connected and gets what fitted.
  frozen.thaw();
  const kept = PAIRS * ROUNDS - dropped;
  await eventually(
    "what was kept comes",
    () => frozen.waiting(PacketType.publish) === kept,
    DRAIN_MS_MAX,
    () => `${frozen.waiting(PacketType.publish)} of ${kept}`,
  );
});

test("a frozen QoS 1 subscriber without a durable session is ended, and nobody else is slowed down", async (t) => {
  const broker = await new BrokerHome(t).start();
  const frozen = await openFrozen(broker, 1, true);
  await runPairs(broker, 1);
  frozen.thaw();
  await eventually("its connection ends", () => frozen.isClosed, DRAIN_MS_MAX);
  assert.ok(frozen.waiting(PacketType.publish) < PAIRS * ROUNDS);
});

test("a frozen QoS 1 subscriber with a durable session gets everything later, and nobody else is slowed down", async (t) => {
  const config = { mqtt: { backlogBytesMax: "256MiB" } };
  const broker = await new BrokerHome(t).start({ config });
  const frozen = await openFrozen(broker, 1, false);
  await runPairs(broker, 1);
  const rounds = new Map<string, number[]>();
  let count = 0;
  frozen.handle((packet) => {
    if (packet.type !== PacketType.publish) return;
    const seen = rounds.get(packet.topic) ?? [];
    rounds.set(packet.topic, seen);
    seen.push(Buffer.from(packet.payload).readUInt32BE());
    count++;
    frozen.send({ type: PacketType.puback, packetId: packet.packetId, reasonCode: 0 });
  });
  frozen.thaw();
  await eventually(
    "everything comes",
    () => count >= PAIRS * ROUNDS,
    DRAIN_MS_MAX,
    () => `${count}`,
  );
  const expected = Array.from({ length: ROUNDS }, (_, round) => round);
  assert.equal(rounds.size, PAIRS);
  for (const seen of rounds.values()) assert.deepEqual(seen, expected);
});
