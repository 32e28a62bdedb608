import assert from "node:assert/strict";
import { test } from "node:test";
import type { Rule } from "../../../src/broker/authorization.ts";
import { type AnswerOutcome, incomingRequestOf } from "../../../src/broker/requests.ts";
import { ProtocolVersion } from "../../../src/mqtt/packet.ts";
import { messageOf, TestRequester } from "../../support/test-requester.ts";
import type { Received, VirtualClient } from "../../support/virtual-client.ts";
import { VirtualNode } from "../../support/virtual-node.ts";

/** Answers the last request that a native responder got. */
function answer(
  node: VirtualNode,
  responder: TestRequester,
  payload: string,
  error?: string,
): AnswerOutcome {
  const got = responder.delivered[responder.delivered.length - 1];
  const request = got === undefined ? undefined : incomingRequestOf(got.message);
  assert.ok(request !== undefined);
  const reply = messageOf("", payload, node.now);
  const outcome = node.broker.requests.answer(responder.session, request, reply, error);
  node.turn();
  return outcome;
}

function takeOne(client: VirtualClient): Received {
  const [message, ...others] = client.takeMessages();
  assert.ok(message !== undefined && others.length === 0);
  return message;
}

function responderOf(node: VirtualNode, filter: string, name = "responder"): VirtualClient {
  const client = node.connect(name);
  client.subscribe(filter);
  client.take();
  return client;
}

test("A request reaches an MQTT 5 client with response topic and correlation data, and its answer the requester.", () => {
  const node = new VirtualNode();
  const device = responderOf(node, "svc/+");
  const app = new TestRequester(node, "app");
  app.ask("svc/sum", "1+1");
  const request = takeOne(device);
  const { responseTopic = "", correlationData } = request.properties;
  assert.equal(request.payload, "1+1");
  assert.match(responseTopic, /^\$reply\/./);
  assert.ok(correlationData !== undefined);
  assert.equal(request.properties.messageExpirySeconds, 5);
  device.publish(responseTopic, "2", { qos: 1, packetId: 7, properties: { correlationData } });
  assert.deepEqual(device.takeText(), ["puback 7"]);
  assert.deepEqual(app.takeOutcomes(), ["1 2"]);
});

test("The first reply wins: a second one is told that nobody waits for it, with QoS 1 and 2.", () => {
  const node = new VirtualNode();
  const [one, two] = [responderOf(node, "svc", "one"), responderOf(node, "svc", "two")];
  const app = new TestRequester(node, "app");
  app.ask("svc", "?");
  const { responseTopic = "" } = takeOne(one).properties;
  assert.equal(takeOne(two).properties.responseTopic, responseTopic);
  one.publish(responseTopic, "first", { qos: 2, packetId: 1 });
  two.publish(responseTopic, "second", { qos: 1, packetId: 1 });
  two.publish(responseTopic, "third", { qos: 2, packetId: 2 });
  assert.deepEqual(one.takeText(), ["pubrec 1"]);
  assert.deepEqual(two.takeText(), ["puback 1 0x10", "pubrec 2 0x10"]);
  assert.deepEqual(app.takeOutcomes(), ["1 first"]);
  assert.equal(node.broker.counters.repliesLate, 2);
});

test("A reply through a topic alias is a reply.", () => {
  const node = new VirtualNode();
  const device = responderOf(node, "svc");
  const app = new TestRequester(node, "app");
  app.ask("svc", "?");
  const { responseTopic = "" } = takeOne(device).properties;
  device.publish(responseTopic, "first", { qos: 1, packetId: 1, properties: { topicAlias: 1 } });
  device.publish("", "again", { qos: 1, packetId: 2, properties: { topicAlias: 1 } });
  assert.deepEqual(device.takeText(), ["puback 1", "puback 2 0x10"]);
  assert.deepEqual(app.takeOutcomes(), ["1 first"]);
});

test("Without anybody connected who answers there is no responder, at once: absent sessions, 3.1.1 clients and silent subscribers are none.", () => {
  const node = new VirtualNode();
  const absent = node.connect("absent", {
    cleanStart: true,
    properties: { sessionExpirySeconds: 60 },
  });
  absent.subscribe("svc", { qos: 1 });
  absent.lose();
  const old = node.connect("old", { version: ProtocolVersion.v311 });
  old.subscribe("#");
  old.take();
  const silent = new TestRequester(node, "silent");
  silent.respond("svc", -1);
  const app = new TestRequester(node, "app");
  app.ask("svc", "?");
  assert.deepEqual(app.takeOutcomes(), ["1 no-responder"]);
  assert.deepEqual(old.take(), []);
  assert.deepEqual(silent.delivered, []);
  const again = node.connect("absent", { cleanStart: false });
  assert.deepEqual(again.takeText(), ["connack present"]);
});

