/** The client side: the uplink's MQTT client in version 3.1.1, against a server that takes down what it says. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { IConnectPacket } from "mqtt-packet";
import { PacketType, ProtocolVersion } from "../../../src/mqtt/packet.ts";
import { MqttDriver } from "../../../src/uplink/drivers/mqtt.ts";
import { BrokerHome } from "../../support/broker-process.ts";
import { eventually } from "../../support/json-process.ts";
import { LiveEdge } from "../../support/live-edge.ts";
import { ScriptedServer } from "../../support/scripted-server.ts";
import { publishPacket, WireClient } from "../../support/wire-client.ts";
import { sendUnasked, startWebSocketServer, welcoming } from "../uplink-server.ts";

const V311 = ProtocolVersion.v311;
const WAIT_MS = 10_000;

const ACCEPTED = { returnCode: 0 };
const takesAll = welcoming(ACCEPTED);

function startEdge(t: TestContext, url: string, keepAliveSeconds = 30): LiveEdge {
  const driver = new MqttDriver({ urls: [url], protocolVersion: 4, keepAliveSeconds });
  const edge = new LiveEdge(driver);
  t.after(() => edge.uplink.stop(0));
  return edge;
}

test("The uplink's first packet is CONNECT, and it comes once [MQTT-3.1.0-1, MQTT-3.1.0-2]", async (t) => {
  const server = await ScriptedServer.start(t, 4, takesAll);
  const edge = startEdge(t, server.url);
  edge.appendMany(20);
  await edge.drained();
  const connection = await server.when(0, "publish", 20);
  assert.equal(connection.packets[0]?.cmd, "connect");
  assert.equal(connection.all("connect").length, 1);
});

test("The uplink's CONNECT has the name MQTT, level 4, a client identifier of its own and a clean session [MQTT-3.1.2-1, MQTT-3.1.3-3, MQTT-3.1.3-4, MQTT-3.1.3-7]", async (t) => {
  const server = await ScriptedServer.start(t, 4, takesAll);
  startEdge(t, server.url);
  const connection = await server.when(0, "connect");
  const [connect] = connection.all("connect") as IConnectPacket[];
  assert.equal(connect?.protocolId, "MQTT");
  assert.equal(connect.protocolVersion, 4);
  assert.equal(connect.clientId, "rillmq-plant-7-centre");
  assert.equal(connect.clean, true);
  assert.equal(connect.will, undefined);
});

test("Each PUBLISH of the uplink has a packet identifier that is not in use, QoS 1 and no DUP [MQTT-2.3.1-1, MQTT-2.3.1-2, MQTT-4.3.2-1]", async (t) => {
  const kept = new Set<number>();
  const server = await ScriptedServer.start(
    t,
    4,
    welcoming(ACCEPTED, (packet) => {
      // Every third is never acknowledged: its packet identifier stays in use.
      if (packet.cmd !== "publish" || packet.messageId === undefined) return false;
      assert.ok(!kept.has(packet.messageId), `packet identifier ${packet.messageId} is in use`);
      if (packet.messageId % 3 === 0) kept.add(packet.messageId);
      return packet.messageId % 3 !== 0;
    }),
  );
  const edge = startEdge(t, server.url);
  edge.appendMany(300);
  const connection = await server.when(0, "publish", 300);
  const publishes = connection.all("publish");
  assert.ok(kept.size >= 90);
  for (const { messageId, qos, dup } of publishes) {
    assert.ok(messageId !== undefined && messageId > 0);
    assert.deepEqual([qos, dup], [1, false]);
  }
});

test("The uplink re-sends no packet: what was not acknowledged is published anew on the next connection, in its order [MQTT-2.3.1-3, MQTT-4.6.0-1]", async (t) => {
  const server = await ScriptedServer.start(
    t,
    4,
    welcoming(ACCEPTED, (_packet, connection) => connection !== server.connections[0]),
  );
  const edge = startEdge(t, server.url);
  edge.appendMany(30);
  const first = await server.when(0, "publish", 30);
  const payloads = first.all("publish").map(({ payload }) => payload.toString());
  first.drop();
  const second = await server.when(1, "publish", 30);
  await edge.drained();
  assert.equal(second.all("connect")[0]?.clean, true);
  const again = second.all("publish");
  assert.deepEqual(
    again.map(({ payload }) => payload.toString()),
    payloads,
  );
  assert.ok(again.every(({ dup }) => !dup));
});

test("The uplink sends PINGREQ when it has nothing else to say within its keep alive [MQTT-3.1.2-23]", async (t) => {
  const server = await ScriptedServer.start(t, 4, takesAll);
  startEdge(t, server.url, 2);
  const connection = await server.when(0, "connect");
  const [connect] = connection.all("connect") as IConnectPacket[];
  assert.equal(connect?.keepalive, 2);
  const connectedAt = performance.now();
  await server.when(0, "pingreq");
  // Two seconds, and some for a machine that is busy.
  assert.ok(performance.now() - connectedAt < 3_000);
});

test("The uplink acknowledges messages that it did not ask for, by their QoS [MQTT-4.5.0-2, MQTT-3.3.4-1, MQTT-2.3.1-6]", async (t) => {
  const server = await ScriptedServer.start(t, 4, takesAll);
  const edge = startEdge(t, server.url);
  edge.appendMany(1);
  await edge.drained();
  const connection = await server.when(0, "publish");
  await sendUnasked(server, connection);
});

test("DISCONNECT is the last packet of the uplink, and it closes the connection itself [MQTT-3.14.4-1, MQTT-3.14.4-2, MQTT-3.14.1-1]", async (t) => {
  const server = await ScriptedServer.start(t, 4, takesAll);
  const edge = startEdge(t, server.url);
  edge.appendMany(3);
  await edge.drained();
  const connection = await server.when(0, "publish", 3);
  await edge.uplink.stop(WAIT_MS);
  await eventually("the connection is closed", () => connection.isEnded, WAIT_MS);
  assert.equal(connection.packets.at(-1)?.cmd, "disconnect");
  assert.equal(connection.all("disconnect").length, 1);
});

test("Over WebSocket the uplink asks for the subprotocol mqtt and sends binary frames [MQTT-6.0.0-1, MQTT-6.0.0-3]", async (t) => {
  const { url, offered, kinds } = await startWebSocketServer(t, Buffer.from([0x20, 2, 0, 0]));
  startEdge(t, url);
  await eventually("a frame came", () => kinds.length > 0, WAIT_MS);
  assert.deepEqual(offered[0], ["mqtt"]);
  assert.deepEqual(new Set(kinds), new Set([true]));
});

test("An edge is a server to its devices and a client to its centre, at once and in 3.1.1 [MQTT-7.0.0-1]", async (t) => {
  const centre = await new BrokerHome(t).start();
  const config = {
    edgeId: "plant-7",
    streams: [{ name: "telemetry", filters: ["sim/#"] }],
    uplinks: [
      {
        name: "centre",
        driver: "mqtt",
        url: `mqtt://127.0.0.1:${centre.port}`,
        protocolVersion: 4,
        lanes: [{ stream: "telemetry", class: "normal" }],
      },
    ],
  };
  const edge = await new BrokerHome(t).start({ config });
  const watcher = await WireClient.open(centre.port, V311);
  t.after(() => watcher.drop());
  await watcher.connect({ clientId: "watcher" });
  await watcher.subscribe(1, "edge/plant-7/#", 0);
  const device = await WireClient.open(edge.port, V311);
  t.after(() => device.drop());
  await device.connect({ clientId: "device" });
  device.send(publishPacket("sim/a", "x", { qos: 1, packetId: 1 }));
  await device.takeType(PacketType.puback, 1);
  const { packet } = await watcher.takeType(PacketType.publish);
  assert.equal(packet.topic, "edge/plant-7/sim/a");
});
