import assert from "node:assert/strict";
import { test } from "node:test";
import { PacketType, ProtocolVersion } from "../../../src/mqtt/packet.ts";
import { publishPacket } from "../../support/virtual-client.ts";
import { VirtualNode } from "../../support/virtual-node.ts";

/** Everything that a session may have on disk: itself, references, QoS 2 both ways, its will. */
const SESSION_KEYS = [0x10, 0x20, 0x28, 0x30, 0x40];
const lasting = (sessionExpirySeconds = 10) => ({
  cleanStart: false,
  properties: { sessionExpirySeconds },
});

/** A session with all that can be on disk, its client gone. */
function fill(node: VirtualNode, clientId: string, expirySeconds?: number): void {
  const client = node.connect(clientId, lasting(expirySeconds));
  client.subscribe("#", { qos: 2 });
  const publisher = node.connect("p");
  for (let i = 1; i <= 5; i++) publisher.publish("a", "x", { qos: 2, packetId: i });
  client.ack(PacketType.pubrec, 1);
  client.publish("$nowhere", "x", { qos: 2, packetId: 1 });
  client.publish("a", "x", { qos: 2, packetId: 2 });
  client.lose();
  for (let i = 6; i <= 10; i++) publisher.publish("a", "x", { qos: 1, packetId: i });
  publisher.disconnect();
}

test("A session ends when its expiry interval is over, and nothing of it stays on disk.", () => {
  const node = new VirtualNode();
  fill(node, "c");
  assert.ok(node.metaKeys(...SESSION_KEYS).length > 6);
  node.advance(9_999);
  assert.equal(node.broker.sessions.size, 1);
  node.advance(1);
  assert.equal(node.broker.sessions.size, 0);
  assert.equal(node.broker.subscriptionCount, 0);
  node.advance(3_000);
  assert.deepEqual(node.metaKeys(...SESSION_KEYS), []);
});

test("A restart during the expiry neither shortens nor lengthens it.", () => {
  const node = new VirtualNode();
  fill(node, "c");
  node.advance(6_000);
  node.crash();
  node.advance(3_999);
  assert.equal(node.broker.sessions.size, 1);
  node.advance(1);
  assert.equal(node.broker.sessions.size, 0);
  node.advance(3_000);
  assert.deepEqual(node.metaKeys(...SESSION_KEYS), []);
});

test("The session of a client that was connected when the broker ended expires from the restart on.", () => {
  const node = new VirtualNode();
  node.connect("c", lasting());
  node.advance(100_000);
  node.crash();
  node.advance(9_999);
  assert.equal(node.broker.sessions.size, 1);
  node.advance(1);
  assert.equal(node.broker.sessions.size, 0);
});

test("What an ended session left is swept after a restart, and its number is not given to another.", () => {
  const node = new VirtualNode();
  fill(node, "c");
  node.connect("c", { cleanStart: true });
  node.crash();
  const next = node.connect("next", lasting(3_600));
  next.subscribe("b", { qos: 1 });
  node.connect("p").publish("b", "mine", { qos: 1, packetId: 1 });
  node.advance(5_000);
  assert.deepEqual(node.metaKeys(0x20).length, 1);
  node.crash();
  const again = node.connect("next", lasting(3_600));
  assert.deepEqual(again.takeText(), ["connack present", "publish b q1 #1: mine"]);
});

test("A session that ends while its messages are being written leaves nothing behind.", () => {
  const node = new VirtualNode({ flushes: "manual" });
  const client = node.connect("c", lasting());
  node.flushAll();
  client.subscribe("#", { qos: 1 });
  node.flushAll();
  node.connect("p").publish("a", "x", { qos: 1, packetId: 1 });
  node.store.seal();
  client.disconnect(0, { sessionExpirySeconds: 0 });
  node.advance(2_500);
  node.flushAll();
  node.advance(2_500);
  node.flushAll();
  assert.deepEqual(node.metaKeys(...SESSION_KEYS), []);
});

test("Hundreds of sessions that end at once are swept within seconds.", () => {
  const node = new VirtualNode();
  for (let i = 0; i < 300; i++) {
    const client = node.connect(`c${i}`, lasting(1));
    client.publish("a", "x", { qos: 2, packetId: 1 });
    client.lose();
  }
  assert.equal(node.metaKeys(0x30).length, 300);
  node.advance(5_000);
  assert.deepEqual(node.metaKeys(...SESSION_KEYS), []);
});

test("What one step cannot sweep is swept by several.", () => {
  const node = new VirtualNode();
  const fields = { version: ProtocolVersion.v311, cleanStart: false };
  const client = node.connect("c", fields);
  const packets = Array.from({ length: 2_500 }, (_, i) => i + 1).map((packetId) =>
    publishPacket("a", "x", { qos: 2, packetId }),
  );
  client.send(...packets);
  assert.equal(node.metaKeys(0x30).length, 2_500);
  node.connect("c", { cleanStart: true });
  node.advance(5_000);
  assert.deepEqual(node.metaKeys(...SESSION_KEYS), []);
});

test("Damaged records of sessions are counted and left out; the others are there.", () => {
  const node = new VirtualNode();
  for (const clientId of ["a", "b", "c", "d", "e"]) node.connect(clientId, lasting(3_600));
  const key = (clientId: string): Buffer => Buffer.from(`\u0010${clientId}`);
  const damage = ["{", "null", '{"version":1,"number":3,"subscriptions":[{}]}', "\u0000\u00ff"];
  for (const [index, text] of damage.entries()) {
    node.disk.overwrite("meta", key("abcd"[index] ?? ""), Buffer.from(text));
  }
  node.crash();
  assert.deepEqual(
    [...node.broker.sessions.all()].map(({ clientId }) => clientId),
    ["e"],
  );
});

test("A damaged record of references costs its messages and nothing else.", () => {
  const node = new VirtualNode();
  node.connect("c", lasting(3_600)).subscribe("#", { qos: 1 });
  node.crash();
  const publisher = node.connect("p");
  for (let i = 1; i <= 3; i++) publisher.publish("a", String(i), { qos: 1, packetId: i });
  const [, second] = node.disk.keys("meta").filter((key) => key[0] === 0x20);
  assert.ok(second !== undefined);
  node.disk.overwrite("meta", second, Buffer.from([1, 1, 0x80]));
  node.crash();
  const client = node.connect("c", lasting(3_600));
  assert.deepEqual(client.takeText(), [
    "connack present",
    "publish a q1 #1: 1",
    "publish a q1 #2: 3",
  ]);
  for (const packetId of [1, 2]) client.ack(PacketType.puback, packetId);
  assert.deepEqual(node.metaKeys(0x20), []);
  assert.equal(node.broker.sessions.get("c")?.outbound.backlogSize, 0);
});

test("The session log keeps what sessions are owed and lets go of the rest.", () => {
  const node = new VirtualNode();
  const client = node.connect("c", lasting(3_600));
  client.subscribe("#", { qos: 1 });
  client.take();
  const publisher = node.connect("p");
  for (let i = 1; i <= 50; i++) publisher.publish("a", "x".repeat(100), { qos: 1, packetId: i });
  const chunks = (): number => node.disk.keys("log").length;
  const before = chunks();
  node.advance(5_000);
  assert.equal(chunks(), before);
  for (let i = 1; i <= 50; i++) client.ack(PacketType.puback, i);
  node.advance(5_000);
  assert.ok(chunks() <= 2, `${chunks()} chunks are left of ${before}`);
});
