import assert from "node:assert/strict";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { PacketType, ProtocolVersion } from "../../src/mqtt/packet.ts";
import { openLmdbStore } from "../../src/store/lmdb-store.ts";
import { BrokerHome, type BrokerProcess } from "../support/broker-process.ts";
import { eventually } from "../support/json-process.ts";
import { buildShim } from "../support/shim.ts";
import { mountSmallDisk } from "../support/small-disk.ts";
import { readStream } from "../support/stored-stream.ts";
import { publishPacket, subscribePacket, WireClient } from "../support/wire-client.ts";

const MIB = 1_048_576;
const DISK_BYTES = 40 * MIB;
const BALLAST_BYTES = 16 * MIB;
const RECOVERY_MS_MAX = 20_000;
const QUOTA_EXCEEDED = 0x97;
/** Far more than the disk holds. */
const PUBLISHES_MAX = 10_000;
const STORE_FAILED = "the store failed: all connections end and it is opened again";
const config = {
  streams: [{ name: "captured", filters: ["full/#"] }],
  store: { diskReserveBytes: "12MiB" },
};

/** A publisher that numbers its messages and knows which were acknowledged. */
class CountingPublisher {
  readonly acknowledged = new Set<number>();
  readonly wire: WireClient;
  readonly #padBytes: number;
  #next = 0;

  private constructor(wire: WireClient, padBytes: number) {
    this.wire = wire;
    this.#padBytes = padBytes;
  }

  static async connect(
    port: number,
    version: ProtocolVersion,
    padBytes: number,
  ): Promise<CountingPublisher> {
    const wire = await WireClient.open(port, version);
    assert.equal((await wire.connect({ clientId: `publisher-${version}` })).reasonCode, 0);
    return new CountingPublisher(wire, padBytes);
  }

