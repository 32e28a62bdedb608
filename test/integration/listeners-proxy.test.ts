import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { connectAsync, type MqttClient } from "mqtt";
import { callAdmin } from "../../src/cli/admin-client.ts";
import { ProtocolVersion } from "../../src/mqtt/packet.ts";
import { BrokerHome, type BrokerProcess } from "../support/broker-process.ts";
import { TestAuthority } from "../support/certificates.ts";
import { eventually } from "../support/json-process.ts";
import { connectPacket, packetBytes } from "../support/packet-bytes.ts";
import { droppedFor } from "../support/prometheus.ts";
import { startProxy } from "../support/proxy.ts";
import { proxyTcp4, proxyV1, proxyV2 } from "../support/proxy-headers.ts";

const WAIT_MS = 10_000;
const TRUSTED = { proxyProtocol: { from: ["127.0.0.0/8"] } };
const CONNECT = packetBytes(connectPacket("raw", ProtocolVersion.v5), ProtocolVersion.v5);

const portOf = (url: string | undefined): number => Number(new URL(url ?? "").port);

/** The address under which the broker knows a client. */
async function addressOf(home: BrokerHome, clientId: string): Promise<string> {
  const shown = await callAdmin(home.data, "POST", "/clients/show", { clientId });
  return (shown as { address: string }).address;
}

/** A client that connects once, whatever the broker's certificate. */
async function client(t: TestContext, url: string, clientId: string): Promise<MqttClient> {
  const made = await connectAsync(url, {
    clientId,
    protocolVersion: 5,
    reconnectPeriod: 0,
    connectTimeout: WAIT_MS,
    rejectUnauthorized: false,
  });
  t.after(() => made.endAsync(true));
  return made;
}

/** Sends these bytes over a connection of its own. */
function sendRaw(t: TestContext, port: number, bytes: Buffer): Socket {
  const socket = connect({ host: "127.0.0.1", port });
  t.after(() => socket.destroy());
  socket.on("error", () => undefined);
  socket.write(bytes);
  return socket;
}

const closing = (socket: Socket): Promise<unknown> => {
  socket.resume();
  return once(socket, "close", { signal: AbortSignal.timeout(WAIT_MS) });
};

/** One listener on a free port. */
async function serve(
  t: TestContext,
  proxyProtocol: object = TRUSTED,
  mqtt: object = {},
): Promise<{ home: BrokerHome; broker: BrokerProcess }> {
  const home = new BrokerHome(t);
  const listeners = [{ url: "mqtt://127.0.0.1:0", ...proxyProtocol }];
  return { home, broker: await home.start({ config: { listeners, mqtt } }) };
}

test("Behind a proxy clients of every transport are known under their own address, however the header is cut.", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "rillmq-proxy-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const authority = TestAuthority.create(t, folder);
  if (authority === undefined) return;
  const home = new BrokerHome(t);
  const schemes = ["mqtt", "mqtts", "ws", "wss"];
  const listeners = schemes.map((scheme) => ({ url: `${scheme}://127.0.0.1:0`, ...TRUSTED }));
  const config = { listeners, tls: authority.sign("broker", "localhost") };
  const { urls } = await home.start({ config });
  for (const [i, scheme] of schemes.entries()) {
    const header = proxyTcp4([192, 0, 2, i], Buffer.from("0300040a0b0c0d", "hex"));
    for (const pace of ["glued", "byte-by-byte"] as const) {
      const port = await startProxy(t, portOf(urls[i]), pace, () => header);
      const path = scheme.startsWith("ws") ? "/mqtt" : "";
      const clientId = `${scheme}-${pace}`;
      const made = await client(t, `${scheme}://127.0.0.1:${port}${path}`, clientId);
      await made.publishAsync("t", "x".repeat(100_000), { qos: 1 });
      assert.equal(await addressOf(home, clientId), `192.0.2.${i}`, clientId);
    }
  }
});

test("Version 1 and IPv6 are understood; a proxy that cannot say, or speaks for itself, is known under its own.", async (t) => {
  const { home, broker } = await serve(t);
  const headers = [
    [proxyV1("TCP4 198.51.100.9 10.0.0.1 1 1883"), "198.51.100.9"],
    [proxyV1("TCP6 2001:db8::9 fd00::1 1 1883"), "2001:db8::9"],
    [proxyV1("TCP6 ::ffff:198.51.100.8 fd00::1 1 1883"), "198.51.100.8"],
    [proxyV1("UNKNOWN"), "127.0.0.1"],
    [proxyV2(0x20, 0, Buffer.alloc(0)), "127.0.0.1"],
  ] as const;
  for (const [i, [header, expected]] of headers.entries()) {
    const port = await startProxy(t, broker.port, "glued", () => header);
    await client(t, `mqtt://127.0.0.1:${port}`, `c${i}`);
    assert.equal(await addressOf(home, `c${i}`), expected);
  }
});

