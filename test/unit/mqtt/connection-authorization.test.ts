import assert from "node:assert/strict";
import { test } from "node:test";
import type { Rule } from "../../../src/broker/authorization.ts";
import { PacketType, ProtocolVersion } from "../../../src/mqtt/packet.ts";
import { ScriptedAuthenticator } from "../../support/scripted-authenticator.ts";
import type { ConnectFields, VirtualClient } from "../../support/virtual-client.ts";
import { VirtualNode } from "../../support/virtual-node.ts";

const VERSIONS = [ProtocolVersion.v311, ProtocolVersion.v5];

const as = (user: string): ConnectFields => ({ username: user, password: Buffer.from(user) });

const lasting: ConnectFields = {
  cleanStart: false,
  properties: { sessionExpirySeconds: 3_600 },
};

function rulesOf(user: string, publish: string[], subscribe: string[] = []): Rule {
  return { subject: { kind: "user", name: user }, publish, subscribe };
}

function nodeWith(...rules: Rule[]): VirtualNode {
  const node = new VirtualNode({ connection: { authenticator: new ScriptedAuthenticator() } });
  setRules(node, ...rules);
  return node;
}

function setRules(node: VirtualNode, ...rules: Rule[]): void {
  node.setPolicy({ rules: [rulesOf("root", ["#"], ["#"]), ...rules], users: undefined });
}

function connected(node: VirtualNode, user: string, fields: ConnectFields = {}): VirtualClient {
  const client = node.connect(user, { ...as(user), ...fields });
  assert.match(client.takeText().join(), /^connack( present)?$/);
  return client;
}

function watcher(node: VirtualNode): VirtualClient {
  const client = connected(node, "root");
  client.subscribe("#");
  client.take();
  return client;
}

test("A publish that no rule allows is refused with its reason, and the connection stays. [MQTT 5.0 section 3.4.2.1]", () => {
  const node = nodeWith(rulesOf("ann", ["a/#"]));
  const seen = watcher(node);
  const ann = connected(node, "ann");
  ann.publish("b", "1", { qos: 1, packetId: 1 });
  ann.publish("b", "2", { qos: 2, packetId: 2 });
  ann.publish("b", "0", { qos: 0 });
  ann.publish("a/x", "3", { qos: 1, packetId: 3 });
  assert.deepEqual(ann.takeText(), ["puback 1 0x87", "pubrec 2 0x87", "puback 3"]);
  assert.deepEqual(seen.takeText(), ["publish a/x q0: 3"]);
  assert.equal(node.broker.counters.refused, 2);
  assert.equal(node.broker.counters.droppedNotAuthorized, 1);
});

for (const qos of [1, 2] as const) {
  test(`A 3.1.1 client that publishes what no rule allows is closed, not acknowledged, with QoS ${qos}.`, () => {
    const node = nodeWith(rulesOf("ann", ["a"]));
    const seen = watcher(node);
    const ann = node.connect("ann", { ...as("ann"), version: ProtocolVersion.v311 });
    ann.take();
    ann.publish("b", "0");
    assert.equal(ann.isClosed, false);
    ann.publish("b", "1", { qos, packetId: 1 });
    assert.deepEqual(ann.takeText(), []);
    assert.equal(ann.isClosed, true);
    assert.deepEqual(seen.takeText(), []);
  });
}

test("Topics that begin with $ are for no client to publish to, whatever the rules say.", () => {
  const node = nodeWith(rulesOf("ann", ["$SYS/#", "#"]));
  const ann = connected(node, "ann");
  ann.publish("$SYS/x", "1", { qos: 1, packetId: 1 });
  assert.deepEqual(ann.takeText(), ["puback 1 0x90"]);
});

