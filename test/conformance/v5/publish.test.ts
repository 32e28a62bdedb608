import assert from "node:assert/strict";
import { test } from "node:test";
import { type ConnectPacket, PacketType } from "../../../src/mqtt/packet.ts";
import { VirtualNode } from "../../support/virtual-node.ts";
import { publishPacket } from "../../support/wire-client.ts";
import { field, framed, properties } from "../bytes.ts";
import { edgeForFile } from "../edge.ts";
import { StrictClient } from "../strict-client.ts";

const edge = edgeForFile();

const join = (clientId: string, fields: Partial<ConnectPacket> = {}): Promise<StrictClient> =>
  StrictClient.join(edge.broker.port, clientId, fields);

const LASTING = { cleanStart: false, properties: { sessionExpirySeconds: 3_600 } };

test("A PUBLISH is answered as its QoS says: not at all, with PUBACK, with PUBREC. [MQTT-3.3.4-1, MQTT-4.3.2-4, MQTT-4.3.3-8]", async () => {
  const client = await join("answers");
  client.sendWire("30 05 0001 61 00 78");
  await client.getsNothing();
  client.sendWire("32 07 0001 61 000a 00 78");
  await client.gets("puback 10 0x10");
  client.sendWire("34 07 0001 61 000b 00 78");
  await client.gets("pubrec 11 0x10");
  await client.getsNothing();
});

test("QoS 3 is malformed. [MQTT-3.3.1-4]", async () => {
  for (const first of ["36", "37", "3e", "3f"]) {
    const client = await join("qos-3");
    client.sendWire(`${first} 07 0001 61 0001 00 78`);
    await client.ends("disconnect 0x81");
  }
});

test("DUP with QoS 0 is malformed, and no message with QoS 0 goes out with it. [MQTT-3.3.1-2, MQTT-4.3.1-1]", async () => {
  for (const first of ["38", "39"]) {
    const client = await join("dup-0");
    client.sendWire(`${first} 05 0001 61 00 78`);
    await client.ends("disconnect 0x81");
  }
  const subscriber = await join("dup-subscriber");
  await subscriber.subscribe("dup");
  const publisher = await join("dup-publisher");
  publisher.sendWire(framed("3a", field("'dup'"), "0001 00 'x'"));
  await publisher.gets("puback 1");
  assert.equal((await subscriber.takeArrival()).hex, "300700036475700078");
});

test("DUP of a publisher does not go on to subscribers, whatever their QoS. [MQTT-3.3.1-3, MQTT-4.3.2-2, MQTT-4.3.3-2]", async () => {
  const publisher = await join("dup-2-publisher");
  for (const [qos, lasting] of [
    [1, {}],
    [2, {}],
    [1, LASTING],
    [2, LASTING],
  ] as const) {
    const subscriber = await join(`dup-2-${qos}`, lasting);
    await subscriber.subscribe("dup-2", { qos });
    await publisher.publish("dup-2", "x", { qos: 2, dup: true });
    await subscriber.gets(`publish dup-2 q${qos} #1: x`);
    await subscriber.leave(0, {});
  }
});

test("DUP is set on what is sent again after a reconnect, and on nothing else. [MQTT-3.3.1-1, MQTT-3.3.1-3]", async () => {
  const first = await join("again", LASTING);
  await first.subscribe("again", { qos: 2 });
  const publisher = await join("again-publisher");
  await publisher.publish("again", "1", { qos: 1 });
  await publisher.publish("again", "2", { qos: 2 });
  await first.gets("publish again q1 #1: 1", "publish again q2 #2: 2");
  await first.lose();
  await publisher.publish("again", "3", { qos: 1 });
  const second = await join("again", LASTING);
  await second.gets(
    "publish again q1 #1 dup: 1",
    "publish again q2 #2 dup: 2",
    "publish again q1 #3: 3",
  );
  await second.getsNothing();
});

test("A topic name with a wildcard, or an empty one, is refused. [MQTT-3.3.2-2, MQTT-4.7.0-1, MQTT-4.7.3-1]", async () => {
  for (const topic of ["#", "+", "a/#", "a/+/b", "a+", "#a", "a#b/c"]) {
    for (const qos of [1, 2] as const) {
      const client = await join("wildcards");
      assert.equal(await client.publish(topic, "x", { qos }), 0x90, topic);
      await client.getsNothing();
    }
    const client = await join("wildcards");
    client.send(publishPacket(topic, "x"));
    await client.ends("disconnect 0x90");
  }
  for (const bytes of ["30 04 0000 00 78", "32 06 0000 0001 00 78", "34 06 0000 0001 00 78"]) {
    const client = await join("no-topic");
    client.sendWire(bytes);
    await client.ends("disconnect 0x82");
  }
});

test("What is refused reaches nobody. [MQTT-3.3.2-2, MQTT-4.3.3-9]", async () => {
  const watcher = await join("refused-watcher");
  await watcher.subscribe(["a/#", "#", "+/#"], { qos: 2 });
  const client = await join("refused");
  for (const qos of [1, 2] as const) await client.publish("a/+", "x", { qos });
  await watcher.getsNothing();
});