test("A responder without room is busy, and a client that cannot be written to as well.", () => {
  const node = new VirtualNode();
  const native = new TestRequester(node, "native");
  native.respond("svc", 0);
  const app = new TestRequester(node, "app");
  app.ask("svc", "?");
  const device = responderOf(node, "slow");
  device.setRoom(false);
  app.ask("slow", "?");
  assert.deepEqual(app.takeOutcomes(), ["1 busy", "2 busy"]);
});

test("A group of responders gets each request once, and those without room are passed over.", () => {
  const node = new VirtualNode();
  const members = ["a", "b", "c"].map((name) => new TestRequester(node, name));
  for (const member of members) member.respond("$share/workers/svc");
  const app = new TestRequester(node, "app");
  for (let i = 0; i < 6; i++) app.ask("svc", `${i}`);
  assert.deepEqual(
    members.map(({ delivered }) => delivered.length),
    [2, 2, 2],
  );
  for (const member of members.slice(1)) member.room = 0;
  app.ask("svc", "6");
  assert.equal(members[0]?.delivered.length, 3);
});

test("Without a reply in time the requester is told so at the deadline, and the reply that comes later is refused.", () => {
  const node = new VirtualNode();
  const device = responderOf(node, "svc");
  const app = new TestRequester(node, "app");
  app.ask("svc", "?", { timeoutMs: 2_000 });
  app.ask("svc", "?", { timeoutMs: 1_000 });
  node.advance(999);
  assert.deepEqual(app.takeOutcomes(), []);
  node.advance(1);
  assert.deepEqual(app.takeOutcomes(), ["2 timeout"]);
  node.advance(1_000);
  assert.deepEqual(app.takeOutcomes(), ["1 timeout"]);
  const { responseTopic = "" } = device.takeMessages()[0]?.properties ?? {};
  device.publish(responseTopic, "late", { qos: 1, packetId: 1 });
  assert.deepEqual(device.takeText(), ["puback 1 0x10"]);
  assert.deepEqual(app.takeOutcomes(), []);
  assert.equal(node.broker.requests.size, 0);
});

test("When the responder goes the deadline decides; when the requester goes nobody is told.", () => {
  const node = new VirtualNode();
  const device = responderOf(node, "svc");
  const app = new TestRequester(node, "app");
  app.ask("svc", "?");
  device.lose();
  node.advance(5_000);
  assert.deepEqual(app.takeOutcomes(), ["1 timeout"]);
  const other = responderOf(node, "svc", "other");
  app.ask("svc", "?");
  const { responseTopic = "" } = takeOne(other).properties;
  app.leave();
  assert.equal(node.broker.requests.size, 0);
  other.publish(responseTopic, "reply", { qos: 1, packetId: 1 });
  assert.deepEqual(other.takeText(), ["puback 1 0x10"]);
  node.advance(10_000);
  assert.deepEqual(app.takeOutcomes(), []);
});

test("After a restart nobody waits any more.", () => {
  const node = new VirtualNode();
  const device = responderOf(node, "svc");
  new TestRequester(node, "app").ask("svc", "?");
  const { responseTopic = "" } = takeOne(device).properties;
  node.crash();
  const again = node.connect("responder");
  again.publish(responseTopic, "reply", { qos: 1, packetId: 1 });
  assert.deepEqual(again.takeText(), ["connack", "puback 1 0x10"]);
});

test("An error of the responder reaches the requester with its text, from native responders and MQTT 5 clients.", () => {
  const node = new VirtualNode();
  const native = new TestRequester(node, "native");
  native.respond("native");
  const device = responderOf(node, "device");
  const app = new TestRequester(node, "app");
  app.ask("native", "?");
  assert.equal(answer(node, native, "", "no such valve"), "taken");
  app.ask("device", "?");
  const { responseTopic = "" } = takeOne(device).properties;
  const userProperties: [string, string][] = [["rill-error", "broken"]];
  device.publish(responseTopic, "", { properties: { userProperties } });
  assert.deepEqual(app.takeOutcomes(), [
    "1 responder-error: no such valve",
    "2 responder-error: broken",
  ]);
});