test("An alias of a topic that may not be published to is refused each time, and holds once it may.", () => {
  const node = nodeWith(rulesOf("ann", ["a"]));
  const seen = watcher(node);
  const ann = connected(node, "ann");
  const alias = { properties: { topicAlias: 1 } };
  ann.publish("b", "1", { qos: 1, packetId: 1, ...alias });
  ann.publish("", "2", { qos: 1, packetId: 2, ...alias });
  assert.deepEqual(ann.takeText(), ["puback 1 0x87", "puback 2 0x87"]);
  setRules(node, rulesOf("ann", ["b"]));
  ann.publish("", "3", { qos: 1, packetId: 3, ...alias });
  setRules(node, rulesOf("ann", ["a"]));
  ann.publish("", "4", { qos: 1, packetId: 4, ...alias });
  assert.deepEqual(ann.takeText(), ["puback 3", "puback 4 0x87"]);
  assert.deepEqual(seen.takeText(), ["publish b q0: 3"]);
});

test("Rights that are taken away hold for the next message of a topic published before.", () => {
  const node = nodeWith(rulesOf("ann", ["a"]));
  const ann = connected(node, "ann");
  ann.publish("a", "1", { qos: 1, packetId: 1 });
  setRules(node);
  ann.publish("a", "2", { qos: 1, packetId: 2 });
  setRules(node, rulesOf("ann", ["a"]));
  ann.publish("a", "3", { qos: 1, packetId: 3 });
  assert.deepEqual(ann.takeText(), ["puback 1 0x10", "puback 2 0x87", "puback 3 0x10"]);
});

for (const version of VERSIONS) {
  test(`SUBACK says per filter what the rules allow, in version ${version}. [MQTT-3.9.3-1]`, () => {
    const node = nodeWith(rulesOf("ann", [], ["a/#"]));
    const ann = node.connect("ann", { ...as("ann"), version });
    ann.take();
    const entry = { qos: 1, noLocal: false, retainAsPublished: false, retainHandling: 0 } as const;
    const filters = ["a/+", "b", "#", "a/#", "+/x"];
    const subscriptions = filters.map((topicFilter) => ({ ...entry, topicFilter }));
    ann.send({ type: PacketType.subscribe, packetId: 1, subscriptions, properties: {} });
    const no = version === ProtocolVersion.v5 ? "0x87" : "0x80";
    assert.deepEqual(ann.takeText(), [`suback 1 0x01 ${no} ${no} 0x01 ${no}`]);
    assert.equal(node.broker.subscriptionCount, 2);
  });

  test(`A will that may not be published is refused with its CONNECT, in version ${version}.`, () => {
    const node = nodeWith(rulesOf("ann", ["a"]));
    const payload = Buffer.from("gone");
    const will = { topic: "b", payload, qos: 1, retain: false, properties: {} } as const;
    const ann = node.connect("ann", { ...as("ann"), version, will });
    assert.deepEqual(ann.takeText(), ["connack 0x87"]);
    assert.equal(ann.isClosed, true);
  });
}

for (const isCrashed of [false, true]) {
  test(`A will is not published once its right is gone${isCrashed ? ", also after a crash" : ""}.`, () => {
    const node = nodeWith(rulesOf("ann", ["a"]), rulesOf("bob", ["a"]));
    const payload = Buffer.from("gone");
    const will = { topic: "a", payload, qos: 1, retain: false, properties: {} } as const;
    const ann = connected(node, "ann", { will });
    const bob = connected(node, "bob", { will });
    setRules(node, rulesOf("bob", ["a"]));
    if (isCrashed) node.crash();
    const seen = watcher(node);
    if (isCrashed) node.advance(10);
    ann.lose();
    bob.lose();
    assert.deepEqual(seen.takeText(), ["publish a q0: gone"]);
    assert.equal(node.broker.counters.droppedNotAuthorized, 1);
  });
}

test("The will of a user who is gone is not published.", () => {
  const node = nodeWith();
  node.setPolicy({ rules: undefined, users: new Set(["root", "ann"]) });
  const seen = watcher(node);
  const payload = Buffer.from("gone");
  const will = { topic: "a", payload, qos: 1, retain: false, properties: {} } as const;
  const ann = connected(node, "ann", { will });
  node.setPolicy({ rules: undefined, users: new Set(["root"]) });
  ann.lose();
  assert.deepEqual(seen.takeText(), []);
});

