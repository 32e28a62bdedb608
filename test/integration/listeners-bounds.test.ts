import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { PacketType, ProtocolVersion } from "../../src/mqtt/packet.ts";
import { BrokerHome, type BrokerProcess } from "../support/broker-process.ts";
import { eventually } from "../support/json-process.ts";
import { connectPacket, packetBytes } from "../support/packet-bytes.ts";
import { droppedFor, sampleOf } from "../support/prometheus.ts";
import { publishPacket, WireClient } from "../support/wire-client.ts";

const WAIT_MS = 15_000;
const V5 = ProtocolVersion.v5;
const SLOW_DROPS = 'rillmq_messages_dropped_total{reason="slow-subscriber"}';

const serve = (t: TestContext, mqtt: object): Promise<BrokerProcess> =>
  new BrokerHome(t).start({ config: { mqtt } });

/** Connections that say nothing; how many of them are closed is kept. */
class IdleCrowd {
  closed: number[] = [];
  readonly #t: TestContext;
  readonly #port: number;
  #count = 0;

  constructor(t: TestContext, port: number) {
    this.#t = t;
    this.#port = port;
  }

  /** One after the other, so that it is known which is the oldest. */
  async grow(count: number): Promise<void> {
    for (let i = 0; i < count; i++) await this.#open(this.#count++);
  }

