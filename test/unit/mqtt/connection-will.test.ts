import assert from "node:assert/strict";
import { test } from "node:test";
import type { WillPacketPart } from "../../../src/mqtt/packet.ts";
import { ProtocolVersion } from "../../../src/mqtt/packet.ts";
import type { VirtualClient } from "../../support/virtual-client.ts";
import { VirtualNode } from "../../support/virtual-node.ts";

function willOf(fields: Partial<WillPacketPart> = {}): WillPacketPart {
  const payload = Buffer.from("gone");
  return { topic: "will", payload, qos: 1, retain: false, properties: {}, ...fields };
}

const delayed = (willDelaySeconds: number): WillPacketPart =>
  willOf({ properties: { willDelaySeconds } });

const lasting = (sessionExpirySeconds = 3_600) => ({
  cleanStart: false,
  properties: { sessionExpirySeconds },
});

function watcherOf(node: VirtualNode): VirtualClient {
  const watcher = node.connect("watcher", lasting());
  watcher.subscribe("#", { qos: 2, retainAsPublished: true });
  watcher.take();
  return watcher;
}

const WILL = "publish will q1 #1: gone";

for (const version of [ProtocolVersion.v311, ProtocolVersion.v5]) {
  test(`The will is sent when the connection is lost, in version ${version}. [MQTT-3.1.2-8]`, () => {
    const node = new VirtualNode();
    const watcher = watcherOf(node);
    node.connect("c", { version, will: willOf() }).lose();
    assert.deepEqual(watcher.takeText(), [WILL]);
    assert.deepEqual(node.metaKeys(0x40), []);
  });

  test(`The will is not sent after DISCONNECT, in version ${version}. [MQTT-3.14.4-3]`, () => {
    const node = new VirtualNode();
    const watcher = watcherOf(node);
    const client = node.connect("c", { version, will: willOf() });
    client.disconnect();
    client.lose();
    assert.deepEqual(watcher.takeText(), []);
    assert.deepEqual(node.metaKeys(0x40), []);
  });
}

test("A will is sent with all its properties, also after a restart. [MQTT-3.1.3-10]", () => {
  const properties = {
    isPayloadUtf8: true,
    contentType: "text",
    responseTopic: "replies",
    correlationData: Buffer.of(1),
    userProperties: [["b", "1"] as const, ["a", "2"] as const, ["b", "3"] as const],
  };
  for (const isCrash of [false, true]) {
    const node = new VirtualNode();
    let watcher = watcherOf(node);
    const client = node.connect("c", { will: willOf({ properties }) });
    if (isCrash) {
      node.crash();
      watcher = node.connect("watcher", lasting());
      watcher.take();
      node.advance(1_000);
    } else {
      client.lose();
    }
    const [message] = watcher.takeMessages();
    const { correlationData, ...rest } = message?.properties ?? {};
    const { correlationData: asSent, ...expected } = properties;
    assert.deepEqual(rest, expected);
    assert.deepEqual(Buffer.from(correlationData ?? []), asSent);
  }
});

test("DISCONNECT with 0x04 asks for the will.", () => {
  const node = new VirtualNode();
  const watcher = watcherOf(node);
  node.connect("c", { will: willOf() }).disconnect(0x04);
  assert.deepEqual(watcher.takeText(), [WILL]);
});

test("A protocol error and a lapsed keep alive send the will.", () => {
  const node = new VirtualNode();
  const watcher = watcherOf(node);
  node.connect("c", { will: willOf() }).connect();
  assert.deepEqual(watcher.takeText(), [WILL]);
  node.connect("c", { will: willOf({ qos: 0 }), keepAliveSeconds: 10 });
  node.advance(15_000);
  assert.deepEqual(watcher.takeText(), ["publish will q0: gone"]);
});

test("A will waits for its delay, and a session that resumes in time cancels it. [MQTT-3.1.3-9]", () => {
  const node = new VirtualNode();
  const watcher = watcherOf(node);
  const fields = { ...lasting(), will: delayed(10) };
  node.connect("c", fields).lose();
  node.advance(9_999);
  node.connect("c", fields).lose();
  node.advance(9_999);
  assert.deepEqual(watcher.takeText(), []);
  node.advance(1);
  assert.deepEqual(watcher.takeText(), [WILL]);
});