test("A subscription that is not allowed any more ends, and is told.", () => {
  const node = nodeWith(rulesOf("ann", [], ["a", "b"]));
  const root = connected(node, "root");
  const ann = connected(node, "ann", lasting);
  ann.subscribe("a", { qos: 1 });
  ann.subscribe("b", { qos: 1 });
  ann.take();
  setRules(node, rulesOf("ann", [], ["b"]));
  root.publish("a", "1");
  root.publish("b", "2");
  assert.deepEqual(ann.takeText(), ["publish b q0: 2"]);
  assert.deepEqual(node.revoked, ["ann a"]);
  node.crash();
  const back = node.connect("ann", { ...as("ann"), ...lasting });
  back.unsubscribe("a", "b");
  assert.deepEqual(back.takeText(), ["connack present", "unsuback 2 0x11 0x00"]);
});

test("A subscription that the rules took away while nothing ran is not there after the start.", () => {
  const node = nodeWith(rulesOf("ann", [], ["a"]));
  const ann = connected(node, "ann", lasting);
  ann.subscribe("a", { qos: 1 });
  node.authorization.replace({ rules: [], users: undefined });
  node.crash();
  assert.deepEqual(node.revoked, ["ann a"]);
  assert.equal(node.broker.subscriptionCount, 0);
});

for (const qos of [1, 2] as const) {
  test(`What waited for a client that is away is not delivered once its right is gone, with QoS ${qos}.`, () => {
    const node = nodeWith(rulesOf("ann", [], ["a", "b"]));
    const root = connected(node, "root");
    const ann = connected(node, "ann", lasting);
    ann.subscribe("a", { qos });
    ann.subscribe("b", { qos });
    ann.lose();
    root.publish("a", "1", { qos, packetId: 1 });
    root.publish("b", "2", { qos, packetId: 2 });
    root.send({ type: PacketType.pubrel, packetId: 1, reasonCode: 0 });
    setRules(node, rulesOf("ann", [], ["b"]));
    const back = node.connect("ann", { ...as("ann"), ...lasting });
    assert.deepEqual(back.takeText(), ["connack present", `publish b q${qos} #1: 2`]);
    assert.equal(node.broker.counters.droppedNotAuthorized, 1);
  });

  test(`What waited over a restart with other rules is not delivered, with QoS ${qos}.`, () => {
    const node = nodeWith(rulesOf("ann", [], ["a"]));
    const root = connected(node, "root");
    const ann = connected(node, "ann", lasting);
    ann.subscribe("a", { qos });
    ann.lose();
    root.publish("a", "1", { qos, packetId: 1 });
    node.authorization.replace({ rules: [rulesOf("ann", [], ["b"])], users: undefined });
    node.crash();
    const back = node.connect("ann", { ...as("ann"), ...lasting });
    assert.deepEqual(back.takeText(), ["connack present"]);
    back.lose();
    assert.deepEqual(node.metaKeys(0x20, 0x28), []);
  });
}

test("What was sent and not acknowledged is not sent again once its right is gone; QoS 2 is released.", () => {
  const node = nodeWith(rulesOf("ann", [], ["a"]));
  const root = connected(node, "root");
  const ann = connected(node, "ann", lasting);
  ann.subscribe("a", { qos: 2 });
  ann.take();
  root.publish("a", "1", { qos: 1, packetId: 1 });
  root.publish("a", "2", { qos: 2, packetId: 2 });
  assert.deepEqual(ann.takeText(), ["publish a q1 #1: 1", "publish a q2 #2: 2"]);
  ann.lose();
  setRules(node);
  const back = node.connect("ann", { ...as("ann"), ...lasting });
  assert.deepEqual(back.takeText(), ["connack present", "pubrel 2"]);
  back.ack(PacketType.pubcomp, 2);
  assert.deepEqual(node.metaKeys(0x20, 0x28), []);
});