test("A PUBLISH that ends within a field is malformed. [MQTT-3.3.2-1, MQTT-4.13.1-1]", async () => {
  const whole = "0003612f62000705020000000a7879";
  for (let length = 0; length < 26; length += 2) {
    const client = await join("cut");
    client.sendWire(framed("32", whole.slice(0, length)));
    assert.deepEqual(await client.rest(), ["disconnect 0x81"], String(length / 2));
  }
});

test("Every property of a message comes to its subscribers as it was. [MQTT-3.3.2-4, MQTT-3.3.2-15, MQTT-3.3.2-16, MQTT-3.3.2-17, MQTT-3.3.2-20]", async () => {
  const publisher = await join("properties-publisher");
  const rows: readonly [sent: string, got: string][] = [
    ["01 00", "isPayloadUtf8=false"],
    ["01 01", "isPayloadUtf8=true"],
    [`03 ${field("'text/é'")}`, 'contentType="text/é"'],
    ["03 0000", 'contentType=""'],
    [`08 ${field("'answer/é'")}`, 'responseTopic="answer/é"'],
    [`09 ${field("00ff80")}`, "correlationData=00ff80"],
    ["09 0000", "correlationData="],
    [`26 ${field("")} ${field("")}`, 'userProperties=[["",""]]'],
  ];
  for (const lasting of [{}, LASTING]) {
    const subscriber = await join(`properties-${Object.keys(lasting).length}`, lasting);
    for (const qos of [0, 1, 2] as const) {
      await subscriber.subscribe("p", { qos });
      for (const [sent, got] of rows) {
        publisher.sendWire(framed("30", field("'p'"), properties(sent), "'x'"));
        await subscriber.gets(`publish p q0: x ${got}`);
      }
    }
    await subscriber.leave();
  }
});

test("Properties come unchanged also with QoS 1 and 2, from the backlog, and retained. [MQTT-3.3.2-4, MQTT-3.3.2-15, MQTT-3.3.2-16, MQTT-3.3.2-17, MQTT-3.3.2-18, MQTT-3.3.2-20]", async () => {
  const all = {
    isPayloadUtf8: true,
    contentType: "text/plain",
    responseTopic: "answer",
    correlationData: Uint8Array.of(0, 255),
    userProperties: [
      ["z", "1"],
      ["a", "2"],
      ["z", "1"],
    ] as const,
  };
  const text =
    'isPayloadUtf8=true contentType="text/plain" responseTopic="answer" correlationData=00ff userProperties=[["z","1"],["a","2"],["z","1"]]';
  const publisher = await join("unchanged-publisher");
  const subscriber = await join("unchanged", LASTING);
  await subscriber.subscribe("unchanged", { qos: 2 });
  await publisher.publish("unchanged", "1", { qos: 1, properties: all });
  await publisher.publish("unchanged", "2", { qos: 2, properties: all });
  await subscriber.gets(`publish unchanged q1 #1: 1 ${text}`, `publish unchanged q2 #2: 2 ${text}`);
  await subscriber.lose();
  await publisher.publish("unchanged", "3", { qos: 1, properties: all, retain: true });
  const again = await join("unchanged", LASTING);
  await again.gets(
    `publish unchanged q1 #1 dup: 1 ${text}`,
    `publish unchanged q2 #2 dup: 2 ${text}`,
    `publish unchanged q1 #3: 3 ${text}`,
  );
  await edge.crash();
  const late = await join("unchanged-late");
  await late.subscribe("unchanged", { qos: 0 });
  await late.gets(`publish unchanged q0 retain: 3 ${text}`);
});

test("Many user properties keep their order, whatever their names. [MQTT-3.3.2-18, MQTT-3.3.2-17]", async () => {
  const subscriber = await join("order");
  await subscriber.subscribe("order");
  const userProperties = Array.from(
    { length: 32 },
    (_, i) =>
      [["10", "9", "a", "", "a", "constructor", "__proto__"][i % 7] ?? "", String(i)] as const,
  );
  const publisher = await join("order-publisher");
  await publisher.publish("order", "x", { properties: { userProperties } });
  await subscriber.gets(`publish order q0: x userProperties=${JSON.stringify(userProperties)}`);
});

test("A response topic with a wildcard, or an empty one, is a protocol error. [MQTT-3.3.2-14]", async () => {
  for (const topic of ["#", "a/#", "+", "a/+/b", ""]) {
    const client = await join("response");
    client.send(publishPacket("a", "x", { properties: { responseTopic: topic } }));
    assert.deepEqual(await client.rest(), ["disconnect 0x82"], topic);
  }
});

