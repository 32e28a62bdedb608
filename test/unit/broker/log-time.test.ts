import assert from "node:assert/strict";
import { test } from "node:test";
import type { LogId } from "../../../src/broker/store.ts";
import { type Machine, wallReader } from "../../../src/log-clock.ts";
import { PacketType } from "../../../src/mqtt/packet.ts";
import { VirtualNode, type VirtualNodeOptions } from "../../support/virtual-node.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const YEAR = 365 * 24 * HOUR;
const hours = (count: number) => ({
  cleanStart: false,
  properties: { sessionExpirySeconds: count * 3_600 },
});

/** A session of `away` that expires after ten hours without client, and is owed a message that expires after five. */
function leave(node: VirtualNode, name = "away"): void {
  const client = node.connect(name, hours(10));
  client.subscribe("a/#", { qos: 1 });
  client.lose();
  const properties = { messageExpirySeconds: 5 * 3_600 };
  node.connect("p").publish("a/b", "x", { qos: 1, packetId: 1, properties });
}

const has = (node: VirtualNode, name = "away"): boolean =>
  node.broker.sessions.get(name) !== undefined;

/** The expiry interval in seconds that is left of the message, as `away` gets it; undefined: it does not get it. */
function left(node: VirtualNode, name = "away"): number | undefined {
  const client = node.connect(name, hours(10));
  const [, message] = client.take();
  client.lose();
  return message?.type === PacketType.publish ? message.properties.messageExpirySeconds : undefined;
}

function start(options: VirtualNodeOptions = {}): VirtualNode {
  return new VirtualNode(options);
}

test("Time spent off counts when the wall clock is believed before and after.", () => {
  const node = start();
  leave(node);
  node.off(4 * HOUR);
  assert.equal(left(node), 3_600);
  node.off(2 * HOUR);
  assert.equal(left(node), undefined);
  node.off(11 * HOUR);
  node.advance(1);
  assert.equal(has(node), false);
});

test("Time spent off does not count until the wall clock is believed, and then it does.", () => {
  const node = start();
  leave(node);
  node.wall.isTrusted = false;
  node.wall.aheadMs -= 30 * YEAR;
  node.off(9 * HOUR);
  node.advance(30 * MINUTE);
  assert.equal(node.time.isTrusted, false);
  assert.equal(has(node), true);
  node.wall.isTrusted = true;
  node.wall.aheadMs += 30 * YEAR;
  node.advance(2_000);
  assert.equal(node.time.isTrusted, true);
  node.advance(29 * MINUTE);
  assert.equal(has(node), true, "nine and a half hours and 29 minutes");
  node.advance(2 * MINUTE);
  assert.equal(has(node), false);
});

test("What was stored before is older, what was stored since is not, when the time spent off becomes known.", () => {
  const node = start();
  leave(node, "before");
  node.wall.isTrusted = false;
  node.off(20 * HOUR);
  node.advance(MINUTE);
  leave(node, "since");
  node.advance(MINUTE);
  node.wall.isTrusted = true;
  node.advance(2_000);
  assert.equal(has(node, "before"), false);
  assert.equal(left(node, "since"), 5 * 3_600 - 62);
});

test("A first synchronization that leaps by twenty years expires nothing.", () => {
  const node = start();
  node.wall.isTrusted = false;
  node.wall.aheadMs = 0;
  node.crash();
  leave(node);
  node.advance(MINUTE);
  node.wall.isTrusted = true;
  node.wall.aheadMs = 20 * YEAR;
  node.advance(MINUTE);
  assert.equal(node.time.isTrusted, true);
  assert.equal(left(node), 5 * 3_600 - 120);
  assert.equal(has(node), true);
  // And it is kept over a restart, with the time spent off.
  node.off(HOUR);
  assert.equal(left(node), 4 * 3_600 - 120);
});

test("A wall clock that is set during the run, forward or back, ages nothing, also after a restart at once.", () => {
  for (const stepMs of [20 * YEAR, -20 * YEAR, 3 * HOUR, -3 * HOUR]) {
    const node = start();
    leave(node);
    const before = node.now;
    node.wall.aheadMs += stepMs;
    node.advance(2_000);
    assert.ok(node.now - before === 2_000, "the log's time goes on");
    assert.equal(Math.abs(node.time.wallOf(node.now) - node.wallMs) <= 1, true);
    node.crash();
    assert.equal(left(node), 5 * 3_600 - 2);
    node.off(HOUR);
    assert.equal(left(node), 4 * 3_600 - 2);
  }
});

