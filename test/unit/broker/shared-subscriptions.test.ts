import assert from "node:assert/strict";
import { test } from "node:test";
import { PacketType, ProtocolVersion } from "../../../src/mqtt/packet.ts";
import { publishPacket, type Received, type VirtualClient } from "../../support/virtual-client.ts";
import { VirtualNode } from "../../support/virtual-node.ts";

const lasting = { cleanStart: false, properties: { sessionExpirySeconds: 3_600 } };
/** Clients that subscribe together; what came so far is read. */
function members(
  node: VirtualNode,
  names: readonly string[],
  { qos = 1, fields = {} }: { qos?: 0 | 1 | 2; fields?: object } = {},
): VirtualClient[] {
  return names.map((name) => {
    const client = node.connect(name, fields);
    client.subscribe("$share/g/t/#", { qos });
    client.take();
    return client;
  });
}

function publish(node: VirtualNode, count: number, qos: 0 | 1 | 2 = 1, from = 0): VirtualClient {
  const publisher = node.connect(`p${from}`);
  for (let i = 0; i < count; i++) {
    publisher.send(
      publishPacket("t/x", String(from + i), { qos, packetId: qos === 0 ? 0 : i + 1 }),
    );
  }
  return publisher;
}

const payloads = (messages: readonly Received[]): string[] =>
  messages.map(({ payload }) => payload);

const { puback, pubrec, pubcomp } = PacketType;
/** A shared subscription, references, claims and kept messages on disk. */
const SHARED_KEYS = [0x18, 0x20, 0x28, 0x2c];

/** `node.connect` of somebody whose session is there, and what comes with it. */
function resume(node: VirtualNode, name: string): [VirtualClient, string[]] {
  const client = node.connect(name, lasting);
  return [client, client.takeText()];
}

/** Counts what there is to acknowledge, and acknowledges it. */
function acknowledge(client: VirtualClient): number {
  const messages = client.takeMessages();
  for (const { packetId } of messages) client.ack(puback, packetId);
  return messages.length;
}

for (const qos of [0, 1, 2] as const) {
  for (const fields of [{}, lasting]) {
    const kind = fields === lasting ? "durable" : "passing";
    test(`Each message with QoS ${qos} goes to one of three ${kind} members.`, () => {
      const node = new VirtualNode();
      const three = members(node, ["a", "b", "c"], { qos, fields });
      publish(node, 9, qos);
      const got = three.map((each) => payloads(each.takeMessages()));
      assert.deepEqual(
        got.map(({ length }) => length),
        [3, 3, 3],
      );
      assert.equal(new Set(got.flat()).size, 9);
    });
  }
}

test("A session gets a copy for each of its groups and one for its plain subscriptions.", () => {
  const node = new VirtualNode();
  const one = node.connect("a");
  one.subscribe("t/x", { qos: 1 }, { subscriptionIdentifiers: [1] });
  one.subscribe("$share/g/t/x", { qos: 2 }, { subscriptionIdentifiers: [2] });
  one.subscribe("$share/g/t/+", { qos: 0 }, { subscriptionIdentifiers: [3] });
  one.subscribe("$share/h/t/x", { qos: 1 });
  one.take();
  publish(node, 1);
  const got = one.takeMessages();
  assert.deepEqual(
    got.map((each) => [each.qos, each.properties.subscriptionIdentifiers]).toSorted(),
    [
      [0, [3]],
      [1, undefined],
      [1, [1]],
      [1, [2]],
    ].toSorted(),
  );
});

test("A thousand messages are spread evenly over four equal members.", () => {
  for (const fields of [{}, lasting]) {
    const node = new VirtualNode();
    const four = members(node, ["a", "b", "c", "d"], { fields });
    const counts = [0, 0, 0, 0];
    for (let from = 0; from < 1_000; from += 50) {
      publish(node, 50, 1, from).disconnect();
      for (const [index, each] of four.entries())
        counts[index] = (counts[index] ?? 0) + acknowledge(each);
    }
    for (const count of counts) assert.ok(count >= 238 && count <= 262, String(counts));
  }
});

test("A member that does not acknowledge gets its window and no more; the others get the rest.", () => {
  for (const sessionExpirySeconds of [0, 3_600]) {
    const node = new VirtualNode();
    const properties = { sessionExpirySeconds, receiveMaximum: 5 };
    const [frozen, busy] = members(node, ["frozen", "busy"], { fields: { properties } });
    assert.ok(frozen !== undefined && busy !== undefined);
    let count = 0;
    for (let from = 0; from < 200; from += 10) {
      publish(node, 10, 1, from).disconnect();
      for (let got = acknowledge(busy); got > 0; got = acknowledge(busy)) count += got;
    }
    assert.equal(frozen.takeMessages().length, 5);
    assert.equal(count, 195);
  }
});