test("A reply under a key is given again until its time is over, only to its user, and errors are not kept.", () => {
  const node = new VirtualNode();
  const native = new TestRequester(node, "native");
  native.respond("svc", 100);
  const app = new TestRequester(node, "app", "ann");
  const other = new TestRequester(node, "other", "bob");
  const cached = { cacheKey: "k", cacheTtlMs: 10_000 };
  app.ask("svc", "?", cached);
  answer(node, native, "error", "not now");
  app.ask("svc", "?", cached);
  answer(node, native, "fine");
  app.ask("svc", "?", cached);
  assert.deepEqual(app.takeOutcomes(), ["1 responder-error: not now", "2 fine", "3 fine (cached)"]);
  other.ask("svc", "?", cached);
  assert.equal(native.delivered.length, 3);
  app.ask("svc", "?", { cacheKey: "another", cacheTtlMs: 10_000 });
  assert.equal(native.delivered.length, 4);
  node.advance(9_999);
  app.ask("svc", "?", { ...cached, timeoutMs: 1 });
  assert.ok(app.takeOutcomes().includes("5 fine (cached)"));
  node.advance(1);
  app.ask("svc", "?", cached);
  assert.equal(native.delivered.length, 5);
});

test("Who may not ask any more has no answer from the cache.", () => {
  const node = new VirtualNode();
  const native = new TestRequester(node, "native", "svc");
  const app = new TestRequester(node, "app", "ann");
  native.respond("svc", 100);
  const cached = { cacheKey: "k", cacheTtlMs: 10_000 };
  app.ask("svc", "?", cached);
  answer(node, native, "fine");
  const all: Rule = { subject: { kind: "user", name: "svc" }, publish: ["#"], subscribe: ["#"] };
  node.setPolicy({ rules: [all], users: undefined });
  app.ask("svc", "?", cached);
  assert.deepEqual(app.takeOutcomes(), ["1 fine", "2 not-authorized"]);
});

test("The cache keeps within its bytes: what was not asked for the longest goes, and too large a reply is not kept.", () => {
  const node = new VirtualNode();
  const native = new TestRequester(node, "native");
  native.respond("svc", 1_000);
  const app = new TestRequester(node, "app");
  const ask = (key: string, bytes = 4_000): boolean => {
    const before = native.delivered.length;
    app.ask("svc", "?", { cacheKey: key, cacheTtlMs: 60_000 });
    if (native.delivered.length === before) return true;
    answer(node, native, "x".repeat(bytes));
    return false;
  };
  for (let i = 0; i < 10; i++) ask(`k${i}`);
  assert.ok(ask("k0"));
  for (let i = 10; i < 20; i++) ask(`k${i}`);
  assert.ok(ask("k0"));
  assert.ok(!ask("k1"));
  assert.ok(node.broker.requests.cacheBytes <= 65_536);
  ask("large", 20_000);
  assert.ok(!ask("large", 20_000));
});

test("Requests that wait are bounded, per requester and in all.", () => {
  const node = new VirtualNode();
  const native = new TestRequester(node, "native");
  native.respond("svc", 1_000);
  const apps = ["a", "b", "c"].map((name) => new TestRequester(node, name));
  for (const app of apps) for (let i = 0; i < 51; i++) app.ask("svc", "?");
  assert.deepEqual(
    apps.map(({ outcomes }) => outcomes.length),
    [1, 1, 51],
  );
  assert.equal(apps[0]?.outcomes[0], "51 limit-exceeded");
  assert.equal(node.broker.requests.size, 100);
});

test("A device that speaks 3.1.1 answers by the convention, and others who listen there get its answer too.", () => {
  const node = new VirtualNode();
  const device = node.connect("d1", { version: ProtocolVersion.v311 });
  device.subscribe("cmd/d1/+", { qos: 1 });
  const watcher = node.connect("watcher");
  watcher.subscribe("reply/+/+");
  device.take();
  watcher.take();
  const app = new TestRequester(node, "app");
  app.ask("cmd/d1/{requestId}", "open");
  const { topic, payload } = takeOne(device);
  assert.equal(payload, "open");
  const [root, name, id = ""] = topic.split("/");
  assert.deepEqual([root, name], ["cmd", "d1"]);
  device.publish(`reply/d1/not-${id}`, "wrong");
  device.publish(`reply/d1/${id}`, "done", { qos: 1, packetId: 3 });
  device.publish(`reply/d1/${id}`, "twice");
  assert.deepEqual(device.takeText(), ["puback 3"]);
  assert.deepEqual(app.takeOutcomes(), ["1 done"]);
  assert.equal(watcher.take().length, 3);
});

