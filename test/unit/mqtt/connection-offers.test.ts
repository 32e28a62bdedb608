import assert from "node:assert/strict";
import { test } from "node:test";
import type { ConnectionOptions } from "../../../src/mqtt/connection-options.ts";
import { PacketType, ProtocolVersion } from "../../../src/mqtt/packet.ts";
import type { Properties } from "../../../src/mqtt/properties.ts";
import type { VirtualClient } from "../../support/virtual-client.ts";
import { publishPacket } from "../../support/virtual-client.ts";
import { VirtualNode } from "../../support/virtual-node.ts";

const nodeOf = (connection: Partial<ConnectionOptions>): VirtualNode =>
  new VirtualNode({ connection });

function connackOf(client: VirtualClient): Properties {
  const [connack] = client.take();
  assert.ok(connack?.type === PacketType.connack);
  assert.equal(connack.reasonCode, 0);
  return connack.properties;
}

const will = (fields: object = {}) => ({
  will: {
    topic: "w",
    payload: Buffer.of(0xff),
    qos: 1 as const,
    retain: true,
    properties: {},
    ...fields,
  },
});

test("A maximum QoS is told, and kept to in grants. [MQTT-3.2.2-9, 3.2.2-10]", () => {
  for (const maximumQos of [0, 1] as const) {
    const node = nodeOf({ maximumQos });
    const client = node.connect("c");
    assert.equal(connackOf(client).maximumQos, maximumQos);
    for (const qos of [0, 1, 2] as const) client.subscribe(`t/${qos}`, { qos });
    const granted = [0, 1, 2].map((qos) => `suback 1 0x0${Math.min(qos, maximumQos)}`);
    assert.deepEqual(client.takeText(), granted);
  }
  assert.equal(connackOf(nodeOf({}).connect("c")).maximumQos, undefined);
});

test("Who publishes above the maximum QoS is disconnected with 0x9B. [MQTT-3.2.2-11]", () => {
  const node = nodeOf({ maximumQos: 1 });
  const client = node.connect("c");
  client.publish("t", "x", { qos: 1, packetId: 1 });
  client.publish("t", "x", { qos: 2, packetId: 2 });
  assert.deepEqual(client.takeText(), ["connack", "puback 1 0x10", "disconnect 0x9b"]);
  const old = node.connect("o", { version: ProtocolVersion.v311 });
  old.publish("t", "x", { qos: 2, packetId: 2 });
  assert.deepEqual(old.takeText(), ["connack"]);
  assert.equal(old.isClosed, true);
});

test("A will above the maximum QoS is refused with 0x9B. [MQTT-3.2.2-12]", () => {
  const node = nodeOf({ maximumQos: 0 });
  assert.deepEqual(node.connect("c", will()).takeText(), ["connack 0x9b"]);
  assert.deepEqual(node.connect("c", will({ qos: 0 })).takeText(), ["connack"]);
});

test("Without retained messages who publishes one is disconnected with 0x9A, and a retained will refused. [MQTT-3.2.2-13, 3.2.2-14]", () => {
  const node = nodeOf({ isRetainAvailable: false });
  assert.deepEqual(node.connect("w", will()).takeText(), ["connack 0x9a"]);
  assert.deepEqual(node.connect("w", will({ retain: false })).takeText(), ["connack"]);
  const client = node.connect("c");
  assert.equal(connackOf(client).isRetainAvailable, false);
  client.publish("t", "x", { retain: true });
  assert.deepEqual(client.takeText(), ["disconnect 0x9a"]);
  assert.equal(connackOf(nodeOf({}).connect("c")).isRetainAvailable, undefined);
});

test("Without retained messages those that are stored are sent to nobody.", () => {
  const options: { isRetainAvailable: boolean } = { isRetainAvailable: true };
  const node = nodeOf(options);
  node.connect("p").publish("t", "kept", { retain: true });
  options.isRetainAvailable = false;
  const client = node.connect("c");
  client.subscribe("#");
  assert.deepEqual(client.takeText(), ["connack", "suback 1 0x00"]);
});

test("A payload that is not the UTF-8 that it says it is is refused with 0x99, where that is looked at.", () => {
  const bad = (qos: 0 | 1 | 2, packetId = 1) => ({
    ...publishPacket("t", "", { qos, packetId: qos === 0 ? 0 : packetId }),
    payload: Buffer.of(0x61, 0xc3),
    properties: { isPayloadUtf8: true },
  });
  const node = nodeOf({ validatesPayloadFormat: true });
  const subscriber = node.connect("s");
  subscriber.subscribe("#");
  subscriber.take();
  const client = node.connect("c");
  client.send(bad(1), bad(2, 2), { ...bad(1, 3), payload: Buffer.from("ü\0") });
  client.send({ ...bad(1, 4), properties: { isPayloadUtf8: false } });
  const answers = ["connack", "puback 1 0x99", "pubrec 2 0x99", "puback 3", "puback 4"];
  assert.deepEqual(client.takeText(), answers);
  assert.equal(subscriber.takeMessages().length, 2);
  client.send(bad(0));
  assert.deepEqual(client.takeText(), ["disconnect 0x99"]);
  const badWill = will({ properties: { isPayloadUtf8: true } });
  assert.deepEqual(node.connect("w", badWill).takeText(), ["connack 0x99"]);
  const careless = nodeOf({});
  assert.deepEqual(careless.connect("w", badWill).takeText(), ["connack"]);
  const other = careless.connect("c");
  other.send(bad(1));
  assert.deepEqual(other.takeText(), ["connack", "puback 1 0x10"]);
});

test("A refused QoS 2 payload gives its place in the receive maximum back and is no repeat later.", () => {
  const node = nodeOf({ validatesPayloadFormat: true, receiveMaximum: 1 });
  const client = node.connect("c");
  const bad = {
    ...publishPacket("t", "", { qos: 2, packetId: 1 }),
    payload: Buffer.of(0xff),
    properties: { isPayloadUtf8: true },
  };
  for (let i = 0; i < 3; i++) client.send(bad);
  client.publish("t", "fine", { qos: 2, packetId: 1 });
  const refusals = new Array(3).fill("pubrec 1 0x99");
  assert.deepEqual(client.takeText(), ["connack", ...refusals, "pubrec 1 0x10"]);
});

test("Response information is for clients that ask for it, with their names in it. [MQTT-3.1.2-28]", () => {
  const node = nodeOf({ responseInformation: "replies/%c" });
  const asked = { requestResponseInformation: true };
  const infoOf = (clientId: string, properties: Properties): string | undefined =>
    connackOf(node.connect(clientId, { properties })).responseInformation;
  assert.equal(infoOf("c", asked), "replies/c");
  assert.equal(infoOf("c", {}), undefined);
  assert.equal(infoOf("c", { requestResponseInformation: false }), undefined);
  // Its identifier would mean more than a name.
  assert.equal(infoOf("a/#", asked), undefined);
  const silent = nodeOf({}).connect("c", { properties: asked });
  assert.equal(connackOf(silent).responseInformation, undefined);
});
