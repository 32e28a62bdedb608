import assert from "node:assert/strict";
import { test } from "node:test";
import { type ConnectPacket, PacketType } from "../../../src/mqtt/packet.ts";
import { VirtualNode } from "../../support/virtual-node.ts";
import { edgeForFile } from "../edge.ts";
import { StrictClient } from "../strict-client.ts";

const edge = edgeForFile();

const join = (clientId: string, fields: Partial<ConnectPacket> = {}): Promise<StrictClient> =>
  StrictClient.join(edge.broker.port, clientId, fields);

/** Without clean start, and a session that outlives its connection by so many seconds. */
const lasting = (sessionExpirySeconds = 3_600): Partial<ConnectPacket> => ({
  cleanStart: false,
  properties: { sessionExpirySeconds },
});

test("Without clean start a session goes on with its subscriptions, its backlog and what is in flight. [MQTT-3.1.2-5, MQTT-3.2.2-3, MQTT-4.5.0-1]", async () => {
  const publisher = await join("resume-publisher");
  const first = await join("resume", lasting());
  await first.subscribe("resume/#", { qos: 2 });
  await publisher.publish("resume/1", "in flight", { qos: 1 });
  await first.gets("publish resume/1 q1 #1: in flight");
  await first.lose();
  await publisher.publish("resume/1", "missed", { qos: 1 });
  await publisher.publish("resume/2", "missed", { qos: 2 });
  const second = await join("resume", lasting());
  assert.equal(second.connack?.sessionPresent, true);
  await second.gets(
    "publish resume/1 q1 #1 dup: in flight",
    "publish resume/1 q1 #2: missed",
    "publish resume/2 q2 #3: missed",
  );
  await publisher.publish("resume/1", "live", { qos: 0 });
  await second.gets("publish resume/1 q0: live");
  await second.getsNothing();
});

test("Clean start ends the session that was there: no subscriptions, no backlog, nothing in flight. [MQTT-3.1.2-4, MQTT-3.1.4-4, MQTT-3.2.2-2]", async () => {
  const publisher = await join("clean-publisher");
  const first = await join("clean", lasting());
  await first.subscribe("clean/#", { qos: 2 });
  await publisher.publish("clean/1", "in flight", { qos: 1 });
  await first.gets("publish clean/1 q1 #1: in flight");
  await first.lose();
  await publisher.publish("clean/1", "missed", { qos: 1 });
  const second = await join("clean", { ...lasting(), cleanStart: true });
  assert.equal(second.connack?.sessionPresent, false);
  await second.getsNothing();
  assert.equal(await publisher.publish("clean/1", "nobody", { qos: 1 }), 0x10);
  await second.getsNothing();
  // The new one is a session like any other.
  assert.deepEqual(await second.unsubscribe("clean/#"), [0x11]);
  await second.subscribe("clean/2", { qos: 1 });
  await second.lose();
  await publisher.publish("clean/2", "missed", { qos: 1 });
  const third = await join("clean", lasting());
  assert.equal(third.connack?.sessionPresent, true);
  await third.gets("publish clean/2 q1 #1: missed");
});

test("Clean start also forgets packet identifiers received with QoS 2. [MQTT-3.1.2-4]", async () => {
  const watcher = await join("forget-watcher");
  await watcher.subscribe("forget");
  const first = await join("forget", lasting());
  first.sendWire("34 0c 0006 666f72676574 0005 00 31");
  await first.gets("pubrec 5");
  await watcher.gets("publish forget q0: 1");
  await first.lose();
  const second = await join("forget", { ...lasting(), cleanStart: true });
  second.sendWire("34 0c 0006 666f72676574 0005 00 32");
  await second.gets("pubrec 5");
  await watcher.gets("publish forget q0: 2");
});

test("Without clean start and without a session there is a new one. [MQTT-3.1.2-6, MQTT-3.2.2-3]", async () => {
  const client = await join("brand-new", lasting());
  assert.equal(client.connack?.sessionPresent, false);
  assert.deepEqual(await client.unsubscribe("x"), [0x11]);
});

test("A session belongs to its Client Identifier: another one finds nothing of it. [MQTT-3.1.3-2, MQTT-3.1.2-6]", async () => {
  const mine = await join("mine", lasting());
  await mine.subscribe("mine", { qos: 1 });
  await mine.lose();
  const other = await join("Mine", lasting());
  assert.equal(other.connack?.sessionPresent, false);
  const publisher = await join("mine-publisher");
  await publisher.publish("mine", "x", { qos: 1 });
  await other.getsNothing();
  const again = await join("mine", lasting());
  await again.gets("publish mine q1 #1: x");
});