test("From a proxy's network a connection without a header is closed at once, and so is a broken header.", async (t) => {
  const { broker } = await serve(t);
  const bad = [CONNECT, proxyV1("TCP4 192.0.2.7 10.0.0.1 1 99999")];
  for (const bytes of bad) await closing(sendRaw(t, broker.port, bytes));
  assert.equal(await droppedFor(broker, "bad-proxy-header"), 2);
  const second = Buffer.concat([proxyV1("UNKNOWN"), proxyV1("UNKNOWN"), CONNECT]);
  await closing(sendRaw(t, broker.port, second));
  assert.equal(await droppedFor(broker, "bad-proxy-header"), 2, "a second header is no MQTT");
});

test("From elsewhere a header is malformed input, and connections without one are served as ever.", async (t) => {
  const { home, broker } = await serve(t, { proxyProtocol: { from: ["10.0.0.0/8", "fd00::/8"] } });
  for (const header of [proxyTcp4([192, 0, 2, 7]), proxyV1("TCP4 192.0.2.7 10.0.0.1 1 2")]) {
    await closing(sendRaw(t, broker.port, Buffer.concat([header, CONNECT])));
  }
  await client(t, `mqtt://127.0.0.1:${broker.port}`, "plain");
  assert.equal(await addressOf(home, "plain"), "127.0.0.1");
  assert.equal(await droppedFor(broker, "bad-proxy-header"), 0);
});

test("A header that does not come, or not to its end, is waited for no longer than a handshake.", async (t) => {
  const { broker } = await serve(t, TRUSTED, { connectTimeoutMs: 300 });
  const halves = [
    Buffer.alloc(0),
    proxyV1("UNKNOWN").subarray(0, 10),
    proxyTcp4([1, 2, 3, 4]).subarray(0, 20),
  ];
  await Promise.all(halves.map((bytes) => closing(sendRaw(t, broker.port, bytes))));
  assert.equal(await droppedFor(broker, "handshake-timeout"), 3);
});

test("Limits per address count the clients, not their proxy.", async (t) => {
  const { broker } = await serve(t, TRUSTED, { connectionsPerAddressMax: 2 });
  let count = 0;
  const open = (last: number): Socket => {
    const packet = connectPacket(`c${count++}`, ProtocolVersion.v5);
    const header = proxyTcp4([192, 0, 2, last]);
    const bytes = Buffer.concat([header, packetBytes(packet, ProtocolVersion.v5)]);
    return sendRaw(t, broker.port, bytes);
  };
  /** True: answered; false: closed. */
  const isServed = (socket: Socket): Promise<boolean> =>
    new Promise((resolve) => {
      socket.once("data", () => resolve(true));
      socket.once("close", () => resolve(false));
    });
  const first = open(1);
  assert.equal(await isServed(first), true);
  assert.equal(await isServed(open(1)), true);
  assert.equal(await isServed(open(1)), false);
  assert.equal(await isServed(open(2)), true);
  assert.equal(await droppedFor(broker, "too-many-from-address"), 1);
  first.destroy();
  await eventually("there is room again", () => isServed(open(1)), WAIT_MS);
});

test("An address in a header lets nobody in: loopback in it opens no listener beyond loopback.", async (t) => {
  const home = new BrokerHome(t);
  const users = join(home.folder, "users");
  writeFileSync(users, "", { mode: 0o600 });
  const listeners = [{ url: "mqtt://127.0.0.1:0", ...TRUSTED }];
  const broker = await home.start({ config: { listeners, access: { usersFile: users } } });
  const bytes = Buffer.concat([proxyTcp4([127, 0, 0, 1]), CONNECT]);
  const socket = sendRaw(t, broker.port, bytes);
  const [answer] = (await once(socket, "data", { signal: AbortSignal.timeout(WAIT_MS) })) as [
    Buffer,
  ];
  assert.deepEqual([answer[0], answer[3]], [0x20, 0x87]);
});
