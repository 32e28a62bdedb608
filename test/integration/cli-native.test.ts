import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, test } from "node:test";
import { BrokerHome } from "../support/broker-process.ts";
import { eventually } from "../support/json-process.ts";
import { runCli, startCli } from "./cli-process.ts";

let url = "";
let home: BrokerHome;

before(async () => {
  home = new BrokerHome({ after: () => undefined });
  const broker = await home.start({ config: { listeners: [{ url: "rill://127.0.0.1:0" }] } });
  url = broker.urls[0] ?? "";
});
after(() => home.close());

/** A command that must end with this code; returns its output's lines. */
async function lines(exitCode: number, ...args: string[]): Promise<string[]> {
  const result = await runCli([...args, "--url", url]);
  assert.equal(result.exitCode, exitCode, `${args.join(" ")}: ${result.stderr}${result.stdout}`);
  return result.stdout.split("\n").slice(0, -1);
}

const asJson = (line: string | undefined): unknown => JSON.parse(line ?? "");

test("queue: makes, sends, peeks, receives, moves, purges and removes.", async () => {
  await lines(0, "queue", "create", "jobs", "--visibility", "30", "--deliveries-max", "5");
  await lines(1, "queue", "create", "jobs");
  const [sent] = await lines(0, "queue", "send", "jobs", "--message", "one", "--json");
  assert.deepEqual(asJson(sent), { sequence: 1 });
  await lines(0, "queue", "send", "jobs", "--message", "two");
  assert.deepEqual(await lines(0, "queue", "peek", "jobs"), ["one", "two"]);
  assert.deepEqual(await lines(0, "queue", "receive", "jobs", "--no-ack"), ["one"]);
  const [received] = await lines(0, "queue", "receive", "jobs", "--json");
  const { payload, deliveryCount } = asJson(received) as Record<string, unknown>;
  assert.deepEqual([payload, deliveryCount], ["one", 2]);
  assert.deepEqual(await lines(0, "queue", "move", "jobs", "later"), ["moved: 1"]);
  assert.deepEqual(await lines(1, "queue", "receive", "jobs"), []);
  assert.deepEqual(await lines(0, "queue", "ls"), ["jobs", "later"]);
  assert.deepEqual(await lines(0, "queue", "purge", "later"), ["count: 1"]);
  const [info] = await lines(0, "queue", "info", "later", "--json");
  assert.equal((asJson(info) as Record<string, unknown>)["messages"], 0);
  await lines(0, "queue", "rm", "later");
  await lines(1, "queue", "info", "later");
});

test("stream: makes, appends, reads, consumes, purges and removes.", async () => {
  await lines(0, "stream", "create", "log", "--retain", "limits");
  const [first = ""] = await lines(0, "stream", "append", "log", "--message", "a");
  const [second = ""] = await lines(0, "stream", "append", "log", "--message", "b");
  assert.equal(Number(second), Number(first) + 1);
  await lines(1, "stream", "append", "log", "--message", "c", "--expected-sequence", "9");
  assert.deepEqual(await lines(0, "stream", "read", "log"), ["a", "b"]);
  assert.deepEqual(await lines(0, "stream", "read", "log", "--from", second), ["b"]);
  const consume = ["stream", "consume", "log", "--from", "first", "--consumer", "me", "--count"];
  assert.deepEqual(await lines(0, ...consume, "1"), ["a"]);
  assert.deepEqual(await lines(0, ...consume, "1"), ["b"]);
  assert.deepEqual(await lines(0, "stream", "ls"), ["log"]);
  assert.deepEqual(await lines(0, "stream", "purge", "log", "--before", second), ["count: 1"]);
  await lines(0, "stream", "rm", "log");
  await lines(1, "stream", "read", "log");
});

