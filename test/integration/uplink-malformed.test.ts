import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { PacketType, ProtocolVersion } from "../../src/mqtt/packet.ts";
import { MqttDriver } from "../../src/uplink/drivers/mqtt.ts";
import { UNFINISHED_BYTES_MAX, UNRELEASED_MAX } from "../../src/uplink/drivers/mqtt-guard.ts";
import { HostileRemote } from "../malformed/hostile-remote.ts";
import { UPLINK_CASES, type UplinkCase } from "../malformed/uplink-cases.ts";
import { LiveEdge } from "../support/live-edge.ts";
import { packetBytes } from "../support/packet-bytes.ts";

const EDGES = 6;
const RECORDS = 40;
const WAIT_MS = 60_000;
const MIB = 1_048_576;

/** Connects again at once, so that many cases fit into a test. */
const HASTY = {
  backoffMinMs: 2,
  backoffMaxMs: 10,
  slowRetryMs: 10,
  connectTimeoutMs: 2_000,
} as const;

async function hostile(t: TestContext, cases: readonly UplinkCase[]): Promise<void> {
  const remote = await HostileRemote.start(cases);
  t.after(() => remote.close());
  const driver = new MqttDriver({ urls: [`mqtt://127.0.0.1:${remote.port}`], protocolVersion: 5 });
  const edge = new LiveEdge(driver, ["telemetry"], undefined, {}, HASTY);
  t.after(() => edge.uplink.stop(0));
  edge.appendMany(RECORDS);
  await edge.until("all was said", () => remote.left === 0, WAIT_MS);
  edge.append({ topic: "sim/d0/sensor", payload: "last" });
  await edge.drained(WAIT_MS);
  const letters = edge.uplink.letters.list(1, 1_000).length;
  const arrived = new Set(remote.taken);
  // A record on which the remote hangs up again and again is kept as a dead letter.
  assert.ok(arrived.has("last"));
  assert.ok(arrived.size + letters >= RECORDS + 1, `${arrived.size} came, ${letters} are kept`);
}

test("The cases for an uplink are at least 100, no two with the same name and moment.", () => {
  const seen = new Set(UPLINK_CASES.map(({ name, moment }) => `${name}, ${moment}`));
  assert.equal(seen.size, UPLINK_CASES.length);
  assert.ok(UPLINK_CASES.length >= 100);
});

test("Whatever a remote says, the uplink connects again and loses nothing.", {
  timeout: 120_000,
}, async (t) => {
  const before = process.memoryUsage();
  const shares = Array.from({ length: EDGES }, (_, edge) =>
    UPLINK_CASES.filter((_each, i) => i % EDGES === edge),
  );
  await Promise.all(shares.map((share) => hostile(t, share)));
  const after = process.memoryUsage();
  assert.ok(after.arrayBuffers - before.arrayBuffers < 16 * MIB);
  assert.ok(after.rss - before.rss < 128 * MIB);
});

/** A remote that sends these bytes over and over after CONNACK; resolves with how many it could send, and what was said of it. */
async function flood(
  t: TestContext,
  protocolVersion: 4 | 5,
  head: Buffer,
  bytes: Buffer,
): Promise<{ readonly sent: number; readonly reason: string }> {
  let sent = 0;
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.once("data", () => {
      socket.write(head);
      const push = (): void => {
        if (socket.destroyed) return;
        sent += bytes.length;
        if (socket.write(bytes)) setImmediate(push);
        else socket.once("drain", push);
      };
      push();
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const driver = new MqttDriver({ urls: [`mqtt://127.0.0.1:${port}`], protocolVersion });
  const edge = new LiveEdge(
    driver,
    ["telemetry"],
    undefined,
    {},
    { backoffMinMs: 60_000, backoffMaxMs: 60_000 },
  );
  t.after(() => edge.uplink.stop(0));
  await edge.until("the uplink gives it up", () => edge.uplink.status().state === "waiting");
  return { sent, reason: edge.uplink.status().blockedReason ?? "" };
}

const connack = (version: ProtocolVersion): Buffer =>
  packetBytes(
    { type: PacketType.connack, sessionPresent: false, reasonCode: 0, properties: {} },
    version,
  );

test("A packet without end is not collected.", async (t) => {
  const head = Buffer.concat([
    connack(ProtocolVersion.v5),
    Buffer.of(0x30, 0xff, 0xff, 0xff, 0x7f),
  ]);
  const { sent, reason } = await flood(t, 5, head, Buffer.alloc(65_536));
  assert.match(reason, /the remote sent a packet that is too large/);
  assert.ok(sent < UNFINISHED_BYTES_MAX + 32 * MIB);
});

for (const [version, said] of [
  [ProtocolVersion.v311, /the remote sent more messages at a time than it may/],
  [ProtocolVersion.v5, /Receive Maximum exceeded/],
] as const) {
  test(`Messages of QoS 2 that a remote of level ${version} does not finish are not collected.`, async (t) => {
    const publishes = Array.from({ length: UNRELEASED_MAX + 1 }, (_, i) =>
      packetBytes(
        {
          type: PacketType.publish,
          dup: false,
          qos: 2,
          retain: false,
          packetId: 7 + i,
          topic: "a",
          payload: Buffer.alloc(60_000),
        },
        version,
      ),
    );
    const { sent, reason } = await flood(t, version, connack(version), Buffer.concat(publishes));
    assert.match(reason, said);
    assert.ok(sent < 32 * MIB);
  });
}
