import assert from "node:assert/strict";
import { once } from "node:events";
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { connect as connectTcp, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { type ConnectionOptions, connect, type TLSSocket } from "node:tls";
import { connectAsync } from "mqtt";
import { PacketType, ProtocolVersion } from "../../src/mqtt/packet.ts";
import { BrokerHome, type BrokerProcess } from "../support/broker-process.ts";
import { type KeyPair, TestAuthority } from "../support/certificates.ts";
import { eventually } from "../support/json-process.ts";
import { droppedFor, sampleOf } from "../support/prometheus.ts";
import { publishPacket, WireClient } from "../support/wire-client.ts";
import { runCli } from "./cli-process.ts";

const WAIT_MS = 15_000;
const FAILED = "the changed certificate cannot be used: the one before stays";

interface Secured {
  readonly folder: string;
  readonly authority: TestAuthority;
  readonly pair: KeyPair;
}

/** A folder with a certificate; undefined: the test was skipped. */
function secure(t: TestContext): Secured | undefined {
  const folder = mkdtempSync(join(tmpdir(), "rillmq-tls-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const authority = TestAuthority.create(t, folder);
  if (authority === undefined) return undefined;
  return { folder, authority, pair: authority.sign("edge", "edge-1") };
}

const serve = (t: TestContext, tls: object, settings: object = {}): Promise<BrokerProcess> => {
  const listeners = [{ url: "mqtts://127.0.0.1:0" }, { url: "wss://127.0.0.1:0" }];
  return new BrokerHome(t).start({ config: { listeners, tls, ...settings } });
};

/** A secured connection; rejects when the handshake fails. */
async function handshake(
  t: TestContext,
  port: number,
  options: ConnectionOptions,
): Promise<TLSSocket> {
  const socket = connect({ host: "127.0.0.1", port, ...options });
  t.after(() => socket.destroy());
  await once(socket, "secureConnect", { signal: AbortSignal.timeout(WAIT_MS) });
  socket.on("error", () => undefined);
  return socket;
}

/** Resolves when it is over, however that came. */
async function closed(socket: Socket): Promise<void> {
  let isClosed = false;
  socket.on("error", () => undefined);
  socket.on("close", () => {
    isClosed = true;
  });
  socket.resume();
  await eventually("the connection is closed", () => isClosed, WAIT_MS);
}

/** Common name of the certificate that is shown to a new connection. */
async function shownName(t: TestContext, port: number, ca: Buffer): Promise<string> {
  const socket = await handshake(t, port, { ca });
  const { CN } = socket.getPeerCertificate().subject;
  socket.destroy();
  return String(CN);
}

test("MQTT.js over TLS and secure WebSocket, and MQTT 3.1", async (t) => {
  const secured = secure(t);
  if (secured === undefined) return;
  const ca = readFileSync(secured.authority.ca);
  const broker = await serve(t, secured.pair);
  assert.deepEqual(
    broker.urls.map((url) => url.replace(/\d{4,5}/, "PORT")),
    ["mqtts://127.0.0.1:PORT", "wss://127.0.0.1:PORT/mqtt"],
  );
  for (const url of broker.urls) {
    const client = await connectAsync(url, { ca, protocolVersion: 5, reconnectPeriod: 0 });
    t.after(() => client.endAsync(true));
    await client.subscribeAsync("tls/a", { qos: 1 });
    const arrived = new Promise<number>((resolve) => {
      client.once("message", (_topic, payload) => resolve(payload.length));
    });
    await client.publishAsync("tls/a", Buffer.alloc(300_000), { qos: 1 });
    assert.equal(await arrived, 300_000);
    await client.unsubscribeAsync("tls/a");
  }
  const socket = await handshake(t, broker.port, { ca, ALPNProtocols: ["mqtt"] });
  assert.equal(socket.alpnProtocol, "mqtt");
  const old = new WireClient(socket, ProtocolVersion.v31);
  assert.equal((await old.connect({ clientId: "old" })).reasonCode, 0);
  old.send(publishPacket("a", "x", { qos: 1, packetId: 1 }));
  await old.takeType(PacketType.puback, 1);
});

test("pub and sub go over TLS with --ca, refuse a stranger without, and take anything with --insecure", async (t) => {
  const secured = secure(t);
  if (secured === undefined) return;
  const flags = ["--tls-cert", secured.pair.cert, "--tls-key", secured.pair.key];
  const broker = await new BrokerHome(t).start({
    flags: [...flags, "--listen", "mqtts://127.0.0.1:0", "--listen", "wss://127.0.0.1:0"],
  });
  for (const url of broker.urls.slice(1)) {
    const pub = ["pub", "--url", url, "--topic", "a", "--message", "over tls", "--retain"];
    assert.equal((await runCli([...pub, "--ca", secured.authority.ca])).exitCode, 0);
    assert.equal((await runCli([...pub, "--insecure"])).exitCode, 0);
    const stranger = await runCli(pub);
    assert.equal(stranger.exitCode, 1);
    assert.match(stranger.stderr, /certificate/);
  }
});

test("a session is resumed with a ticket", async (t) => {
  const secured = secure(t);
  if (secured === undefined) return;
  const ca = readFileSync(secured.authority.ca);
  const broker = await serve(t, secured.pair);
  const first = connect({ host: "127.0.0.1", port: broker.port, ca });
  const [session] = await once(first, "session", { signal: AbortSignal.timeout(WAIT_MS) });
  first.destroy();
  const second = await handshake(t, broker.port, { ca, session });
  assert.equal(second.isSessionReused(), true);
});

test("versions below the oldest that is taken are refused, so are other protocols", async (t) => {
  const secured = secure(t);
  if (secured === undefined) return;
  const ca = readFileSync(secured.authority.ca);
  const broker = await serve(t, { ...secured.pair, minVersion: "TLSv1.3" });
  await handshake(t, broker.port, { ca, minVersion: "TLSv1.3" });
  await assert.rejects(handshake(t, broker.port, { ca, maxVersion: "TLSv1.2" }));
  await assert.rejects(handshake(t, broker.port, { ca, ALPNProtocols: ["h2"] }));
  assert.equal(await droppedFor(broker, "handshake-failed"), 2);
});

test("with requestClientCert only clients come in whose certificate is signed by the ca", async (t) => {
  const secured = secure(t);
  if (secured === undefined) return;
  const { authority, pair } = secured;
  const ca = readFileSync(authority.ca);
  const device = authority.sign("device", "device-7");
  const broker = await serve(t, { ...pair, ca: authority.ca, requestClientCert: true });
  const [secureUrl = ""] = broker.urls;
  const own = { cert: readFileSync(device.cert), key: readFileSync(device.key) };
  const client = await connectAsync(secureUrl, { ca, ...own, reconnectPeriod: 0 });
  await client.endAsync(true);
  // In TLS 1.3 the refusal comes after the client's side of the handshake.
  const stranger = connect({ host: "127.0.0.1", port: broker.port, ca });
  await closed(stranger);
  assert.equal(await sampleOf(broker, "rillmq_connections_accepted_total"), 1);
});

test("a changed certificate is taken without a restart, and connections stay", async (t) => {
  const secured = secure(t);
  if (secured === undefined) return;
  const { authority, folder, pair } = secured;
  const ca = readFileSync(authority.ca);
  const broker = await serve(t, pair);
  const standing = new WireClient(await handshake(t, broker.port, { ca }), ProtocolVersion.v5);
  await standing.connect({ clientId: "standing" });
  assert.equal(await shownName(t, broker.port, ca), "edge-1");
  const next = authority.sign("next", "edge-2");
  renameSync(next.key, join(folder, "edge.key"));
  renameSync(next.cert, join(folder, "edge.crt"));
  for (const url of broker.urls) {
    const port = Number(new URL(url).port);
    const isNew = async (): Promise<boolean> => (await shownName(t, port, ca)) === "edge-2";
    await eventually("the new one is shown", isNew, WAIT_MS, () => broker.stderr);
  }
  assert.equal((await standing.subscribe(1, "a", 0)).reasonCodes[0], 0);
  assert.equal(await sampleOf(broker, 'rillmq_certificate_reloads_total{result="loaded"}'), 2);
});

test("links that are switched, as Kubernetes does with secrets, are noticed", async (t) => {
  const secured = secure(t);
  if (secured === undefined) return;
  const { authority, folder } = secured;
  const ca = readFileSync(authority.ca);
  const put = (version: string, { cert, key }: KeyPair): void => {
    mkdirSync(join(folder, version));
    renameSync(cert, join(folder, version, "tls.crt"));
    renameSync(key, join(folder, version, "tls.key"));
    symlinkSync(version, join(folder, "..new"));
    renameSync(join(folder, "..new"), join(folder, "..data"));
  };
  put("..1", secured.pair);
  for (const name of ["tls.crt", "tls.key"]) symlinkSync(join("..data", name), join(folder, name));
  const files = { cert: join(folder, "tls.crt"), key: join(folder, "tls.key") };
  const broker = await serve(t, files);
  put("..2", authority.sign("second", "edge-2"));
  const isNew = async (): Promise<boolean> => (await shownName(t, broker.port, ca)) === "edge-2";
  await eventually("the new one is shown", isNew, WAIT_MS, () => broker.stderr);
});

test("a damaged certificate leaves the one before in force, loudly", async (t) => {
  const secured = secure(t);
  if (secured === undefined) return;
  const { authority, pair } = secured;
  const ca = readFileSync(authority.ca);
  const broker = await serve(t, pair, { listeners: [{ url: "mqtts://127.0.0.1:0" }] });
  const failures = (): number => broker.count(FAILED);
  writeFileSync(pair.cert, "-----BEGIN CERTIFICATE-----\nnothing\n");
  await eventually(
    "the damage is told",
    () => failures() === 1,
    WAIT_MS,
    () => broker.stderr,
  );
  assert.equal(await shownName(t, broker.port, ca), "edge-1");
  assert.equal(await sampleOf(broker, 'rillmq_certificate_reloads_total{result="failed"}'), 1);
  const entry = broker.log.find((line) => line["event"] === FAILED);
  assert.equal(entry?.["level"], "error");
  assert.match(String(entry?.["reason"]), /edge\.crt/);
  // A good one with another's key.
  const other = authority.sign("other", "edge-3");
  writeFileSync(pair.cert, readFileSync(other.cert));
  await eventually(
    "that is told, too",
    () => failures() === 2,
    WAIT_MS,
    () => broker.stderr,
  );
  assert.equal(await shownName(t, broker.port, ca), "edge-1");
  writeFileSync(pair.key, readFileSync(other.key));
  const isNew = async (): Promise<boolean> => (await shownName(t, broker.port, ca)) === "edge-3";
  await eventually("the new one is shown", isNew, WAIT_MS, () => broker.stderr);
});

test("SIGHUP reads certificates again", async (t) => {
  const secured = secure(t);
  if (secured === undefined) return;
  const listeners = [{ url: "mqtts://127.0.0.1:0" }];
  const broker = await serve(t, secured.pair, { listeners });
  broker.signal("SIGHUP");
  const isLoaded = (): boolean => broker.count("certificate loaded") === 1;
  await eventually("it is loaded", isLoaded, WAIT_MS, () => broker.stderr);
  assert.equal(await shownName(t, broker.port, readFileSync(secured.authority.ca)), "edge-1");
});

test("a certificate that cannot be used at the start ends with 3 and one line", async (t) => {
  const secured = secure(t);
  if (secured === undefined) return;
  const { folder, authority, pair } = secured;
  const damaged = join(folder, "damaged.pem");
  writeFileSync(damaged, "nothing");
  const other = authority.sign("other", "other");
  const cases: [cert: string, key: string, said: RegExp][] = [
    [damaged, pair.key, /damaged\.pem/],
    [pair.cert, damaged, /damaged\.pem/],
    [join(folder, "missing.crt"), pair.key, /missing\.crt: ENOENT/],
    [pair.cert, other.key, /does not belong/],
  ];
  for (const [cert, key, said] of cases) {
    const config = { listeners: [{ url: "mqtts://127.0.0.1:0", tls: { cert, key } }] };
    const { exitCode, stdout, stderr } = await new BrokerHome(t).spawn({ config }).ended;
    assert.deepEqual([exitCode, stdout], [3, ""], stderr);
    const errors = stderr.split("\n").filter((line) => line.includes('"level":"error"'));
    assert.equal(errors.length, 1, stderr);
    assert.match(errors[0] ?? "", said);
    assert.doesNotMatch(errors[0] ?? "", /"stack"/);
  }
});

test("a handshake that does not come is given up, and what is no TLS is closed", async (t) => {
  const secured = secure(t);
  if (secured === undefined) return;
  const broker = await serve(t, secured.pair, { mqtt: { connectTimeoutMs: 300 } });
  const silent = connectTcp({ host: "127.0.0.1", port: broker.port });
  const plain = connectTcp({ host: "127.0.0.1", port: broker.port });
  plain.write(Buffer.from([0x10, 0x0c, 0, 4, 0x4d, 0x51, 0x54, 0x54, 4, 2, 0, 0, 0, 0]));
  await Promise.all([closed(silent), closed(plain)]);
  assert.equal(await droppedFor(broker, "handshake-timeout"), 1);
  assert.equal(await droppedFor(broker, "handshake-failed"), 1);
});