test("A session survives the broker's end without notice. [MQTT-3.1.2-23, MQTT-4.1.0-1]", async () => {
  const first = await join("survivor", lasting());
  await first.subscribe("survivor", { qos: 1 });
  const publisher = await join("survivor-publisher");
  await publisher.publish("survivor", "kept", { qos: 1 });
  await first.gets("publish survivor q1 #1: kept");
  await edge.crash();
  const second = await join("survivor", lasting());
  assert.equal(second.connack?.sessionPresent, true);
  const { text } = await second.takeArrival();
  assert.match(text, /^publish survivor q1 #\d+( dup)?: kept$/);
  await second.getsNothing();
});

test("A session is there until its expiry interval has passed, and then it is not. [MQTT-3.1.2-23, MQTT-4.1.0-2]", () => {
  for (const end of ["lose", "disconnect"] as const) {
    for (const [seconds, isPresent] of [
      [59, true],
      [61, false],
    ] as const) {
      const node = new VirtualNode();
      const client = node.connect("s", lasting(60));
      client.subscribe("a", { qos: 1 });
      client[end]();
      node.advance(seconds * 1_000);
      const publisher = node.connect("p");
      publisher.take();
      publisher.publish("a", "x", { qos: 1, packetId: 1 });
      assert.deepEqual(publisher.takeText(), [isPresent ? "puback 1" : "puback 1 0x10"]);
      const again = node.connect("s", lasting(60));
      const expected = isPresent ? ["connack present", "publish a q1 #1: x"] : ["connack"];
      assert.deepEqual(again.takeText(), expected);
    }
  }
});

test("Without expiry interval, or with 0, a session ends with its connection. [MQTT-4.1.0-2, MQTT-3.1.2-6]", () => {
  for (const properties of [{}, { sessionExpirySeconds: 0 }]) {
    const node = new VirtualNode();
    const client = node.connect("s", { cleanStart: false, properties });
    client.subscribe("a", { qos: 1 });
    client.lose();
    assert.deepEqual(node.connect("s", { cleanStart: false, properties }).takeText(), ["connack"]);
  }
});

test("The largest expiry interval does not run out. [MQTT-3.1.2-23]", () => {
  const node = new VirtualNode();
  node.connect("s", lasting(0xffff_ffff)).lose();
  node.advance(24 * 3_600_000);
  assert.deepEqual(node.connect("s", lasting()).takeText(), ["connack present"]);
});

test("While its connection is open a session does not expire. [MQTT-4.1.0-1]", () => {
  const node = new VirtualNode();
  const client = node.connect("s", lasting(10));
  client.subscribe("a", { qos: 1 });
  node.advance(3_600_000);
  client.lose();
  node.advance(9_000);
  assert.deepEqual(node.connect("s", lasting(10)).takeText(), ["connack present"]);
});

test("The expiry interval of the last connection counts, and DISCONNECT may change it. [MQTT-3.1.2-23, MQTT-4.1.0-2]", () => {
  const node = new VirtualNode();
  node.connect("longer", lasting(10)).lose();
  node.connect("longer", lasting(100)).lose();
  node.connect("shorter", lasting(100)).lose();
  node.connect("shorter", lasting(10)).lose();
  node.connect("by-disconnect", lasting(100)).disconnect(0, { sessionExpirySeconds: 10 });
  node.connect("ended", lasting(100)).disconnect(0, { sessionExpirySeconds: 0 });
  node.connect("kept", lasting(10)).disconnect(0, { sessionExpirySeconds: 100 });
  node.advance(50_000);
  const isPresent = (clientId: string): boolean =>
    node.connect(clientId, lasting(0)).takeText()[0] === "connack present";
  assert.equal(isPresent("longer"), true);
  assert.equal(isPresent("shorter"), false);
  assert.equal(isPresent("by-disconnect"), false);
  assert.equal(isPresent("ended"), false);
  assert.equal(isPresent("kept"), true);
});

test("DISCONNECT may not give a session an expiry interval that CONNECT did not give: 0x82. [MQTT-4.13.1-1]", async () => {
  for (const properties of [{}, { sessionExpirySeconds: 0 }]) {
    const client = await join("not-asked", { properties });
    client.send({
      type: PacketType.disconnect,
      reasonCode: 0,
      properties: { sessionExpirySeconds: 5 },
    });
    await client.ends("disconnect 0x82");
  }
  const client = await join("not-asked");
  await client.leave(0, { sessionExpirySeconds: 0 });
});

test("A message goes to the sessions of all that match, connected or not, each with its own QoS. [MQTT-4.5.0-1]", async () => {
  const clients: StrictClient[] = [];
  for (const qos of [0, 1, 2] as const) {
    const client = await join(`all-${qos}`, lasting());
    await client.subscribe("all/+", { qos });
    clients.push(client);
  }
  const away = await join("all-away", lasting());
  await away.subscribe("all/#", { qos: 1 });
  await away.lose();
  const publisher = await join("all-publisher");
  await publisher.publish("all/x", "m", { qos: 2 });
  await clients[0]?.gets("publish all/x q0: m");
  await clients[1]?.gets("publish all/x q1 #1: m");
  await clients[2]?.gets("publish all/x q2 #1: m");
  for (const client of clients) await client.getsNothing();
  await (await join("all-away", lasting())).gets("publish all/x q1 #1: m");
});
