import assert from "node:assert/strict";
import { test } from "node:test";
import { type ConnectPacket, PacketType, type WillPacketPart } from "../../../src/mqtt/packet.ts";
import type { VirtualClient } from "../../support/virtual-client.ts";
import { VirtualNode } from "../../support/virtual-node.ts";
import { edgeForFile } from "../edge.ts";
import { StrictClient } from "../strict-client.ts";

const edge = edgeForFile();

const join = (clientId: string, fields: Partial<ConnectPacket> = {}): Promise<StrictClient> =>
  StrictClient.join(edge.broker.port, clientId, fields);

const willOf = (topic: string, fields: Partial<WillPacketPart> = {}): WillPacketPart => ({
  topic,
  payload: Buffer.from("gone"),
  qos: 0,
  retain: false,
  properties: {},
  ...fields,
});

/** CONNECT with a will that waits, and a session that lasts. */
const delayed = (willDelaySeconds: number, sessionExpirySeconds: number) => ({
  cleanStart: false,
  properties: { sessionExpirySeconds },
  will: willOf("w", { properties: { willDelaySeconds } }),
});

function endsBy(client: StrictClient, bytes: string, answer: string): Promise<void> {
  client.sendWire(bytes);
  return client.ends(answer);
}

/** A client that gets every will. */
function watcherOf(node: VirtualNode): VirtualClient {
  const watcher = node.connect("watcher");
  watcher.subscribe("#", { qos: 2 });
  watcher.take();
  return watcher;
}

test("A will is published when its connection ends in any other way than DISCONNECT 0x00. [MQTT-3.1.2-7, MQTT-3.1.2-8, MQTT-3.14.4-3]", async () => {
  const watcher = await join("ways-watcher");
  await watcher.subscribe("ways");
  const ways: readonly [what: string, end: (client: StrictClient) => Promise<unknown>][] = [
    ["lost", (client) => client.lose()],
    ["malformed", (client) => endsBy(client, "00 00", "disconnect 0x81")],
    ["protocol error", (client) => endsBy(client, "32 06 0001 61 0000 00", "disconnect 0x82")],
    ["0x04", (client) => client.leave(0x04)],
    ["0x80", (client) => client.leave(0x80)],
    ["0x97", (client) => client.leave(0x97)],
    ["taken over", async () => (await join("ways")).leave()],
  ];
  for (const [, end] of ways) {
    const client = await join("ways", { will: willOf("ways") });
    await end(client);
    await watcher.gets("publish ways q0: gone");
    await watcher.getsNothing();
  }
});

test("DISCONNECT 0x00 discards the will, with or without its reason code. [MQTT-3.14.4-3, MQTT-3.1.2-8, MQTT-3.1.2-10]", async () => {
  const watcher = await join("discard-watcher");
  await watcher.subscribe("discard");
  for (const bytes of ["e0 00", "e0 01 00", "e0 02 00 00"]) {
    const client = await join("discard", { will: willOf("discard") });
    client.sendWire(bytes);
    await client.ends();
    await watcher.getsNothing();
  }
  // Nor later: the will that comes is of another client.
  await (
    await join("discard-2", { will: willOf("discard", { payload: Buffer.from("2") }) })
  ).lose();
  await watcher.gets("publish discard q0: 2");
});

test("DISCONNECT 0x00 discards a will also where its session lasts and its delay has not begun. [MQTT-3.14.4-3, MQTT-3.1.2-10]", () => {
  const node = new VirtualNode();
  const watcher = watcherOf(node);
  node.connect("c", delayed(10, 60)).disconnect(0);
  node.advance(3_600_000);
  assert.deepEqual(watcher.takeText(), []);
});

test("A will has the QoS that its flags say, and subscribers get it with at most that. [MQTT-3.1.2-9, MQTT-3.1.2-12]", async () => {
  const watcher = await join("qos-watcher");
  await watcher.subscribe("qos/#", { qos: 2 });
  for (const qos of [0, 1, 2] as const) {
    await (await join("qos", { will: willOf(`qos/${qos}`, { qos }) })).lose();
    const id = qos === 0 ? "" : ` #${qos}`;
    await watcher.gets(`publish qos/${qos} q${qos}${id}: gone`);
  }
});

test("A will without will retain is not kept and leaves the retained message alone. [MQTT-3.1.2-14]", async () => {
  const watcher = await join("plain-watcher");
  await watcher.publish("plain", "before", { retain: true, qos: 1 });
  await watcher.subscribe("plain", { retainAsPublished: true });
  await watcher.gets("publish plain q0 retain: before");
  await (await join("plain", { will: willOf("plain") })).lose();
  await watcher.gets("publish plain q0: gone");
  await watcher.subscribe("plain");
  await watcher.gets("publish plain q0 retain: before");
});

test("A will with will retain is a retained message. [MQTT-3.1.2-15]", async () => {
  const watcher = await join("retained-watcher");
  await watcher.publish("retained", "before", { retain: true, qos: 1 });
  await watcher.subscribe("retained", { retainAsPublished: true, retainHandling: 2 });
  await (await join("retained", { will: willOf("retained", { retain: true, qos: 1 }) })).lose();
  await watcher.gets("publish retained q0 retain: gone");
  await watcher.subscribe("retained", { qos: 2 });
  await watcher.gets("publish retained q1 #1 retain: gone");
});

