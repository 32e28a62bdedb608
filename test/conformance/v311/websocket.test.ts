import assert from "node:assert/strict";
import { once } from "node:events";
import { type TestContext, test } from "node:test";
import { WebSocket } from "ws";
import { edgeForFile } from "../edge.ts";
import { field, packet } from "../raw-client.ts";

const WAIT_MS = 5_000;
const edge = edgeForFile({ config: { listeners: [{ url: "ws://127.0.0.1:0" }] } });

const CONNECT = packet(0x10, `${field("MQTT")} 04 02 0000 ${field("web")}`);
const PING = packet(0xc0);
const PUBLISH = packet(0x30, `${field("web/a")} 'x'`);
const SUBSCRIBE = packet(0x82, `0001 ${field("web/#")} 00`);
const CONNACK = "20020000";
const PONG = "d000";
const SUBACK = "9003000100";

/** A WebSocket that notes what comes. */
interface Web {
  readonly socket: WebSocket;
  /** Kinds of the frames that came. */
  readonly kinds: Set<"binary" | "text">;
  /** Waits for exactly these bytes since the last call, in hexadecimal digits. */
  expect(hex: string): Promise<void>;
}

async function openWeb(t: TestContext, protocols: string[] = ["mqtt"]): Promise<Web> {
  const socket = new WebSocket(edge.broker.urls[0] ?? "", protocols);
  t.after(() => socket.terminate());
  const kinds = new Set<"binary" | "text">();
  let received = "";
  socket.on("message", (data, isBinary) => {
    kinds.add(isBinary ? "binary" : "text");
    received += Buffer.isBuffer(data) ? data.toString("hex") : "";
  });
  await once(socket, "open", { signal: AbortSignal.timeout(WAIT_MS) });
  const expect = async (hex: string): Promise<void> => {
    while (received.length < hex.length) {
      await once(socket, "message", { signal: AbortSignal.timeout(WAIT_MS) });
    }
    assert.equal(received, hex);
    received = "";
  };
  return { socket, kinds, expect };
}

test("Packets come and go in binary frames [MQTT-6.0.0-1]", async (t) => {
  const web = await openWeb(t);
  for (const [bytes, answer] of [
    [CONNECT, CONNACK],
    [SUBSCRIBE, SUBACK],
    [PUBLISH, PUBLISH.toString("hex")],
    [PING, PONG],
  ] as const) {
    web.socket.send(bytes);
    await web.expect(answer);
  }
  assert.deepEqual([...web.kinds], ["binary"]);
});

test("A text frame closes the connection, before CONNECT and after it [MQTT-6.0.0-1]", async (t) => {
  for (const isConnected of [false, true]) {
    const web = await openWeb(t);
    if (isConnected) {
      web.socket.send(CONNECT);
      await web.expect(CONNACK);
    }
    const closed = once(web.socket, "close", { signal: AbortSignal.timeout(WAIT_MS) });
    web.socket.send(CONNECT.toString("latin1"));
    const [code] = await closed;
    assert.equal(code, 1_003);
    await web.expect("");
  }
});

test("A frame may hold several packets [MQTT-6.0.0-2]", async (t) => {
  const web = await openWeb(t);
  web.socket.send(Buffer.concat([CONNECT, PING, PING]));
  await web.expect(CONNACK + PONG + PONG);
});

test("A packet may be spread over frames, cut anywhere, also behind the end of another [MQTT-6.0.0-2]", async (t) => {
  const web = await openWeb(t);
  for (const byte of CONNECT) web.socket.send(Buffer.from([byte]));
  await web.expect(CONNACK);
  web.socket.send(SUBSCRIBE);
  await web.expect(SUBACK);
  for (let cut = 1; cut < PUBLISH.length; cut++) {
    web.socket.send(Buffer.concat([PING, PUBLISH.subarray(0, cut)]));
    await web.expect(PONG);
    web.socket.send(PUBLISH.subarray(cut));
    await web.expect(PUBLISH.toString("hex"));
  }
});

test("The subprotocol is mqtt, also among others that are offered [MQTT-6.0.0-3, MQTT-6.0.0-4]", async (t) => {
  for (const offered of [["mqtt"], ["chat", "mqtt"], ["mqtt", "mqttv3.1"], ["mqttv3.1", "mqtt"]]) {
    const web = await openWeb(t, offered);
    assert.equal(web.socket.protocol, "mqtt", offered.join());
  }
});

test("Who does not offer the subprotocol mqtt does not come in [MQTT-6.0.0-3]", async () => {
  for (const offered of [[], ["chat"], ["MQTT"], ["mqtt5"]]) {
    const socket = new WebSocket(edge.broker.urls[0] ?? "", offered);
    // Given up below, before it was open.
    socket.on("error", () => undefined);
    const refused = once(socket, "unexpected-response", { signal: AbortSignal.timeout(WAIT_MS) });
    const [request, response] = await refused;
    request.destroy();
    assert.equal(response.statusCode, 400, offered.join());
  }
});
