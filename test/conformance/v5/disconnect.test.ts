import assert from "node:assert/strict";
import { test } from "node:test";
import type { ConnectPacket } from "../../../src/mqtt/packet.ts";
import { field, framed, properties } from "../bytes.ts";
import { edgeForFile } from "../edge.ts";
import { StrictClient } from "../strict-client.ts";

const edge = edgeForFile();

const join = (clientId: string, fields: Partial<ConnectPacket> = {}): Promise<StrictClient> =>
  StrictClient.join(edge.broker.port, clientId, fields);

const hex = (code: number): string => code.toString(16).padStart(2, "0");

test("DISCONNECT closes the connection, and nothing behind it is processed. [MQTT-3.14.4-2, MQTT-3.14.4-1]", async () => {
  const watcher = await join("behind-watcher");
  await watcher.subscribe("behind");
  for (const bytes of ["e0 00", "e0 01 00", "e0 01 04", "e0 02 00 00"]) {
    const client = await join("behind");
    client.sendWire(`${bytes} ${framed("30", field("'behind'"), "00 'x'")} c000`);
    assert.deepEqual(await client.rest(), [], bytes);
  }
  await watcher.getsNothing();
});

test("After its own DISCONNECT the broker says nothing more and closes. [MQTT-3.14.4-1, MQTT-3.14.4-2, MQTT-4.13.2-1]", async () => {
  const client = await join("last-word");
  await client.subscribe("last-word", { qos: 1 });
  // Behind what is malformed stand packets that would be answered.
  client.sendWire(`c000 00 00 c000 ${framed("32", field("'last-word'"), "0001 00 'x'")}`);
  await client.ends("pingresp", "disconnect 0x81");
});

test("Flags of DISCONNECT are malformed: 0x81, and the will is sent. [MQTT-3.14.1-1]", async () => {
  const watcher = await join("flags-watcher");
  await watcher.subscribe("flags");
  const will = {
    topic: "flags",
    payload: Buffer.from("x"),
    qos: 0,
    retain: false,
    properties: {},
  } as const;
  for (let flags = 1; flags < 16; flags++) {
    const client = await join("flags", { will });
    client.sendWire(`e${flags.toString(16)} 00`);
    await client.ends("disconnect 0x81");
    await watcher.gets("publish flags q0: x");
  }
});

test("DISCONNECT takes the reason codes that a client may send and no others. [MQTT-3.14.2-1, MQTT-4.13.1-1]", async () => {
  const allowed = [
    0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99,
  ];
  const others = [
    0x01, 0x02, 0x10, 0x11, 0x18, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8b, 0x8c, 0x8d, 0x8e,
    0x8f, 0x91, 0x92, 0x9a, 0x9c, 0x9d, 0xff,
  ];
  for (const code of [...allowed, ...others]) {
    const client = await join("codes");
    client.sendWire(`e0 01 ${hex(code)}`);
    const answer = allowed.includes(code) ? [] : ["disconnect 0x82"];
    assert.deepEqual(await client.rest(), answer, hex(code));
  }
});

test("Properties of DISCONNECT: those of a client, each once. [MQTT-4.13.1-1]", async () => {
  const rows: readonly [text: string, answer: string[]][] = [
    [properties("11 00000000"), []],
    [properties(`1f ${field("'why'")} 26 ${field("'a'")} ${field("'b'")}`), []],
    [properties("11 00000000 11 00000000"), ["disconnect 0x82"]],
    [properties("1f 0000 1f 0000"), ["disconnect 0x82"]],
    [properties("01 00"), ["disconnect 0x81"]],
    [properties("21 0001"), ["disconnect 0x81"]],
    ["7f", ["disconnect 0x81"]],
    [`${properties("11 00000000")} 00`, ["disconnect 0x81"]],
  ];
  for (const [text, answer] of rows) {
    const client = await join("properties");
    client.sendWire(framed("e0", "00", text));
    assert.deepEqual(await client.rest(), answer, text);
  }
});

test("Each end has the reason code of its cause, and no session expiry interval. [MQTT-3.14.2-1, MQTT-3.14.2-2, MQTT-4.13.1-1, MQTT-4.13.2-1]", async () => {
  const rows: readonly [bytes: string, code: number][] = [
    ["00 00", 0x81],
    [framed("36", field("'a'"), "0001 00"), 0x81],
    [framed("32", field("'a'"), "0000 00"), 0x82],
    [framed("30", field("'a'"), "02 23 00"), 0x81],
    [framed("30", field("'a'"), properties("23 0000")), 0x94],
    [framed("30", field("'a'"), properties("23 ffff")), 0x94],
    [framed("30", field(""), properties("23 0001")), 0x82],
    [framed("30", field("'a/#'"), "00"), 0x90],
    ["30 ffffff7f", 0x95],
  ];
  for (const [bytes, code] of rows) {
    const client = await join("causes", { properties: { sessionExpirySeconds: 60 } });
    client.sendWire(bytes);
    const packet = await client.take();
    assert.ok("reasonCode" in packet && "properties" in packet, bytes);
    assert.equal(packet.reasonCode, code, bytes);
    assert.equal(packet.properties?.sessionExpirySeconds, undefined);
    await client.ends();
  }
});

test("An error of one client ends its connection and nobody else's. [MQTT-4.13.1-1]", async () => {
  const other = await join("other");
  const client = await join("one");
  client.sendWire("00 00");
  await client.ends("disconnect 0x81");
  await other.getsNothing();
  await (await join("one")).leave();
});

test("A stop of the broker is told as 0x8B. [MQTT-3.14.2-1, MQTT-3.14.4-2]", async (t) => {
  const client = await join("stopped");
  t.after(() => edge.start());
  await edge.broker.stop();
  await client.ends("disconnect 0x8b");
});
