import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { connectAsync, type MqttClient } from "mqtt";
import { callAdmin } from "../../src/cli/admin-client.ts";
import { BrokerHome, type BrokerProcess } from "../support/broker-process.ts";
import { eventually } from "../support/json-process.ts";
import { PickyBroker } from "../support/picky-broker.ts";
import { runCli } from "./cli-process.ts";

const UPLINK = { backoffMinMs: 50, backoffMaxMs: 200, slowRetryMs: 300, topicPrefix: "" };

interface Letter {
  readonly number: number;
  readonly recordId: string;
  readonly sequence: number;
  readonly topic: string;
  readonly payload: string;
  readonly reason: string;
}

interface Shown {
  readonly name: string;
  readonly lanes: readonly { readonly lagMessages: number }[];
}

/** The dead letters there are, without a process for each look. */
async function lettersOf(home: BrokerHome): Promise<readonly Letter[]> {
  return (await callAdmin(home.data, "GET", "/uplinks/centre/dlq?limit=1000")) as readonly Letter[];
}

/** Runs `rillmq uplink … --json` on this home; its answer. */
async function ask(home: BrokerHome, ...args: readonly string[]): Promise<unknown> {
  const result = await runCli(["uplink", ...args, "--json", "--data", home.data]);
  assert.equal(result.exitCode, 0, result.stderr);
  return JSON.parse(result.stdout) as unknown;
}

async function publisher(t: TestContext, broker: BrokerProcess): Promise<MqttClient> {
  const client = await connectAsync(`mqtt://127.0.0.1:${broker.port}`, { protocolVersion: 5 });
  t.after(() => client.endAsync(true));
  return client;
}

function configOf(port: number): Readonly<Record<string, unknown>> {
  return {
    edgeId: "plant-7",
    streams: [{ name: "telemetry", filters: ["sim/#"] }],
    uplinks: [
      {
        name: "centre",
        driver: "mqtt",
        url: `mqtt://127.0.0.1:${port}`,
        ...UPLINK,
        lanes: [{ stream: "telemetry" }],
      },
    ],
  };
}

test("dead letters are listed, shown, sent again and removed by commands", async (t) => {
  let isStrict = true;
  const centre = await PickyBroker.start(t, {
    verdict: (topic) => (isStrict && topic.startsWith("sim/bad") ? { puback: 0x87 } : "take"),
  });
  const home = new BrokerHome(t);
  const broker = await home.start({ config: configOf(centre.port) });
  const client = await publisher(t, broker);
  for (const [topic, payload] of [
    ["sim/good", "1"],
    ["sim/bad/a", "2"],
    ["sim/bad/b", "3"],
    ["sim/good", "4"],
  ] as const) {
    await client.publishAsync(topic, payload, { qos: 1 });
  }
  await eventually("two letters", async () => (await lettersOf(home)).length === 2, 20_000);
  const letters = (await ask(home, "dlq", "ls", "centre")) as readonly Letter[];
  assert.deepEqual(
    letters.map(({ number, sequence, topic }) => [number, sequence, topic]),
    [
      [1, 2, "sim/bad/a"],
      [2, 3, "sim/bad/b"],
    ],
  );
  const shown = (await ask(home, "dlq", "show", "centre", "2")) as Letter;
  assert.equal(Buffer.from(shown.payload, "base64").toString(), "3");
  assert.match(shown.reason, /0x87/);
  isStrict = false;
  assert.deepEqual(await ask(home, "dlq", "retry", "centre", "1"), { started: 1, refused: [] });
  await eventually("it arrives", () => centre.payloads.includes("2"), 10_000);
  assert.equal(centre.taken.find(({ payload }) => payload === "2")?.id, letters[0]?.recordId);
  assert.deepEqual(await ask(home, "dlq", "rm", "centre", "all"), { removed: 1 });
  assert.deepEqual(await lettersOf(home), []);
  const losses = (await ask(home, "losses", "centre")) as readonly { reason: string }[];
  assert.deepEqual(
    losses.map(({ reason }) => reason),
    losses.map(() => "poisoned"),
  );
  const text = await runCli(["uplink", "show", "centre", "--data", home.data]);
  assert.match(text.stdout, /^centre \(mqtt\): streaming$/m);
  assert.match(text.stdout, /^telemetry +telemetry +streaming +0 /m);
  const metrics = await (await fetch(`${broker.httpUrl}/metrics`)).text();
  assert.match(metrics, /^rillmq_uplink_dead_letters\{uplink="centre"\} 0$/m);
  assert.equal((await broker.stop()).exitCode, 0);
});

