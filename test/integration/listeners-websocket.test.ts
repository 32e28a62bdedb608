import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { type TestContext, test } from "node:test";
import { connectAsync } from "mqtt";
import { createWebSocketStream, WebSocket } from "ws";
import { PacketType, ProtocolVersion } from "../../src/mqtt/packet.ts";
import { BrokerHome, type BrokerProcess } from "../support/broker-process.ts";
import { eventually } from "../support/json-process.ts";
import { connectPacket, packetBytes } from "../support/packet-bytes.ts";
import { droppedFor, sampleOf } from "../support/prometheus.ts";
import { publishPacket, WireClient } from "../support/wire-client.ts";

const WAIT_MS = 10_000;
const V5 = ProtocolVersion.v5;

interface Served {
  readonly broker: BrokerProcess;
  /** With path. */
  readonly url: string;
}

async function serve(
  t: TestContext,
  listener: Readonly<Record<string, unknown>> = {},
  mqtt: Readonly<Record<string, unknown>> = {},
): Promise<Served> {
  const config = { listeners: [{ url: "ws://127.0.0.1:0", ...listener }], mqtt };
  const broker = await new BrokerHome(t).start({ config });
  return { broker, url: broker.urls[0] ?? "" };
}

async function open(
  t: TestContext,
  url: string,
  protocols: string | string[] = "mqtt",
  headers: Readonly<Record<string, string>> = {},
): Promise<WebSocket> {
  const webSocket = new WebSocket(url, protocols, { headers: { ...headers } });
  t.after(() => webSocket.terminate());
  await once(webSocket, "open", { signal: AbortSignal.timeout(WAIT_MS) });
  return webSocket;
}

/** The status of a handshake that is refused. */
async function refusal(
  url: string,
  protocols: string | string[] = "mqtt",
  headers: Readonly<Record<string, string>> = {},
): Promise<number> {
  const webSocket = new WebSocket(url, protocols, { headers: { ...headers } });
  const refused = once(webSocket, "unexpected-response", { signal: AbortSignal.timeout(WAIT_MS) });
  const [request, response] = await refused;
  request.destroy();
  return response.statusCode;
}

const closeCode = async (webSocket: WebSocket): Promise<number> => {
  const [code] = await once(webSocket, "close", { signal: AbortSignal.timeout(WAIT_MS) });
  return code;
};

/** A client that sends and takes packets; `webSocket` stays there for frames of its own. */
const wireOn = (webSocket: WebSocket, version: ProtocolVersion): WireClient =>
  new WireClient(createWebSocketStream(webSocket), version);

test("frames may cut packets anywhere", async (t) => {
  const { url } = await serve(t);
  const webSocket = await open(t, url);
  const client = wireOn(webSocket, V5);
  const byByte = [...packetBytes(connectPacket("split", V5), V5)];
  for (const byte of byByte) webSocket.send(Buffer.from([byte]));
  const { packet } = await client.takeType(PacketType.connack);
  assert.equal(packet.reasonCode, 0);
  await client.subscribe(1, "split/#", 1);
  const bytes = packetBytes(publishPacket("split/a", "x", { qos: 1, packetId: 7 }), V5);
  for (let cut = 1; cut < bytes.length; cut++) {
    webSocket.send(bytes.subarray(0, cut));
    webSocket.send(bytes.subarray(cut));
    await client.takeType(PacketType.puback, 7);
    const { packet: received } = await client.takeType(PacketType.publish);
    client.send({ type: PacketType.puback, packetId: received.packetId, reasonCode: 0 });
  }
  // One message in fragments, and two packets and a half in one frame.
  for (const byte of bytes) webSocket.send(Buffer.from([byte]), { fin: false });
  webSocket.send(Buffer.concat([bytes, bytes, bytes.subarray(0, 5)]), { fin: true });
  webSocket.send(bytes.subarray(5));
  for (let i = 0; i < 4; i++) await client.takeType(PacketType.puback, 7);
});

test("what is sent in one turn is gathered in one binary frame", async (t) => {
  const { url } = await serve(t);
  const webSocket = await open(t, url);
  const frames: boolean[] = [];
  webSocket.on("message", (_data, isBinary) => frames.push(isBinary));
  const client = wireOn(webSocket, V5);
  await client.connect({ clientId: "gathered" });
  await client.subscribe(1, "many", 0);
  const before = frames.length;
  const messages = Array.from({ length: 200 }, () => packetBytes(publishPacket("many", "x"), V5));
  webSocket.send(Buffer.concat(messages));
  for (let i = 0; i < 200; i++) await client.takeType(PacketType.publish);
  assert.ok(frames.length - before < 20, `${frames.length - before} frames`);
  assert.ok(frames.every((isBinary) => isBinary));
});

test("a text frame closes the connection with 1003 [MQTT-6.0.0-1]", async (t) => {
  const { broker, url } = await serve(t);
  for (const isConnected of [false, true]) {
    const webSocket = await open(t, url);
    if (isConnected) await wireOn(webSocket, V5).connect({ clientId: "text" });
    const closed = closeCode(webSocket);
    webSocket.send("text");
    assert.equal(await closed, 1_003);
  }
  assert.equal(await droppedFor(broker, "bad-frame"), 2);
});

test("the subprotocol is mqtt, also among others; without it nobody comes in [MQTT-6.0.0-3]", async (t) => {
  const { broker, url } = await serve(t);
  assert.equal(await refusal(url, []), 400);
  assert.equal(await refusal(url, ["chat"]), 400);
  assert.equal((await open(t, url, ["chat", "mqtt"])).protocol, "mqtt");
  assert.equal((await open(t, url, ["mqttv3.1", "mqtt"])).protocol, "mqtt");
  assert.equal((await open(t, url, "mqttv3.1")).protocol, "mqttv3.1");
  assert.equal(await droppedFor(broker, "handshake-failed"), 2);
});

