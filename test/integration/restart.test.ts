import assert from "node:assert/strict";
import { test } from "node:test";
import { type OutgoingPublish, PacketType, ProtocolVersion } from "../../src/mqtt/packet.ts";
import { openLmdbStore } from "../../src/store/lmdb-store.ts";
import { BrokerHome, type BrokerProcess } from "../support/broker-process.ts";
import { DurableClient } from "../support/durable-client.ts";
import { eventually } from "../support/json-process.ts";
import { readStream } from "../support/stored-stream.ts";
import { publishPacket, WireClient } from "../support/wire-client.ts";
import { Ledger, payloadOf } from "../torture/kill/ledger.ts";

const { publish, puback, pubrec, pubrel, pubcomp } = PacketType;
const { v311, v5 } = ProtocolVersion;
const BACKLOG = 200;
const WAIT_MS = 20_000;
const NEVER_SECONDS = 3_600;
const config = { streams: [{ name: "captured", filters: ["log/#"] }] };

/** Ends a broker and starts it again on the same data folder. */
type Restart = () => Promise<BrokerProcess>;

async function connectDurable(
  port: number,
  clientId: string,
  isExpected: boolean,
  version: ProtocolVersion = v311,
): Promise<WireClient> {
  const wire = await WireClient.open(port, version);
  const properties = version === v5 ? { sessionExpirySeconds: NEVER_SECONDS } : {};
  const answer = await wire.connect({ clientId, cleanStart: false, properties });
  assert.equal(answer.reasonCode, 0);
  assert.equal(answer.sessionPresent, isExpected, `the session of ${clientId}`);
  return wire;
}

/** Publishes with QoS 1 and waits for PUBACK. */
async function publishQos1(
  wire: WireClient,
  topic: string,
  payload: string,
  packetId: number,
  retain = false,
): Promise<void> {
  wire.send(publishPacket(topic, payload, { qos: 1, packetId, retain }));
  assert.ok((await wire.takeType(puback, packetId)).packet.reasonCode < 0x80);
}

/** The next PUBLISH, acknowledged when it has QoS 1. */
async function takeMessage(wire: WireClient): Promise<OutgoingPublish> {
  const { packet } = await wire.takeType(publish);
  if (packet.qos === 1) wire.send({ type: puback, packetId: packet.packetId, reasonCode: 0 });
  return packet;
}

const textOf = ({ payload }: OutgoingPublish): string => Buffer.from(payload).toString();

/** After a PINGRESP everything that was sent before it has come. */
async function assertNothingMore(wire: WireClient): Promise<void> {
  wire.send({ type: PacketType.pingreq });
  await wire.takeType(PacketType.pingresp);
  assert.equal(wire.waiting(publish), 0);
}

async function checkBacklog(first: BrokerProcess, restart: Restart): Promise<void> {
  const subscriber = await connectDurable(first.port, "offline", false);
  await subscriber.subscribe(1, "log/#", 1);
  await subscriber.subscribe(2, "other/+", 1);
  await subscriber.subscribe(3, "gone/#", 1);
  subscriber.send({ type: PacketType.unsubscribe, packetId: 4, topicFilters: ["gone/#"] });
  await subscriber.takeType(PacketType.unsuback, 4);
  await subscriber.drop();
  const publisher = await connectDurable(first.port, "publisher", false);
  const sent = Array.from({ length: BACKLOG }, (_, i) => `message ${i}`);
  for (const [i, text] of sent.entries()) {
    await publishQos1(publisher, i % 2 === 0 ? "log/a" : "other/b", text, i + 1);
  }
  await publishQos1(publisher, "gone/c", "nobody wants this", 1_000);
  const second = await restart();
  const again = await connectDurable(second.port, "offline", true);
  for (const text of sent) assert.equal(textOf(await takeMessage(again)), text);
  const other = await connectDurable(second.port, "publisher", true);
  await publishQos1(other, "gone/c", "nor this", 1);
  await publishQos1(other, "other/b", "the subscription lives", 2);
  assert.equal(textOf(await takeMessage(again)), "the subscription lives");
  await assertNothingMore(again);
}