  /** Sends the next message; the number it has. */
  send(): number {
    const number = ++this.#next;
    const payload = `${number} `.padEnd(this.#padBytes, ".");
    this.wire.send(publishPacket("full/topic", payload, { qos: 1, packetId: number }));
    return number;
  }

  /** Waits for the PUBACK; the reason code. */
  async answer(number: number): Promise<number> {
    const { packet } = await this.wire.takeType(PacketType.puback, number);
    if (packet.reasonCode < 0x80) this.acknowledged.add(number);
    return packet.reasonCode;
  }

  /** Publishes one by one until one is refused; the reason code. */
  async publishUntilRefused(): Promise<number> {
    for (let i = 0; i < PUBLISHES_MAX; i++) {
      const reasonCode = await this.answer(this.send());
      if (reasonCode >= 0x80) return reasonCode;
    }
    return assert.fail(`${PUBLISHES_MAX} publishes were accepted`);
  }

  /** The numbers in the stream of a stopped broker must have all that were acknowledged. */
  async assertStored(storePath: string): Promise<void> {
    const store = openLmdbStore({ path: storePath });
    const stored = readStream(store, "captured").map(({ payload }) =>
      Number.parseInt(Buffer.from(payload).toString(), 10),
    );
    await store.close();
    const found = new Set(stored);
    const lost = [...this.acknowledged].filter((number) => !found.has(number));
    assert.deepEqual(lost, []);
    assert.ok(this.acknowledged.size > 0);
  }
}

/** A QoS 0 message there and back. */
async function exchangeQos0(wire: WireClient, text: string): Promise<void> {
  wire.send(publishPacket("echo", text));
  const { packet } = await wire.takeType(PacketType.publish);
  assert.equal(Buffer.from(packet.payload).toString(), text);
}

async function connectEcho(port: number): Promise<WireClient> {
  const wire = await WireClient.open(port, ProtocolVersion.v5);
  await wire.connect({ clientId: "echo" });
  await wire.subscribe(1, "echo", 0);
  return wire;
}

test("a full disk: MQTT 5 is refused, 3.1.1 waits, QoS 0 goes on, and space that comes back is used", async (t) => {
  const home = new BrokerHome(t);
  const disk = mountSmallDisk(t, DISK_BYTES);
  if (disk === undefined) return;
  const ballast = join(disk.path, "ballast");
  writeFileSync(ballast, Buffer.alloc(BALLAST_BYTES));
  const data = join(disk.path, "data");
  const broker = await home.start({ data, config });
  const publisher = await CountingPublisher.connect(broker.port, ProtocolVersion.v5, 8_192);
  assert.equal(await publisher.publishUntilRefused(), QUOTA_EXCEEDED);
  const older = await CountingPublisher.connect(broker.port, ProtocolVersion.v311, 100);
  const echo = await connectEcho(broker.port);
  const held = older.send();
  for (let i = 0; i < 20; i++) await exchangeQos0(echo, `${i}`);
  // Control has the reserve: a durable session is still made.
  const durable = await WireClient.open(broker.port, ProtocolVersion.v311);
  await durable.connect({ clientId: "durable", cleanStart: false });
  assert.deepEqual((await durable.subscribe(1, "other", 1)).reasonCodes, [1]);
  assert.equal(older.wire.waiting(PacketType.puback), 0, "3.1.1 is held back");
  rmSync(ballast);
  assert.equal(await older.answer(held), 0);
  assert.equal(await publisher.answer(publisher.send()), 0);
  assert.equal(broker.count(STORE_FAILED), 0);
  assert.equal((await broker.stop()).exitCode, 0);
  await publisher.assertStored(join(data, "store.mdb"));
});

/** Publishes until the store has failed; the connection ends without PUBACK. */
async function publishIntoFailure(
  broker: BrokerProcess,
  publisher: CountingPublisher,
): Promise<void> {
  publisher.send();
  await publisher.wire.closed;
  assert.equal(publisher.wire.waiting(PacketType.puback), 0, "no acknowledgement of what failed");
  assert.equal(publisher.wire.waiting(PacketType.disconnect), 1, "the client is told");
  await eventually("it is told", () => broker.count(STORE_FAILED) > 0, RECOVERY_MS_MAX);
}

const shim = buildShim("fail-sync");

test("a commit that fails: connections end, the store opens again, acknowledged messages are there", {
  skip: shim === undefined ? "SKIPPED: needs gcc on Linux" : false,
}, async (t) => {
  const home = new BrokerHome(t);
  const flag = join(home.folder, "flag");
  const env = { LD_PRELOAD: shim, FAIL_SYNC_FLAG: flag };
  const broker = await home.start({ env, config: { streams: config.streams } });
  const isReady = async (): Promise<boolean> =>
    (await fetch(`${broker.httpUrl}/readyz`)).status === 200;
  const subscriber = await WireClient.open(broker.port, ProtocolVersion.v311);
  await subscriber.connect({ clientId: "subscriber", cleanStart: false });
  await subscriber.subscribe(1, "full/#", 1);
  await subscriber.drop();
  const publisher = await CountingPublisher.connect(broker.port, ProtocolVersion.v5, 100);
  for (let i = 0; i < 50; i++) assert.equal(await publisher.answer(publisher.send()), 0);
  writeFileSync(flag, "");
  await publishIntoFailure(broker, publisher);
  assert.equal(await isReady(), false);
  rmSync(flag);
  await eventually("ready again", isReady, RECOVERY_MS_MAX, () => broker.stderr);
  await assertBacklog(broker.port, [...publisher.acknowledged]);
  const again = await CountingPublisher.connect(broker.port, ProtocolVersion.v5, 100);
  assert.equal(await again.answer(again.send()), 0);
  assert.equal((await broker.stop()).exitCode, 0, broker.stderr);
  await publisher.assertStored(home.storePath);
});

/** The durable session still has these messages, in order, and perhaps one whose fate was unknown. */
async function assertBacklog(port: number, numbers: readonly number[]): Promise<void> {
  const wire = await WireClient.open(port, ProtocolVersion.v311);
  const connack = await wire.connect({ clientId: "subscriber", cleanStart: false });
  assert.equal(connack.sessionPresent, true);
  for (const number of numbers) {
    const { packet } = await wire.takeType(PacketType.publish);
    assert.equal(Number.parseInt(Buffer.from(packet.payload).toString(), 10), number);
    wire.send({ type: PacketType.puback, packetId: packet.packetId, reasonCode: 0 });
  }
  wire.send(subscribePacket(2, "other", 1));
  await wire.takeType(PacketType.suback, 2);
  await wire.drop();
}

test("a disk that somebody else fills up to the last byte costs nothing acknowledged, and space that comes back is used", async (t) => {
  const home = new BrokerHome(t);
  const disk = mountSmallDisk(t, DISK_BYTES);
  if (disk === undefined) return;
  const data = join(disk.path, "data");
  const broker = await home.start({ data, config });
  const publisher = await CountingPublisher.connect(broker.port, ProtocolVersion.v5, 8_192);
  for (let i = 0; i < 100; i++) assert.equal(await publisher.answer(publisher.send()), 0);
  const ballast = join(disk.path, "ballast");
  assert.throws(() => writeFileSync(ballast, Buffer.alloc(2 * DISK_BYTES)), /ENOSPC/);
  // Either refused beforehand or failed: never acknowledged and not there.
  for (let reasonCode: number | undefined = 0; reasonCode === 0; ) {
    reasonCode = await publisher.answer(publisher.send()).catch(() => undefined);
  }
  rmSync(ballast);
  // LMDB's binding may damage the heap when a write fails: then the process may die, and is started again.
  const state = { broker };
  await eventually(
    "messages are taken again",
    async () => {
      if (state.broker.isOver) state.broker = await home.start({ data, config });
      return takesMessages(state.broker.port);
    },
    RECOVERY_MS_MAX,
    () => state.broker.stderr,
  );
  await state.broker.stop();
  await publisher.assertStored(join(data, "store.mdb"));
});

/** True when a message is acknowledged with success. */
async function takesMessages(port: number): Promise<boolean> {
  try {
    const publisher = await CountingPublisher.connect(port, ProtocolVersion.v5, 10);
    const reasonCode = await publisher.answer(publisher.send());
    await publisher.wire.drop();
    return reasonCode < 0x80;
  } catch {
    return false;
  }
}
