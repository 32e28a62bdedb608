import assert from "node:assert/strict";
import { test } from "node:test";
import { PacketType, ProtocolVersion } from "../../../src/mqtt/packet.ts";
import type { VirtualClient } from "../../support/virtual-client.ts";
import { VirtualNode } from "../../support/virtual-node.ts";

const NEVER = 0xffff_ffff;
const HOUR_MS = 3_600_000;

/** The expiry that CONNACK tells; undefined: what was asked for. */
function toldBy(client: VirtualClient): number | undefined {
  const [connack] = client.take();
  assert.ok(connack?.type === PacketType.connack);
  return connack.properties.sessionExpirySeconds;
}

function connect(node: VirtualNode, sessionExpirySeconds: number | undefined): VirtualClient {
  const properties = sessionExpirySeconds === undefined ? {} : { sessionExpirySeconds };
  return node.connect("c", { cleanStart: false, properties });
}

/** Whether the session is there after this time without connection. */
function isThereAfter(node: VirtualNode, ms: number): boolean {
  node.advance(ms);
  return node.broker.sessions.get("c") !== undefined;
}

test("A session lives as long as CONNECT asked for: not at all, some seconds, for ever. [MQTT 5.0 section 3.1.2.11.2]", () => {
  const rows: readonly [asked: number | undefined, ms: number, isThere: boolean][] = [
    [undefined, 0, false],
    [0, 0, false],
    [5, 4_999, true],
    [5, 5_000, false],
    [NEVER - 1, HOUR_MS, true],
    [NEVER, HOUR_MS, true],
  ];
  for (const [asked, ms, isThere] of rows) {
    const node = new VirtualNode();
    const client = connect(node, asked);
    assert.equal(toldBy(client), undefined);
    client.lose();
    assert.equal(isThereAfter(node, ms), isThere, `${asked} after ${ms} ms`);
  }
  const node = new VirtualNode();
  const expiryMsOf = (asked: number): number | undefined => {
    connect(node, asked);
    return node.broker.sessions.get("c")?.expiryMs;
  };
  assert.equal(expiryMsOf(NEVER - 1), (NEVER - 1) * 1_000);
  assert.equal(expiryMsOf(NEVER), Number.POSITIVE_INFINITY);
});

test("CONNACK tells an expiry that is not what was asked for. [MQTT 5.0 section 3.2.2.3.2]", () => {
  const node = new VirtualNode({ connection: { sessionExpiryMaxMs: 60_000 } });
  assert.equal(toldBy(connect(node, 60)), undefined);
  assert.equal(toldBy(connect(node, 61)), 60);
  assert.equal(toldBy(connect(node, NEVER)), 60);
  assert.equal(toldBy(connect(node, 0)), undefined);
});

test("DISCONNECT changes the expiry, within the limit. [MQTT-3.1.2-23]", () => {
  const rows: readonly [atEnd: number, ms: number, isThere: boolean][] = [
    [0, 0, false],
    [2, 1_999, true],
    [2, 2_000, false],
    [50, 49_999, true],
    [NEVER, 59_999, true],
    [NEVER, 60_000, false],
  ];
  for (const [atEnd, ms, isThere] of rows) {
    const node = new VirtualNode({ connection: { sessionExpiryMaxMs: 60_000 } });
    connect(node, 10).disconnect(0, { sessionExpirySeconds: atEnd });
    assert.equal(isThereAfter(node, ms), isThere, `${atEnd} after ${ms} ms`);
  }
});

test("A session that is resumed has the expiry of the new CONNECT, also across a restart.", () => {
  const node = new VirtualNode();
  connect(node, 100).lose();
  connect(node, 5).lose();
  node.crash();
  assert.equal(isThereAfter(node, 4_000), true);
  connect(node, 100).lose();
  assert.equal(isThereAfter(node, 6_000), true);
  connect(node, 0).lose();
  assert.equal(isThereAfter(node, 0), false);
});

test("In 3.1.1 a clean session ends with its connection, and another lasts as long as the limit says.", () => {
  const node = new VirtualNode({ connection: { sessionExpiryMaxMs: 60_000 } });
  const fields = { version: ProtocolVersion.v311 };
  node.connect("c", { ...fields, cleanStart: true }).lose();
  assert.equal(isThereAfter(node, 0), false);
  node.connect("c", { ...fields, cleanStart: false }).disconnect();
  assert.equal(isThereAfter(node, 59_999), true);
  assert.equal(isThereAfter(node, 1), false);
});

test("A protocol error at DISCONNECT leaves the expiry of CONNECT as it was. [MQTT 5.0 section 3.14.2.2.2]", () => {
  const node = new VirtualNode();
  const client = connect(node, 0);
  client.take();
  client.disconnect(0, { sessionExpirySeconds: 1 });
  assert.deepEqual(client.takeText(), ["disconnect 0x82"]);
  assert.equal(isThereAfter(node, 0), false);
});
