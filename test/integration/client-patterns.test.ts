/** The client library with a real broker: several destinations, groups, cached replies, TLS, pauses between attempts, aborted requests. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import {
  type ClientState,
  type ConnectOptions,
  connect,
  RillError,
  textOf,
} from "../../src/client/node.ts";
import { BrokerHome, type BrokerProcess } from "../support/broker-process.ts";
import { TestAuthority } from "../support/certificates.ts";

const CONFIG = {
  listeners: [{ url: "rill://127.0.0.1:0" }],
  streams: [{ name: "log", filters: ["log/#"] }],
  routes: [{ key: "both", to: "queue:jobs;stream:log" }],
};

const codeOf = (error: unknown): string =>
  error instanceof RillError ? error.code : String(error);
const hasCode = (code: string) => (error: unknown) => codeOf(error) === code;

async function edge(t: TestContext, options: ConnectOptions = {}) {
  const broker: BrokerProcess = await new BrokerHome(t).start({ config: CONFIG });
  const url = broker.urls[0] ?? "";
  const client = await connect(url, options);
  t.after(() => client.close(0));
  const another = async (): Promise<typeof client> => {
    const one = await connect(url);
    t.after(() => one.close(0));
    return one;
  };
  return { broker, client, another };
}

test("One message goes to several destinations, once however often it is sent, and to none when one of them refuses.", async (t) => {
  const { client } = await edge(t);
  const events = await client.events.subscribe("siren");
  const to = "siren;queue:alarms;route:both";
  const options = { pattern: "event", messageId: "m1" } as const;
  const { parts } = await client.route(to, "fire", options);
  assert.deepEqual(parts, [
    { to: "event:siren" },
    { to: "queue:alarms", sequence: 1 },
    { to: "queue:jobs", sequence: 1 },
    { to: "stream:log", sequence: 1 },
  ]);
  const { value } = await events.next();
  assert.equal(value && textOf(value), "fire");
  const again = (await client.route(to, "fire", options))["parts"] as { duplicate?: true }[];
  assert.deepEqual(
    again.map(({ duplicate }) => duplicate),
    [undefined, true, true, true],
  );
  await assert.rejects(
    client.route("queue:jobs;queue:none;stream:nowhere", "x"),
    hasCode("not-found"),
  );
  await assert.rejects(client.route("nothing:x", "x"), hasCode("bad-frame"));
  const messages = await client.queues.receive("jobs", { max: 10 });
  assert.deepEqual(messages.map(textOf), ["fire"]);
});

test("Of a group of subscribers one gets each event, of a group of responders one is asked, and those outside get all.", async (t) => {
  const { client, another } = await edge(t);
  const members = [await another(), await another()];
  const subscriptions = await Promise.all(
    members.map(({ events }) => events.subscribe("job/#", { group: "g" })),
  );
  const all = await client.events.subscribe("job/#");
  for (let i = 0; i < 10; i++) await client.events.publish(`job/${i}`, `${i}`);
  const got: string[][] = [[], []];
  // An event behind the others, to each of them alone, says that they are all there.
  for (const [i, member] of members.entries()) {
    const end = await member.events.subscribe(`end/${i}`);
    await client.events.publish(`end/${i}`, "");
    await end.next();
    const waiting = subscriptions[i];
    while (waiting !== undefined && waiting.waiting > 0) {
      const { value } = await waiting.next();
      if (value !== undefined) got[i]?.push(textOf(value));
    }
  }
  assert.deepEqual(
    got.flat().sort(),
    Array.from({ length: 10 }, (_, i) => `${i}`),
  );
  assert.ok(
    got.every((one) => one.length > 0),
    "each of them got some",
  );
  for (let i = 0; i < 10; i++) assert.equal((await all.next()).value?.topic, `job/${i}`);
  const asked = [0, 0];
  for (const [i, { requests }] of members.entries()) {
    await requests.respond("sum", () => `${++(asked as [number, number])[i as 0 | 1]}`, {
      group: "g",
    });
  }
  for (let i = 0; i < 6; i++) await client.requests.request("sum", "?");
  assert.equal((asked[0] ?? 0) + (asked[1] ?? 0), 6);
  assert.ok(asked.every((count) => count > 0));
});

test("A reply is remembered under its key for its user, an error is not, and says that it was remembered.", async (t) => {
  const { client, another } = await edge(t);
  const service = await another();
  let asked = 0;
  await service.requests.respond("price/+", ({ topic }) => {
    asked++;
    if (topic === "price/none") throw new Error("no such thing");
    return `${asked}`;
  });
  const cached = { cacheKey: "k", cacheTtlMs: 60_000 };
  const first = await client.requests.request("price/a", "?", cached);
  const second = await client.requests.request("price/a", "?", cached);
  const other = await (await another()).requests.request("price/a", "?", cached);
  assert.deepEqual([first, second, other].map(textOf), ["1", "1", "1"]);
  assert.deepEqual([first.cached, second.cached, other.cached], [undefined, true, true]);
  assert.equal(textOf(await client.requests.request("price/b", "?", cached)), "2");
  assert.equal(textOf(await client.requests.request("price/a", "?")), "3");
  for (let i = 0; i < 2; i++) {
    await assert.rejects(
      client.requests.request("price/none", "?", cached),
      (error) => codeOf(error) === "responder-error" && /no such thing/.test(String(error)),
    );
  }
  assert.equal(asked, 5);
});

test("A request that is aborted rejects at once, and the connection goes on.", async (t) => {
  const { client, another } = await edge(t);
  const service = await another();
  let answer: (text: string) => void = () => undefined;
  const isAsked = new Promise<void>((resolve) => {
    void service.requests.respond("slow", () => {
      resolve();
      return new Promise<string>((done) => {
        answer = done;
      });
    });
  });
  await service.events.publish("behind/the/responder", "");
  const aborter = new AbortController();
  const asking = client.requests.request("slow", "?", { signal: aborter.signal });
  const failed = assert.rejects(asking, hasCode("aborted"));
  await isAsked;
  aborter.abort();
  await failed;
  answer("too late");
  const signal = AbortSignal.abort();
  await assert.rejects(client.requests.request("slow", "?", { signal }), hasCode("aborted"));
  await assert.rejects(client.requests.request("nobody", "?"), hasCode("no-responder"));
});

test("Pauses between attempts grow within their bounds while nobody is there.", async (t) => {
  const delays: number[] = [];
  let enough: () => void = () => undefined;
  const seen = new Promise<void>((resolve) => {
    enough = resolve;
  });
  const onState = (state: ClientState): void => {
    if (state.name !== "waiting") return;
    delays.push(state.delayMs);
    if (delays.length === 6) enough();
  };
  const { broker, client } = await edge(t, { backoffMinMs: 8, backoffMaxMs: 64, onState });
  await broker.kill();
  await seen;
  for (const [i, delayMs] of delays.slice(0, 6).entries()) {
    const fullMs = Math.min(64, 8 * 2 ** i);
    assert.ok(delayMs >= fullMs / 2 && delayMs <= fullMs, `${delays.join()} ms`);
  }
  const waiting = client.queues.send("jobs", "x");
  const failed = assert.rejects(waiting, hasCode("closed"));
  await client.close(0);
  await failed;
});

test("TLS: the broker's certificate is checked on rills:// and wss://, and one of nobody known is refused.", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "rillmq-client-tls-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const authority = TestAuthority.create(t, folder);
  if (authority === undefined) return;
  const tls = authority.sign("edge", "edge-1");
  const listeners = [
    { url: "rills://127.0.0.1:0" },
    { url: "wss://127.0.0.1:0", protocols: ["mqtt", "rill"] },
  ];
  const broker = await new BrokerHome(t).start({ config: { listeners, tls } });
  const ca = readFileSync(authority.ca);
  for (const url of broker.urls) {
    const client = await connect(url, { tls: { ca } });
    t.after(() => client.close(0));
    await client.queues.send("jobs", url);
    const [message] = await client.queues.receive("jobs");
    assert.equal(message && textOf(message), url);
    await message?.ack();
    await assert.rejects(
      connect(url, { reconnects: false }),
      (error) => codeOf(error) === "unreachable" && /certificate/i.test(String(error)),
    );
    const plain = url.replace("rills:", "rill:").replace("wss:", "ws:");
    await assert.rejects(connect(plain, { reconnects: false }), hasCode("unreachable"));
  }
});