async function checkRetained(first: BrokerProcess, restart: Restart): Promise<void> {
  const publisher = await connectDurable(first.port, "keeper", false);
  await publishQos1(publisher, "kept/1", "old", 1, true);
  await publishQos1(publisher, "kept/1", "new", 2, true);
  await publishQos1(publisher, "kept/2", "also", 3, true);
  await publishQos1(publisher, "kept/3", "removed", 4, true);
  await publishQos1(publisher, "kept/3", "", 5, true);
  const second = await restart();
  const reader = await connectDurable(second.port, "reader", false);
  await reader.subscribe(1, "kept/#", 1);
  const found = [await takeMessage(reader), await takeMessage(reader)];
  assert.ok(found.every(({ retain }) => retain));
  assert.deepEqual(
    found.map(({ topic, ...rest }) => `${topic} ${textOf({ topic, ...rest })}`).sort(),
    ["kept/1 new", "kept/2 also"],
  );
  await assertNothingMore(reader);
}

/** A repeat of what was received before the restart is no new message. */
async function checkQos2In(first: BrokerProcess, restart: Restart): Promise<void> {
  const subscriber = await connectDurable(first.port, "in-subscriber", false);
  await subscriber.subscribe(1, "in/#", 1);
  await subscriber.drop();
  const publisher = await connectDurable(first.port, "in-publisher", false);
  publisher.send(publishPacket("in/a", "once", { qos: 2, packetId: 7 }));
  await publisher.takeType(pubrec, 7);
  publisher.send(publishPacket("in/a", "done", { qos: 2, packetId: 8 }));
  await publisher.takeType(pubrec, 8);
  publisher.send({ type: pubrel, packetId: 8, reasonCode: 0 });
  await publisher.takeType(pubcomp, 8);
  const second = await restart();
  const again = await connectDurable(second.port, "in-publisher", true);
  again.send(publishPacket("in/a", "once", { qos: 2, packetId: 7, dup: true }));
  await again.takeType(pubrec, 7);
  again.send({ type: pubrel, packetId: 7, reasonCode: 0 });
  await again.takeType(pubcomp, 7);
  // This packet identifier was released: it is free for a new message.
  again.send(publishPacket("in/a", "another", { qos: 2, packetId: 8 }));
  await again.takeType(pubrec, 8);
  const reader = await connectDurable(second.port, "in-subscriber", true);
  for (const text of ["once", "done", "another"]) {
    assert.equal(textOf(await takeMessage(reader)), text);
  }
  await assertNothingMore(reader);
}

/** What a subscriber has received stays received, and what it has not comes again under its packet identifier. */
async function checkQos2Out(first: BrokerProcess, restart: Restart): Promise<void> {
  const subscriber = await connectDurable(first.port, "out-subscriber", false, v5);
  await subscriber.subscribe(1, "out/#", 2);
  const publisher = await connectDurable(first.port, "out-publisher", false);
  for (const [i, text] of ["released", "sent", "finished"].entries()) {
    publisher.send(publishPacket("out/a", text, { qos: 2, packetId: i + 1 }));
    await publisher.takeType(pubrec, i + 1);
  }
  const sent = [
    await takeMessage(subscriber),
    await takeMessage(subscriber),
    await takeMessage(subscriber),
  ];
  const [releasedId = 0, sentId = 0, finishedId = 0] = sent.map(({ packetId }) => packetId);
  for (const packetId of [releasedId, finishedId]) {
    subscriber.send({ type: pubrec, packetId, reasonCode: 0 });
    await subscriber.takeType(pubrel, packetId);
  }
  subscriber.send({ type: pubcomp, packetId: finishedId, reasonCode: 0 });
  await assertNothingMore(subscriber);
  // PUBCOMP is written with the next commit, and this is in it.
  await publishQos1(publisher, "out/b", "later", 9);
  const second = await restart();
  const again = await connectDurable(second.port, "out-subscriber", true, v5);
  await again.takeType(pubrel, releasedId);
  const repeated = await takeMessage(again);
  assert.deepEqual([textOf(repeated), repeated.packetId, repeated.dup], ["sent", sentId, true]);
  assert.equal(textOf(await takeMessage(again)), "later");
  for (const packetId of [releasedId, sentId]) {
    if (packetId === sentId) {
      again.send({ type: pubrec, packetId, reasonCode: 0 });
      await again.takeType(pubrel, packetId);
    }
    again.send({ type: pubcomp, packetId, reasonCode: 0 });
  }
  await assertNothingMore(again);
  assert.equal(again.waiting(pubrel), 0);
}

