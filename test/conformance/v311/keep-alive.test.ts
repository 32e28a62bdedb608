/** Keep alive on a clock that the test sets; `connect.test.ts` has it on a real one. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { PacketType, ProtocolVersion } from "../../../src/mqtt/packet.ts";
import { VirtualNode } from "../../support/virtual-node.ts";

const V311 = ProtocolVersion.v311;

for (const keepAliveSeconds of [1, 2, 60, 65_535]) {
  test(`With a keep alive of ${keepAliveSeconds} s silence of one and a half times of it ends the connection, and no less [MQTT-3.1.2-24]`, () => {
    const node = new VirtualNode();
    const client = node.connect("c", { version: V311, keepAliveSeconds });
    client.takeText();
    node.advance(keepAliveSeconds * 1_500 - 1);
    assert.equal(client.isClosed, false);
    node.advance(1);
    assert.equal(client.isClosed, true);
    // 3.1.1 has no packet to say why.
    assert.deepEqual(client.takeText(), []);
  });
}

test("Every control packet counts against the keep alive [MQTT-3.1.2-24]", () => {
  const node = new VirtualNode();
  const client = node.connect("c", { version: V311, keepAliveSeconds: 10 });
  const packets = [
    () => client.send({ type: PacketType.pingreq }),
    () => client.publish("a", "x"),
    () => client.subscribe("b"),
    () => client.send({ type: PacketType.puback, packetId: 9, reasonCode: 0 }),
  ];
  for (const send of packets) {
    node.advance(14_999);
    send();
  }
  node.advance(14_999);
  assert.equal(client.isClosed, false);
  node.advance(1);
  assert.equal(client.isClosed, true);
});

test("Keep alive 0 means that silence is fine [MQTT-3.1.2-24]", () => {
  const node = new VirtualNode();
  const client = node.connect("c", { version: V311, keepAliveSeconds: 0 });
  node.advance(30 * 86_400_000);
  assert.equal(client.isClosed, false);
});