test("The log's time never goes back, whatever the wall clock says at a start.", () => {
  const node = start();
  leave(node);
  node.wall.aheadMs -= 40 * YEAR;
  for (const isTrusted of [true, false]) {
    const before = node.now;
    node.wall.isTrusted = isTrusted;
    node.off(HOUR);
    assert.ok(node.now >= before);
    assert.ok(node.now - before < 1_000, "nothing is made up");
  }
  assert.equal(left(node), 5 * 3_600);
});

test("Several starts without a believed clock add up once it is believed.", () => {
  const node = start();
  leave(node);
  node.wall.isTrusted = false;
  for (let i = 0; i < 3; i++) {
    node.off(HOUR);
    node.advance(2 * MINUTE);
  }
  assert.equal(left(node), 5 * 3_600 - 6 * 60);
  node.wall.isTrusted = true;
  node.off(HOUR);
  assert.equal(left(node), 3_600 - 6 * 60);
  node.crash();
  assert.equal(left(node), 3_600 - 6 * 60);
});

test("A clock that is believed, lost and believed again within one run ages nothing.", () => {
  const node = start();
  leave(node);
  node.wall.isTrusted = false;
  node.advance(MINUTE);
  node.wall.isTrusted = true;
  node.wall.aheadMs += 20 * YEAR;
  node.advance(MINUTE);
  assert.equal(left(node), 5 * 3_600 - 120);
});

test("A run whose commit was the last thing that happened knows what it had learned.", () => {
  const node = start({ flushes: "manual" });
  leave(node);
  node.flushAll();
  node.wall.isTrusted = false;
  node.off(HOUR);
  node.flushAll();
  node.wall.isTrusted = true;
  node.advance(2_000);
  // What was learned is not flushed: it is learned again.
  node.crash();
  node.flushAll();
  const client = node.connect("away", hours(10));
  node.flushAll();
  const [, message] = client.take();
  assert.ok(message?.type === PacketType.publish);
  assert.equal(message.properties.messageExpirySeconds, 4 * 3_600 - 2);
});

test("More gaps than are kept make what lies between the oldest younger, never older.", () => {
  const node = start();
  leave(node);
  for (let i = 0; i < 80; i++) {
    node.wall.isTrusted = false;
    node.off(MINUTE);
    node.wall.isTrusted = true;
    node.advance(2_000);
    node.turn();
  }
  assert.equal(left(node), 5 * 3_600 - 80 * 62);
});

test("A stream keeps by age what is young by the time that is known.", () => {
  const stream = {
    name: "s",
    filters: ["s/#"],
    bytesMax: 1e9,
    ageMaxMs: 10 * HOUR,
    whenFull: "reject",
  } as const;
  const node = start({ streams: [stream] });
  const log = node.broker.streams.all[0]?.log as LogId;
  const publish = (): void => node.connect("p").publish("s/a", "x", { qos: 1, packetId: 1 });
  publish();
  node.wall.isTrusted = false;
  node.wall.aheadMs += 20 * YEAR;
  node.off(11 * HOUR);
  publish();
  node.advance(MINUTE);
  assert.equal(node.store.stats(log).firstSequence, 1);
  node.wall.isTrusted = true;
  node.wall.aheadMs -= 20 * YEAR;
  node.advance(3_000);
  assert.equal(node.store.stats(log).firstSequence, 2);
  node.advance(9 * HOUR);
  assert.equal(node.store.stats(log).firstSequence, 2);
  node.advance(2 * HOUR);
  assert.equal(node.store.stats(log).firstSequence, 3);
});

test("Stamps are told by the wall clock as soon as that is known.", () => {
  const node = start();
  node.wall.isTrusted = false;
  node.wall.aheadMs = 0;
  node.crash();
  const stamp = node.now;
  node.advance(MINUTE);
  node.wall.isTrusted = true;
  node.wall.aheadMs = 50 * YEAR;
  node.advance(2_000);
  assert.equal(node.time.wallOf(stamp), node.wallMs - MINUTE - 2_000);
});