test("What is more than one answer holds is printed all the same, as much as was asked for.", async () => {
  const large = "x".repeat(100_000);
  await lines(0, "stream", "create", "large", "--retain", "limits");
  for (const name of ["1", "2", "3"]) {
    await lines(0, "stream", "append", "large", "--message", name + large);
    await lines(0, "queue", "send", "heavy", "--message", name + large);
  }
  const firsts = async (...args: string[]): Promise<string> =>
    (await lines(0, ...args)).map(([first]) => first).join("");
  assert.equal(await firsts("stream", "read", "large"), "123");
  assert.equal(await firsts("stream", "read", "large", "--max", "2"), "12");
  assert.equal(await firsts("queue", "peek", "heavy"), "123");
  assert.equal(await firsts("queue", "receive", "heavy", "--max", "3", "--no-ack"), "123");
  assert.equal(await firsts("queue", "receive", "heavy", "--max", "2"), "12");
  assert.equal(await firsts("queue", "receive", "heavy", "--max", "9"), "3");
});

test("queue move says how many were moved before there was no more room, and leaves the rest.", async () => {
  await lines(0, "queue", "create", "small", "--max-messages", "1");
  for (const text of ["a", "b"]) await lines(0, "queue", "send", "from", "--message", text);
  const result = await runCli(["queue", "move", "from", "small", "--url", url]);
  assert.deepEqual([result.exitCode, result.stdout], [1, "moved: 1\n"]);
  assert.match(result.stderr, /full/);
  assert.equal((await lines(0, "queue", "receive", "from")).length, 1);
});

test("request is answered by respond, which ends with 0 when it is interrupted; without one it ends with 1.", async () => {
  const nobody = await runCli(["request", "calc", "--message", "x", "--url", url]);
  assert.equal(nobody.exitCode, 1);
  assert.match(nobody.stderr, /^rillmq request: .*no-responder\)\n$/);
  const responder = startCli(["respond", "calc", "--exec", "tr a-z A-Z", "--url", url]);
  await eventually(
    "somebody answers",
    async () =>
      (await runCli(["request", "calc", "--message", "abc", "--url", url])).stdout === "ABC\n",
    15_000,
  );
  responder.child.kill("SIGINT");
  const { exitCode, stdout } = await responder.ended;
  assert.equal(exitCode, 0);
  assert.match(stdout, /^(abc\n)+$/);
});

test("events: what is published comes as JSON lines; an interrupted subscriber ends with 0, one whose time is up with 1.", async () => {
  const sub = startCli(["events", "sub", "news/#", "--retained", "--json", "--url", url]);
  const printed = once(sub.child.stdout ?? sub.child, "data");
  await lines(0, "events", "pub", "news/1", "--message", "héllo", "--retain");
  await printed;
  sub.child.kill("SIGINT");
  const { exitCode, stdout } = await sub.ended;
  assert.equal(exitCode, 0);
  const { topic, payload } = asJson(stdout) as Record<string, unknown>;
  assert.deepEqual([topic, payload], ["news/1", "héllo"]);
  const late = await runCli(["events", "sub", "nothing", "--timeout", "1", "--url", url]);
  assert.deepEqual([late.exitCode, late.stderr], [1, "rillmq events sub: timed out\n"]);
});

test("events pub tells with --json whether somebody was there.", async () => {
  const [told] = await lines(0, "events", "pub", "nobody", "--message", "x", "--json");
  assert.deepEqual(asJson(told), { reached: false });
});

test("Wrong usage ends with 2, a missing broker with 1 and one line.", async () => {
  await lines(2, "queue", "send", "jobs");
  await lines(2, "queue", "send");
  await lines(2, "stream", "read", "log", "--from", "yesterday");
  await lines(2, "respond", "calc");
  const wrong = await runCli(["queue", "ls", "--url", "mqtt://127.0.0.1"]);
  assert.equal(wrong.exitCode, 2);
  const missing = await runCli(["queue", "ls", "--url", "rill://127.0.0.1:1"]);
  assert.equal(missing.exitCode, 1);
  assert.match(missing.stderr, /^rillmq queue ls: .*ECONNREFUSED.*\n$/);
});
