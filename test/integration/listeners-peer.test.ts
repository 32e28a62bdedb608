import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect as connectTcp } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { type ConnectionOptions, connect } from "node:tls";
import type { MqttConnection } from "../../src/mqtt/connection.ts";
import type { Peer } from "../../src/mqtt/link.ts";
import { Admission } from "../../src/net/admission.ts";
import { Listener, type ListenerOptions } from "../../src/net/listener.ts";
import { NetworkCounters } from "../../src/net/network-counters.ts";
import { OutputBudget } from "../../src/net/output-budget.ts";
import { Turn } from "../../src/net/turn.ts";
import { TestAuthority } from "../support/certificates.ts";
import { eventually } from "../support/json-process.ts";

const WAIT_MS = 10_000;

/** Takes connections and does nothing with them. */
const SILENT = {
  receive: () => undefined,
  onRoom: () => undefined,
  onClosed: () => undefined,
} as unknown as MqttConnection;

/** A listener that notes who comes. */
async function listen(
  t: TestContext,
  options: Pick<ListenerOptions, "bind" | "tls">,
): Promise<{ readonly listener: Listener; readonly peers: Peer[] }> {
  const counters = new NetworkCounters();
  const peers: Peer[] = [];
  const listener = await Listener.open({
    ...options,
    proxies: undefined,
    webSocket: undefined,
    admission: new Admission({ perAddressMax: 10, unauthenticatedMax: 10 }, counters),
    handshakeTimeoutMs: WAIT_MS,
    turn: new Turn(() => undefined),
    counters,
    budget: new OutputBudget(1_000_000),
    outputBytesMax: 1_000,
    writeTimeoutMs: 1_000,
    packetBytesMax: 1_000,
    connectPacketBytesMax: 1_000,
    acceptNative: () => undefined,
    accept: (link) => {
      peers.push(link.peer);
      return SILENT;
    },
    onClosed: () => undefined,
    onBug: (error) => {
      throw error;
    },
  });
  t.after(() => listener.close());
  return { listener, peers };
}

function folderFor(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "rillmq-peer-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

test("a peer has its address, without the prefix of IPv4 in IPv6, or it is unix", async (t) => {
  const any = await listen(t, { bind: { host: "::", port: 0 }, tls: undefined });
  const { port } = new URL(any.listener.url);
  connectTcp({ host: "127.0.0.1", port: Number(port) }).on("error", () => undefined);
  await eventually("it came", () => any.peers.length === 1, WAIT_MS);
  assert.deepEqual(any.peers, [{ address: "127.0.0.1", certificateSubject: undefined }]);
  const path = join(folderFor(t), "a.sock");
  const unix = await listen(t, { bind: { path, mode: 0o600 }, tls: undefined });
  connectTcp({ path }).on("error", () => undefined);
  await eventually("it came", () => unix.peers.length === 1, WAIT_MS);
  assert.deepEqual(unix.peers, [{ address: "unix", certificateSubject: undefined }]);
});

test("a peer with a certificate has its subject, also when its session is resumed", async (t) => {
  const authority = TestAuthority.create(t, folderFor(t));
  if (authority === undefined) return;
  const [edge, device] = [authority.sign("edge", "edge"), authority.sign("device", "device-7")];
  const ca = readFileSync(authority.ca);
  const context = { cert: readFileSync(edge.cert), key: readFileSync(edge.key), ca };
  const { listener, peers } = await listen(t, {
    bind: { host: "127.0.0.1", port: 0 },
    tls: { context, requestClientCert: true },
  });
  const options: ConnectionOptions = {
    host: "127.0.0.1",
    port: Number(new URL(listener.url).port),
    ca,
    cert: readFileSync(device.cert),
    key: readFileSync(device.key),
  };
  const first = connect(options);
  first.on("error", () => undefined);
  const [session] = await once(first, "session", { signal: AbortSignal.timeout(WAIT_MS) });
  const second = connect({ ...options, session });
  second.on("error", () => undefined);
  await once(second, "secureConnect", { signal: AbortSignal.timeout(WAIT_MS) });
  assert.equal(second.isSessionReused(), true);
  await eventually("both came", () => peers.length === 2, WAIT_MS);
  const expected = { address: "127.0.0.1", certificateSubject: "device-7" };
  assert.deepEqual(peers, [expected, expected]);
});
