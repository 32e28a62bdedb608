import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { after, type TestContext, test } from "node:test";
import { createWebSocketStream, WebSocket } from "ws";
import { PacketType, ProtocolVersion } from "../../../src/mqtt/packet.ts";
import { VirtualNode } from "../../support/virtual-node.ts";
import { publishPacket, WireClient } from "../../support/wire-client.ts";
import { edgeForFile, expectLines } from "../edge.ts";
import { field, packet, RawClient } from "../raw-client.ts";

const V311 = ProtocolVersion.v311;
const folder = mkdtempSync(join(tmpdir(), "rillmq-transport-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const path = join(folder, "mqtt.sock");
const listeners = ["mqtt://127.0.0.1:0", "ws://127.0.0.1:0", `unix://${path}`];
const edge = edgeForFile({ config: { listeners: listeners.map((url) => ({ url })) } });

async function connected(socket: Socket): Promise<Socket> {
  await once(socket, "connect");
  return socket;
}

const OPEN: Readonly<Record<string, () => Promise<Duplex>>> = {
  TCP: () => connected(connect({ host: "127.0.0.1", port: edge.broker.port })),
  "a unix socket": () => connected(connect({ path })),
  WebSocket: async () => {
    const socket = new WebSocket(edge.broker.urls[1] ?? "", "mqtt");
    await once(socket, "open");
    return createWebSocketStream(socket);
  },
};

async function clientOver(t: TestContext, name: string, clientId: string): Promise<WireClient> {
  const open = OPEN[name];
  assert.ok(open !== undefined);
  const client = new WireClient(await open(), V311);
  t.after(() => client.drop());
  assert.equal((await client.connect({ clientId })).reasonCode, 0);
  return client;
}

for (const name of Object.keys(OPEN)) {
  test(`${name} carries packets in order, without loss and both ways [MQTT-7.1.1-1, MQTT-7.1.1-2]`, async (t) => {
    const client = await clientOver(t, name, "there");
    const other = await clientOver(t, name, "back");
    await client.subscribe(1, "back/#", 0);
    await other.subscribe(1, "there/#", 0);
    const numbers = Array.from({ length: 500 }, (_, i) => `${i}`);
    for (const text of numbers) {
      client.send(publishPacket("there/a", text));
      other.send(publishPacket("back/a", text));
    }
    await expectLines(
      client,
      numbers.map((text) => `publish back/a q0: ${text}`),
    );
    await expectLines(
      other,
      numbers.map((text) => `publish there/a q0: ${text}`),
    );
  });
}

test("The standard's own packets are enough for everything: no extension is wanted [MQTT-7.0.0-2]", async (t) => {
  const client = await RawClient.open(t, edge.broker.port);
  client.send(packet(0x10, `${field("MQTT")} 04 02 003c ${field("plain")}`));
  await client.expect("20 02 0000");
  client.send(packet(0x82, `0001 ${field("plain/#")} 02`));
  await client.expect("90 03 0001 02");
  const body = (id: string): string => `${field("plain/a")} ${id} 'x'`;
  client.send(packet(0x30, body("")));
  await client.expect(`30 0a ${body("")}`);
  client.send(packet(0x32, body("000a")));
  await client.expect(`32 0c ${body("0001")} 40 02 000a`);
  client.send("40 02 0001", packet(0x34, body("000b")));
  // Either order of the two is the standard's; this is the broker's.
  await client.expect(`34 0c ${body("0002")} 50 02 000b`);
  client.send("62 02 000b");
  await client.expect("70 02 000b");
  client.send("50 02 0002");
  await client.expect("62 02 0002");
  client.send("70 02 0002", packet(0xa2, `0002 ${field("plain/#")}`));
  await client.expect("b0 02 0002");
  client.send("c000");
  await client.expect("d000");
  client.send("e000");
  assert.equal(await client.ended(), "");
});

test("A PUBLISH for which there is no room for so long as the broker waits ends its connection, without PUBACK [MQTT-4.8.0-2]", () => {
  const node = new VirtualNode({ flushes: "manual", pendingBytesMax: 300 });
  const subscriber = node.connect("s", { version: V311, cleanStart: false });
  subscriber.subscribe("a", { qos: 1 });
  node.flushAll();
  const client = node.connect("c", { version: V311 });
  const other = node.connect("o", { version: V311 });
  for (let packetId = 1; packetId <= 10; packetId++) {
    client.publish("a", "x".repeat(100), { qos: 1, packetId });
  }
  client.takeText();
  node.advance(29_999);
  assert.equal(client.isClosed, false);
  node.advance(1);
  assert.equal(client.isClosed, true);
  assert.deepEqual(client.takeText(), []);
  // Who sent nothing of the kind stays.
  other.send({ type: PacketType.pingreq });
  assert.deepEqual(other.takeText(), ["connack", "pingresp"]);
});