test("What waits in memory for a slow client is looked at again.", () => {
  const node = nodeWith(rulesOf("ann", [], ["a"]));
  const root = connected(node, "root");
  const ann = connected(node, "ann");
  ann.subscribe("a", { qos: 1 });
  ann.take();
  ann.setRoom(false);
  root.publish("a", "1", { qos: 1, packetId: 1 });
  setRules(node);
  ann.setRoom(true);
  assert.deepEqual(ann.takeText(), []);
  assert.equal(node.broker.counters.droppedNotAuthorized, 1);
});

test("What is staged when the rules change is looked at again after its flush.", () => {
  for (const isDurable of [true, false]) {
    const node = new VirtualNode({
      flushes: "manual",
      connection: { authenticator: new ScriptedAuthenticator() },
    });
    setRules(node, rulesOf("ann", [], ["a"]));
    const root = node.connect("root", { ...as("root"), ...lasting });
    const ann = node.connect("ann", { ...as("ann"), ...(isDurable ? lasting : {}) });
    node.flushAll();
    ann.subscribe("a", { qos: 2 });
    node.flushAll();
    ann.take();
    root.publish("a", "1", { qos: 2, packetId: 1 });
    root.publish("a", "2", { qos: 1, packetId: 2, retain: true });
    setRules(node);
    // A look at the backlog before the flush must not end the second look.
    ann.setRoom(true);
    node.flushAll();
    const live = isDurable ? [] : ["publish a q1 #1: 2"];
    assert.deepEqual(ann.takeText(), live);
    assert.deepEqual(node.revoked, ["ann a"]);
  }
});

test("Retained messages that are still to be sent stop when their right is gone.", () => {
  const node = nodeWith(rulesOf("ann", [], ["a/#"]));
  const root = connected(node, "root");
  for (const name of ["1", "2", "3"]) root.publish(`a/${name}`, name, { retain: true });
  const ann = connected(node, "ann", { properties: { receiveMaximum: 1 } });
  ann.setRoom(false);
  ann.subscribe("a/#", { qos: 1 });
  setRules(node, rulesOf("ann", [], ["a/2"]));
  ann.setRoom(true);
  assert.deepEqual(ann.takeText(), ["suback 1 0x01"]);
});

test("With %c everybody has a place of its own.", () => {
  const node = nodeWith({
    subject: { kind: "authenticated" },
    publish: ["dev/%c/#"],
    subscribe: ["dev/%c/#"],
  });
  const ann = connected(node, "ann");
  ann.subscribe("dev/ann/#");
  ann.subscribe("dev/+/x");
  ann.publish("dev/bob/x", "1", { qos: 1, packetId: 1 });
  assert.deepEqual(ann.takeText(), ["suback 1 0x00", "suback 1 0x87", "puback 1 0x87"]);
  const wild = node.connect("+", as("wild"));
  wild.subscribe("dev/+/#");
  wild.publish("dev/ann/x", "1", { qos: 1, packetId: 1 });
  assert.deepEqual(wild.takeText(), ["connack", "suback 1 0x87", "puback 1 0x87"]);
});

test("Sessions that have nothing left from before the change are not asked any more.", () => {
  const node = nodeWith(rulesOf("ann", [], ["a"]));
  const root = connected(node, "root");
  const ann = connected(node, "ann", lasting);
  ann.subscribe("a", { qos: 1 });
  let asked = 0;
  const mayReceive = node.authorization.mayReceive.bind(node.authorization);
  node.authorization.mayReceive = (...question) => {
    asked++;
    return mayReceive(...question);
  };
  setRules(node, rulesOf("ann", [], ["#"]));
  root.publish("a", "1", { qos: 1, packetId: 1 });
  ann.ack(PacketType.puback, 1);
  const before = asked;
  root.publish("a", "2", { qos: 1, packetId: 2 });
  assert.equal(asked, before);
});
