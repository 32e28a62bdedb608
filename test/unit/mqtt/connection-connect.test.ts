import assert from "node:assert/strict";
import { test } from "node:test";
import { PacketType, ProtocolVersion } from "../../../src/mqtt/packet.ts";
import { VirtualNode } from "../../support/virtual-node.ts";

const { v31, v311, v5 } = ProtocolVersion;
const LASTING = { cleanStart: false, properties: { sessionExpirySeconds: 3_600 } };

for (const version of [v31, v311, v5]) {
  test(`CONNECT in version ${version} is answered with CONNACK before anything else. [MQTT-3.2.0-1]`, () => {
    const client = new VirtualNode().connect("c", { version });
    assert.deepEqual(client.takeText(), ["connack"]);
    assert.equal(client.isClosed, false);
  });
}

test("CONNACK of version 5 says what the broker grants.", () => {
  const node = new VirtualNode({
    connection: { sessionExpiryMaxMs: 60_000, keepAliveMaxSeconds: 100, receiveMaximum: 7 },
  });
  const client = node.connect("", { properties: { sessionExpirySeconds: 3_600 } });
  const [connack] = client.take();
  assert.ok(connack?.type === PacketType.connack);
  assert.equal(connack.properties.assignedClientId, "assigned-1");
  assert.equal(connack.properties.sessionExpirySeconds, 60);
  assert.equal(connack.properties.serverKeepAliveSeconds, 100);
  assert.equal(connack.properties.receiveMaximum, 7);
});

test("A first packet that is not CONNECT ends the connection without an answer. [MQTT-3.1.0-1]", () => {
  const client = new VirtualNode().dial();
  client.publish("a", "x");
  assert.deepEqual(client.takeText(), []);
  assert.equal(client.isClosed, true);
});

test("What cannot become a CONNECT is not waited for. [MQTT-3.1.0-1]", () => {
  const node = new VirtualNode();
  const client = node.dial();
  // A PUBREC of 82 bytes, if it were one.
  client.sendBytes(Buffer.from("PRI * HTTP/2.0"));
  assert.equal(client.isClosed, true);
  assert.equal(node.broker.counters.protocolErrors, 1);
});

test("A second CONNECT is a protocol error. [MQTT-3.1.0-2]", () => {
  const node = new VirtualNode();
  const client = node.connect("c");
  client.connect({ clientId: "c" });
  assert.deepEqual(client.takeText(), ["connack", "disconnect 0x82"]);
  assert.equal(client.isClosed, true);
});

test("A 3.1.1 client without identifier needs a clean session. [MQTT-3.1.3-8]", () => {
  const node = new VirtualNode();
  const refused = node.connect("", { version: v311, cleanStart: false });
  assert.deepEqual(refused.takeText(), ["connack 0x85"]);
  assert.equal(refused.isClosed, true);
  assert.deepEqual(node.connect("", { version: v311 }).takeText(), ["connack"]);
});

test("An authentication method that nobody offers is refused. [MQTT-4.12.0-1]", () => {
  const client = new VirtualNode().connect("c", { properties: { authenticationMethod: "x" } });
  assert.deepEqual(client.takeText(), ["connack 0x8c"]);
});

test("One session too many is refused, and the one that goes makes room.", () => {
  const node = new VirtualNode({ limits: { sessionsMax: 1 } });
  const first = node.connect("first");
  assert.deepEqual(node.connect("second").takeText(), ["connack 0x97"]);
  first.disconnect();
  assert.deepEqual(node.connect("second").takeText(), ["connack"]);
});

test("The older connection of a client identifier is ended and its session goes on. [MQTT-3.1.4-3]", () => {
  const node = new VirtualNode();
  const old = node.connect("c", LASTING);
  old.subscribe("a", { qos: 1 });
  old.takeText();
  const next = node.connect("c", LASTING);
  assert.deepEqual(old.takeText(), ["disconnect 0x8e"]);
  assert.equal(old.isClosed, true);
  old.lose();
  node.connect("p").publish("a", "x", { qos: 1, packetId: 1 });
  assert.deepEqual(next.takeText(), ["connack present", "publish a q1 #1: x"]);
});