test("another path is not found, and plain HTTP is told what is here", async (t) => {
  const { url } = await serve(t, { url: "ws://127.0.0.1:0/edge/mqtt" });
  assert.equal(new URL(url).pathname, "/edge/mqtt");
  assert.equal(await refusal(new URL("/mqtt", url).href), 404);
  await open(t, `${url}?token=1`);
  const answer = await fetch(url.replace("ws:", "http:"));
  assert.equal(answer.status, 426);
});

test("web pages of other origins are refused", async (t) => {
  const { url } = await serve(t);
  const { host } = new URL(url);
  await open(t, url, "mqtt", { origin: `http://${host}` });
  assert.equal(await refusal(url, "mqtt", { origin: "https://evil.example" }), 403);
  assert.equal(await refusal(url, "mqtt", { origin: "null" }), 403);
  // A name that was made to lead to this machine.
  const rebound = { origin: "http://evil.example", host: "evil.example" };
  assert.equal(await refusal(url, "mqtt", rebound), 403);
});

test("origins that are listed come in, and only they", async (t) => {
  const { url } = await serve(t, { origins: ["https://app.example"] });
  await open(t, url, "mqtt", { origin: "https://app.example" });
  await open(t, url);
  assert.equal(await refusal(url, "mqtt", { origin: `http://${new URL(url).host}` }), 403);
  const all = await serve(t, { origins: ["*"] });
  await open(t, all.url, "mqtt", { origin: "https://anybody.example" });
});

test("too much before CONNECT, and too large a frame after it, end the connection", async (t) => {
  const { broker, url } = await serve(t, {}, { maxPacketBytes: "256KiB" });
  const early = await open(t, url);
  const closed = closeCode(early);
  // A frame that is announced, and of which more comes than a CONNECT may have.
  early.send(Buffer.alloc(200_000), { fin: false });
  assert.equal(await closed, 1_009);
  const late = await open(t, url);
  await wireOn(late, V5).connect({ clientId: "late" });
  const closedLater = closeCode(late);
  late.send(Buffer.alloc(400_000));
  assert.equal(await closedLater, 1_009);
  assert.equal(await droppedFor(broker, "bad-frame"), 2);
});

test("a handshake that does not come is given up", async (t) => {
  const { broker, url } = await serve(t, {}, { connectTimeoutMs: 300 });
  const { hostname, port } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port) });
  socket.on("error", () => undefined);
  t.after(() => socket.destroy());
  // Byte by byte, so that it is never idle.
  const request = [..."GET /mqtt HTTP/1.1\r\nHost: edge\r\nX-Slow: very"];
  const timer = setInterval(() => socket.write(request.shift() ?? "y"), 50);
  await once(socket, "close", { signal: AbortSignal.timeout(WAIT_MS) });
  clearInterval(timer);
  assert.equal(await droppedFor(broker, "handshake-timeout"), 1);
});

test("MQTT 3.1, and DISCONNECT ends the WebSocket in order", async (t) => {
  const { broker, url } = await serve(t);
  const webSocket = await open(t, url, "mqttv3.1");
  const client = wireOn(webSocket, ProtocolVersion.v31);
  assert.equal((await client.connect({ clientId: "old" })).reasonCode, 0);
  await client.subscribe(1, "old", 1);
  client.send(publishPacket("old", "x", { qos: 1, packetId: 2 }));
  await client.takeType(PacketType.puback, 2);
  await client.takeType(PacketType.publish);
  const closed = closeCode(webSocket);
  client.send({ type: PacketType.disconnect, reasonCode: 0 });
  assert.equal(await closed, 1_000);
  await eventually(
    "it is gone",
    async () => (await sampleOf(broker, "rillmq_connections")) === 0,
    WAIT_MS,
  );
});

test("a malformed packet closes that WebSocket and nothing else", async (t) => {
  const { broker, url } = await serve(t);
  const good = await open(t, url);
  const client = wireOn(good, V5);
  await client.connect({ clientId: "good" });
  const bad = await open(t, url);
  const badClient = wireOn(bad, V5);
  await badClient.connect({ clientId: "bad" });
  // PUBLISH with QoS 3.
  bad.send(Buffer.from([0x36, 0x05, 0x00, 0x01, 0x61, 0x00, 0x01]));
  const { packet } = await badClient.takeType(PacketType.disconnect);
  assert.equal(packet.reasonCode, 0x81);
  await closeCode(bad);
  await client.subscribe(1, "x", 0);
  assert.equal(await sampleOf(broker, "rillmq_protocol_errors_total"), 1);
});

test("MQTT.js exchanges large and many messages", async (t) => {
  const { url } = await serve(t);
  const client = await connectAsync(url, { protocolVersion: 5, reconnectPeriod: 0 });
  t.after(() => client.endAsync(true));
  await client.subscribeAsync("js/#", { qos: 2 });
  const sizes = [0, 1, 125, 126, 65_535, 65_536, 900_000];
  const got: number[] = [];
  client.on("message", (_topic, payload) => got.push(payload.length));
  for (const size of sizes) await client.publishAsync("js/a", Buffer.alloc(size), { qos: 2 });
  await eventually("all came", () => got.length === sizes.length, WAIT_MS);
  assert.deepEqual(got, sizes);
});

test("ping frames are answered", async (t) => {
  const { url } = await serve(t);
  const webSocket = await open(t, url);
  webSocket.ping("are you there");
  const [data] = await once(webSocket, "pong", { signal: AbortSignal.timeout(WAIT_MS) });
  assert.equal(String(data), "are you there");
});
