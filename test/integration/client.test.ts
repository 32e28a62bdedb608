import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { ConnectOptions } from "../../src/client/node.ts";
import { connect, RillError, textOf } from "../../src/client/node.ts";
import { BrokerHome, type BrokerProcess } from "../support/broker-process.ts";

const LISTENERS = { listeners: [{ url: "rill://127.0.0.1:0" }] };

async function edge(t: TestContext, options: ConnectOptions = {}) {
  const broker = await new BrokerHome(t).start({ config: LISTENERS });
  const url = broker.urls[0] ?? "";
  const client = await connect(url, options);
  t.after(() => client.close(0));
  return { broker: broker as BrokerProcess, url, client };
}

const codeOf = (error: unknown): string =>
  error instanceof RillError ? error.code : String(error);

for (const subprotocol of ["rill.v1+msgpack", "rill.v1+json"] as const) {
  test(`Events reach who listens, in ${subprotocol}.`, async (t) => {
    const { client } = await edge(t, { subprotocols: [subprotocol] });
    const events = await client.events.subscribe("sensor/#");
    assert.deepEqual(await client.events.publish("elsewhere", "x"), { isReached: false });
    await client.events.publish("sensor/1", {
      payload: "warm",
      properties: [["unit", "C"]],
      contentType: "text/plain",
    });
    const { value } = await events.next();
    assert.ok(value !== undefined);
    assert.equal(value.topic, "sensor/1");
    assert.equal(textOf(value), "warm");
    assert.deepEqual(value.properties, [["unit", "C"]]);
    await events.close();
    assert.deepEqual(await events.next(), { value: undefined, done: true });
    assert.deepEqual(await client.events.publish("sensor/1", "x"), { isReached: false });
  });
}

test("A queue's messages come, are acknowledged, given back, kept longer and moved.", async (t) => {
  const { client } = await edge(t);
  const { queues } = client;
  const sent = await queues.sendAll("jobs", ["a", "b", { payload: "c", messageId: "c" }]);
  assert.deepEqual(
    sent.map(({ sequence }) => sequence),
    [1, 2, 3],
  );
  assert.equal((await queues.send("jobs", { payload: "c", messageId: "c" })).duplicate, true);
  const [a, b, c, ...none] = await queues.receive("jobs", { max: 10 });
  assert.ok(a !== undefined && b !== undefined && c !== undefined);
  assert.equal(none.length, 0);
  await a.ack();
  await assert.rejects(a.ack(), (error) => codeOf(error) === "expired-delivery");
  await b.reject();
  await c.extend(60_000);
  await c.requeue({ to: "later" });
  const [again] = await queues.receive("jobs", { waitMs: 1_000 });
  assert.equal(again && textOf(again), "b");
  assert.equal(again?.deliveryCount, 2);
  const peeked = await queues.peek("later", { max: 5 });
  assert.deepEqual(peeked.map(textOf), ["c"]);
  assert.ok(again !== undefined);
  await queues.ack("jobs", [again]);
  assert.deepEqual(await queues.receive("jobs"), []);
});

test("A long poll that is aborted leaves the message to others.", async (t) => {
  const { client } = await edge(t);
  const aborter = new AbortController();
  const poll = client.queues.receive("jobs", { waitMs: 20_000, signal: aborter.signal });
  const failed = assert.rejects(poll, (error) => codeOf(error) === "aborted");
  // Behind the poll on the same connection: it is there by now.
  await client.queues.receive("other");
  aborter.abort();
  await failed;
  await client.queues.send("jobs", "work");
  const [message] = await client.queues.receive("jobs", { waitMs: 10_000 });
  assert.equal(message && textOf(message), "work");
});

test("A reader that is slow has no more than its window waiting, and still gets everything in order.", async (t) => {
  const { client, url } = await edge(t);
  const sender = await connect(url);
  t.after(() => sender.close(0));
  const total = 2_000;
  const messages = Array.from({ length: total }, (_, i) => String(i));
  for (let i = 0; i < total; i += 100)
    await sender.queues.sendAll("jobs", messages.slice(i, i + 100));
  const work = await client.queues.subscribe("jobs", { window: 10 });
  let most = 0;
  let next = 0;
  for await (const message of work) {
    most = Math.max(most, work.waiting + 1);
    assert.equal(textOf(message), String(next++));
    const acked = message.ack();
    if (next === total) {
      await acked;
      break;
    }
  }
  assert.ok(most <= 10, `${most} waited`);
});

test("What waited in a subscription that is closed goes to others at once.", async (t) => {
  const { client } = await edge(t);
  await client.queues.sendAll("jobs", ["a", "b", "c"]);
  const first = await client.queues.subscribe("jobs");
  const { value } = await first.next();
  await value?.ack();
  await first.close();
  const second = await client.queues.subscribe("jobs");
  const got = [(await second.next()).value, (await second.next()).value];
  assert.deepEqual(
    got.map((message) => message && textOf(message)),
    ["b", "c"],
  );
});

test("Closing waits for what is under way; later calls are refused, iterators are done.", async (t) => {
  const { client } = await edge(t);
  const events = await client.events.subscribe("#");
  const waiting = events.next();
  const sent = client.queues.send("jobs", "last");
  await client.close();
  assert.equal((await sent).sequence, 1);
  assert.equal((await waiting).done, true);
  assert.equal(client.state.name, "closed");
  await assert.rejects(client.queues.send("jobs", "x"), (error) => codeOf(error) === "closed");
});

test("A subscription that is aborted throws, and so does one that is aborted before it began.", async (t) => {
  const { client } = await edge(t);
  const aborter = new AbortController();
  const events = await client.events.subscribe("#", { signal: aborter.signal });
  const loop = (async () => {
    for await (const _ of events);
  })();
  aborter.abort();
  await assert.rejects(loop, (error) => codeOf(error) === "aborted");
  const late = client.events.subscribe("#", { signal: aborter.signal });
  await assert.rejects(late, (error) => codeOf(error) === "aborted");
});

test("Connecting fails with a reason: nobody there, too late, aborted, no URL.", async () => {
  await assert.rejects(
    connect("rill://127.0.0.1:1", { reconnects: false }),
    (error) => codeOf(error) === "unreachable" && /ECONNREFUSED/.test((error as Error).message),
  );
  await assert.rejects(
    connect("rill://127.0.0.1:1", { connectTimeoutMs: 200 }),
    (error) => codeOf(error) === "unreachable",
  );
  const signal = AbortSignal.timeout(100);
  await assert.rejects(
    connect("rill://127.0.0.1:1", { signal }),
    (error) => codeOf(error) === "aborted",
  );
  await assert.rejects(connect("http://127.0.0.1"), TypeError);
});