test("A will is due at the latest when its session ends.", () => {
  const node = new VirtualNode();
  const watcher = watcherOf(node);
  node.connect("c", { ...lasting(5), will: delayed(10) }).lose();
  node.advance(4_999);
  assert.deepEqual(watcher.takeText(), []);
  node.advance(1);
  assert.deepEqual(watcher.takeText(), [WILL]);
  node.connect("d", { will: delayed(10) }).lose();
  assert.deepEqual(watcher.takeText(), ["publish will q1 #2: gone"]);
});

test("Clean start ends the session, and so its delayed will is sent.", () => {
  const node = new VirtualNode();
  const watcher = watcherOf(node);
  node.connect("c", { ...lasting(), will: delayed(10) }).lose();
  node.connect("c", { cleanStart: true });
  assert.deepEqual(watcher.takeText(), [WILL]);
});

test("A takeover sends the will without delay, and not the one with a delay.", () => {
  const node = new VirtualNode();
  const watcher = watcherOf(node);
  node.connect("c", { ...lasting(), will: willOf() });
  node.connect("c", { ...lasting(), will: delayed(10) });
  assert.deepEqual(watcher.takeText(), [WILL]);
  node.connect("c", lasting());
  node.advance(20_000);
  assert.deepEqual(watcher.takeText(), []);
});

test("A retained will is kept; its expiry counts from its publication.", () => {
  const node = new VirtualNode();
  const will = willOf({
    retain: true,
    properties: { messageExpirySeconds: 20, willDelaySeconds: 10 },
  });
  node.connect("c", { ...lasting(), will }).lose();
  node.advance(10_000);
  node.advance(15_000);
  const reader = node.connect("reader");
  reader.take();
  reader.subscribe("will", { qos: 0 });
  assert.deepEqual(reader.takeText(), ["publish will q0 retain: gone", "suback 1 0x00"]);
});

test("A will survives a restart: due after its delay unless its session resumes, and sent once.", () => {
  const node = new VirtualNode();
  watcherOf(node);
  for (const clientId of ["lost", "resumed"]) {
    node.connect(clientId, { ...lasting(), will: delayed(10) });
  }
  node.crash();
  const watcher = node.connect("watcher", lasting());
  node.connect("resumed", lasting());
  node.advance(9_999);
  assert.deepEqual(watcher.takeText(), ["connack present"]);
  node.advance(1);
  assert.deepEqual(watcher.takeText(), [WILL]);
  node.crash();
  node.advance(60_000);
  const again = node.connect("watcher", lasting());
  assert.deepEqual(again.takeText(), ["connack present", "publish will q1 #1: gone"]);
});

test("A will without delay is sent after a restart, and not by the recovery itself.", () => {
  const node = new VirtualNode();
  watcherOf(node);
  node.connect("c", { will: willOf() });
  node.crash();
  const watcher = node.connect("watcher", lasting());
  assert.deepEqual(watcher.takeText(), ["connack present"]);
  node.advance(1);
  assert.deepEqual(watcher.takeText(), [WILL]);
  assert.deepEqual(node.metaKeys(0x40), []);
});

test("A broker that stops sends no wills: they are due after its start, unless their clients are back.", () => {
  const node = new VirtualNode();
  const before = watcherOf(node);
  const clients = ["gone", "back"].map((clientId) =>
    node.connect(clientId, { ...lasting(), will: delayed(10) }),
  );
  clients.push(node.connect("at-once", { will: willOf({ topic: "now" }) }));
  for (const client of clients) client.connection.end("server-shutting-down");
  node.flushAll();
  assert.deepEqual(before.takeText(), []);
  node.crash();
  const watcher = node.connect("watcher", lasting());
  node.connect("back", lasting());
  node.advance(10_000);
  assert.deepEqual(watcher.takeText(), [
    "connack present",
    "publish now q1 #1: gone",
    "publish will q1 #2: gone",
  ]);
});

test("CONNACK waits until the will is on disk.", () => {
  const node = new VirtualNode({ flushes: "manual" });
  const client = node.connect("c", { will: willOf() });
  assert.deepEqual(client.takeText(), []);
  node.flush();
  assert.deepEqual(client.takeText(), ["connack"]);
});

for (const topic of ["a/+", "$SYS/x", ""]) {
  test(`A will to ${JSON.stringify(topic)} is refused with its CONNECT.`, () => {
    const client = new VirtualNode().connect("c", { will: willOf({ topic }) });
    assert.deepEqual(client.takeText(), ["connack 0x90"]);
    assert.equal(client.isClosed, true);
  });
}