test("A will keeps its properties, its user properties in their order, and not its delay. [MQTT-3.1.3-10, MQTT-3.3.2-18]", async () => {
  const watcher = await join("properties-watcher");
  await watcher.subscribe("properties");
  const properties = {
    willDelaySeconds: 0,
    isPayloadUtf8: true,
    messageExpirySeconds: 100,
    contentType: "text/plain",
    responseTopic: "answer/here",
    correlationData: Uint8Array.of(1, 0, 255),
    userProperties: [
      ["b", "1"],
      ["a", "2"],
      ["b", "1"],
      ["", ""],
      ["a", "0"],
    ] as const,
  };
  await (await join("properties", { will: willOf("properties", { properties }) })).lose();
  await watcher.gets(
    'publish properties q0: gone isPayloadUtf8=true messageExpirySeconds=100 contentType="text/plain" responseTopic="answer/here" correlationData=0100ff userProperties=[["b","1"],["a","2"],["b","1"],["",""],["a","0"]]',
  );
});

test("A will with an empty payload is published as it is. [MQTT-3.1.2-9]", async () => {
  const watcher = await join("empty-watcher");
  await watcher.subscribe("empty");
  await (await join("empty", { will: willOf("empty", { payload: Buffer.alloc(0) }) })).lose();
  await watcher.gets("publish empty q0: ");
});

test("A will is published once: the next connection of its client has none of it. [MQTT-3.1.2-10]", () => {
  const node = new VirtualNode();
  const watcher = watcherOf(node);
  const lasting = { cleanStart: false, properties: { sessionExpirySeconds: 60 } };
  node.connect("c", { ...lasting, will: willOf("w") }).lose();
  assert.deepEqual(watcher.takeText(), ["publish w q0: gone"]);
  node.connect("c", lasting).lose();
  node.advance(3_600_000);
  node.crash();
  const later = watcherOf(node);
  node.advance(3_600_000);
  assert.deepEqual([watcher.takeText(), later.takeText()], [[], []]);
});

test("A will waits for its delay and comes at its end. [MQTT-3.1.2-8]", () => {
  const node = new VirtualNode();
  const watcher = watcherOf(node);
  node.connect("c", delayed(10, 60)).lose();
  node.advance(9_999);
  assert.deepEqual(watcher.takeText(), []);
  node.advance(1);
  assert.deepEqual(watcher.takeText(), ["publish w q0: gone"]);
  node.advance(3_600_000);
  assert.deepEqual(watcher.takeText(), []);
});

test("A will comes when its session ends, if that is before its delay is over. [MQTT-3.1.2-8]", () => {
  const node = new VirtualNode();
  const watcher = watcherOf(node);
  node.connect("short", delayed(60, 10)).lose();
  node.advance(9_999);
  assert.deepEqual(watcher.takeText(), []);
  node.advance(1);
  assert.deepEqual(watcher.takeText(), ["publish w q0: gone"]);
  // A session that ends with its connection: at once.
  node.connect("none", delayed(60, 0)).lose();
  assert.deepEqual(watcher.takeText(), ["publish w q0: gone"]);
  // By DISCONNECT, by clean start.
  node.connect("ended", delayed(60, 60)).disconnect(0x04, { sessionExpirySeconds: 0 });
  assert.deepEqual(watcher.takeText(), ["publish w q0: gone"]);
  node.connect("cleaned", delayed(60, 600)).lose();
  node.connect("cleaned", { cleanStart: true });
  assert.deepEqual(watcher.takeText(), ["publish w q0: gone"]);
  node.advance(3_600_000);
  assert.deepEqual(watcher.takeText(), []);
});

test("A client that is back within the delay keeps its will from being sent. [MQTT-3.1.3-9, MQTT-3.1.2-8]", () => {
  const node = new VirtualNode();
  const watcher = watcherOf(node);
  node.connect("c", delayed(10, 60)).lose();
  node.advance(9_999);
  const back = node.connect("c", { ...delayed(10, 60), will: undefined });
  assert.deepEqual(back.takeText(), ["connack present"]);
  node.advance(3_600_000);
  back.lose();
  node.advance(3_600_000);
  assert.deepEqual(watcher.takeText(), []);
  // Takeover counts as being back.
  node.connect("d", delayed(10, 60));
  node.connect("d", { ...delayed(10, 60), will: undefined });
  node.advance(3_600_000);
  assert.deepEqual(watcher.takeText(), []);
});

test("A will survives the broker: it is sent after a crash, unless its client is back. [MQTT-3.1.2-7]", () => {
  const node = new VirtualNode();
  node.connect("c", { ...delayed(10, 600) });
  node.connect("d", {
    ...delayed(10, 600),
    will: willOf("d", { properties: { willDelaySeconds: 10 } }),
  });
  node.crash();
  const watcher = watcherOf(node);
  node.connect("d", { ...delayed(10, 600), will: undefined });
  node.advance(60_000);
  assert.deepEqual(watcher.takeText(), ["publish w q0: gone"]);
});

test("The expiry interval of a will counts from when it is published. [MQTT-3.3.2-6]", () => {
  const node = new VirtualNode();
  const watcher = watcherOf(node);
  const properties = { willDelaySeconds: 30, messageExpirySeconds: 20 };
  node.connect("c", { ...delayed(30, 60), will: willOf("w", { properties }) }).lose();
  node.advance(30_000);
  const [message] = watcher.take();
  assert.ok(message?.type === PacketType.publish);
  assert.equal(message.properties.messageExpirySeconds, 20);
});

test("A will goes to its own client's session too, as No Local says. [MQTT-3.8.3-3]", () => {
  for (const noLocal of [true, false]) {
    const node = new VirtualNode();
    const lasting = { cleanStart: false, properties: { sessionExpirySeconds: 60 } };
    const client = node.connect("c", { ...lasting, will: willOf("w", { qos: 1 }) });
    client.subscribe("w", { qos: 1, noLocal });
    client.lose();
    const messages = noLocal ? [] : ["publish w q1 #1: gone"];
    assert.deepEqual(node.connect("c", lasting).takeText(), ["connack present", ...messages]);
  }
});
