import assert from "node:assert/strict";
import { test } from "node:test";
import {
  filterMatches,
  isTopicFilter,
  isTopicName,
  levelCount,
  TopicTable,
} from "../../../src/broker/topic.ts";

for (const name of ["a", "/", "a//b", "$SYS/x", " ", "ä/😀", "/a/"]) {
  test(`${JSON.stringify(name)} is a topic name.`, () => assert.equal(isTopicName(name), true));
}
for (const name of ["", "a/+", "#", "a#", "a+b", "a\u0000b"]) {
  test(`${JSON.stringify(name)} is not a topic name. [MQTT-3.3.2-2, 4.7.3-1, 4.7.3-2]`, () => {
    assert.equal(isTopicName(name), false);
  });
}

for (const filter of ["a", "#", "+", "/", "+/+", "a/#", "+/#", "/#", "a/+/b/#", "$SYS/#", "//+"]) {
  test(`${JSON.stringify(filter)} is a topic filter.`, () => {
    assert.equal(isTopicFilter(filter), true);
  });
}
for (const filter of [
  "",
  "a#",
  "#/a",
  "a/#/b",
  "##",
  "a+",
  "+a",
  "a/b+/c",
  "a/+b",
  "++",
  "a\u0000",
]) {
  test(`${JSON.stringify(filter)} is not a topic filter. [MQTT-4.7.1-1, 4.7.1-2, 4.7.3-1]`, () => {
    assert.equal(isTopicFilter(filter), false);
  });
}

for (const [filter, topic, isMatch] of [
  ["sport/tennis/player1/#", "sport/tennis/player1", true],
  ["sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true],
  ["sport/#", "sport", true],
  ["sport/tennis/+", "sport/tennis/player1", true],
  ["sport/tennis/+", "sport/tennis/player1/ranking", false],
  ["sport/+", "sport", false],
  ["sport/+", "sport/", true],
  ["+/+", "/finance", true],
  ["/+", "/finance", true],
  ["+", "/finance", false],
  ["#", "$SYS/monitor", false],
  ["+/monitor/Clients", "$SYS/monitor/Clients", false],
  ["$SYS/#", "$SYS/monitor", true],
  ["$SYS/monitor/+", "$SYS/monitor/Clients", true],
  ["+/$SYS", "a/$SYS", true],
  ["ACCOUNTS", "Accounts", false],
] as const) {
  test(`${filter} ${isMatch ? "matches" : "does not match"} ${topic}. [MQTT 5.0 section 4.7]`, () => {
    assert.equal(filterMatches(filter, topic), isMatch);
  });
}

test("Levels are one more than slashes.", () => {
  assert.deepEqual(["a", "/", "a/b/c", ""].map(levelCount), [1, 2, 3, 1]);
});

test("A topic table gives the same object for the same name, and never holds more than its bound.", () => {
  const table = new TopicTable(3);
  const a = table.of("a");
  assert.equal(table.of("a"), a);
  for (let i = 0; i < 1_000; i++) table.of(`name ${i}`);
  assert.equal([...table.all()].length, 3);
  assert.equal(table.of("a").text, "a");
  assert.equal(Buffer.from(table.of("ä").bytes).toString("hex"), "c3a4");
});

test("A topic table never holds more than its bytes, and a long name finds room.", () => {
  const table = new TopicTable();
  const bytesOf = (): number => [...table.all()].reduce((sum, { bytes }) => sum + bytes.length, 0);
  for (let i = 0; i < 5_000; i++) table.of(`${i}`.padEnd(1_000, "x"));
  assert.ok(bytesOf() <= 4_194_304 && bytesOf() > 4_000_000);
  const long = "y".repeat(65_535);
  for (let i = 0; i < 100; i++) table.of(long);
  assert.equal(table.of(long), table.of(long));
  assert.ok(bytesOf() <= 4_194_304);
});

test("Of more topics in turn than a table has room for many are found again, and one that comes often comes in.", () => {
  const table = new TopicTable(650);
  const names = Array.from({ length: 1_000 }, (_, i) => `in turn ${i}`);
  for (let round = 0; round < 20; round++) for (const name of names) table.of(name);
  const kept = new Set(table.all());
  assert.equal(kept.size, 650);
  let found = 0;
  for (const name of names) if (kept.has(table.of(name))) found++;
  assert.ok(found > 500, `${found} of 1,000 found`);
  for (let i = 0; i < 16; i++) table.of("often");
  assert.equal(table.of("often"), table.of("often"));
});

test("A topic has its own copy of the bytes that it is made from.", () => {
  const source = Buffer.from("xxtopicxx");
  const topic = new TopicTable().of("topic", source, 2, 7);
  source.fill(0);
  assert.equal(Buffer.from(topic.bytes).toString(), "topic");
});
