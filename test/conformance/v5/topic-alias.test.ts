import assert from "node:assert/strict";
import { test } from "node:test";
import { type ConnectPacket, PacketType } from "../../../src/mqtt/packet.ts";
import { publishPacket } from "../../support/wire-client.ts";
import { field, framed, properties } from "../bytes.ts";
import { edgeForFile } from "../edge.ts";
import { StrictClient } from "../strict-client.ts";

const edge = edgeForFile({ config: { mqtt: { topicAliasMax: 4, topicAliasOutMax: 3 } } });
const none = edgeForFile({ config: { mqtt: { topicAliasMax: 0, topicAliasOutMax: 0 } } });

const join = (clientId: string, fields: Partial<ConnectPacket> = {}): Promise<StrictClient> =>
  StrictClient.join(edge.broker.port, clientId, fields);

const LASTING = { cleanStart: false, properties: { sessionExpirySeconds: 3_600 } };

/** PUBLISH with QoS 0 on this topic, or none, with this alias. */
const aliased = (topic: string, alias: string, payload: string): string =>
  framed("30", field(`'${topic}'`), properties(`23 ${alias}`), `'${payload}'`);

test("Every topic alias from 1 to the broker's maximum is taken, stands for its topic, and can be given another. [MQTT-3.3.2-12]", async () => {
  const watcher = await join("taken-watcher");
  await watcher.subscribe("taken/#");
  const client = await join("taken");
  assert.equal(client.connack?.properties.topicAliasMaximum, 4);
  for (const alias of ["0001", "0002", "0003", "0004"]) {
    client.sendWire(aliased(`taken/${alias}`, alias, "set"));
    client.sendWire(aliased("", alias, "used"));
    await watcher.gets(`publish taken/${alias} q0: set`, `publish taken/${alias} q0: used`);
  }
  client.sendWire(aliased("taken/new", "0002", "set"));
  client.sendWire(aliased("", "0002", "used"));
  client.sendWire(aliased("", "0001", "still"));
  await watcher.gets(
    "publish taken/new q0: set",
    "publish taken/new q0: used",
    "publish taken/0001 q0: still",
  );
  await watcher.getsNothing();
});

test("A topic alias works with every QoS and is not handed on to subscribers. [MQTT-3.3.2-12]", async () => {
  const watcher = await join("qos-watcher");
  await watcher.subscribe("qos", { qos: 2 });
  const client = await join("qos");
  for (const qos of [1, 2] as const) {
    await client.publish("qos", "set", { qos, properties: { topicAlias: 1 } });
    await client.publish("", "used", { qos, properties: { topicAlias: 1 } });
  }
  await watcher.gets(
    "publish qos q1 #1: set",
    "publish qos q1 #2: used",
    "publish qos q2 #3: set",
    "publish qos q2 #4: used",
  );
});

test("Topic alias 0 and aliases above the maximum are answered with 0x94, one that was never set with 0x82. [MQTT-3.3.2-8, MQTT-3.3.2-9, MQTT-3.2.2-17, MQTT-4.13.1-1]", async () => {
  for (const [topic, alias, code] of [
    ["a", "0000", "0x94"],
    ["a", "0005", "0x94"],
    ["a", "ffff", "0x94"],
    ["", "0000", "0x94"],
    ["", "0005", "0x94"],
    ["", "0003", "0x82"],
  ] as const) {
    const client = await join("wrong");
    client.sendWire(aliased("x", "0001", "set"));
    client.sendWire(aliased(topic, alias, "x"));
    assert.deepEqual(await client.rest(), [`disconnect ${code}`], alias);
  }
});

test("Where the broker takes no topic aliases CONNACK says none, and every one is answered with 0x94. [MQTT-3.2.2-18, MQTT-3.3.2-9]", async () => {
  const client = await StrictClient.join(none.broker.port, "none");
  assert.equal(client.connack?.properties.topicAliasMaximum ?? 0, 0);
  client.sendWire(aliased("a", "0001", "x"));
  await client.ends("disconnect 0x94");
});

