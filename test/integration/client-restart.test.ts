import assert from "node:assert/strict";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { type ClientState, connect, RillError, textOf } from "../../src/client/node.ts";
import { BrokerHome, type BrokerProcess } from "../support/broker-process.ts";
import { eventually, JsonProcess } from "../support/json-process.ts";

const FAST = { backoffMinMs: 50, backoffMaxMs: 300, timeoutMs: 60_000 };

/** A broker that comes back at the same address after a SIGKILL. */
class Edge {
  readonly home: BrokerHome;
  #broker: BrokerProcess | undefined;
  url = "rill://127.0.0.1:0";

  constructor(t: TestContext) {
    this.home = new BrokerHome(t);
  }

  async start(): Promise<this> {
    const streams = [{ name: "log", filters: ["log/#"] }];
    const config = { listeners: [{ url: this.url }], streams };
    this.#broker = await this.home.start({ config });
    this.url = this.#broker.urls[0] ?? "";
    return this;
  }

  async kill(): Promise<void> {
    await this.#broker?.kill();
  }
}

const range = (count: number): string[] => Array.from({ length: count }, (_, i) => String(i));

test("Two programs work on through three kills of the broker: nothing acknowledged is lost, settled messages do not come back, retries double nothing.", async (t) => {
  const edge = await new Edge(t).start();
  const worker = new JsonProcess(join(import.meta.dirname, "client-worker-child.ts"), [
    edge.url,
    "jobs",
  ]);
  t.after(() => worker.kill());
  const sender = await connect(edge.url, FAST);
  t.after(() => sender.close(0));
  await eventually(
    "the worker is ready",
    () => worker.count("ready") === 1,
    15_000,
    () => worker.describe(),
  );
  const total = 900;
  let sent = 0;
  const sending = (async () => {
    const texts = range(total);
    // Several on their way at the same time, so that a kill meets them.
    for (let i = 0; i < total; i += 10) {
      await Promise.all(
        texts.slice(i, i + 10).map((text) => sender.queues.send("jobs", text).then(() => sent++)),
      );
    }
  })();
  for (const milestone of [150, 400, 650]) {
    await eventually(`${milestone} sent`, () => sent >= milestone, 20_000);
    await edge.kill();
    await edge.start();
  }
  await sending;
  const acked = (): unknown[] =>
    worker.lines.filter(({ event }) => event === "acked").map(({ text }) => text);
  const unsure = (): Set<unknown> =>
    new Set(worker.lines.filter(({ event }) => event === "unsure").map(({ text }) => text));
  await eventually(
    "all are worked off",
    () => new Set([...acked(), ...unsure()]).size === total,
    20_000,
    () => worker.describe(),
  );
  await eventually(
    "the queue is empty",
    async () => (await sender.queues.peek("jobs", { max: 1 })).length === 0,
    20_000,
  );
  // Acknowledged once each: what was settled on disk did not come back, and no retry of the sender made a second one.
  assert.equal(new Set(acked()).size, acked().length);
  const missing = range(total).filter((text) => !acked().includes(text) && !unsure().has(text));
  assert.deepEqual(missing, []);
});

test("A long poll and a subscription to events go on after a restart; the state tells of it.", async (t) => {
  const edge = await new Edge(t).start();
  const states: ClientState["name"][] = [];
  const client = await connect(edge.url, { ...FAST, onState: ({ name }) => states.push(name) });
  t.after(() => client.close(0));
  let resumed = 0;
  const events = await client.events.subscribe("news/#", { onResumed: () => resumed++ });
  const poll = client.queues.receive("jobs", { waitMs: 30_000 });
  await client.queues.receive("other");
  await edge.kill();
  // Asked while there is no broker: it is stored when there is one.
  const sent = client.queues.send("jobs", "after the restart");
  await edge.start();
  assert.equal((await sent).sequence, 1);
  const [message] = await poll;
  assert.equal(message && textOf(message), "after the restart");
  await message?.ack();
  await eventually("the subscription is back", () => resumed === 1, 10_000);
  await client.events.publish("news/1", "hello");
  assert.equal((await events.next()).value?.topic, "news/1");
  assert.equal(states[0], "connecting");
  assert.deepEqual(new Set(states), new Set(["connecting", "connected", "waiting"]));
  assert.equal(states.filter((name) => name === "connected").length, 2);
});

test("A delivery of a lost connection cannot be settled any more, whatever has its number now.", async (t) => {
  const edge = await new Edge(t).start();
  const client = await connect(edge.url, FAST);
  t.after(() => client.close(0));
  await client.queues.send("jobs", "a");
  const [before] = await client.queues.receive("jobs", { visibilityMs: 1_000 });
  // That it was handed out goes to disk with the next commit.
  await client.queues.send("other", "x");
  await edge.kill();
  await edge.start();
  const [after] = await client.queues.receive("jobs", { waitMs: 10_000 });
  assert.deepEqual([after && textOf(after), after?.deliveryCount], ["a", 2]);
  await assert.rejects(
    before?.ack() ?? Promise.resolve(),
    (error) => error instanceof RillError && error.code === "expired-delivery",
  );
  await after?.ack();
});

test("An event that was under way is not published twice: its publisher is told that it may be either.", async (t) => {
  const edge = await new Edge(t).start();
  const client = await connect(edge.url, FAST);
  t.after(() => client.close(0));
  const kill = edge.kill();
  await assert.rejects(
    (async () => {
      for (;;) await client.events.publish("t", "x", { timeoutMs: 3_000 });
    })(),
    (error) => error instanceof RillError && ["connection-lost", "timeout"].includes(error.code),
  );
  await kill;
});

test("A durable consumer and a plain reader of a stream go on behind what they had after a kill.", async (t) => {
  const edge = await new Edge(t).start();
  const client = await connect(edge.url, FAST);
  t.after(() => client.close(0));
  await client.streams.appendAll("log", ["a", "b"]);
  let resumed = 0;
  const onResumed = (): void => {
    resumed++;
  };
  const from = { at: "first" } as const;
  const durable = await client.streams.consume("log", { consumer: "c", from, onResumed });
  const plain = await client.streams.consume("log", { from, onResumed });
  for (const expected of ["a", "b"]) {
    const record = (await durable.next()).value;
    assert.equal(record && textOf(record), expected);
    await record?.ack();
    const read = (await plain.next()).value;
    assert.equal(read && textOf(read), expected);
  }
  await edge.kill();
  await edge.start();
  await eventually("both are back", () => resumed === 2, 10_000);
  await client.streams.append("log", "c");
  for (const reader of [durable, plain]) {
    const record = (await reader.next()).value;
    assert.equal(record && textOf(record), "c");
  }
});