test("A member whose output is full is passed over.", () => {
  const node = new VirtualNode();
  const [slow, quick] = members(node, ["slow", "quick"]);
  slow?.setRoom(false);
  publish(node, 4);
  publish(node, 4, 0, 100);
  assert.equal(quick?.takeMessages().length, 8);
  slow?.setRoom(true);
  assert.deepEqual(slow?.take(), []);
});

test("QoS 0 with no member connected, or none that keeps up, is dropped and counted.", () => {
  const node = new VirtualNode();
  const [one] = members(node, ["a"], { qos: 0, fields: lasting });
  one?.setRoom(false);
  publish(node, 2, 0);
  assert.equal(node.broker.counters.droppedSlowSubscriber, 2);
  one?.lose();
  publish(node, 3, 0, 10);
  assert.equal(node.broker.counters.droppedNoMember, 3);
});

test("What waits for a group of durable members outlives a crash, and comes once.", () => {
  const node = new VirtualNode();
  for (const each of members(node, ["a", "b"], { fields: lasting })) each.lose();
  const publisher = publish(node, 10);
  assert.equal(publisher.takeText().filter((text) => text.startsWith("puback")).length, 10);
  node.crash();
  const [, atA] = resume(node, "a");
  assert.equal(atA.length, 11);
  const [, atB] = resume(node, "b");
  assert.deepEqual(atB, ["connack present"]);
});

test("A message for durable members is on disk before it is acknowledged and before it is handed out.", () => {
  const node = new VirtualNode({ flushes: "manual" });
  const one = node.connect("a", lasting);
  node.flushAll();
  one.subscribe("$share/g/t/#", { qos: 1 });
  node.flushAll();
  one.take();
  const publisher = node.connect("p");
  publisher.take();
  publisher.publish("t/x", "x", { qos: 1, packetId: 1 });
  assert.deepEqual([...publisher.takeText(), ...one.takeText()], []);
  node.flush();
  assert.deepEqual(publisher.takeText(), ["puback 1"]);
  assert.deepEqual(one.takeText(), ["publish t/x q1 #1: x"]);
});

for (const fields of [{}, lasting]) {
  const kind = fields === lasting ? "durable" : "passing";
  test(`What a ${kind} member had with QoS 1 and not acknowledged goes to another when its connection breaks.`, () => {
    const node = new VirtualNode();
    const [first, second] = members(node, ["a", "b"], { fields });
    assert.ok(first !== undefined && second !== undefined);
    publish(node, 4);
    const had = first.takeMessages();
    assert.equal(had.length, 2);
    first.ack(puback, had[0]?.packetId ?? 0);
    assert.equal(acknowledge(second), 2);
    first.lose();
    assert.deepEqual(payloads(second.takeMessages()), [had[1]?.payload]);
    if (fields !== lasting) return;
    const [, again] = resume(node, "a");
    assert.deepEqual(again, ["connack present"]);
  });
}

test("Of a durable member that is alone its QoS 1 messages wait until it is back, and come once.", () => {
  const node = new VirtualNode();
  const [one] = members(node, ["a"], { fields: lasting });
  publish(node, 3);
  one?.lose();
  const [again, texts] = resume(node, "a");
  assert.deepEqual(
    texts.map((text) => text.split(": ")[1]),
    [undefined, "0", "1", "2"],
  );
  for (const packetId of [4, 5, 6]) again.ack(puback, packetId);
  again.lose();
  assert.deepEqual(resume(node, "a")[1], ["connack present"]);
  assert.deepEqual(node.metaKeys(0x20, 0x28, 0x2c), []);
});

test("Another connection of a member's client takes over, and nothing is lost or with both.", () => {
  const node = new VirtualNode();
  const [, second] = members(node, ["a", "b"], { fields: lasting });
  publish(node, 4);
  const [first] = resume(node, "a");
  const sizes = ["a", "b"].map((name) => node.broker.sessions.get(name)?.outbound.inflightSize);
  assert.deepEqual(sizes, [0, 4]);
  assert.equal(acknowledge(second as VirtualClient), 4);
  assert.deepEqual(first.takeText(), []);
  assert.deepEqual(node.metaKeys(0x20), []);
});

