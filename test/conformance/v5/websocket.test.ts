import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join as joinPath } from "node:path";
import type { Duplex } from "node:stream";
import { after, type TestContext, test } from "node:test";
import { createWebSocketStream, WebSocket } from "ws";
import { publishPacket } from "../../support/wire-client.ts";
import { wire } from "../../unit/mqtt/wire.ts";
import { connectOf, field, framed } from "../bytes.ts";
import { edgeForFile } from "../edge.ts";
import { StrictClient } from "../strict-client.ts";

const folder = mkdtempSync(joinPath(tmpdir(), "rillmq-transport-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const path = joinPath(folder, "mqtt.sock");
const listeners = ["mqtt://127.0.0.1:0", "ws://127.0.0.1:0", `unix://${path}`];
const edge = edgeForFile({ config: { listeners: listeners.map((url) => ({ url })) } });

const WAIT_MS = 5_000;
const CONNECT = wire(connectOf("02", "00", field("'web'")));
const SUBSCRIBE = wire(framed("82", "0001 00", field("'web'"), "00"));
const PUBLISH = wire(framed("30", field("'web'"), "00 'x'"));
const PINGREQ = wire("c000");

/** A WebSocket and the client on it: what the test sends itself goes through the first. */
async function open(
  t: TestContext,
  protocols: readonly string[] = ["mqtt"],
): Promise<{ readonly socket: WebSocket; readonly client: StrictClient }> {
  const socket = new WebSocket(edge.broker.urls[1] ?? "", [...protocols]);
  t.after(() => socket.terminate());
  await once(socket, "open", { signal: AbortSignal.timeout(WAIT_MS) });
  return { socket, client: new StrictClient(createWebSocketStream(socket)) };
}

/** The status with which a handshake is refused. */
async function refusalOf(protocols: readonly string[]): Promise<number> {
  const socket = new WebSocket(edge.broker.urls[1] ?? "", [...protocols]);
  // Given up below, before it was open.
  socket.on("error", () => undefined);
  const refused = once(socket, "unexpected-response", { signal: AbortSignal.timeout(WAIT_MS) });
  const [request, response] = await refused;
  request.destroy();
  return response.statusCode;
}

test("Everything of the broker comes in binary frames. [MQTT-6.0.0-1]", async (t) => {
  const { socket, client } = await open(t);
  const kinds: boolean[] = [];
  socket.on("message", (_data, isBinary) => kinds.push(isBinary));
  await client.join("binary");
  await client.subscribe("web");
  socket.send(PUBLISH);
  await client.gets("publish web q0: x");
  await client.getsNothing();
  assert.ok(kinds.length >= 4 && kinds.every((isBinary) => isBinary));
});

test("A text frame closes the connection, before CONNECT and after it, and is not processed. [MQTT-6.0.0-1, MQTT-4.13.1-1]", async (t) => {
  for (const isConnected of [false, true]) {
    const { socket, client } = await open(t);
    if (isConnected) await client.join("text");
    const closed = once(socket, "close", { signal: AbortSignal.timeout(WAIT_MS) });
    socket.send(PINGREQ.toString("latin1"), { binary: false });
    assert.equal((await closed)[0], 1_003);
    assert.deepEqual(await client.rest(), []);
  }
});

test("A frame may hold several packets, and the beginning of another. [MQTT-6.0.0-2]", async (t) => {
  const { socket, client } = await open(t);
  socket.send(Buffer.concat([CONNECT, SUBSCRIBE, PUBLISH, PINGREQ, PUBLISH.subarray(0, 3)]));
  assert.match((await client.takeArrival()).text, /^connack /);
  await client.getsInAnyOrder("suback 1 0x00", "publish web q0: x", "pingresp");
  socket.send(Buffer.concat([PUBLISH.subarray(3), PINGREQ]));
  await client.gets("publish web q0: x", "pingresp");
});

test("A packet may be spread over frames, byte by byte and cut anywhere. [MQTT-6.0.0-2]", async (t) => {
  const { socket, client } = await open(t);
  for (const byte of CONNECT) socket.send(Buffer.of(byte));
  assert.match((await client.takeArrival()).text, /^connack /);
  await client.subscribe("web");
  for (let cut = 1; cut < PUBLISH.length; cut++) {
    socket.send(PUBLISH.subarray(0, cut));
    socket.send(PUBLISH.subarray(cut));
    await client.gets("publish web q0: x");
  }
  for (const byte of PUBLISH) socket.send(Buffer.of(byte), { fin: false });
  socket.send(PINGREQ, { fin: true });
  await client.gets("publish web q0: x", "pingresp");
});

test("The broker selects the subprotocol mqtt, also among others that are offered. [MQTT-6.0.0-4, MQTT-6.0.0-3]", async (t) => {
  for (const offered of [["mqtt"], ["chat", "mqtt"], ["mqtt", "mqttv3.1"]]) {
    const { socket } = await open(t, offered);
    assert.equal(socket.protocol, "mqtt", offered.join());
  }
});

test("Who does not offer the subprotocol mqtt does not come in. [MQTT-6.0.0-3]", async () => {
  for (const offered of [[], ["chat"], ["MQTT"], ["mqtt5"]]) {
    assert.equal(await refusalOf(offered), 400, offered.join());
  }
});

const TRANSPORTS: readonly [name: string, open: (t: TestContext) => Promise<Duplex>][] = [
  [
    "TCP",
    async () => {
      const socket = connect({ host: "127.0.0.1", port: edge.broker.port });
      await once(socket, "connect");
      return socket;
    },
  ],
  [
    "a unix socket",
    async () => {
      const socket = connect({ path });
      await once(socket, "connect");
      return socket;
    },
  ],
  [
    "WebSocket",
    async (t) => {
      const socket = new WebSocket(edge.broker.urls[1] ?? "", "mqtt");
      t.after(() => socket.terminate());
      await once(socket, "open");
      return createWebSocketStream(socket);
    },
  ],
];

for (const [name, dial] of TRANSPORTS) {
  test(`${name} carries packets in their order and without loss, both ways. [MQTT-4.2.0-1]`, async (t) => {
    const client = new StrictClient(await dial(t));
    const other = new StrictClient(await dial(t));
    await client.join("there");
    await other.join("back");
    await client.subscribe("to-there");
    await other.subscribe("to-back");
    const numbers = Array.from({ length: 500 }, (_, i) => String(i));
    client.send(...numbers.map((text) => publishPacket("to-back", text)));
    other.send(...numbers.map((text) => publishPacket("to-there", text)));
    await client.gets(...numbers.map((text) => `publish to-there q0: ${text}`));
    await other.gets(...numbers.map((text) => `publish to-back q0: ${text}`));
    await client.leave();
    await other.leave();
  });
}
