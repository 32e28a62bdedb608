import assert from "node:assert/strict";
import { test } from "node:test";
import { type OutgoingPacket, PacketType, ProtocolVersion } from "../../../src/mqtt/packet.ts";
import { publishPacket } from "../../support/wire-client.ts";
import { arrivals, edgeForFile, expectLines, lastWords, publishSafely, settled } from "../edge.ts";

const V311 = ProtocolVersion.v311;
const edge = edgeForFile({ config: { mqtt: { topicBytesMax: 65_535, sysIntervalMs: 200 } } });

const TOPICS = [
  "sport",
  "sport/",
  "/sport",
  "sport/tennis",
  "sport/tennis/player1",
  "sport/tennis/player1/ranking",
  "/",
  "//",
  "sport//player1",
  "Sport/tennis",
  "sport/ tennis",
];

/** The topics above that a filter matches, by the standard's own examples and their kin. */
const MATCHES: readonly (readonly [filter: string, topics: readonly string[]])[] = [
  ["sport", ["sport"]],
  ["sport/", ["sport/"]],
  ["/sport", ["/sport"]],
  [
    "sport/#",
    [
      "sport",
      "sport/",
      "sport/ tennis",
      "sport//player1",
      "sport/tennis",
      "sport/tennis/player1",
      "sport/tennis/player1/ranking",
    ],
  ],
  ["sport/tennis/player1/#", ["sport/tennis/player1", "sport/tennis/player1/ranking"]],
  ["sport/+", ["sport/", "sport/ tennis", "sport/tennis"]],
  ["+", ["sport"]],
  ["+/+", ["/", "/sport", "Sport/tennis", "sport/", "sport/ tennis", "sport/tennis"]],
  ["/+", ["/", "/sport"]],
  ["+/", ["/", "sport/"]],
  ["sport/+/player1", ["sport//player1", "sport/tennis/player1"]],
  [
    "+/tennis/#",
    ["Sport/tennis", "sport/tennis", "sport/tennis/player1", "sport/tennis/player1/ranking"],
  ],
  ["#", TOPICS],
  ["/#", ["/", "//", "/sport"]],
  ["SPORT/tennis", []],
  ["sport/tennis/", []],
];

for (const [filter, topics] of MATCHES) {
  test(`The filter ${filter} matches ${topics.length} of ${TOPICS.length} topics, the right ones [MQTT-4.7.1-1, MQTT-4.7.3-4, MQTT-3.3.2-3]`, async (t) => {
    const client = await edge.connect(t, V311, "matching");
    await client.subscribe(1, filter, 0);
    for (const topic of TOPICS) client.send(publishPacket(topic, "x"));
    const expected = [...topics].sort().map((topic) => `publish ${topic} q0: x`);
    assert.deepEqual((await arrivals(client, topics.length)).sort(), expected);
  });
}

for (const [one, other, what] of [
  ["level/A", "level/a", "case"],
  ["level/a ", "level/a", "a space at the end"],
  ["level/\u00e9", "level/e\u0301", "a composed character"],
  ["level/\uff21", "level/A", "a character of full width"],
  ["level/a/", "level/a", "a separator at the end"],
  ["/level/a", "level/a", "a separator at the start"],
  ["level//a", "level/a", "a separator twice"],
  ["\ufefflevel", "level", "a byte order mark"],
  ["level/%41", "level/A", "an escape"],
] as const) {
  test(`Topics that differ in ${what} are two topics: nothing is normalized [MQTT-4.7.3-4]`, async (t) => {
    const client = await edge.connect(t, V311, "unnormalized");
    await client.subscribe(1, one, 0);
    for (const topic of [other, one]) client.send(publishPacket(topic, "x"));
    await expectLines(client, [`publish ${one} q0: x`]);
  });
}

test("A topic name of one character is one, and so is a separator alone [MQTT-4.7.3-1]", async (t) => {
  const client = await edge.connect(t, V311, "short");
  for (const filter of ["a", "/"]) await client.subscribe(1, filter, 0);
  for (const topic of ["a", "/"]) client.send(publishPacket(topic, "x"));
  await expectLines(client, ["publish a q0: x", "publish / q0: x"]);
});

test("An empty filter is refused [MQTT-4.7.3-1]", async (t) => {
  const client = await edge.connect(t, V311, "emptied");
  assert.deepEqual((await client.subscribe(1, "", 0)).reasonCodes, [0x80]);
});

test("A topic name and a filter may have 65,535 bytes, and come through whole [MQTT-4.7.3-3]", async (t) => {
  const client = await edge.connect(t, V311, "long");
  const topic = `long/${"x".repeat(65_530)}`;
  assert.equal(Buffer.byteLength(topic), 65_535);
  for (const filter of [topic, `+/${"x".repeat(65_530)}`]) {
    assert.deepEqual((await client.subscribe(1, filter, 1)).reasonCodes, [1]);
  }
  await publishSafely(await edge.connect(t, V311, "publisher"), topic, "x");
  const { packet: got } = await client.takeType(PacketType.publish);
  assert.equal(got.topic, topic);
});

test("Filters that begin with a wildcard get nothing of $SYS, live or retained, those that begin with $SYS do [MQTT-4.7.2-1]", async (t) => {
  const hidden = await edge.connect(t, V311, "hidden");
  for (const filter of ["#", "+/#", "+/broker/#", "+/broker/uptime"]) {
    await hidden.subscribe(1, filter, 0);
  }
  const aware = await edge.connect(t, V311, "aware");
  await aware.subscribe(1, "$SYS/broker/#", 0);
  const isAboutBroker = (got: OutgoingPacket, retain: boolean): boolean =>
    got.type === PacketType.publish && got.topic.startsWith("$SYS/") && got.retain === retain;
  await aware.take("a retained value", (got) => isAboutBroker(got, true));
  await aware.take("a changed value", (got) => isAboutBroker(got, false));
  await aware.take("another", (got) => isAboutBroker(got, false));
  await publishSafely(await edge.connect(t, V311, "visible"), "seen", "y");
  await expectLines(hidden, ["publish seen q0: y"]);
  const late = await edge.connect(t, V311, "late");
  await late.subscribe(1, "#", 0);
  assert.deepEqual(await settled(late), []);
});

test("Clients may not publish below $: the connection ends and nobody gets it [MQTT-4.7.2-1]", async (t) => {
  const watcher = await edge.connect(t, V311, "watcher");
  for (const filter of ["$own/#", "#"]) await watcher.subscribe(1, filter, 0);
  const client = await edge.connect(t, V311, "intruder");
  client.send(publishPacket("$own/a", "x", { qos: 1, packetId: 1 }));
  assert.deepEqual(await lastWords(client), []);
  assert.deepEqual(await settled(watcher), []);
});