test("Topic aliases end with their connection, also where the session goes on. [MQTT-3.3.2-7]", async () => {
  const first = await join("ended", LASTING);
  await first.publish("ended", "x", { qos: 1, properties: { topicAlias: 1 } });
  await first.lose();
  const second = await join("ended", LASTING);
  second.sendWire(aliased("", "0001", "x"));
  await second.ends("disconnect 0x82");
});

test("Topic aliases of one client mean nothing on the connection of another. [MQTT-3.3.2-7]", async () => {
  const first = await join("first");
  await first.publish("first", "x", { qos: 1, properties: { topicAlias: 1 } });
  const second = await join("second");
  second.sendWire(aliased("", "0001", "x"));
  await second.ends("disconnect 0x82");
});

/** The topics that a client with this Topic Alias Maximum hears, each twice, as `topic alias`. */
async function heard(clientId: string, topicAliasMaximum: number | undefined): Promise<string[]> {
  const fields = {
    properties: { ...(topicAliasMaximum === undefined ? {} : { topicAliasMaximum }) },
  };
  const client = await join(clientId, fields);
  await client.subscribe(`${clientId}/#`);
  const publisher = await join(`${clientId}-publisher`);
  const topics = ["one", "two", "three", "four", "five"].map((name) => `${clientId}/${name}`);
  publisher.send(
    ...topics.flatMap((topic) => [publishPacket(topic, topic), publishPacket(topic, topic)]),
  );
  const lines: string[] = [];
  const known = new Map<number, string>();
  for (let i = 0; i < 2 * topics.length; i++) {
    const packet = await client.take();
    assert.ok(packet.type === PacketType.publish);
    const alias = packet.properties?.topicAlias;
    if (alias !== undefined && packet.topic !== "") known.set(alias, packet.topic);
    const topic = packet.topic === "" ? known.get(alias ?? 0) : packet.topic;
    // The alias stands for the topic that the payload names.
    assert.equal(topic, Buffer.from(packet.payload).toString());
    lines.push(`${packet.topic} ${alias}`);
  }
  return lines;
}

test("A client that says no Topic Alias Maximum, or 0, gets no topic aliases. [MQTT-3.1.2-27, MQTT-3.3.2-11]", async () => {
  for (const maximum of [undefined, 0]) {
    const lines = await heard("without", maximum);
    assert.ok(lines.every((line) => line.startsWith("without/") && line.endsWith(" undefined")));
  }
});

test("The broker's topic aliases are from 1 to the client's maximum, and stand for the topic they were sent with. [MQTT-3.1.2-26, MQTT-3.3.2-11, MQTT-3.3.2-8]", async () => {
  for (const [maximum, most] of [
    [1, 1],
    [2, 2],
    [65_535, 3],
  ] as const) {
    const lines = await heard(`within-${maximum}`, maximum);
    const aliases = lines
      .map((line) => Number(line.split(" ")[1]))
      .filter((alias) => !Number.isNaN(alias));
    assert.ok(aliases.every((alias) => alias >= 1 && alias <= most));
    assert.equal(Math.max(...aliases), most);
    // Used, not only set.
    assert.ok(lines.some((line) => line.startsWith(" ")));
  }
});

test("The broker sets its topic aliases anew on every connection. [MQTT-3.3.2-7]", async () => {
  const fields = {
    cleanStart: false,
    properties: { sessionExpirySeconds: 60, topicAliasMaximum: 5 },
  };
  const publisher = await join("anew-publisher");
  for (let i = 0; i < 3; i++) {
    const client = await join("anew", fields);
    await client.subscribe("anew/topic", { retainHandling: 2 });
    await publisher.publish("anew/topic", "x");
    await client.gets("publish anew/topic q0: x topicAlias=1");
    await publisher.publish("anew/topic", "x");
    await client.gets("publish  q0: x topicAlias=1");
    await client.lose();
  }
});