test("Clean start ends the older session, also while its client is connected. [MQTT-3.1.2-4]", () => {
  const node = new VirtualNode();
  node.connect("c", LASTING).subscribe("a", { qos: 1 });
  const next = node.connect("c", { cleanStart: true });
  node.connect("p").publish("a", "x", { qos: 1, packetId: 1 });
  assert.deepEqual(next.takeText(), ["connack"]);
});

test("CONNACK of a session that lasts waits for the flush, of one that does not it does not.", () => {
  const node = new VirtualNode({ flushes: "manual" });
  const lasting = node.connect("lasting", LASTING);
  const passing = node.connect("passing");
  assert.deepEqual([lasting.takeText(), passing.takeText()], [[], ["connack"]]);
  node.flush();
  assert.deepEqual(lasting.takeText(), ["connack"]);
});

test("A session that lasted and is started clean is gone from disk before CONNACK.", () => {
  const node = new VirtualNode({ flushes: "manual" });
  node.connect("c", LASTING);
  node.flushAll();
  const client = node.connect("c", { cleanStart: true });
  assert.deepEqual(client.takeText(), []);
  node.flushAll();
  assert.deepEqual(client.takeText(), ["connack"]);
  assert.deepEqual(node.metaKeys(0x10), []);
});

test("A network connection without CONNECT is closed at its deadline.", () => {
  const node = new VirtualNode();
  const silent = node.dial();
  node.advance(9_999);
  assert.equal(silent.isClosed, false);
  node.advance(1);
  assert.equal(silent.isClosed, true);
  assert.deepEqual(silent.takeText(), []);
});

test("A broker that stops says nothing to who has not said CONNECT.", () => {
  const client = new VirtualNode().dial();
  client.connection.end("server-shutting-down");
  assert.deepEqual(client.takeText(), []);
  assert.equal(client.isClosed, true);
});

test("A silent client is ended after one and a half times its keep alive. [MQTT-3.1.2-22]", () => {
  const node = new VirtualNode();
  const client = node.connect("c", { keepAliveSeconds: 10 });
  client.takeText();
  node.advance(10_000);
  client.send({ type: PacketType.pingreq });
  node.advance(14_999);
  assert.deepEqual(client.takeText(), ["pingresp"]);
  node.advance(1);
  assert.deepEqual(client.takeText(), ["disconnect 0x8d"]);
  assert.equal(client.isClosed, true);
});

test("Keep alive 0 means that silence is fine.", () => {
  const node = new VirtualNode();
  const client = node.connect("c", { keepAliveSeconds: 0 });
  node.advance(10 * 86_400_000);
  assert.equal(client.isClosed, false);
});

test("DISCONNECT may not ask for a session that CONNECT did not want. [MQTT 5.0 section 3.14.2.2.2]", () => {
  const client = new VirtualNode().connect("c");
  client.disconnect(0, { sessionExpirySeconds: 10 });
  assert.deepEqual(client.takeText(), ["connack", "disconnect 0x82"]);
});

test("DISCONNECT may end a session that CONNECT wanted.", () => {
  const node = new VirtualNode();
  node.connect("c", LASTING).disconnect(0, { sessionExpirySeconds: 0 });
  assert.deepEqual(node.connect("c", LASTING).takeText(), ["connack"]);
});

test("AUTH without a method is a protocol error.", () => {
  const client = new VirtualNode().connect("c");
  client.send({
    type: PacketType.auth,
    reasonCode: 0x19,
    properties: { authenticationMethod: "x" },
  });
  assert.deepEqual(client.takeText(), ["connack", "disconnect 0x82"]);
});
