import assert from "node:assert/strict";
import { test } from "node:test";
import { PacketType } from "../../../src/mqtt/packet.ts";
import { VirtualNode } from "../../support/virtual-node.ts";

test("A silent client is closed after one and a half times its keep alive, with 0x8D, and its will is sent. [MQTT-3.1.2-22, MQTT-3.2.2-22]", () => {
  for (const keepAliveSeconds of [1, 2, 3, 10, 65_535]) {
    const node = new VirtualNode();
    const watcher = node.connect("watcher");
    watcher.subscribe("w");
    watcher.take();
    const will = {
      topic: "w",
      payload: Buffer.from("x"),
      qos: 0,
      retain: false,
      properties: {},
    } as const;
    const client = node.connect("c", { keepAliveSeconds, will });
    client.take();
    node.advance(keepAliveSeconds * 1_500 - 1);
    assert.deepEqual([client.takeText(), client.isClosed], [[], false]);
    node.advance(1);
    assert.deepEqual([client.takeText(), client.isClosed], [["disconnect 0x8d"], true]);
    assert.deepEqual(watcher.takeText(), ["publish w q0: x"]);
  }
});

test("Every packet of the client starts its keep alive anew; what the broker sends does not. [MQTT-3.1.2-22]", () => {
  const node = new VirtualNode();
  const publisher = node.connect("p");
  const client = node.connect("c", { keepAliveSeconds: 10 });
  client.subscribe("a");
  const packets = [
    () => client.send({ type: PacketType.pingreq }),
    () => client.publish("b", "x"),
    () => client.subscribe("a"),
    () => client.unsubscribe("b"),
    () => client.ack(PacketType.puback, 9),
    () => client.ack(PacketType.pubrel, 9),
  ];
  for (const send of packets) {
    node.advance(14_999);
    assert.equal(client.isClosed, false);
    send();
  }
  node.advance(14_999);
  publisher.publish("a", "x");
  assert.equal(client.isClosed, false);
  node.advance(1);
  assert.equal(client.isClosed, true);
});

test("With keep alive 0 a client may be silent. [MQTT-3.2.2-22]", () => {
  const node = new VirtualNode();
  const client = node.connect("c", { keepAliveSeconds: 0 });
  node.advance(24 * 3_600_000);
  assert.equal(client.isClosed, false);
});

test("Where the broker told a server keep alive, it is that one that counts. [MQTT-3.1.2-22]", () => {
  for (const keepAliveSeconds of [0, 20, 65_535]) {
    const node = new VirtualNode({ connection: { keepAliveMaxSeconds: 10 } });
    const client = node.connect("c", { keepAliveSeconds });
    const [connack] = client.take();
    assert.ok(connack?.type === PacketType.connack);
    assert.equal(connack.properties.serverKeepAliveSeconds, 10);
    node.advance(14_999);
    assert.equal(client.isClosed, false);
    node.advance(1);
    assert.deepEqual([client.takeText(), client.isClosed], [["disconnect 0x8d"], true]);
  }
});

test("PINGREQ is answered with one PINGRESP each, in every state of the connection. [MQTT-3.12.4-1]", () => {
  const node = new VirtualNode();
  const client = node.connect("c", { keepAliveSeconds: 10, properties: { receiveMaximum: 1 } });
  client.subscribe("a", { qos: 1 });
  client.take();
  client.publish("a", "1", { qos: 1, packetId: 1 });
  client.publish("a", "2", { qos: 1, packetId: 2 });
  assert.deepEqual(client.takeText().sort(), ["puback 1", "puback 2", "publish a q1 #1: 1"]);
  for (let i = 0; i < 3; i++) {
    client.send({ type: PacketType.pingreq });
    assert.deepEqual(client.takeText(), ["pingresp"]);
  }
  client.send({ type: PacketType.pingreq }, { type: PacketType.pingreq });
  assert.deepEqual(client.takeText(), ["pingresp", "pingresp"]);
});

test("PINGREQ with a body or with flags is malformed. [MQTT-3.12.4-1, MQTT-2.1.3-1]", () => {
  for (const bytes of [
    [0xc0, 1, 0],
    [0xc1, 0],
    [0xc8, 0],
  ]) {
    const client = new VirtualNode().connect("c");
    client.take();
    client.sendBytes(Uint8Array.from(bytes));
    assert.deepEqual([client.takeText(), client.isClosed], [["disconnect 0x81"], true]);
  }
});
