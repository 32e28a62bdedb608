import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { connectAsync, type IClientOptions, type MqttClient } from "mqtt";
import { BrokerHome } from "../support/broker-process.ts";
import { type CliResult, runCli } from "./cli-process.ts";

const NASTY = "nasty\u001b[2J";

async function client(
  t: TestContext,
  port: number,
  options: IClientOptions = {},
): Promise<MqttClient> {
  const made = await connectAsync(`mqtt://127.0.0.1:${port}`, {
    protocolVersion: 5,
    reconnectPeriod: 0,
    ...options,
  });
  t.after(() => made.endAsync(true));
  return made;
}

/** Runs commands on this home. */
const commandsOf =
  (home: BrokerHome) =>
  (...args: readonly string[]): Promise<CliResult> =>
    runCli([...args, "--data", home.data]);

test("Clients are listed, shown and kicked by commands; names do not steer the terminal.", async (t) => {
  const home = new BrokerHome(t);
  const { port } = await home.start();
  const rillmq = commandsOf(home);
  const kicked = await client(t, port, { clientId: "pump-7", clean: true });
  await kicked.subscribeAsync("a/#");
  await client(t, port, { clientId: NASTY });
  const listed = await rillmq("clients", "ls");
  assert.equal(listed.exitCode, 0, listed.stderr);
  assert.match(
    listed.stdout,
    /^CLIENT +USER +ADDRESS +PROTOCOL .*\nnasty\\u\{1b\}\[2J +127\.0\.0\.1 +5 /,
  );
  assert.ok(!listed.stdout.includes("\u001b"));
  const page = await rillmq("clients", "ls", "--json", "--limit", "1");
  const { items, next } = JSON.parse(page.stdout) as {
    items: { clientId: string }[];
    next: string;
  };
  assert.deepEqual([items.map(({ clientId }) => clientId), next], [[NASTY], NASTY]);
  const shown = await rillmq("clients", "show", "pump-7", "--json");
  const { subscribedTo } = JSON.parse(shown.stdout) as { subscribedTo: unknown[] };
  assert.equal(subscribedTo.length, 1);
  const told = new Promise<number | undefined>((resolve) => {
    kicked.once("disconnect", ({ reasonCode }) => resolve(reasonCode));
  });
  assert.equal((await rillmq("clients", "kick", "pump-7", "--drop-session")).exitCode, 0);
  assert.equal(await told, 0x98);
  const again = await rillmq("clients", "kick", "pump-7");
  assert.deepEqual([again.exitCode, again.stdout], [1, ""]);
  assert.match(again.stderr, /^rillmq clients: no such client is connected\n$/);
});

test("What commands remove is gone after kill -9, and what they leave is there.", async (t) => {
  const home = new BrokerHome(t);
  const broker = await home.start();
  const rillmq = commandsOf(home);
  const lasting = { clean: false, properties: { sessionExpiryInterval: 3_600 } };
  for (const clientId of ["one", "two"]) {
    const made = await client(t, broker.port, { ...lasting, clientId });
    await made.subscribeAsync("x", { qos: 1 });
    for (const topic of ["a/1", "b"]) {
      await made.publishAsync(`${clientId}/${topic}`, "kept", { retain: true, qos: 1 });
    }
    await made.endAsync();
  }
  assert.equal((await rillmq("sessions", "rm", "one")).exitCode, 0);
  const removed = await rillmq("retained", "rm", "one/#", "--json");
  assert.deepEqual([removed.exitCode, removed.stdout], [0, '{"removed":2}\n']);
  await broker.kill();
  await home.start();
  const sessions = await rillmq("sessions", "ls", "--json");
  const idsOf = (text: string, key: string): unknown[] =>
    (JSON.parse(text) as { items: Record<string, unknown>[] }).items.map((item) => item[key]);
  assert.deepEqual(idsOf(sessions.stdout, "clientId"), ["two"]);
  const retained = await rillmq("retained", "ls", "--json");
  assert.deepEqual(idsOf(retained.stdout, "topic"), ["two/a/1", "two/b"]);
  const topics = await rillmq("topics", "two/+", "--json");
  assert.deepEqual(idsOf(topics.stdout, "topic"), ["two/b"]);
  const got = await rillmq("retained", "get", "two/b");
  assert.match(got.stdout, /^payload: kept$/m);
  const version = await rillmq("retained", "get", "$SYS/broker/version");
  assert.match(version.stdout, /^payload: rillmq version \d/m);
});

test("What is not there ends with 1, wrong usage with 2; without a broker it is 1.", async (t) => {
  const home = new BrokerHome(t);
  const rillmq = commandsOf(home);
  const absent = await rillmq("clients", "ls");
  assert.equal(absent.exitCode, 1);
  assert.match(absent.stderr, /^rillmq clients: no broker runs here/);
  await home.start();
  const exitCodes = await Promise.all(
    [
      ["clients", "show", "nobody"],
      ["sessions", "rm", "nobody"],
      ["retained", "get", "none"],
      ["retained", "rm", "none/#"],
      ["clients", "show"],
      ["clients", "ls", "--limit", "0"],
      ["retained", "rm", "a/#/b"],
      ["topics", "a#"],
      ["topics"],
    ].map(async (args) => (await rillmq(...args)).exitCode),
  );
  assert.deepEqual(exitCodes, [1, 1, 1, 1, 2, 2, 2, 2, 0]);
});