test("An MQTT 5 device answers a request by the convention through its response topic.", () => {
  const node = new VirtualNode();
  const device = responderOf(node, "cmd/d1/+", "d1");
  const app = new TestRequester(node, "app");
  app.ask("cmd/d1/{requestId}", "open");
  const { responseTopic = "" } = takeOne(device).properties;
  device.publish(responseTopic, "done");
  assert.deepEqual(app.takeOutcomes(), ["1 done"]);
});

test("A native responder answers an MQTT 5 client on its own response topic, with its correlation data.", () => {
  const node = new VirtualNode();
  const native = new TestRequester(node, "native");
  native.respond("svc");
  const client = node.connect("asker");
  client.subscribe("answers/asker", { qos: 1 });
  const correlationData = Uint8Array.of(1, 2, 3);
  const properties = { responseTopic: "answers/asker", correlationData };
  client.take();
  client.publish("svc", "?", { properties });
  assert.equal(answer(node, native, "!"), "taken");
  const got = takeOne(client);
  assert.deepEqual([got.topic, got.payload], ["answers/asker", "!"]);
  assert.deepEqual([...(got.properties.correlationData ?? [])], [1, 2, 3]);
});

test("A native responder publishes nowhere where it or the requester may not, and not to the broker's own topics.", () => {
  const node = new VirtualNode();
  const user = (name: string, publish: string[], subscribe: string[]): Rule => ({
    subject: { kind: "user", name },
    publish,
    subscribe,
  });
  const native = new TestRequester(node, "native", "service");
  native.respond("svc");
  const asker = new TestRequester(node, "asker", "ann");
  const rules = [
    user("service", ["answers/#", "valve/#"], ["svc"]),
    user("ann", ["svc"], ["answers/ann", "secret"]),
  ];
  node.setPolicy({ rules, users: undefined });
  const outcomes = ["answers/ann", "valve/open", "secret", "$SYS/x", "$queue/q", "a/#"].map(
    (responseTopic) => {
      const message = messageOf("svc", "?", node.now, { responseTopic });
      node.broker.publish({ ...message, publisherId: "asker" }, asker.session);
      return answer(node, native, "!");
    },
  );
  assert.deepEqual(outcomes.slice(1), Array(5).fill("not-authorized"));
  // Nobody subscribes there, but it was allowed.
  assert.equal(outcomes[0], "not-found");
});

test("Reply topics are for MQTT 5: another version cannot publish to one, and nobody to one that cannot be.", () => {
  const node = new VirtualNode();
  const device = responderOf(node, "svc");
  const app = new TestRequester(node, "app");
  app.ask("svc", "?");
  const { responseTopic = "" } = takeOne(device).properties;
  const old = node.connect("old", { version: ProtocolVersion.v311 });
  old.publish(responseTopic, "stolen", { qos: 1, packetId: 1 });
  assert.ok(old.isClosed);
  device.publish("$reply/+", "wrong", { qos: 1, packetId: 1 });
  assert.deepEqual(device.takeText(), ["puback 1 0x90"]);
  device.publish("$reply/guessed", "wrong", { qos: 1, packetId: 1 });
  assert.deepEqual(device.takeText(), ["puback 1 0x10"]);
  assert.deepEqual(app.takeOutcomes(), []);
});

test("Requests go past streams, queues and retained messages; topics that cannot be asked are refused.", () => {
  const node = new VirtualNode({
    streams: [{ name: "all", filters: ["#"], bytesMax: 1e6, whenFull: "reject" }],
  });
  const device = responderOf(node, "svc");
  const app = new TestRequester(node, "app");
  app.ask("svc", "?");
  app.ask("svc/+", "?");
  app.ask("$SYS/x", "?");
  assert.deepEqual(app.takeOutcomes(), ["2 bad-topic", "3 bad-topic"]);
  takeOne(device);
  const log = node.broker.streams.get("all")?.log;
  assert.ok(log !== undefined);
  assert.equal(node.store.stats(log).nextSequence, node.store.stats(log).firstSequence);
});
