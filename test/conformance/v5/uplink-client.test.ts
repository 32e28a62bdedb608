/** The client side: the uplink's MQTT client in version 5, against a server that takes down what it says. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { IConnectPacket } from "mqtt-packet";
import { MqttDriver } from "../../../src/uplink/drivers/mqtt.ts";
import { eventually } from "../../support/json-process.ts";
import { LiveEdge } from "../../support/live-edge.ts";
import { ScriptedServer } from "../../support/scripted-server.ts";
import { sendUnasked, startWebSocketServer, welcoming } from "../uplink-server.ts";

const WAIT_MS = 10_000;

function startEdge(t: TestContext, url: string, keepAliveSeconds = 30): LiveEdge {
  const driver = new MqttDriver({ urls: [url], protocolVersion: 5, keepAliveSeconds });
  // Longer than a test keeps its acknowledgements back.
  const edge = new LiveEdge(driver, undefined, undefined, {}, { progressDeadlineMinMs: WAIT_MS });
  t.after(() => edge.uplink.stop(0));
  return edge;
}

test("The uplink's first packet is CONNECT, once, with MQTT, version 5, a client identifier and clean start. [MQTT-3.1.0-1, MQTT-3.1.0-2, MQTT-3.1.2-1, MQTT-3.1.3-3, MQTT-3.1.3-5]", async (t) => {
  const server = await ScriptedServer.start(t, 5, welcoming());
  const edge = startEdge(t, server.url);
  edge.appendMany(20);
  await edge.drained();
  const connection = await server.when(0, "publish", 20);
  assert.equal(connection.packets[0]?.cmd, "connect");
  const connects = connection.all("connect") as IConnectPacket[];
  assert.equal(connects.length, 1);
  assert.equal(connects[0]?.protocolId, "MQTT");
  assert.equal(connects[0].protocolVersion, 5);
  assert.equal(connects[0].clientId, "rillmq-plant-7-centre");
  assert.equal(connects[0].clean, true);
  assert.equal(connects[0].will, undefined);
  assert.equal(connects[0].properties?.authenticationMethod, undefined);
});

test("Each PUBLISH of the uplink has a packet identifier that is not in use, QoS 1, no DUP and its record's properties. [MQTT-2.2.1-3, MQTT-4.3.2-1, MQTT-4.3.2-2]", async (t) => {
  const kept = new Set<number>();
  const server = await ScriptedServer.start(
    t,
    5,
    welcoming({}, (packet) => {
      if (packet.cmd !== "publish" || packet.messageId === undefined) return false;
      assert.ok(!kept.has(packet.messageId), `packet identifier ${packet.messageId} is in use`);
      if (packet.messageId % 3 === 0) kept.add(packet.messageId);
      return packet.messageId % 3 !== 0;
    }),
  );
  const edge = startEdge(t, server.url);
  edge.appendMany(300);
  const connection = await server.when(0, "publish", 300);
  assert.ok(kept.size >= 90);
  for (const { messageId, qos, dup, topic, properties } of connection.all("publish")) {
    assert.ok(messageId !== undefined && messageId > 0);
    assert.deepEqual([qos, dup], [1, false]);
    // No topic alias: the server allows none.
    assert.notEqual(topic, "");
    assert.equal(properties?.topicAlias, undefined);
  }
});

test("Where the server allows topic aliases the uplink uses none, and so none above its maximum. [MQTT-3.2.2-17, MQTT-3.2.2-18, MQTT-3.3.2-9]", async (t) => {
  for (const topicAliasMaximum of [0, 3]) {
    const server = await ScriptedServer.start(
      t,
      5,
      welcoming({ properties: { topicAliasMaximum } }),
    );
    const edge = startEdge(t, server.url);
    edge.appendMany(30);
    const connection = await server.when(0, "publish", 30);
    for (const { topic, properties } of connection.all("publish")) {
      assert.match(topic, /^edge\/plant-7\/sim\/d\d\/sensor$/);
      assert.equal(properties?.topicAlias, undefined);
    }
  }
});

test("What was not acknowledged is published anew on the next connection, in its order, and no session is kept. [MQTT-4.6.0-1, MQTT-3.2.2-5, MQTT-4.4.0-1]", async (t) => {
  const server = await ScriptedServer.start(
    t,
    5,
    welcoming({}, (_packet, connection) => connection !== server.connections[0]),
  );
  const edge = startEdge(t, server.url);
  edge.appendMany(30);
  const first = await server.when(0, "publish", 30);
  const payloads = first.all("publish").map(({ payload }) => payload.toString());
  first.drop();
  const second = await server.when(1, "publish", 30);
  await edge.drained();
  const connect = second.all("connect")[0] as IConnectPacket;
  assert.equal(connect.clean, true);
  assert.equal(connect.properties?.sessionExpiryInterval ?? 0, 0);
  const again = second.all("publish");
  assert.deepEqual(
    again.map(({ payload }) => payload.toString()),
    payloads,
  );
  assert.ok(again.every(({ dup }) => !dup));
});

test("The uplink closes where a server speaks of a session that it does not have. [MQTT-3.2.2-4]", async (t) => {
  const server = await ScriptedServer.start(t, 5, welcoming({ sessionPresent: true }));
  const edge = startEdge(t, server.url);
  edge.appendMany(3);
  const connection = await server.when(0, "connect");
  await eventually("the connection is closed", () => connection.isEnded, WAIT_MS);
  assert.deepEqual(connection.all("publish"), []);
});

test("The uplink never has more messages on their way than the server's receive maximum, and goes on with everything else. [MQTT-3.3.4-7, MQTT-3.3.4-8, MQTT-4.9.0-1, MQTT-4.9.0-2, MQTT-4.9.0-3]", async (t) => {
  let isOpen = false;
  const server = await ScriptedServer.start(
    t,
    5,
    welcoming({ properties: { receiveMaximum: 4, serverKeepAlive: 1 } }, () => isOpen),
  );
  const edge = startEdge(t, server.url);
  edge.appendMany(50);
  // Longer than the keep alive nothing is acknowledged.
  const connection = await server.when(0, "pingreq");
  assert.equal(connection.all("publish").length, 4);
  isOpen = true;
  for (const { messageId = 0 } of connection.all("publish")) {
    connection.send({ cmd: "puback", messageId, reasonCode: 0 });
  }
  await edge.drained();
  assert.equal(connection.all("publish").length, 50);
  assert.equal(server.connections.length, 1);
});

test("The uplink sends PINGREQ within its keep alive, and within the server's where that says another. [MQTT-3.1.2-20, MQTT-3.1.2-21, MQTT-3.2.2-21]", async (t) => {
  for (const [asked, properties] of [
    [1, {}],
    [3_600, { serverKeepAlive: 1 }],
  ] as const) {
    const server = await ScriptedServer.start(t, 5, welcoming({ properties }));
    startEdge(t, server.url, asked);
    const connection = await server.when(0, "connect");
    assert.equal((connection.all("connect")[0] as IConnectPacket).keepalive, asked);
    const connectedAt = performance.now();
    await server.when(0, "pingreq");
    // One and a half seconds and the server would close; some for a machine that is busy.
    assert.ok(performance.now() - connectedAt < 3_000);
  }
});

test("The uplink sends no packet that is larger than the server takes. [MQTT-3.2.2-15]", async (t) => {
  const server = await ScriptedServer.start(
    t,
    5,
    welcoming({ properties: { maximumPacketSize: 200 } }),
  );
  const edge = startEdge(t, server.url);
  edge.append({ topic: "sim/a", payload: "before" });
  edge.append({ topic: "sim/a", payload: "x".repeat(300) });
  edge.append({ topic: "sim/a", payload: "behind" });
  const connection = await server.when(0, "publish", 2);
  const payloads = connection.all("publish").map(({ payload }) => payload.toString());
  assert.deepEqual(payloads, ["before", "behind"]);
  assert.ok(connection.all("publish").every(({ length = 0 }) => length + 3 <= 200));
});

test("The uplink publishes nothing above the server's maximum QoS. [MQTT-3.2.2-11]", async (t) => {
  const server = await ScriptedServer.start(
    t,
    5,
    welcoming({ properties: { maximumQoS: 0, serverKeepAlive: 1 } }),
  );
  const edge = startEdge(t, server.url);
  edge.appendMany(3);
  await edge.until(
    "the lane says why",
    () => JSON.stringify(edge.uplink.status()).includes("QoS 0 only"),
    WAIT_MS,
  );
  assert.ok(server.connections.every((connection) => connection.all("publish").length === 0));
});

test("The uplink sends no RETAIN to a server that has no retained messages. [MQTT-3.2.2-14]", async (t) => {
  for (const retainAvailable of [false, true]) {
    const server = await ScriptedServer.start(t, 5, welcoming({ properties: { retainAvailable } }));
    const edge = startEdge(t, server.url);
    edge.append({ topic: "sim/a", payload: "x", retain: true });
    const connection = await server.when(0, "publish");
    assert.equal(connection.all("publish")[0]?.retain, retainAvailable);
  }
});

test("The uplink acknowledges messages that it did not ask for, by their QoS. [MQTT-4.5.0-2, MQTT-3.3.4-1, MQTT-2.2.1-5]", async (t) => {
  const server = await ScriptedServer.start(t, 5, welcoming());
  const edge = startEdge(t, server.url);
  edge.appendMany(1);
  await edge.drained();
  const connection = await server.when(0, "publish");
  await sendUnasked(server, connection);
});

test("DISCONNECT is the last packet of the uplink, and it closes the connection itself. [MQTT-3.14.4-1, MQTT-3.14.4-2]", async (t) => {
  const server = await ScriptedServer.start(t, 5, welcoming());
  const edge = startEdge(t, server.url);
  edge.appendMany(3);
  await edge.drained();
  const connection = await server.when(0, "publish", 3);
  await edge.uplink.stop(WAIT_MS);
  await eventually("the connection is closed", () => connection.isEnded, WAIT_MS);
  assert.equal(connection.packets.at(-1)?.cmd, "disconnect");
  assert.equal(connection.all("disconnect").length, 1);
});

test("Over WebSocket the uplink offers the subprotocol mqtt and sends binary frames. [MQTT-6.0.0-1, MQTT-6.0.0-3]", async (t) => {
  const { url, offered, kinds } = await startWebSocketServer(t, Buffer.from([0x20, 3, 0, 0, 0]));
  startEdge(t, url);
  await eventually("a frame came", () => kinds.length > 0, WAIT_MS);
  assert.deepEqual(offered[0], ["mqtt"]);
  assert.deepEqual(new Set(kinds), new Set([true]));
});