test("A member that refuses a message with a reason code ends it for all. [MQTT-4.8.2-6]", () => {
  const node = new VirtualNode();
  const [first, second] = members(node, ["a", "b"], { qos: 2, fields: lasting });
  assert.ok(first !== undefined && second !== undefined);
  publish(node, 2, 1);
  publish(node, 2, 2, 10);
  for (const { qos, packetId } of first.takeMessages())
    first.ack(qos === 1 ? puback : pubrec, packetId, 0x97);
  second.take();
  first.lose();
  assert.deepEqual(second.takeText(), []);
  assert.deepEqual(resume(node, "a")[1], ["connack present"]);
});

test("A QoS 2 message that was sent stays with its member, across reconnects and crashes, and ends with its session.", () => {
  for (const crashes of [false, true]) {
    const node = new VirtualNode();
    const [first, second] = members(node, ["a", "b"], { qos: 2, fields: lasting });
    assert.ok(first !== undefined && second !== undefined);
    publish(node, 2, 2);
    const [had] = first.takeMessages();
    assert.ok(had !== undefined);
    const [other] = second.takeMessages();
    second.ack(pubrec, other?.packetId ?? 0);
    second.ack(pubcomp, other?.packetId ?? 0);
    second.take();
    if (crashes) node.crash();
    else first.lose();
    const back = crashes ? resume(node, "b") : undefined;
    assert.deepEqual(back?.[1] ?? ["connack present"], ["connack present"]);
    const [again, texts] = resume(node, "a");
    assert.deepEqual(texts, [
      "connack present",
      `publish t/x q2 #${had.packetId} dup: ${had.payload}`,
    ]);
    again.ack(pubrec, had.packetId);
    assert.deepEqual(again.takeText(), [`pubrel ${had.packetId}`]);
    if (crashes) node.crash();
    else again.lose();
    const [third, released] = resume(node, "a");
    assert.deepEqual(released, ["connack present", `pubrel ${had.packetId}`]);
    third.ack(pubcomp, had.packetId);
    assert.deepEqual(node.metaKeys(0x20, 0x28, 0x2c), []);
    // And one that ends with its session.
    publish(node, 2, 2, 100);
    third.send({
      type: PacketType.disconnect,
      reasonCode: 0,
      properties: { sessionExpirySeconds: 1 },
    });
    node.advance(5_000);
    const [, last] = resume(node, "b");
    assert.ok(last.length <= 3, String(last));
  }
});

test("A QoS 2 message that is not sent yet goes to another when its member leaves.", () => {
  for (const fields of [{}, lasting]) {
    const node = new VirtualNode({ flushes: "manual" });
    const pair = ["a", "b"].map((name) => {
      const client = node.connect(name, fields);
      node.flushAll();
      client.subscribe("$share/g/t/#", { qos: 2 });
      node.flushAll();
      client.take();
      return client;
    });
    const [first, second] = pair;
    assert.ok(first !== undefined && second !== undefined);
    if (fields !== lasting) {
      const keeper = node.connect("c", lasting);
      node.flushAll();
      keeper.subscribe("$share/g/t/#", { qos: 2 });
      node.flushAll();
      keeper.lose();
      node.flushAll();
    }
    const publisher = node.connect("p");
    publisher.publish("t/x", "x", { qos: 2, packetId: 1 });
    // The message is on disk and assigned, but not what says to whom.
    node.flush();
    assert.deepEqual([...first.takeText(), ...second.takeText()], []);
    first.lose();
    node.flushAll();
    assert.deepEqual(second.takeText(), ["publish t/x q2 #1: x"]);
    second.ack(pubrec, 1);
    node.flushAll();
    second.ack(pubcomp, 1);
    node.flushAll();
    assert.deepEqual(node.metaKeys(0x20, 0x28, 0x2c), []);
  }
});

test("A crash at any step of a QoS 2 delivery neither loses nor repeats it.", () => {
  for (let steps = 0; steps < 12; steps++) {
    const node = new VirtualNode({ flushes: "manual" });
    let client = node.connect("a", lasting);
    node.flushAll();
    client.subscribe("$share/g/t/#", { qos: 2 });
    node.flushAll();
    client.take();
    const publisher = node.connect("p", { ...lasting, clientId: "p" });
    node.flushAll();
    publisher.publish("t/x", "x", { qos: 2, packetId: 1 });
    node.flush();
    const received = new Set<number>();
    let deliveries = 0;
    const handle = (): void => {
      for (const packet of client.take()) {
        if (packet.type === PacketType.publish) {
          if (!received.has(packet.packetId)) deliveries++;
          received.add(packet.packetId);
          client.ack(pubrec, packet.packetId);
        } else if (packet.type === PacketType.pubrel) {
          received.delete(packet.packetId);
          client.ack(pubcomp, packet.packetId);
        }
      }
    };
    for (let step = 0; step < steps; step++) {
      if (step % 2 === 0) handle();
      else node.flush();
    }
    node.crash();
    client = node.connect("a", lasting);
    for (let step = 0; step < 10; step++) {
      node.flushAll();
      handle();
    }
    node.flushAll();
    assert.equal(deliveries, 1, `crash after step ${steps}`);
    assert.deepEqual(node.metaKeys(0x20, 0x28, 0x2c), [], `crash after step ${steps}`);
  }
});

