import assert from "node:assert/strict";
import { test } from "node:test";
import { Counters } from "../../../src/broker/counters.ts";
import type { SystemOptions } from "../../../src/broker/sys-topics.ts";
import { ProtocolVersion } from "../../../src/mqtt/packet.ts";
import type { VirtualClient } from "../../support/virtual-client.ts";
import { VirtualNode, type VirtualNodeOptions } from "../../support/virtual-node.ts";

const INTERVAL_MS = 10_000;

/** A node that tells about itself, and how often the rim was asked for what costs something. */
function nodeWithSys(options: VirtualNodeOptions = {}): { node: VirtualNode; asked: () => number } {
  let asked = 0;
  const system: VirtualNodeOptions["system"] = (broker): SystemOptions => ({
    intervalMs: INTERVAL_MS,
    version: "rillmq version 9",
    view: () => ({
      counters: broker()?.counters ?? new Counters(),
      bytesReceived: 1_000,
      bytesSent: 2_000,
      socketsOpened: 3,
    }),
    costs: () => {
      asked++;
      return { storeMessages: 4, storeBytes: 5, heapBytes: 6, uptimeSeconds: 7 };
    },
  });
  return { node: new VirtualNode({ system, ...options }), asked: () => asked };
}

function connected(node: VirtualNode, clientId = "c"): VirtualClient {
  const client = node.connect(clientId);
  client.take();
  return client;
}

/** Values by name below `$SYS/broker/`. */
function valuesOf(client: VirtualClient): Map<string, string> {
  const messages = client.take().flatMap((packet) => ("payload" in packet ? [packet] : []));
  return new Map(
    messages.map(({ topic, payload }) => [topic.replace("$SYS/broker/", ""), payload]),
  );
}

test("A new subscriber gets the current values, each as a retained message, in the customary names.", () => {
  const { node } = nodeWithSys();
  const offline = node.connect("offline", { properties: { sessionExpirySeconds: 60 } });
  offline.subscribe("x");
  offline.lose();
  const client = connected(node);
  client.publish("kept", "12345", { retain: true });
  client.subscribe("$SYS/#", { qos: 2 });
  const messages = client.take().flatMap((packet) => ("payload" in packet ? [packet] : []));
  assert.ok(messages.length > 50);
  for (const message of messages) {
    assert.deepEqual([message.qos, message.retain], [0, true]);
  }
  client.subscribe("$SYS/#");
  const values = valuesOf(client);
  const expected: Record<string, string> = {
    version: "rillmq version 9",
    uptime: "7 seconds",
    "clients/connected": "1",
    "clients/disconnected": "1",
    "clients/total": "2",
    "clients/maximum": "1",
    "clients/expired": "0",
    "publish/messages/received": "1",
    "publish/bytes/received": "5",
    "bytes/received": "1000",
    "bytes/sent": "2000",
    "subscriptions/count": "2",
    "retained messages/count": "1",
    "store/messages/count": "4",
    "store/messages/bytes": "5",
    "heap/current": "6",
    "load/messages/received/1min": "0.00",
    "load/sockets/15min": "0.00",
  };
  for (const [name, value] of Object.entries(expected)) assert.equal(values.get(name), value, name);
  // Two CONNECT, three SUBSCRIBE, one PUBLISH.
  assert.equal(values.get("messages/received"), "6");
});

test("Every interval subscribers get what has changed, and nothing else.", () => {
  const { node } = nodeWithSys();
  const client = connected(node);
  client.subscribe("$SYS/broker/clients/+", { retainHandling: 2 });
  client.take();
  node.advance(INTERVAL_MS);
  assert.equal(valuesOf(client).get("clients/total"), "1");
  connected(node, "other");
  node.advance(INTERVAL_MS - 1);
  assert.equal(client.take().length, 0);
  node.advance(1);
  assert.deepEqual(Object.fromEntries(valuesOf(client)), {
    "clients/connected": "2",
    "clients/active": "2",
    "clients/total": "2",
    "clients/maximum": "2",
  });
  node.advance(INTERVAL_MS);
  assert.equal(client.take().length, 0);
});

test("Without subscribers nothing is found out and nothing is published.", () => {
  const { node, asked } = nodeWithSys();
  const client = connected(node);
  for (const filter of ["#", "+/broker/#", "+/#"]) client.subscribe(filter);
  client.take();
  node.advance(10 * INTERVAL_MS);
  assert.equal(client.take().length, 0, "wildcards in front hide it [MQTT-4.7.2-1]");
  assert.equal(asked(), 0);
});