  async #open(number: number): Promise<void> {
    const socket: Socket = connect({ host: "127.0.0.1", port: this.#port });
    this.#t.after(() => socket.destroy());
    socket.on("error", () => undefined);
    socket.on("close", () => this.closed.push(number));
    await once(socket, "connect", { signal: AbortSignal.timeout(WAIT_MS) });
    socket.resume();
  }
}

const connectedClient = async (port: number, clientId: string): Promise<WireClient> => {
  const client = await WireClient.open(port, V5);
  assert.equal((await client.connect({ clientId })).reasonCode, 0);
  return client;
};

test("of connections that say nothing the oldest go, and a client that means it comes in", async (t) => {
  const broker = await serve(t, { unauthenticatedConnectionsMax: 50 });
  const { port } = broker;
  // Connected ones do not count, however many there are.
  const standing = await Promise.all(
    Array.from({ length: 60 }, (_, i) => connectedClient(port, `standing-${i}`)),
  );
  const crowd = new IdleCrowd(t, port);
  await crowd.grow(80);
  await eventually("30 are closed", () => crowd.closed.length === 30, WAIT_MS);
  assert.deepEqual(
    crowd.closed.sort((a, b) => a - b),
    Array.from({ length: 30 }, (_, i) => i),
  );
  const late = await connectedClient(port, "late");
  assert.equal(await droppedFor(broker, "unauthenticated-shed"), 31);
  for (const client of standing) assert.equal(client.isClosed, false);
  for (const client of [...standing, late]) await client.drop();
});

test("1,000 connections that say nothing are gone after connectTimeoutMs", async (t) => {
  const broker = await serve(t, { connectTimeoutMs: 2_000 });
  const crowd = new IdleCrowd(t, broker.port);
  await crowd.grow(1_000);
  const client = await connectedClient(broker.port, "meanwhile");
  await eventually("all are closed", () => crowd.closed.length === 1_000, WAIT_MS);
  assert.equal(client.isClosed, false);
  assert.equal(await sampleOf(broker, "rillmq_connections"), 1);
  await client.drop();
});

test("one address has so many connections and no more, and closed ones make room", async (t) => {
  const broker = await serve(t, { connectionsPerAddressMax: 3 });
  const clients = await Promise.all(
    ["a", "b", "c"].map((clientId) => connectedClient(broker.port, clientId)),
  );
  const refused = await WireClient.open(broker.port, V5);
  await refused.closed;
  assert.equal(await droppedFor(broker, "too-many-from-address"), 1);
  await clients[0]?.drop();
  await eventually(
    "it is gone",
    async () => (await sampleOf(broker, "rillmq_connections")) === 2,
    WAIT_MS,
  );
  clients.push(await connectedClient(broker.port, "d"));
  for (const client of clients) await client.drop();
});

test("a reader that stopped reading is closed, and one that reads is not", async (t) => {
  const broker = await serve(t, { outputBytesMax: "64KiB", writeTimeoutMs: 1_000 });
  const frozen = await connectedClient(broker.port, "frozen");
  const reader = await connectedClient(broker.port, "reader");
  for (const client of [frozen, reader]) await client.subscribe(1, "flood", 0);
  frozen.freeze();
  const publisher = await connectedClient(broker.port, "publisher");
  const payload = Buffer.alloc(60_000);
  const hasClosed = async (): Promise<boolean> => {
    // More than the buffers of the kernel take.
    publisher.send(publishPacket("flood", payload));
    return (await droppedFor(broker, "write-stalled")) > 0;
  };
  await eventually("the frozen reader is closed", hasClosed, WAIT_MS);
  await eventually(
    "and counted off",
    async () => (await sampleOf(broker, "rillmq_connections")) === 2,
    WAIT_MS,
  );
  assert.equal(await droppedFor(broker, "write-stalled"), 1);
  assert.equal(reader.isClosed, false);
  publisher.send({ type: PacketType.pingreq });
  await publisher.takeType(PacketType.pingresp);
  for (const client of [frozen, reader, publisher]) await client.drop();
});

test("a slow reader's PINGRESP and PUBACK come behind no more data than its budget, however much flows", async (t) => {
  const budget = 256 * 1_024;
  const broker = await serve(t, { outputBytesMax: budget });
  const slow = await connectedClient(broker.port, "slow");
  await slow.subscribe(1, "flood", 0);
  const publisher = await connectedClient(broker.port, "publisher");
  slow.freeze();
  const payload = Buffer.alloc(60_000);
  const isFull = async (): Promise<boolean> => {
    // More than the buffers of the kernel take: from here on QoS 0 is dropped for it.
    for (let i = 0; i < 10; i++) publisher.send(publishPacket("flood", payload));
    return (await sampleOf(broker, SLOW_DROPS)) > 0;
  };
  await eventually("its budget is used up", isFull, WAIT_MS);
  const waiting = await sampleOf(broker, "rillmq_output_waiting_bytes");
  // One message that was still let in, and what was gathered besides.
  assert.ok(waiting > 0 && waiting < budget + 2 * 65_536, `${waiting} bytes wait`);
  slow.send({ type: PacketType.pingreq });
  slow.send(publishPacket("own", "p", { qos: 1, packetId: 7 }));
  slow.thaw();
  const flowing = setInterval(() => publisher.send(publishPacket("flood", payload)), 1);
  try {
    await slow.takeType(PacketType.pingresp);
    await slow.takeType(PacketType.puback, 7);
  } finally {
    clearInterval(flowing);
  }
  for (const client of [slow, publisher]) await client.drop();
});

test("malformed packets close their connection with the right reason code and are counted", async (t) => {
  const broker = await serve(t, {});
  const malformed: [what: string, bytes: Iterable<number>, reasonCode: number][] = [
    ["PUBLISH with QoS 3", [0x36, 5, 0, 1, 0x61, 0, 1], 0x81],
    ["SUBSCRIBE without its flags", [0x80, 7, 0, 1, 0, 0, 1, 0x61, 0], 0x81],
    ["a length of five bytes", [0x30, 0xff, 0xff, 0xff, 0xff], 0x81],
    ["packet type 0", [0, 0], 0x81],
    ["a packet that is too large", [0x30, 0xff, 0xff, 0xff, 0x7f], 0x95],
    ["a second CONNECT", packetBytes(connectPacket("malformed", V5), V5), 0x82],
    ["SUBACK from a client", [0x90, 4, 0, 1, 0, 0], 0x82],
  ];
  for (const [what, bytes, reasonCode] of malformed) {
    const socket = connect({ host: "127.0.0.1", port: broker.port });
    await once(socket, "connect");
    const client = new WireClient(socket, V5);
    await client.connect({ clientId: "malformed" });
    socket.write(Buffer.from([...bytes]));
    const { packet } = await client.takeType(PacketType.disconnect);
    assert.equal(packet.reasonCode, reasonCode, what);
    await client.closed;
  }
  assert.equal(await sampleOf(broker, "rillmq_protocol_errors_total"), malformed.length);
  await (await connectedClient(broker.port, "after")).drop();
});
