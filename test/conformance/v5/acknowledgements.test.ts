import assert from "node:assert/strict";
import { test } from "node:test";
import type { ConnectPacket } from "../../../src/mqtt/packet.ts";
import { publishPacket } from "../../support/wire-client.ts";
import { framed, properties } from "../bytes.ts";
import { edgeForFile } from "../edge.ts";
import { StrictClient } from "../strict-client.ts";

const edge = edgeForFile();

const join = (clientId: string, fields: Partial<ConnectPacket> = {}): Promise<StrictClient> =>
  StrictClient.join(edge.broker.port, clientId, fields);

const hex = (code: number): string => code.toString(16).padStart(2, "0");

/** Reason codes that a client may put into PUBACK and PUBREC, and into PUBREL and PUBCOMP. */
const RECEIVED = [0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];
const RELEASED = [0x00, 0x92];
const SOME = [
  0x00, 0x01, 0x04, 0x10, 0x11, 0x18, 0x19, 0x80, 0x81, 0x83, 0x87, 0x8f, 0x90, 0x91, 0x92, 0x97,
  0x99, 0xa2, 0xff,
];

const LISTS: readonly [what: string, first: string, allowed: readonly number[]][] = [
  ["PUBACK", "40", RECEIVED],
  ["PUBREC", "50", RECEIVED],
  ["PUBREL", "62", RELEASED],
  ["PUBCOMP", "70", RELEASED],
];

for (const [what, first, allowed] of LISTS) {
  test(`${what} takes the reason codes of its list and no others. [MQTT-3.4.2-1, MQTT-3.5.2-1, MQTT-3.6.2-1, MQTT-3.7.2-1, MQTT-4.13.1-1]`, async () => {
    for (const code of SOME) {
      const client = await join("codes");
      client.sendWire(`${first} 03 0009 ${hex(code)} c000`);
      if (!allowed.includes(code)) {
        assert.deepEqual(await client.rest(), ["disconnect 0x82"], hex(code));
        continue;
      }
      // What is not known is answered where the protocol has an answer for it.
      if (first === "50" && code < 0x80) await client.getsInAnyOrder("pubrel 9 0x92", "pingresp");
      else if (first === "62") await client.getsInAnyOrder("pubcomp 9 0x92", "pingresp");
      else await client.gets("pingresp");
    }
  });

  test(`${what} may leave out its reason code and its properties, and may have a reason string and user properties. [MQTT-4.13.1-1, MQTT-2.2.2-1]`, async () => {
    const client = await join("forms");
    const text = "1f 0001 61 26 0001 61 0001 62 26 0001 61 0001 62";
    const forms = [
      "0009",
      `0009 ${hex(allowed[1] ?? 0)}`,
      "0009 00 00",
      `0009 00 ${properties(text)}`,
    ];
    for (const form of forms) {
      client.sendWire(framed(first, form));
      if (first === "50") await client.gets("pubrel 9 0x92");
      if (first === "62") await client.gets("pubcomp 9 0x92");
      await client.getsNothing();
    }
    const wrong: readonly [string, string][] = [
      ["00", "0x81"],
      ["", "0x81"],
      ["0009 00 01", "0x81"],
      ["0009 00 00 00", "0x81"],
      [`0009 00 ${properties("1f 0000 1f 0000")}`, "0x82"],
      [`0009 00 ${properties("01 00")}`, "0x81"],
      [`0009 00 ${properties("11 00000001")}`, "0x81"],
    ];
    for (const [form, code] of wrong) {
      const other = await join("wrong-form");
      other.sendWire(framed(first, form));
      assert.deepEqual(await other.rest(), [`disconnect ${code}`], form);
    }
  });
}

test("Flags of PUBREL other than 0010 are malformed, and nothing is released. [MQTT-3.6.1-1]", async () => {
  const lasting = { cleanStart: false, properties: { sessionExpirySeconds: 60 } };
  const watcher = await join("flags-watcher");
  await watcher.subscribe("flags");
  for (const first of ["60", "61", "63", "64", "66", "6a", "6f"]) {
    const client = await join("flags", lasting);
    client.send(publishPacket("flags", "x", { qos: 2, packetId: 5 }));
    await client.gets("pubrec 5");
    await watcher.gets("publish flags q0: x");
    client.sendWire(`${first} 02 0005`);
    await client.ends("disconnect 0x81");
    const again = await join("flags", lasting);
    again.send(publishPacket("flags", "x", { qos: 2, packetId: 5, dup: true }));
    await again.gets("pubrec 5");
    await watcher.getsNothing();
    again.ack("pubrel", 5);
    await again.gets("pubcomp 5");
    await again.leave();
  }
});

test("PUBACK and PUBREC say 0x00, 0x10 where nobody gets the message, and 0x90 for a topic that is none. [MQTT-3.4.2-1, MQTT-3.5.2-1]", async () => {
  const subscriber = await join("said");
  await subscriber.subscribe("said");
  const client = await join("said-publisher");
  for (const qos of [1, 2] as const) {
    assert.equal(await client.publish("said", "x", { qos }), 0x00);
    assert.equal(await client.publish("said/nobody", "x", { qos }), 0x10);
    assert.equal(await client.publish("said/#", "x", { qos }), 0x90);
    assert.equal(await client.publish("$SYS/said", "x", { qos }), 0x90);
  }
});

test("PUBREL says 0x92 where the message is not known, and PUBREC with an error gets none. [MQTT-3.6.2-1]", async () => {
  const client = await join("rel");
  client.ack("pubrec", 3);
  await client.gets("pubrel 3 0x92");
  client.ack("pubrec", 3, 0x80);
  await client.getsNothing();
});

test("Success is said in the shortest form, without reason code. [MQTT-3.4.2-1, MQTT-3.5.2-1, MQTT-3.6.2-1, MQTT-3.7.2-1]", async () => {
  const client = await join("short");
  await client.subscribe("short", { qos: 2 });
  client.send(publishPacket("short", "x", { qos: 2, packetId: 258 }));
  const both = [(await client.takeArrival()).hex, (await client.takeArrival()).hex];
  assert.deepEqual(
    both.filter((text) => text.startsWith("50")),
    ["50020102"],
  );
  client.ack("pubrel", 258);
  assert.equal((await client.takeArrival()).hex, "70020102");
  client.ack("pubrec", 1);
  assert.equal((await client.takeArrival()).hex, "62020001");
  client.ack("pubcomp", 1);
  client.send(publishPacket("short", "x", { qos: 1, packetId: 259 }));
  const again = [(await client.takeArrival()).hex, (await client.takeArrival()).hex];
  assert.ok(again.includes("40020103"));
});
