import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { PacketType, ProtocolVersion } from "../../../src/mqtt/packet.ts";
import { publishPacket, subscribePacket, type WireClient } from "../../support/wire-client.ts";
import {
  arrivals,
  edgeForFile,
  expectLines,
  leave,
  publishSafely,
  settled,
  textOf,
} from "../edge.ts";

const V311 = ProtocolVersion.v311;
const edge = edgeForFile();

/** Expects this for a new subscriber, in any order, and nothing else. */
async function expectKept(
  t: TestContext,
  topicFilter: string,
  qos: 0 | 1 | 2,
  expected: readonly string[],
): Promise<void> {
  const client = await edge.connect(t, V311, "");
  client.send(subscribePacket(1, topicFilter, qos));
  await client.takeType(PacketType.suback, 1);
  assert.deepEqual((await arrivals(client, expected.length)).sort(), expected);
  await client.drop();
}

const publisherOf = (t: TestContext): Promise<WireClient> => edge.connect(t, V311, "keeper");

test("A message with RETAIN is stored with its QoS, for subscribers to come [MQTT-3.3.1-5, MQTT-3.3.1-6, MQTT-3.3.1-8]", async (t) => {
  const publisher = await publisherOf(t);
  await publishSafely(publisher, "kept/a", "one", { retain: true });
  await expectKept(t, "kept/a", 2, ["publish kept/a q1 #1 retain: one"]);
  await expectKept(t, "kept/a", 0, ["publish kept/a q0 retain: one"]);
  // It is still there for the next.
  await expectKept(t, "kept/#", 1, ["publish kept/a q1 #1 retain: one"]);
});

test("A retained message of QoS 2 comes with QoS 2 [MQTT-3.3.1-5]", async (t) => {
  const publisher = await publisherOf(t);
  publisher.send(publishPacket("kept/two", "x", { qos: 2, packetId: 1, retain: true }));
  publisher.send({ type: PacketType.pubrel, packetId: 1, reasonCode: 0 });
  await publisher.takeType(PacketType.pubcomp, 1);
  await expectKept(t, "kept/two", 2, ["publish kept/two q2 #1 retain: x"]);
});

test("Of several messages with RETAIN the last is sent, one for each matching topic [MQTT-3.3.1-6]", async (t) => {
  const publisher = await publisherOf(t);
  for (const payload of ["one", "two", "three"]) {
    await publishSafely(publisher, "last/a", payload, { retain: true });
    await publishSafely(publisher, "last/b/c", payload, { retain: true });
  }
  await publishSafely(publisher, "other/a", "x", { retain: true });
  const expected = ["publish last/a q0 retain: three", "publish last/b/c q0 retain: three"];
  await expectKept(t, "last/#", 0, expected);
  await expectKept(t, "last/+", 0, expected.slice(0, 1));
  await expectKept(t, "nothing/#", 0, []);
});

test("A message of QoS 0 with RETAIN takes the place of the one before [MQTT-3.3.1-7]", async (t) => {
  const publisher = await publisherOf(t);
  await publishSafely(publisher, "zero/a", "old", { retain: true });
  publisher.send(publishPacket("zero/a", "new", { retain: true }));
  await settled(publisher);
  await expectKept(t, "zero/a", 2, ["publish zero/a q0 retain: new"]);
});

for (const cleanStart of [true, false]) {
  const kind = cleanStart ? "clean" : "durable";
  for (const qos of [0, 1, 2] as const) {
    test(`To a subscription of QoS ${qos} of a ${kind} session a message with RETAIN comes without the flag [MQTT-3.3.1-9]`, async (t) => {
      const subscriber = await edge.connect(t, V311, `there ${kind} ${qos}`, { cleanStart });
      await subscriber.subscribe(1, "there/#", qos);
      await settled(subscriber);
      const publisher = await publisherOf(t);
      publisher.send(publishPacket("there/a", "x", { qos, packetId: 1, retain: true }));
      publisher.send({ type: PacketType.pubrel, packetId: 1, reasonCode: 0 });
      const { packet } = await subscriber.take("it", ({ type }) => type === PacketType.publish);
      assert.match(textOf(packet), /^publish there\/a q\d(?: #\d)?: x$/);
      await publishSafely(publisher, "there/a", "", { retain: true });
    });
  }
}

test("What a session stored while its client was away comes without RETAIN [MQTT-3.3.1-9]", async (t) => {
  const away = await edge.connect(t, V311, "away", { cleanStart: false });
  await away.subscribe(1, "away/#", 1);
  await leave(away);
  await publishSafely(await publisherOf(t), "away/a", "x", { retain: true });
  const back = await edge.connect(t, V311, "away", { cleanStart: false });
  await expectLines(back, ["publish away/a q1 #1: x"]);
});

test("An empty message with RETAIN reaches who is there, and removes what was retained [MQTT-3.3.1-10, MQTT-3.3.1-11]", async (t) => {
  const subscriber = await edge.connect(t, V311, "emptied");
  await subscriber.subscribe(1, "emptied/#", 1);
  const publisher = await publisherOf(t);
  await publishSafely(publisher, "emptied/a", "x", { retain: true });
  await publishSafely(publisher, "emptied/a", "", { retain: true });
  const expected = ["publish emptied/a q1 #1: x", "publish emptied/a q1 #2: "];
  await expectLines(subscriber, expected);
  await expectKept(t, "emptied/#", 1, []);
});

test("An empty message with RETAIN is not retained where nothing was [MQTT-3.3.1-11]", async (t) => {
  await publishSafely(await publisherOf(t), "never/a", "", { retain: true });
  await expectKept(t, "never/#", 1, []);
});

test("A message without RETAIN is not stored and leaves what is retained [MQTT-3.3.1-12]", async (t) => {
  const publisher = await publisherOf(t);
  await publishSafely(publisher, "plain/a", "x");
  await expectKept(t, "plain/#", 0, []);
  await publishSafely(publisher, "plain/a", "kept", { retain: true });
  await publishSafely(publisher, "plain/a", "passing");
  await publishSafely(publisher, "plain/a", "");
  await expectKept(t, "plain/#", 0, ["publish plain/a q0 retain: kept"]);
});

test("Retained messages are no part of a session: they stay when the publisher's session ends [MQTT-3.1.2-7]", async (t) => {
  const durable = await edge.connect(t, V311, "owner", { cleanStart: false });
  await publishSafely(durable, "owned/a", "x", { retain: true });
  await leave(durable);
  await leave(await edge.connect(t, V311, "owner"));
  await expectKept(t, "owned/#", 0, ["publish owned/a q0 retain: x"]);
});

test("Retained messages outlive the broker [MQTT-3.3.1-5]", async (t) => {
  await publishSafely(await publisherOf(t), "lasting/a", "x", { retain: true });
  await edge.crash();
  await expectKept(t, "lasting/#", 1, ["publish lasting/a q1 #1 retain: x"]);
});
