import assert from "node:assert/strict";
import { test } from "node:test";
import type { Destination } from "../../../src/broker/destinations.ts";
import type { RouteResult, RoutingSettings } from "../../../src/broker/routing.ts";
import { ProtocolVersion } from "../../../src/mqtt/packet.ts";
import { messageOf, TestRequester, textOfMessage } from "../../support/test-requester.ts";
import { PATTERNS, VirtualNode, type VirtualNodeOptions } from "../../support/virtual-node.ts";

const STREAM = { name: "s", filters: ["captured/#"], bytesMax: 1e6, whenFull: "reject" } as const;

/** What is in a stream, as `topic text`. */
function inStream(node: VirtualNode, name = "s"): string[] {
  const stream = node.broker.streams.get(name);
  assert.ok(stream !== undefined);
  const { firstSequence } = node.store.stats(stream.log);
  return node.store
    .read(stream.log, firstSequence, 100, 1e6)
    .records.map((record) => `${record.topic.text} ${textOfMessage(record)}`);
}

/** What is in a queue. */
function inQueue(node: VirtualNode, name = "q"): string[] {
  const found: string[] = [];
  node.broker.queues.get(name)?.deliveries.peek(0, 100, (record) => {
    found.push(`${record.topic.text} ${textOfMessage(record)}`);
    return true;
  });
  return found;
}

function send(
  node: VirtualNode,
  app: TestRequester,
  to: string,
  text: string,
  { topic = "", messageId = undefined as string | undefined } = {},
): RouteResult {
  const parsed = node.broker.routing.parse(to, "event", app.session);
  assert.ok(typeof parsed === "object" && !("mistake" in parsed));
  const message = { ...messageOf(topic, text, node.now), qos: 1 as const, publisherId: "app" };
  return node.broker.routing.send(message, parsed.destinations, app.session, messageId);
}

const refusalsOf = ({ parts }: RouteResult): (string | undefined)[] =>
  parts.map(({ refusal }) => refusal);

function nodeWith(options: VirtualNodeOptions = {}): VirtualNode {
  return new VirtualNode({ streams: [STREAM], ...options });
}

/** A rule that sends `in/#` there. */
const ruleTo = (...to: Destination[]): RoutingSettings => ({
  routes: new Map(),
  rules: [{ filter: "in/#", to }],
});

test("A message goes to an event, a stream and a queue at once, in one commit, and the answer says what became of each.", () => {
  const node = nodeWith({ flushes: "manual" });
  node.flushAll();
  const listener = node.connect("listener");
  listener.subscribe("a/b");
  node.flushAll();
  listener.take();
  const app = new TestRequester(node, "app");
  const result = send(node, app, "a/b;stream:s;queue:q;nobody", "hello");
  assert.ok(result.isTaken);
  assert.deepEqual(refusalsOf(result), [undefined, undefined, undefined, undefined]);
  assert.deepEqual(
    result.parts.map(({ isUnheard }) => isUnheard),
    [false, undefined, undefined, true],
  );
  assert.equal(result.commit, node.store.openCommit);
  assert.ok((result.parts[1]?.sequence ?? -1) >= 0);
  node.broker.endTurn();
  node.flush();
  assert.equal(node.store.flushedCommit, result.commit);
  assert.deepEqual(listener.takeText(), ["publish a/b q0: hello"]);
  assert.deepEqual(inStream(node), ["s hello"]);
  assert.deepEqual(inQueue(node), ["q hello"]);
});

test("A crash before the commit leaves nothing of it anywhere.", () => {
  const node = nodeWith({ flushes: "manual" });
  node.flushAll();
  const app = new TestRequester(node, "app");
  send(node, app, "stream:s;queue:q", "hello");
  node.crash();
  node.flushAll();
  assert.deepEqual([inStream(node), inQueue(node)], [[], []]);
});

test("When one destination refuses, none gets anything, and the answer says which and why.", () => {
  const node = nodeWith({ queues: [{ name: "full", messagesMax: 1 }] });
  const app = new TestRequester(node, "app");
  send(node, app, "queue:full", "first");
  const listener = node.connect("listener");
  listener.subscribe("a");
  listener.take();
  const result = send(node, app, "a;stream:s;queue:full;stream:none;queue:q", "second");
  assert.ok(!result.isTaken);
  assert.deepEqual(refusalsOf(result), [undefined, undefined, "full", "not-found", undefined]);
  node.turn();
  assert.deepEqual(listener.take(), []);
  assert.deepEqual(
    [inStream(node), inQueue(node, "full"), inQueue(node)],
    [[], ["full first"], []],
  );
});

test("Each destination is held against the rules of who sends.", () => {
  const node = nodeWith();
  const app = new TestRequester(node, "app", "ann");
  const publish = ["a", "$stream/s"];
  const rule = { subject: { kind: "user", name: "ann" } as const, publish, subscribe: [] };
  node.setPolicy({ rules: [rule], users: undefined });
  const result = send(node, app, "a;b;stream:s;queue:q", "x");
  const denied = "not-authorized";
  assert.deepEqual(refusalsOf(result), [undefined, denied, undefined, denied]);
  assert.ok(send(node, app, "a;stream:s", "x").isTaken);
});

test("A message with an identifier that streams and queues know is not taken twice.", () => {
  const node = nodeWith({ streams: [{ ...STREAM, duplicateWindowMs: 60_000 }] });
  const app = new TestRequester(node, "app");
  const first = send(node, app, "stream:s;queue:q", "x", { messageId: "m", topic: "label" });
  const again = send(node, app, "stream:s;queue:q", "x", { messageId: "m", topic: "label" });
  assert.deepEqual(
    again.parts.map(({ isDuplicate }) => isDuplicate),
    [true, true],
  );
  assert.deepEqual(
    again.parts.map(({ sequence }) => sequence),
    first.parts.map(({ sequence }) => sequence),
  );
  node.turn();
  assert.deepEqual([inStream(node), inQueue(node)], [["label x"], ["label x"]]);
});