/** Wills are due after a crash, unless the session resumes before. */
async function checkWills(first: BrokerProcess, restart: Restart): Promise<void> {
  const heir = await connectDurable(first.port, "heir", false);
  await heir.subscribe(1, "will/#", 1);
  for (const [clientId, delay] of [
    ["at-once", 0],
    ["delayed", 1],
    ["resumed", 600],
  ] as const) {
    const wire = await WireClient.open(first.port, v5);
    await wire.connect({
      clientId,
      cleanStart: false,
      properties: { sessionExpirySeconds: NEVER_SECONDS },
      will: {
        topic: `will/${clientId}`,
        payload: Buffer.from(clientId),
        qos: 1,
        retain: false,
        properties: { willDelaySeconds: delay },
      },
    });
  }
  const second = await restart();
  const resumed = await connectDurable(second.port, "resumed", true, v5);
  const reader = await connectDurable(second.port, "heir", true);
  assert.equal(textOf(await takeMessage(reader)), "at-once");
  assert.equal(textOf(await takeMessage(reader)), "delayed");
  await assertNothingMore(reader);
  await resumed.drop();
}

const CHECKS = {
  "sessions, subscriptions and the backlog": checkBacklog,
  "retained messages": checkRetained,
  "QoS 2 from publishers": checkQos2In,
  "QoS 2 to subscribers": checkQos2Out,
  wills: checkWills,
} as const;

for (const signal of ["SIGKILL", "SIGTERM"] as const) {
  for (const [what, check] of Object.entries(CHECKS)) {
    test(`${what} survive ${signal}`, async (t) => {
      const home = new BrokerHome(t);
      const broker = await home.start({ config });
      await check(broker, async () => {
        broker.signal(signal);
        const { exitCode, stderr } = await broker.ended;
        assert.equal(exitCode, signal === "SIGTERM" ? 0 : undefined, stderr);
        return home.start({ config });
      });
    });
  }
}

test("SIGTERM under load ends with 0, and nothing acknowledged is lost", async (t) => {
  const home = new BrokerHome(t);
  const ledger = new Ledger();
  const faults: string[] = [];
  let isPublishing = true;
  const clients = ([1, 2] as const).map((qos) => {
    const name = `qos${qos}`;
    ledger.open(name, qos);
    const send = (): void => {
      const number = ledger.issue(name);
      client.publish(`log/${name}`, payloadOf(name, number), qos, number);
    };
    const client: DurableClient = new DurableClient(name, v5, {
      onAcknowledged: (number) => {
        ledger.acknowledge(name, number);
        if (isPublishing && client.isConnected && client.outstanding < 100) send();
      },
      onFault: (what) => faults.push(what),
    });
    return { client, send };
  });
  const broker = await home.start({ config });
  for (const { client, send } of clients) {
    await client.connect(broker.port);
    for (let i = 0; i < 60; i++) send();
  }
  await eventually("1,000 acknowledged", () => ledger.acknowledgedCount >= 1_000, WAIT_MS);
  assert.ok(clients.reduce((sum, { client }) => sum + client.unacknowledged, 0) > 0, "under load");
  const { exitCode, stderr } = await broker.stop();
  isPublishing = false;
  assert.equal(exitCode, 0, stderr);
  const store = openLmdbStore({ path: home.storePath });
  const stored = ledger.forAnotherSink(["qos1", "qos2"]);
  for (const { payload } of readStream(store, "captured")) stored.arrive(payload);
  await store.close();
  const report = stored.report();
  assert.deepEqual([report.lost, report.duplicated, report.unknown, faults], [0, 0, 0, []]);
});