test("A damaged record of the time costs the time spent off and nothing else.", () => {
  for (const damage of [Buffer.alloc(0), Buffer.alloc(26, 0xff), Buffer.from("nonsense")]) {
    const node = start();
    leave(node);
    const key = node.disk
      .keys("meta")
      .find((each) => Buffer.from(each).toString().endsWith("time"));
    assert.ok(key !== undefined);
    node.disk.overwrite("meta", key, damage);
    const before = node.now;
    node.off(HOUR);
    assert.ok(node.now >= before);
    assert.equal(has(node), true);
  }
});

const NOW = Date.UTC(2027, 5, 1);

function machine(nowMs: number, ...files: string[]): Machine {
  return { nowMs: () => nowMs, exists: (path) => files.includes(path) };
}

test("A wall clock is believed by what the system says, else by whether it is plausible.", () => {
  const auto = { trust: "auto" } as const;
  const believes = (nowMs: number, newestMs: number | undefined, ...files: string[]): boolean =>
    wallReader(auto, machine(nowMs, ...files))(newestMs).isTrusted;
  const folder = "/run/systemd/timesync";
  assert.equal(believes(NOW, undefined), true);
  assert.equal(believes(0, undefined), false);
  assert.equal(believes(Date.UTC(2020, 1, 1), undefined), false);
  assert.equal(believes(Date.UTC(2090, 1, 1), undefined), false);
  assert.equal(believes(NOW, NOW + HOUR), false);
  assert.equal(believes(NOW, NOW + 1_000), true);
  assert.equal(believes(NOW, undefined, folder), false);
  assert.equal(believes(NOW, undefined, folder, `${folder}/synchronized`), true);
  assert.equal(believes(NOW, NOW + HOUR, folder, `${folder}/synchronized`), true);
  assert.equal(believes(0, undefined, folder, `${folder}/synchronized`), false);
});

test("A file of one's own says whether the wall clock is synchronized, and a setting whether it is ever believed.", () => {
  const file = { trust: "auto", synchronizedFile: "/run/synced" } as const;
  assert.equal(wallReader(file, machine(NOW))(undefined).isTrusted, false);
  assert.equal(wallReader(file, machine(NOW, "/run/synced"))(undefined).isTrusted, true);
  const never = wallReader({ trust: "never" }, machine(NOW));
  assert.deepEqual(never(undefined), { wallMs: NOW, isTrusted: false });
  assert.equal(wallReader({ trust: "always" }, machine(0))(NOW).isTrusted, true);
});

test("Within a run nothing is missed, not even when the wall clock is doubted in its first millisecond and set before it is believed again.", () => {
  const node = start();
  node.wall.isTrusted = false;
  assert.equal(node.time.observe(), false);
  const stamp = node.now;
  node.wall.aheadMs += HOUR;
  node.wall.isTrusted = true;
  assert.equal(node.time.observe(), false);
  assert.equal(node.time.since(stamp), 0);
});

test("Records of logs carry the time: it is written with small records, and else once a second.", () => {
  const stream = { name: "s", filters: ["s/#"], bytesMax: 1_048_576, ageMaxMs: undefined } as const;
  const node = start({
    streams: [{ ...stream, messagesMax: undefined, whenFull: "drop-oldest" }],
  });
  const written = (): string => {
    const { meta } = node.disk.tables;
    const key = node.disk.keys("meta").find((each) => Buffer.from(each).includes("time"));
    return Buffer.from((key && meta.get(key)) ?? []).toString("hex");
  };
  const client = node.connect("p");
  client.publish("s/1", "x", { qos: 1, packetId: 1 });
  const first = written();
  assert.notEqual(first, "");
  node.advance(500);
  client.publish("s/1", "x", { qos: 1, packetId: 2 });
  assert.equal(written(), first, "a record of a log alone, half a second later");
  client.publish("r/1", "x", { qos: 1, packetId: 3, retain: true });
  const second = written();
  assert.notEqual(second, first, "a small record");
  node.advance(1_500);
  client.publish("s/1", "x", { qos: 1, packetId: 4 });
  const third = written();
  assert.notEqual(third, second, "a record of a log alone, later");
  node.advance(900);
  client.publish("s/1", "x", { qos: 1, packetId: 5 });
  assert.equal(written(), third);
  const before = node.time.now();
  node.crash();
  assert.ok(node.time.now() > before, "behind all stamps");
});