test("a pause holds over a restart, and wrong calls end with the documented exit codes", async (t) => {
  const centre = await PickyBroker.start(t);
  const home = new BrokerHome(t);
  const config = configOf(centre.port);
  const first = await home.start({ config });
  await eventually("connected", () => centre.connections === 1, 10_000);
  assert.deepEqual(await ask(home, "pause", "centre"), { name: "centre", paused: true });
  await first.kill();
  const second = await home.start({ config });
  const client = await publisher(t, second);
  await client.publishAsync("sim/d1", "waits", { qos: 1 });
  const [shown] = (await ask(home, "ls")) as readonly { state: string; blockedReason: string }[];
  assert.equal(shown?.state, "paused");
  assert.equal(shown?.blockedReason, "paused by an operator");
  assert.equal(centre.connections, 1);
  await ask(home, "resume", "centre");
  await eventually("it arrives", () => centre.payloads.includes("waits"), 10_000);
  const data = ["--data", home.data];
  const unknown = await runCli(["uplink", "show", "nobody", ...data]);
  assert.equal(unknown.exitCode, 1);
  assert.match(unknown.stderr, /there is no uplink nobody/);
  assert.equal((await runCli(["uplink", "dlq", "rm", "centre", "some", ...data])).exitCode, 2);
  assert.equal((await runCli(["uplink", "dlq", "show", "centre", "7", ...data])).exitCode, 1);
  assert.equal((await second.stop()).exitCode, 0);
  const gone = await runCli(["uplink", "ls", ...data]);
  assert.equal(gone.exitCode, 1);
  assert.match(gone.stderr, /no broker runs here/);
});

test("a kill in the midst of dead letters loses none of them and none of the others", async (t) => {
  const centre = await PickyBroker.start(t, {
    verdict: (topic) => (topic === "sim/bad" ? { puback: 0x90 } : "take"),
  });
  const home = new BrokerHome(t);
  const config = configOf(centre.port);
  let broker = await home.start({ config });
  const bad: string[] = [];
  const good: string[] = [];
  for (let round = 0; round < 3; round++) {
    const client = await publisher(t, broker);
    const sent: Promise<unknown>[] = [];
    for (let i = 0; i < 60; i++) {
      const isBad = i % 5 === 2;
      const payload = `${round}-${i}`;
      (isBad ? bad : good).push(payload);
      sent.push(client.publishAsync(isBad ? "sim/bad" : "sim/good", payload, { qos: 1 }));
    }
    await Promise.all(sent);
    await eventually("it is in the midst", () => centre.taken.length > round * 48, 10_000);
    await broker.kill();
    await client.endAsync(true);
    broker = await home.start({ config });
  }
  await eventually("the others arrived", () => centre.payloads.length === good.length, 20_000);
  let letters: readonly Letter[] = [];
  await eventually(
    "the letters are there",
    async () => {
      letters = await lettersOf(home);
      return letters.length >= bad.length;
    },
    20_000,
  );
  const payloads = letters.map(({ payload }) => Buffer.from(payload, "base64").toString());
  assert.deepEqual(payloads.toSorted(), bad.toSorted());
  assert.deepEqual(centre.payloads.toSorted(), good.toSorted());
  assert.equal((await broker.stop()).exitCode, 0);
});

test("two uplinks over one stream: the one that streams does not wait for the one that is away", async (t) => {
  const here = await PickyBroker.start(t);
  const home = new BrokerHome(t);
  const base = configOf(here.port);
  const common = { ...UPLINK, driver: "mqtt" };
  const away = {
    ...common,
    name: "away",
    url: "mqtt://127.0.0.1:9",
    lanes: [{ stream: "telemetry" }],
  };
  const url = `mqtt://127.0.0.1:${here.port}`;
  const lanes = [
    { stream: "telemetry", name: "odd", filters: ["sim/odd"], topic: "{edgeId}/{level:2}" },
    { stream: "telemetry", name: "rest", filters: ["sim/even"], topic: "rest/{topic}" },
  ];
  const uplinks = [{ ...common, name: "centre", url, lanes }, away];
  const broker = await home.start({ config: { ...base, uplinks } });
  const client = await publisher(t, broker);
  for (let i = 0; i < 20; i++) {
    await client.publishAsync(i % 2 === 0 ? "sim/even" : "sim/odd", String(i), { qos: 1 });
  }
  await eventually("all arrived here", () => here.payloads.length === 20, 10_000);
  assert.deepEqual([...new Set(here.taken.map(({ topic }) => topic))].toSorted(), [
    "plant-7/odd",
    "rest/sim/even",
  ]);
  const lagOf = async (): Promise<unknown> =>
    ((await callAdmin(home.data, "GET", "/uplinks/centre")) as Shown).lanes[1]?.lagMessages;
  await eventually("what the filters leave out is done", async () => (await lagOf()) === 0, 5_000);
  const shown = (await callAdmin(home.data, "GET", "/uplinks")) as readonly Shown[];
  assert.deepEqual(
    shown.map(({ name, lanes: [lane] }) => [name, lane?.lagMessages]),
    [
      ["centre", 0],
      ["away", 20],
    ],
  );
  assert.equal((await broker.stop()).exitCode, 0);
});