test("With the last member everything of the group goes from disk, and memory.", () => {
  for (const way of ["unsubscribe", "end", "expire"] as const) {
    const node = new VirtualNode();
    const properties = { sessionExpirySeconds: 10 };
    const [one] = members(node, ["a"], { qos: 2, fields: { cleanStart: false, properties } });
    assert.ok(one !== undefined);
    publish(node, 3, 2);
    if (way === "unsubscribe") {
      for (const { packetId } of one.takeMessages()) one.ack(pubrec, packetId, 0x80);
      one.lose();
      publish(node, 3, 1, 10);
      const again = node.connect("a", { cleanStart: false, properties });
      again.unsubscribe("$share/g/t/#");
    } else {
      one.lose();
      publish(node, 3, 1, 10);
      assert.ok(node.metaKeys(...SHARED_KEYS).length > 3);
      if (way === "end") node.connect("a", { cleanStart: true }).disconnect();
      else node.advance(10_000);
    }
    assert.equal(node.broker.shared.size, 0);
    assert.equal(node.broker.subscriptionCount, 0);
    node.advance(5_000);
    assert.deepEqual(node.metaKeys(...SHARED_KEYS), [], way);
  }
});

test("Unsubscribing leaves what is in flight to be acknowledged, and brings nothing new. [MQTT-3.10.4-2]", () => {
  const node = new VirtualNode();
  const [first, second] = members(node, ["a", "b"], { fields: lasting });
  assert.ok(first !== undefined && second !== undefined);
  publish(node, 4);
  const had = first.takeMessages();
  first.unsubscribe("$share/g/t/#");
  assert.deepEqual(first.takeText(), ["unsuback 2 0x00"]);
  first.ack(puback, had[0]?.packetId ?? 0);
  acknowledge(second);
  publish(node, 2, 1, 10);
  assert.deepEqual(first.takeText(), []);
  assert.equal(acknowledge(second), 2);
  first.lose();
  assert.deepEqual(payloads(second.takeMessages()), [had[1]?.payload]);
});

test("No retained messages come with a shared subscription; retain as published holds for each member.", () => {
  const node = new VirtualNode();
  node.connect("p").publish("t/x", "old", { retain: true });
  const [plain] = members(node, ["a"]);
  assert.ok(plain !== undefined);
  const other = node.connect("b");
  other.subscribe("$share/g/t/#", { qos: 0, retainAsPublished: true });
  other.take();
  for (let i = 0; i < 4; i++) node.connect("p").publish("t/x", "new", { retain: true });
  assert.deepEqual(plain.takeText(), new Array(2).fill("publish t/x q0: new"));
  assert.deepEqual(other.takeText(), new Array(2).fill("publish t/x q0 retain: new"));
});

test("A client of 3.1.1 is a member like any other.", () => {
  const node = new VirtualNode();
  const old = node.connect("old", { version: ProtocolVersion.v311 });
  old.subscribe("$share/g/t/#", { qos: 1 });
  old.take();
  const [young] = members(node, ["young"]);
  publish(node, 4);
  assert.equal(old.takeMessages().length, 2);
  assert.equal(young?.takeMessages().length, 2);
});

test("Rules hold for the filter within; what waits goes to those who still may.", () => {
  const node = new VirtualNode();
  const allow = (subscribe: string[]) => ({
    users: undefined,
    rules: [{ subject: { kind: "anonymous" } as const, publish: ["#"], subscribe }],
  });
  node.setPolicy(allow(["t/%c/#", "all/#"]));
  const client = node.connect("a", lasting);
  client.subscribe("$share/g/t/#", { qos: 1 });
  client.subscribe("$share/g/all/x", { qos: 1 });
  client.subscribe("$share/g/t/a/x", { qos: 1 });
  assert.deepEqual(client.takeText().slice(1), ["suback 1 0x87", "suback 1 0x01", "suback 1 0x01"]);
  client.lose();
  node.connect("p").publish("all/x", "1", { qos: 1, packetId: 1 });
  node.setPolicy(allow(["t/%c/#"]));
  assert.deepEqual(node.revoked, ["a $share/g/all/x"]);
  assert.deepEqual(resume(node, "a")[1], ["connack present"]);
});