test("More new queues than there may be are refused together.", () => {
  const node = nodeWith({ limits: { patterns: { ...PATTERNS, queuesMax: 2 } } });
  const app = new TestRequester(node, "app");
  const result = send(node, app, "queue:a;queue:b;queue:c", "x");
  assert.deepEqual(refusalsOf(result), [undefined, undefined, "full"]);
  assert.equal(node.broker.queues.size, 0);
});

test("A publish that matches a rule goes there too, before its PUBACK, in the same commit.", () => {
  const routing = ruleTo(
    { kind: "stream", name: "s" },
    { kind: "queue", name: "q" },
    { kind: "event", name: "copy" },
  );
  const node = nodeWith({ routing, flushes: "manual" });
  node.flushAll();
  const listener = node.connect("listener");
  listener.subscribe("copy");
  const device = node.connect("device");
  node.flushAll();
  device.take();
  listener.take();
  device.publish("in/1", "x", { qos: 1, packetId: 1 });
  assert.deepEqual(device.take(), []);
  node.flush();
  assert.deepEqual(device.takeText(), ["puback 1"]);
  node.flushAll();
  assert.deepEqual(listener.takeText(), ["publish copy q0: x"]);
  assert.deepEqual([inStream(node), inQueue(node)], [["in/1 x"], ["in/1 x"]]);
});

test("What came by a rule is held against no rule again: rules make no loops.", () => {
  const to = [{ kind: "event", name: "in/again" }] as const;
  const node = nodeWith({ routing: ruleTo(...to) });
  const listener = node.connect("listener");
  listener.subscribe("in/#");
  listener.take();
  node.connect("device").publish("in/1", "x");
  assert.deepEqual(listener.takeText(), ["publish in/1 q0: x", "publish in/again q0: x"]);
  node.connect("device").publish("in/again", "y");
  assert.deepEqual(listener.takeText(), ["publish in/again q0: y"]);
});

test("What a rule's queue refuses is refused to its publisher; with QoS 0 those who listen get it.", () => {
  const node = nodeWith({
    routing: ruleTo({ kind: "queue", name: "q" }),
    queues: [{ name: "q", messagesMax: 1 }],
  });
  const listener = node.connect("listener");
  listener.subscribe("in/#");
  listener.take();
  const device = node.connect("device");
  device.take();
  device.publish("in/1", "a", { qos: 1, packetId: 1 });
  device.publish("in/1", "b", { qos: 1, packetId: 2 });
  device.publish("in/1", "c");
  assert.deepEqual(device.takeText(), ["puback 1", "puback 2 0x97"]);
  assert.deepEqual(listener.takeText(), ["publish in/1 q0: a", "publish in/1 q0: c"]);
  assert.deepEqual(inQueue(node), ["in/1 a"]);
  assert.equal(node.broker.counters.droppedNotStored, 1);
});

test("A will goes where rules say, and a stream or queue that takes the topic itself has each message once.", () => {
  const settings = ruleTo({ kind: "queue", name: "q" }, { kind: "stream", name: "s" });
  const node = nodeWith({
    routing: settings,
    queues: [{ name: "q", filters: ["in/#"] }],
    streams: [{ ...STREAM, filters: ["in/#"] }],
  });
  const payload = Buffer.from("gone");
  const will = { topic: "in/status", payload, qos: 1, retain: false, properties: {} } as const;
  node.connect("device", { will }).lose();
  assert.deepEqual([inStream(node), inQueue(node)], [["in/status gone"], ["in/status gone"]]);
});

test("A QoS 2 publish by a rule is there once, also when it is sent again after a crash.", () => {
  const node = nodeWith({ routing: ruleTo({ kind: "queue", name: "q" }) });
  const properties = { sessionExpirySeconds: 60 };
  const version = ProtocolVersion.v5;
  const device = node.connect("device", { version, properties });
  device.publish("in/1", "x", { qos: 2, packetId: 1 });
  node.crash();
  const again = node.connect("device", { version, properties, cleanStart: false });
  again.publish("in/1", "x", { qos: 2, packetId: 1, dup: true });
  assert.deepEqual(again.takeText(), ["connack present", "pubrec 1"]);
  assert.deepEqual(inQueue(node), ["in/1 x"]);
});

test("Queues of the configuration are there from the start, follow it at a restart, and take what matches.", () => {
  const queues = [{ name: "jobs", filters: ["jobs/+"], messagesMax: 5 }];
  const options = { queues };
  const node = nodeWith(options);
  node.connect("device").publish("jobs/1", "x", { qos: 1, packetId: 1 });
  assert.deepEqual(inQueue(node, "jobs"), ["jobs/1 x"]);
  queues[0] = { name: "jobs", filters: ["work/+"], messagesMax: 7 };
  node.crash();
  const jobs = node.broker.queues.get("jobs");
  assert.deepEqual([jobs?.settings.messagesMax, jobs?.messages], [7, 1]);
  node.connect("device").publish("jobs/1", "y", { qos: 1, packetId: 1 });
  node.connect("device").publish("work/1", "z", { qos: 1, packetId: 1 });
  assert.deepEqual(inQueue(node, "jobs"), ["jobs/1 x", "work/1 z"]);
  assert.ok(jobs !== undefined && !node.broker.queues.isMadeAtRunTime(jobs));
});