test("Properties of a PUBLISH that stand twice, out of range or in the wrong packet end the connection. [MQTT-4.13.1-1, MQTT-3.3.4-6, MQTT-3.3.2-8]", async () => {
  const rows: readonly [text: string, code: string][] = [
    [properties("01 00 01 00"), "0x82"],
    [properties("01 02"), "0x82"],
    [properties("02 00000001 02 00000001"), "0x82"],
    [properties("03 0000 03 0000"), "0x82"],
    [properties("08", field("'a'"), "08", field("'a'")), "0x82"],
    [properties("09 0000 09 0000"), "0x82"],
    [properties("23 0001 23 0001"), "0x82"],
    // Topic alias 0.
    [properties("23 0000"), "0x94"],
    // A subscription identifier from a client, also 0.
    [properties("0b 01"), "0x82"],
    [properties("0b 00"), "0x82"],
    // Of other packets, or of none.
    [properties("11 00000001"), "0x81"],
    [properties("18 00000001"), "0x81"],
    [properties("1f 0000"), "0x81"],
    [properties("21 0001"), "0x81"],
    [properties("04 00"), "0x81"],
    [properties("00"), "0x81"],
    [properties("ff01 00"), "0x81"],
    // Longer than the packet.
    ["7f", "0x81"],
  ];
  for (const [text, code] of rows) {
    for (const [first, id] of [
      ["30", ""],
      ["32", "0001"],
    ] as const) {
      const client = await join("publish-properties");
      client.sendWire(framed(first, field("'a'"), id, text));
      assert.deepEqual(await client.rest(), [`disconnect ${code}`], text);
    }
  }
});

test("A message that has expired is not delivered; one that has not says how long it has left. [MQTT-3.3.2-5, MQTT-3.3.2-6]", () => {
  for (const qos of [1, 2] as const) {
    const node = new VirtualNode();
    const subscriber = node.connect("s", LASTING);
    subscriber.subscribe("a", { qos });
    subscriber.lose();
    const publisher = node.connect("p");
    for (const [packetId, seconds] of [
      [1, 10],
      [2, 11],
      [3, 60],
    ] as const) {
      publisher.publish("a", String(seconds), {
        qos: 2,
        packetId,
        properties: { messageExpirySeconds: seconds },
      });
    }
    publisher.publish("a", "none", { qos: 2, packetId: 4 });
    node.advance(10_000);
    const again = node.connect("s", LASTING);
    const left = again
      .take()
      .map((packet) =>
        packet.type === PacketType.publish
          ? `${packet.payload}: ${packet.properties.messageExpirySeconds}`
          : "connack",
      );
    assert.deepEqual(left, ["connack", "11: 1", "60: 50", "none: undefined"]);
  }
});

test("A retained message expires too, and says how long it has left. [MQTT-3.3.2-5, MQTT-3.3.2-6]", () => {
  const node = new VirtualNode();
  const properties = { messageExpirySeconds: 60 };
  node.connect("p").publish("a", "x", { qos: 1, packetId: 1, retain: true, properties });
  const expiryAt = (ms: number): number[] => {
    node.advance(ms);
    const client = node.connect("s");
    client.subscribe("a");
    return client
      .take()
      .flatMap((packet) =>
        packet.type === PacketType.publish ? [packet.properties.messageExpirySeconds ?? -1] : [],
      );
  };
  assert.deepEqual(expiryAt(0), [60]);
  assert.deepEqual(expiryAt(20_000), [40]);
  assert.deepEqual(expiryAt(39_000), [1]);
  assert.deepEqual(expiryAt(1_000), []);
});

test("What is delivered at once keeps its expiry interval, also the longest. [MQTT-3.3.2-6]", async () => {
  const subscriber = await join("expiry");
  await subscriber.subscribe("expiry");
  const publisher = await join("expiry-publisher");
  for (const messageExpirySeconds of [1, 3_600, 0xffff_ffff]) {
    await publisher.publish("expiry", "x", { properties: { messageExpirySeconds } });
    await subscriber.gets(`publish expiry q0: x messageExpirySeconds=${messageExpirySeconds}`);
  }
});

test("Subscribers get only what matches, under the name it was published to. [MQTT-3.3.2-3]", async () => {
  const subscriber = await join("matches");
  await subscriber.subscribe(["m/+/x", "n/#"]);
  const publisher = await join("matches-publisher");
  for (const topic of [
    "m/1/x",
    "m/1/y",
    "m/x",
    "m/1/2/x",
    "n",
    "n/",
    "n/1/2",
    "nn",
    "N/1",
    "/n/1",
  ]) {
    await publisher.publish(topic, topic);
  }
  await subscriber.gets(
    ...["m/1/x", "n", "n/", "n/1/2"].map((topic) => `publish ${topic} q0: ${topic}`),
  );
  await subscriber.getsNothing();
});

test("Payloads come unchanged, empty ones, large ones and all bytes. [MQTT-3.3.4-1, MQTT-4.2.0-1]", async () => {
  const subscriber = await join("payloads");
  await subscriber.subscribe("payload", { qos: 1 });
  const publisher = await join("payloads-publisher");
  const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
  for (const payload of [Buffer.alloc(0), bytes, Buffer.alloc(300_000, bytes)]) {
    await publisher.publish("payload", payload, { qos: 1 });
    const packet = await subscriber.take();
    assert.ok(packet.type === PacketType.publish);
    assert.equal(Buffer.compare(packet.payload, payload), 0);
    subscriber.ack("puback", packet.packetId);
  }
});
