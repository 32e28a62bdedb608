import assert from "node:assert/strict";
import { test } from "node:test";
import type { ConnectPacket } from "../../../src/mqtt/packet.ts";
import { publishPacket } from "../../support/wire-client.ts";
import { edgeForFile } from "../edge.ts";
import { StrictClient } from "../strict-client.ts";

const edge = edgeForFile({
  config: { mqtt: { topicBytesMax: 65_535, topicLevelsMax: 65_535, sysIntervalMs: "100ms" } },
});

const join = (clientId: string, fields: Partial<ConnectPacket> = {}): Promise<StrictClient> =>
  StrictClient.join(edge.broker.port, clientId, fields);

/** Which of these topics a subscriber of this topic filter gets, live and retained. */
const MATCHES: readonly [filter: string, topics: readonly string[]][] = [
  ["#", ["a", "a/b", "a/b/c", "/", "/a", "a/", "a//b", "A", "b"]],
  ["+", ["a", "A", "b"]],
  ["a", ["a"]],
  ["a/#", ["a", "a/b", "a/b/c", "a/", "a//b"]],
  ["a/+", ["a/b", "a/"]],
  ["+/+", ["a/b", "/", "/a", "a/"]],
  ["/+", ["/", "/a"]],
  ["+/", ["/", "a/"]],
  ["/", ["/"]],
  ["/#", ["/", "/a"]],
  ["+/b/#", ["a/b", "a/b/c"]],
  ["a/+/b", ["a//b"]],
  ["a/+/c", ["a/b/c"]],
  ["+/+/+", ["a/b/c", "a//b"]],
  ["a/b/#", ["a/b", "a/b/c"]],
  ["a/b/c/#", ["a/b/c"]],
  ["a/b/c/+", []],
  ["A/#", ["A"]],
];
const TOPICS = ["a", "a/b", "a/b/c", "/", "/a", "a/", "a//b", "A", "b"];

test("Wildcards match as the standard says, level by level, live messages and retained ones. [MQTT-4.7.1-1, MQTT-4.7.1-2, MQTT-3.3.2-3, MQTT-4.7.3-4]", async () => {
  const publisher = await join("matches-publisher");
  for (const topic of TOPICS) await publisher.publish(topic, "r", { retain: true, qos: 1 });
  for (const [filter, expected] of MATCHES) {
    const client = await join("matches");
    await client.subscribe(filter);
    await client.getsInAnyOrder(...expected.map((topic) => `publish ${topic} q0 retain: r`));
    await client.getsNothing();
    publisher.send(...TOPICS.map((topic) => publishPacket(topic, "x")));
    await publisher.getsNothing();
    await client.gets(
      ...TOPICS.filter((topic) => expected.includes(topic)).map(
        (topic) => `publish ${topic} q0: x`,
      ),
    );
    await client.getsNothing();
    await client.leave();
  }
  for (const topic of TOPICS) await publisher.publish(topic, "", { retain: true });
});

test("Leading wildcards do not match topics that begin with $, the same topic filters with $ do. [MQTT-4.7.2-1]", async () => {
  const blind = await join("blind");
  await blind.subscribe(["#", "+/#", "+/broker/#", "+/broker/uptime", "+", "/#"]);
  const client = await join("seeing");
  await client.subscribe("$SYS/broker/uptime");
  // What it is now, and twice what it is then: those went by the others.
  for (let i = 0; i < 3; i++) {
    const { text } = await client.takeArrival();
    assert.match(text, /^publish \$SYS\/broker\/uptime q0/);
  }
  await blind.getsNothing();
  const other = await join("seeing-all");
  await other.subscribe("$SYS/#");
  assert.match((await other.takeArrival()).text, /^publish \$SYS\/broker\//);
  await blind.getsNothing();
});

test("Topics are not normalized: case, accents, empty levels, blanks and dots make them different. [MQTT-4.7.3-4]", async () => {
  const topics = [
    "n/a",
    "N/a",
    "n/A",
    "n//a",
    "n/a/",
    "/n/a",
    "n/a ",
    " n/a",
    "n/./a",
    "n/../a",
    "n/é",
    "n/e\u0301",
    "n/ﬁ",
    "n/fi",
    "n/%61",
    "n/\ufeffa",
    "n/ａ",
  ];
  const publisher = await join("normal-publisher");
  for (const topic of topics) {
    const client = await join("normal");
    await client.subscribe(topic);
    publisher.send(...topics.map((each) => publishPacket(each, each)));
    await publisher.getsNothing();
    await client.gets(`publish ${topic} q0: ${topic}`);
    await client.getsNothing();
  }
});

test("A topic of 65,535 bytes, or of as many levels as fit, comes and goes. [MQTT-4.7.3-3]", async () => {
  const client = await join("long");
  const publisher = await join("long-publisher");
  for (const topic of ["x".repeat(65_535), "/".repeat(65_534), `${"é".repeat(32_767)}x`]) {
    assert.deepEqual(await client.subscribe(topic, { qos: 1 }), [1]);
    assert.equal(await publisher.publish(topic, "x", { qos: 1 }), 0);
    const packet = await client.take();
    assert.ok("topic" in packet && packet.topic === topic);
    assert.deepEqual(await client.unsubscribe(topic), [0]);
  }
});

test("A topic with a wildcard is refused, and one that is empty. [MQTT-4.7.0-1, MQTT-4.7.3-1]", async () => {
  const client = await join("wild");
  for (const topic of ["a/+", "#", "a#", "+"]) {
    assert.equal(await client.publish(topic, "x", { qos: 1 }), 0x90);
    assert.equal(await client.publish(topic, "x", { qos: 2 }), 0x90);
  }
  assert.deepEqual(await client.subscribe(""), [0x8f]);
  client.sendWire("32 06 0000 0001 00 78");
  await client.ends("disconnect 0x82");
});
