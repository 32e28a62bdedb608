import assert from "node:assert/strict";
import { test } from "node:test";
import { brokerRoutes } from "../../src/broker-routes.ts";
import { ProtocolVersion } from "../../src/mqtt/packet.ts";
import { AdminError } from "../../src/net/admin-server.ts";
import { VirtualNode } from "../support/virtual-node.ts";

const LASTING = { cleanStart: false, properties: { sessionExpirySeconds: 600 } };
const ESCAPE = "\u001b[2J/../#%2f";

type Told = Readonly<Record<string, unknown>>;

/** Asks as the admin channel does. */
function askerOf(node: VirtualNode): (path: string, body?: unknown) => Promise<Told> {
  const routes = new Map(
    brokerRoutes({
      get broker() {
        return node.broker;
      },
      turn: { schedule: () => undefined },
      flush: () => {
        node.turn();
        return Promise.resolve();
      },
    }),
  );
  return async (path, body) => {
    const handler = routes.get(`POST ${path}`);
    assert.ok(handler !== undefined, path);
    return (await handler({ params: {}, query: new URLSearchParams(), body })) as Told;
  };
}

const refusedWith =
  (status: number) =>
  (error: unknown): boolean =>
    error instanceof AdminError && error.status === status;

const idsOf = ({ items }: Told): unknown[] => (items as Told[]).map(({ clientId }) => clientId);

test("Clients are those that are connected, sessions are all, in order and in pages.", async () => {
  const node = new VirtualNode();
  const ask = askerOf(node);
  for (const id of ["b", ESCAPE, "a", "c"]) node.connect(id, LASTING);
  node.connect("gone", LASTING).disconnect();
  assert.deepEqual(idsOf(await ask("/clients/list")), [ESCAPE, "a", "b", "c"]);
  assert.deepEqual(idsOf(await ask("/sessions/list")), [ESCAPE, "a", "b", "c", "gone"]);
  const page = await ask("/sessions/list", { after: "a", limit: 2 });
  assert.deepEqual(idsOf(page), ["b", "c"]);
  assert.equal(page["next"], "c");
  assert.equal((await ask("/sessions/list", { after: "c" }))["next"], undefined);
  await assert.rejects(ask("/clients/list", { limit: -1 }), refusedWith(400));
});

test("A client is shown with its connection, its session and its subscriptions.", async () => {
  const node = new VirtualNode();
  const ask = askerOf(node);
  const client = node.connect("c", {
    ...LASTING,
    version: ProtocolVersion.v5,
    keepAliveSeconds: 30,
  });
  client.subscribe("a/#", { qos: 1, noLocal: true }, { subscriptionIdentifiers: [7] });
  const { connectedAt, address, ...shown } = await ask("/clients/show", { clientId: "c" });
  assert.equal(connectedAt, new Date(node.now).toISOString());
  assert.equal(typeof address, "string");
  assert.deepEqual(shown, {
    clientId: "c",
    durable: true,
    sessionExpirySeconds: 600,
    subscriptions: 1,
    inflight: 0,
    backlog: 0,
    protocol: "5",
    keepAliveSeconds: 30,
    receiveMaximum: 65_535,
    subscribedTo: [
      {
        topicFilter: "a/#",
        qos: 1,
        noLocal: true,
        retainAsPublished: false,
        retainHandling: 0,
        subscriptionId: 7,
      },
    ],
  });
  await assert.rejects(ask("/clients/show", { clientId: "d" }), refusedWith(404));
  await assert.rejects(ask("/clients/show", {}), refusedWith(400));
  client.disconnect();
  await assert.rejects(ask("/clients/show", { clientId: "c" }), refusedWith(404));
});

test("A client that is kicked is told 0x98 and may resume its session; with dropSession there is none, on disk either.", async () => {
  const node = new VirtualNode();
  const ask = askerOf(node);
  const client = node.connect("c", LASTING);
  client.take();
  assert.deepEqual(await ask("/clients/kick", { clientId: "c" }), {
    clientId: "c",
    sessionDropped: false,
  });
  assert.deepEqual(client.takeText(), ["disconnect 0x98"]);
  assert.equal(client.isClosed, true);
  const again = node.connect("c", LASTING);
  assert.deepEqual(again.takeText(), ["connack present"]);
  const older = node.connect("older", { version: ProtocolVersion.v311, cleanStart: true });
  older.take();
  await ask("/clients/kick", { clientId: "older" });
  assert.deepEqual([older.isClosed, older.takeText()], [true, []]);
  assert.deepEqual(await ask("/clients/kick", { clientId: "c", dropSession: true }), {
    clientId: "c",
    sessionDropped: true,
  });
  node.crash();
  assert.deepEqual(node.connect("c", LASTING).takeText(), ["connack"]);
  await assert.rejects(ask("/clients/kick", { clientId: "nobody" }), refusedWith(404));
});

