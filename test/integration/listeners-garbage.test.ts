import assert from "node:assert/strict";
import { connect } from "node:net";
import { type TestContext, test } from "node:test";
import { SeededRandom } from "../../src/lib/random.ts";
import { ProtocolVersion } from "../../src/mqtt/packet.ts";
import { BrokerHome } from "../support/broker-process.ts";
import { TestAuthority } from "../support/certificates.ts";
import { eventually } from "../support/json-process.ts";
import { connectPacket, packetBytes } from "../support/packet-bytes.ts";
import { sampleOf } from "../support/prometheus.ts";
import { UPGRADE_REQUEST } from "../support/websocket-upgrade.ts";
import { WireClient } from "../support/wire-client.ts";

const WAIT_MS = 15_000;
const CONNECTIONS_PER_LISTENER = 150;

const V5 = ProtocolVersion.v5;

/** A binary frame of a client, masked with zeros. */
function frame(payload: Buffer): Buffer {
  const length = payload.length;
  const head = length < 126 ? [0x82, 0x80 | length] : [0x82, 0xfe, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([...head, 0, 0, 0, 0]), payload]);
}

/** Bytes that begin well and are changed somewhere, or mean nothing from the start. */
function garbage(random: SeededRandom, isWebSocket: boolean): Buffer {
  const below = (limit: number): number => Math.floor(random.next() * limit);
  if (below(4) === 0) return Buffer.from(Array.from({ length: below(400) }, () => below(256)));
  const connectBytes = packetBytes(connectPacket("garbage", V5), V5);
  const bytes = isWebSocket
    ? Buffer.concat([Buffer.from(UPGRADE_REQUEST), frame(connectBytes), frame(Buffer.alloc(200))])
    : Buffer.concat([connectBytes, Buffer.alloc(200, 0x30)]);
  const changes = below(6);
  // Mostly behind the handshake.
  const from = isWebSocket && below(3) > 0 ? UPGRADE_REQUEST.length : 0;
  for (let i = 0; i < changes; i++) {
    bytes[from + below(bytes.length - from)] = below(256);
  }
  return bytes.subarray(0, below(2) === 0 ? bytes.length : below(bytes.length));
}

/** Sends and goes, with an end or without; resolves when the connection is closed. */
function throwAt(port: number, bytes: Buffer, isReset: boolean): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port }, () => {
      socket.write(bytes, () => {
        if (isReset) socket.resetAndDestroy();
        else socket.end();
      });
    });
    socket.on("error", () => undefined);
    socket.on("close", () => resolve());
    socket.resume();
  });
}

test("garbage at every listener harms nobody", async (t: TestContext) => {
  const seed = Math.floor(Math.random() * 0xffff_ffff);
  t.diagnostic(`seed ${seed}`);
  const random = new SeededRandom(seed);
  const home = new BrokerHome(t);
  const authority = TestAuthority.create(t, home.folder);
  if (authority === undefined) return;
  const urls = ["mqtt", "mqtts", "ws", "wss"].map((scheme) => `${scheme}://127.0.0.1:0`);
  const broker = await home.start({
    config: {
      listeners: urls.map((url) => ({ url })),
      tls: authority.sign("edge", "edge"),
      mqtt: { connectTimeoutMs: 1_000 },
    },
  });
  const standing = await WireClient.open(broker.port, V5);
  await standing.connect({ clientId: "standing" });
  for (const text of broker.urls) {
    const url = new URL(text);
    const throws = Array.from({ length: CONNECTIONS_PER_LISTENER }, () => {
      const bytes = garbage(random, url.protocol === "ws:");
      return throwAt(Number(url.port), bytes, random.next() < 0.3);
    });
    await Promise.all(throws);
  }
  assert.equal((await standing.subscribe(1, "a", 0)).reasonCodes[0], 0);
  const isAlone = async (): Promise<boolean> =>
    (await sampleOf(broker, "rillmq_connections")) === 1;
  await eventually("all of it is gone", isAlone, WAIT_MS, () => broker.stderr);
  assert.equal(broker.isOver, false);
  await standing.drop();
});