test("A group in memory whose members do not keep up ends with them, and they are told.", () => {
  const node = new VirtualNode({ outbound: { memoryBacklogBytesMax: 2_000, inflightMax: 2 } });
  const both = members(node, ["a", "b"]);
  publish(node, 20);
  for (const each of both) assert.ok(each.isClosed && each.takeText().includes("disconnect 0x97"));
  assert.equal(node.broker.shared.size, 0);
});

test("What waits in memory goes to disk when a durable member comes.", () => {
  const node = new VirtualNode({ outbound: { inflightMax: 1 } });
  members(node, ["a"], { qos: 2 });
  publish(node, 4, 2);
  const [durable] = members(node, ["b"], { qos: 2, fields: lasting });
  assert.ok(durable !== undefined);
  node.crash();
  const got: string[] = [];
  let [client, texts] = resume(node, "b");
  for (let round = 0; round < 4; round++) {
    const published = texts.find((text) => text.startsWith("publish"));
    if (published === undefined) break;
    got.push(published.split(": ")[1] ?? "");
    const packetId = Number(/#(\d+)/.exec(published)?.[1]);
    client.ack(pubrec, packetId);
    client.ack(pubcomp, packetId);
    texts = client.takeText();
  }
  client.lose();
  [client, texts] = resume(node, "b");
  assert.deepEqual(texts, ["connack present"]);
  assert.deepEqual(got.toSorted(), ["1", "2", "3"]);
});

test("A group's backlog has the limits of a session's, and refuses where a session would.", () => {
  const full = new VirtualNode({ outbound: { backlogMessagesMax: 5, backlogWhenFull: "reject" } });
  members(full, ["a"], { fields: lasting })[0]?.lose();
  const publisher = publish(full, 7);
  assert.equal(publisher.takeText().filter((text) => text.includes("0x97")).length, 2);
  const dropping = new VirtualNode({ outbound: { backlogMessagesMax: 5 } });
  members(dropping, ["a"], { fields: lasting })[0]?.lose();
  publish(dropping, 12);
  assert.equal(dropping.broker.counters.droppedOldest, 7);
  assert.equal(resume(dropping, "a")[1].length, 6);
});

test("Members count as subscriptions, of the session and of all.", () => {
  const node = new VirtualNode({ limits: { subscriptionsPerSessionMax: 1 } });
  const both = members(node, ["a", "b"]);
  assert.equal(node.broker.subscriptionCount, 2);
  both[0]?.subscribe("x");
  assert.deepEqual(both[0]?.takeText(), ["suback 1 0x97"]);
  both[0]?.subscribe("$share/g/t/#", { qos: 2 });
  assert.equal(node.broker.subscriptionCount, 2);
  both[0]?.disconnect();
  assert.equal(node.broker.subscriptionCount, 1);
});

test("A malformed share name is refused in SUBSCRIBE and UNSUBSCRIBE alike.", () => {
  const node = new VirtualNode();
  const client = node.connect("a");
  client.take();
  for (const filter of ["$share//a", "$share/+/a", "$share/x/", "$share/x"]) {
    client.subscribe(filter);
    client.unsubscribe(filter);
    assert.deepEqual(client.takeText(), ["suback 1 0x8f", "unsuback 2 0x8f"], filter);
  }
  client.unsubscribe("$share/g/a");
  assert.deepEqual(client.takeText(), ["unsuback 2 0x11"]);
});

test("A QoS 2 message that was sent is completed although its client unsubscribed and the group is gone.", () => {
  for (const crashes of [false, true]) {
    const node = new VirtualNode();
    const [one] = members(node, ["a"], { qos: 2, fields: lasting });
    publish(node, 1, 2);
    assert.deepEqual(one?.takeText(), ["publish t/x q2 #1: 0"]);
    one?.unsubscribe("$share/g/t/#");
    assert.equal(node.broker.shared.size, 0);
    node.advance(5_000);
    if (crashes) node.crash();
    else one?.lose();
    const [again, texts] = resume(node, "a");
    assert.deepEqual(texts, ["connack present", "publish t/x q2 #1 dup: 0"]);
    again.ack(pubrec, 1);
    again.ack(pubcomp, 1);
    node.advance(5_000);
    assert.deepEqual(node.metaKeys(...SHARED_KEYS), []);
  }
});