test("A session that is removed is gone, also from disk; its client, if there is one, is disconnected first.", async () => {
  const node = new VirtualNode();
  const ask = askerOf(node);
  const client = node.connect("on", LASTING);
  node.connect("off", LASTING).disconnect();
  client.take();
  const gone = await ask("/sessions/remove", { clientId: "off" });
  assert.deepEqual(gone, { clientId: "off", wasConnected: false });
  assert.equal((await ask("/sessions/remove", { clientId: "on" }))["wasConnected"], true);
  assert.deepEqual(client.takeText(), ["disconnect 0x98"]);
  await assert.rejects(ask("/sessions/remove", { clientId: "off" }), refusedWith(404));
  node.crash();
  assert.equal(node.broker.sessions.size, 0);
  assert.equal(node.broker.sessions.online, 0);
});

test("Retained messages are listed by filter, shown whole, and removed for good; their subscribers hear nothing.", async () => {
  const node = new VirtualNode();
  const ask = askerOf(node);
  const client = node.connect("c");
  for (const topic of ["a/2", "a/1", "b"]) {
    client.publish(topic, `${topic}-${"x".repeat(100)}`, { retain: true, qos: 1, packetId: 1 });
  }
  client.subscribe("#", { retainHandling: 2 });
  client.take();
  const list = await ask("/retained/list", { filter: "a/+" });
  assert.deepEqual(
    (list["items"] as Told[]).map(({ topic, payloadBytes, payload }) => [
      topic,
      payloadBytes,
      Buffer.from(String(payload), "base64").length,
    ]),
    [
      ["a/1", 104, 64],
      ["a/2", 104, 64],
    ],
  );
  const whole = await ask("/retained/get", { topic: "b" });
  assert.equal(Buffer.from(String(whole["payload"]), "base64").toString(), `b-${"x".repeat(100)}`);
  await assert.rejects(ask("/retained/get", { topic: "c" }), refusedWith(404));
  assert.deepEqual(await ask("/retained/remove", { filter: "a/#" }), { removed: 2 });
  assert.deepEqual(await ask("/retained/remove", { filter: "b" }), { removed: 1 });
  await assert.rejects(ask("/retained/remove", { filter: "b" }), refusedWith(404));
  for (const body of [undefined, {}, { filter: "a/#/b" }, { filter: "$share/g/#" }]) {
    await assert.rejects(ask("/retained/remove", body), refusedWith(400));
  }
  assert.deepEqual(client.takeText(), []);
  node.crash();
  assert.equal(node.broker.retained.size, 0);
});

test("Very many retained messages are removed in steps, and those are left that do not match.", async () => {
  const node = new VirtualNode();
  const ask = askerOf(node);
  const client = node.connect("c");
  for (let i = 0; i < 2_500; i++) client.publish(`a/${i % 50}/${i}`, "p", { retain: true });
  client.publish("b", "p", { retain: true });
  assert.deepEqual(await ask("/retained/remove", { filter: "a/#" }), { removed: 2_500 });
  assert.deepEqual((await ask("/retained/list"))["items"], [
    ...((await ask("/retained/list", { filter: "b" }))["items"] as Told[]),
  ]);
  node.crash();
  assert.equal(node.broker.retained.size, 1);
});

test("Topics are those that were published to and those with a retained message, with what goes where.", async () => {
  const streams = [
    { name: "telemetry", filters: ["sim/#"], bytesMax: 1e9, whenFull: "reject" as const },
  ];
  const node = new VirtualNode({ streams });
  const ask = askerOf(node);
  const client = node.connect("c", { version: ProtocolVersion.v5 });
  client.subscribe("sim/+");
  client.subscribe("never/published");
  for (let i = 0; i < 3; i++) client.publish("sim/a", "p");
  client.publish("kept", "12345", { retain: true, qos: 1, packetId: 1 });
  client.publish("$denied", "p", { qos: 1, packetId: 2 });
  assert.deepEqual((await ask("/topics/list"))["items"], [
    { topic: "kept", messages: 1, subscribers: 0, retainedBytes: 5 },
    { topic: "sim/a", messages: 3, subscribers: 1, stream: "telemetry" },
  ]);
  assert.equal(((await ask("/topics/list", { filter: "sim/#" }))["items"] as Told[]).length, 1);
  node.crash();
  assert.deepEqual((await ask("/topics/list"))["items"], [
    { topic: "kept", messages: 0, subscribers: 0, retainedBytes: 5 },
  ]);
});