test("Averages rise while something happens and fall afterwards, the shorter window faster.", () => {
  const { node } = nodeWithSys();
  const client = connected(node);
  const look = (): number[] => {
    client.subscribe("$SYS/broker/load/publish/received/+");
    const values = valuesOf(client);
    return ["1min", "5min", "15min"].map((window) =>
      Number(values.get(`load/publish/received/${window}`)),
    );
  };
  for (let i = 0; i < 60; i++) {
    for (let j = 0; j < 10; j++) client.publish("t", "p");
    node.advance(INTERVAL_MS);
  }
  const busy = look();
  // Ten in ten seconds are sixty per minute; ten minutes are ten of the shortest windows.
  assert.ok(Math.abs((busy[0] ?? 0) - 60) < 0.1, String(busy));
  assert.ok((busy[1] ?? 0) > 50 && (busy[1] ?? 0) < 53, String(busy));
  assert.ok((busy[2] ?? 0) > 28 && (busy[2] ?? 0) < 31, String(busy));
  node.advance(5 * 60_000);
  const idle = look();
  assert.ok((idle[0] ?? 1) < 1 && (idle[1] ?? 0) > 15 && (idle[2] ?? 0) > 15, String(idle));
});

test("Nothing of it is ever on disk, not for a durable subscriber with QoS 1 and not in a stream.", () => {
  const streams = [{ name: "s", filters: ["$SYS/#"], bytesMax: 1e9, whenFull: "reject" as const }];
  const { node } = nodeWithSys({ streams, flushes: "manual" });
  const client = node.connect("c", { properties: { sessionExpirySeconds: 600 } });
  node.flushAll();
  client.subscribe("$SYS/#", { qos: 1 });
  node.flushAll();
  client.take();
  node.flushAll();
  const before = node.store.openCommit;
  client.publish("t", "p");
  node.advance(INTERVAL_MS);
  assert.ok(valuesOf(client).size > 0);
  assert.equal(node.flush(), false);
  assert.equal(node.store.openCommit, before);
  assert.equal(node.disk.keys("retained").length, 0);
  client.lose();
  node.flushAll();
  node.advance(INTERVAL_MS);
  const back = node.connect("c", {
    cleanStart: false,
    properties: { sessionExpirySeconds: 600 },
  });
  node.flushAll();
  assert.deepEqual(back.takeText(), ["connack present"]);
});

test("Nobody publishes to topics of the broker's own, whatever the rules allow.", () => {
  const { node } = nodeWithSys();
  const subject = { kind: "anonymous" as const };
  node.setPolicy({
    users: undefined,
    rules: [{ subject, publish: ["#", "$SYS/#"], subscribe: ["#"] }],
  });
  const client = connected(node);
  client.publish("$SYS/broker/version", "mine", { qos: 1, packetId: 1 });
  assert.deepEqual(client.takeText(), ["puback 1 0x90"]);
  client.publish("$SYS/broker/version", "mine", { retain: true });
  assert.equal(client.isClosed, true);
  const older = node.connect("older", { version: ProtocolVersion.v311 });
  older.publish("$SYS/broker/version", "mine", { qos: 1, packetId: 1 });
  assert.equal(older.isClosed, true);
});

test("With rules nobody sees it unless a rule says so; a rule for # does not; taking the rule away ends it.", () => {
  const { node } = nodeWithSys();
  const subject = { kind: "anonymous" as const };
  const allow = (...subscribe: string[]): void =>
    node.setPolicy({ users: undefined, rules: [{ subject, publish: ["#"], subscribe }] });
  allow("#", "+/broker/#");
  const client = connected(node);
  client.subscribe("$SYS/#");
  client.subscribe("$SYS/broker/version");
  assert.deepEqual(client.takeText(), ["suback 1 0x87", "suback 1 0x87"]);
  allow("#", "$SYS/broker/clients/#");
  client.subscribe("$SYS/#");
  assert.deepEqual(client.takeText(), ["suback 1 0x87"]);
  client.subscribe("$SYS/broker/clients/total");
  assert.deepEqual(Object.fromEntries(valuesOf(client)), { "clients/total": "1" });
  allow("#");
  connected(node, "other");
  node.advance(INTERVAL_MS);
  assert.deepEqual(client.takeText(), []);
});

test("A session that nobody came back to in time counts as expired, and the most clients at a time are remembered.", () => {
  const { node } = nodeWithSys();
  for (const id of ["a", "b"]) node.connect(id, { properties: { sessionExpirySeconds: 5 } });
  // A takeover is no further client.
  node.connect("a", { properties: { sessionExpirySeconds: 5 } }).lose();
  node.connect("b", { cleanStart: false }).disconnect();
  node.advance(6_000);
  const client = connected(node);
  client.subscribe("$SYS/broker/clients/+");
  const values = valuesOf(client);
  assert.equal(values.get("clients/expired"), "1");
  assert.equal(values.get("clients/maximum"), "2");
  assert.equal(values.get("clients/connected"), "1");
  assert.equal(values.get("clients/total"), "1");
});

test("Shared subscriptions are counted, each once however many share it.", () => {
  const { node } = nodeWithSys();
  for (const id of ["a", "b"]) connected(node, id).subscribe("$share/group/t");
  const client = connected(node);
  client.subscribe("$SYS/broker/shared_subscriptions/count");
  assert.equal(valuesOf(client).get("shared_subscriptions/count"), "1");
});

test("Without the setting there are no such topics.", () => {
  const node = new VirtualNode();
  const client = connected(node);
  client.subscribe("$SYS/#");
  assert.deepEqual(client.takeText(), ["suback 1 0x00"]);
});
