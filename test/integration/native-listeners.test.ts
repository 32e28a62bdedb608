/** The native protocol on every kind of listener: TLS, beside MQTT, users and rules, proxies, origins. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { connectAsync } from "mqtt";
import { WebSocket } from "ws";
import { formatPasswordHash, hashPassword } from "../../src/access/password-hash.ts";
import { callAdmin } from "../../src/cli/admin-client.ts";
import { SUBPROTOCOLS } from "../../src/native/frame.ts";
import { BrokerHome, type BrokerProcess } from "../support/broker-process.ts";
import { TestAuthority } from "../support/certificates.ts";
import { textOf } from "../support/native-client.ts";
import { NativeSocket } from "../support/native-socket.ts";
import { droppedFor, sampleOf } from "../support/prometheus.ts";
import { startProxy } from "../support/proxy.ts";
import { proxyTcp4, proxyV1 } from "../support/proxy-headers.ts";

const WAIT_MS = 10_000;
const OWN = "rill://127.0.0.1:0";
const BOTH = { url: "ws://127.0.0.1:0", protocols: ["mqtt", "rill"] };
const PROXIED = { proxyProtocol: { from: ["127.0.0.0/8"] } };

type Settings = Readonly<Record<string, unknown>>;

function serve(
  t: TestContext,
  settings: Settings = {},
): Promise<{ home: BrokerHome; broker: BrokerProcess; url: string }> {
  const home = new BrokerHome(t);
  const config = { listeners: [{ url: OWN }], ...settings };
  return home.start({ config }).then((broker) => ({ home, broker, url: broker.urls[0] ?? "" }));
}

function folderOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "rillmq-native-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

const portOf = (url: string | undefined): number => Number(new URL(url ?? "").port);

/** One of everything: an event to itself, a record, a message of a queue, a request to itself. */
async function useAll(client: NativeSocket, name: string): Promise<void> {
  await client.ask({ op: "subscribe", filter: `t/${name}`, credit: 1 });
  await client.ask({ op: "publish", topic: `t/${name}`, payload: Buffer.from(name) });
  assert.equal(textOf((await client.nextOf("event")).payload), name);
  await client.ask({ op: "stream.create", stream: name });
  const appended = await client.ask({ op: "append", stream: name, messages: [{}, {}] });
  assert.deepEqual(appended["sequences"], [1, 2]);
  await client.ask({ op: "queue.subscribe", queue: name, credit: 1 });
  await client.ask({ op: "send", queue: name, messages: [{ payload: Buffer.from(name) }] });
  const { deliveries } = await client.nextOf("deliveries");
  const names = deliveries.map(({ delivery }) => delivery);
  const settled = await client.ask({ op: "settle", queue: name, how: "ack", deliveries: names });
  assert.equal(settled.op, "ok");
  const asker = client.ask({ op: "request", topic: `nobody/${name}`, timeoutMs: 1_000 });
  assert.equal((await asker)["code"], "no-responder");
}

/** The status of a handshake; 101: it was taken. */
async function statusOf(
  url: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<number> {
  const webSocket = new WebSocket(url.replace(/^rill/, "ws"), "rill.v1+json", {
    headers: { ...headers },
  });
  webSocket.on("error", () => undefined);
  const signal = AbortSignal.timeout(WAIT_MS);
  try {
    return await Promise.race([
      once(webSocket, "open", { signal }).then(() => 101),
      once(webSocket, "unexpected-response", { signal }).then(
        ([, response]) => response.statusCode,
      ),
    ]);
  } finally {
    webSocket.terminate();
  }
}

function rawSocket(t: TestContext, port: number, bytes: Buffer | string): Socket {
  const socket = connect({ host: "127.0.0.1", port });
  t.after(() => socket.destroy());
  socket.on("error", () => undefined);
  socket.resume();
  if (bytes.length > 0) socket.write(bytes);
  return socket;
}

const closing = (socket: Socket): Promise<unknown> =>
  once(socket, "close", { signal: AbortSignal.timeout(WAIT_MS) });

/** The address under which the broker knows a client. */
async function viewOf(home: BrokerHome, clientId: string): Promise<Record<string, unknown>> {
  return (await callAdmin(home.data, "POST", "/clients/show", { clientId })) as Record<
    string,
    unknown
  >;
}

test("Over TLS, on a listener of its own and beside MQTT on one port, in both encodings.", async (t) => {
  const folder = folderOf(t);
  const authority = TestAuthority.create(t, folder);
  if (authority === undefined) return;
  const listeners = [{ url: "rills://127.0.0.1:0" }, { ...BOTH, url: "wss://127.0.0.1:0" }];
  const tls = authority.sign("broker", "localhost");
  const { broker } = await serve(t, { listeners, tls });
  const [own = "", both = ""] = broker.urls;
  assert.match(own, /^rills:\/\/127\.0\.0\.1:\d+\/rill$/);
  const trusting = { ca: readFileSync(authority.ca), rejectUnauthorized: true };
  for (const [i, url] of [own, both].entries()) {
    for (const [j, subprotocol] of SUBPROTOCOLS.entries()) {
      const client = await NativeSocket.dial(t, url, subprotocol, trusting);
      await client.ask({ op: "hello", versions: [1] });
      await useAll(client, `n${i}${j}`);
    }
  }
  const device = await connectAsync(both, { reconnectPeriod: 0, rejectUnauthorized: false });
  t.after(() => device.end(true));
  const client = await NativeSocket.open(t, both);
  await client.ask({ op: "subscribe", filter: "up", credit: 1 });
  await device.publishAsync("up", "over TLS", { qos: 1 });
  assert.equal(textOf((await client.nextOf("event")).payload), "over TLS");
  await assert.rejects(NativeSocket.dial(t, own, "rill.v1+json", { rejectUnauthorized: true }));
  await closing(rawSocket(t, portOf(own), "GET /rill HTTP/1.1\r\n\r\n"));
  assert.ok((await droppedFor(broker, "handshake-failed")) >= 1);
});

test("A certificate that the listener demands is known to the operator; without one nobody comes in.", async (t) => {
  const folder = folderOf(t);
  const authority = TestAuthority.create(t, folder);
  if (authority === undefined) return;
  const tls = { ...authority.sign("broker", "localhost"), ca: authority.ca };
  const listeners = [{ url: "rills://127.0.0.1:0", tls: { ...tls, requestClientCert: true } }];
  const { home, url } = await serve(t, { listeners });
  const own = authority.sign("billing", "billing-service");
  const pair = { cert: readFileSync(own.cert), key: readFileSync(own.key) };
  const client = await NativeSocket.dial(t, url, "rill.v1+json", pair);
  await client.ask({ op: "hello", versions: [1], clientId: "billing" });
  assert.match(String((await viewOf(home, "billing"))["certificateSubject"]), /billing-service/);
  await assert.rejects(NativeSocket.dial(t, url, "rill.v1+json"));
});

/** Users, each with its name as password, and rules for them. */
async function accessOf(t: TestContext): Promise<{ usersFile: string; rulesFile: string }> {
  const folder = folderOf(t);
  const [usersFile, rulesFile] = [join(folder, "users"), join(folder, "rules")];
  const lines: string[] = [];
  for (const user of ["sender", "worker", "admin"]) {
    const hash = await hashPassword(Buffer.from(user), { ln: 10, r: 8, p: 1 });
    lines.push(`${user}:${formatPasswordHash(hash)}\n`);
  }
  writeFileSync(usersFile, lines.join(""), { mode: 0o600 });
  const rules = [
    { user: "sender", publish: ["up/%u/#", "$queue/jobs", "ask"] },
    { user: "worker", subscribe: ["up/#", "$queue/jobs", "ask"] },
    { user: "admin", publish: ["$queue/+"], subscribe: ["$queue/+"] },
    { user: "anonymous", publish: ["guest/#"] },
  ];
  writeFileSync(rulesFile, JSON.stringify({ rules }));
  return { usersFile, rulesFile };
}

const as = (user: string): Settings => ({ clientId: user, user, password: user });

test("Users come in with their passwords, and rules say who publishes, receives and manages.", async (t) => {
  const access = await accessOf(t);
  const listeners = [{ url: OWN }, { ...BOTH, allowAnonymous: true }];
  const { broker, url } = await serve(t, { listeners, access });
  const [, open = ""] = broker.urls;
  const refused = async (at: string, hello: Settings): Promise<unknown> => {
    const client = await NativeSocket.dial(t, at);
    const closed = client.closed();
    const { code, retry } = await client.ask({ op: "hello", versions: [1], ...hello });
    assert.equal(await closed, 1_000);
    return [code, retry];
  };
  assert.deepEqual(await refused(url, {}), ["not-authenticated", false]);
  assert.deepEqual(await refused(url, { ...as("sender"), password: "x" }), [
    "bad-credentials",
    false,
  ]);
  assert.deepEqual(await refused(url, { user: "sender" }), ["bad-credentials", false]);
  assert.deepEqual(await refused(url, as("nobody")), ["bad-credentials", false]);
  assert.deepEqual(await refused(open, as("nobody")), ["bad-credentials", false]);
  const [sender, worker, admin] = await Promise.all(
    ["sender", "worker", "admin"].map((user) => NativeSocket.open(t, url, as(user))),
  );
  const guest = await NativeSocket.open(t, open, { clientId: "guest" });
  assert.ok(sender !== undefined && worker !== undefined && admin !== undefined);
  const codeOf = async (client: NativeSocket, request: Settings): Promise<unknown> => {
    const answer = await client.ask(request);
    return answer["code"] ?? answer.op;
  };
  await worker.ask({ op: "subscribe", filter: "up/#", credit: 9 });
  assert.equal(await codeOf(sender, { op: "publish", topic: "up/sender/1" }), "ok");
  assert.equal(await codeOf(sender, { op: "publish", topic: "up/worker/1" }), "not-authorized");
  assert.equal((await worker.nextOf("event")).topic, "up/sender/1");
  assert.equal(await codeOf(guest, { op: "publish", topic: "guest/1" }), "ok");
  assert.equal(
    await codeOf(guest, { op: "send", queue: "jobs", messages: [{}] }),
    "not-authorized",
  );
  assert.equal(await codeOf(sender, { op: "queue.create", queue: "jobs" }), "not-authorized");
  assert.equal(await codeOf(admin, { op: "queue.create", queue: "jobs" }), "ok");
  assert.equal(await codeOf(sender, { op: "send", queue: "jobs", messages: [{}] }), "ok");
  assert.equal(await codeOf(sender, { op: "receive", queue: "jobs" }), "not-authorized");
  assert.equal(await codeOf(worker, { op: "queue.purge", queue: "jobs" }), "not-authorized");
  assert.equal(await codeOf(worker, { op: "receive", queue: "jobs" }), "ok");
  assert.equal(await codeOf(worker, { op: "respond", filter: "ask", credit: 1 }), "ok");
  const asked = sender.ask({ op: "request", topic: "ask", timeoutMs: 5_000 });
  const { request } = await worker.nextOf("request");
  await worker.ask({ op: "reply", request, payload: Buffer.from("yes") });
  assert.equal(textOf((await asked)["payload"] as Uint8Array), "yes");
  // The session of somebody else is not taken over, in whichever protocol it comes.
  assert.deepEqual(await refused(url, { ...as("worker"), clientId: "sender" }), [
    "not-authorized",
    false,
  ]);
  assert.deepEqual(await refused(open, { clientId: "admin" }), ["not-authorized", false]);
  const metric = (reason: string): Promise<number> =>
    sampleOf(broker, `rillmq_connections_refused_total{reason="${reason}"}`);
  assert.equal(await metric("bad-credentials"), 4);
  assert.equal(await metric("not-authorized"), 3);
});

test("Who is no user any more is disconnected, and what the rules do not allow any more ends.", async (t) => {
  const access = await accessOf(t);
  const { broker, url } = await serve(t, { access });
  const worker = await NativeSocket.open(t, url, as("worker"));
  const sender = await NativeSocket.open(t, url, as("sender"));
  const { sub } = await worker.ask({ op: "queue.subscribe", queue: "jobs", credit: 1 });
  const users = readFileSync(access.usersFile, "utf8").split("\n");
  const gone = sender.closed();
  writeFileSync(access.usersFile, users.filter((line) => !line.startsWith("sender")).join("\n"));
  const rules = [{ user: "worker", subscribe: ["up/#"] }];
  writeFileSync(access.rulesFile, JSON.stringify({ rules }));
  broker.signal("SIGHUP");
  assert.equal((await sender.nextOf("error")).code, "kicked");
  await gone;
  const ended = await worker.nextOf("ended");
  assert.deepEqual([ended.sub, ended.code], [sub, "not-authorized"]);
  const receive = await worker.ask({ op: "receive", queue: "jobs" });
  assert.equal(receive["code"], "not-authorized");
});

test("Behind a proxy native clients are known under their own address, on every kind of listener.", async (t) => {
  const folder = folderOf(t);
  const authority = TestAuthority.create(t, folder);
  if (authority === undefined) return;
  const listeners = [
    { url: OWN, ...PROXIED },
    { url: "rills://127.0.0.1:0", ...PROXIED },
    { ...BOTH, ...PROXIED },
    { ...BOTH, url: "wss://127.0.0.1:0", ...PROXIED },
  ];
  const tls = authority.sign("broker", "localhost");
  const { home, broker } = await serve(t, { listeners, tls });
  for (const [i, url] of broker.urls.entries()) {
    const headers = [
      ["v1", proxyV1(`TCP4 192.0.2.${i} 10.0.0.1 1 7455`), "byte-by-byte"],
      ["v2", proxyTcp4([192, 0, 2, i], Buffer.from("0300040a0b0c0d", "hex")), "glued"],
    ] as const;
    for (const [version, header, pace] of headers) {
      const port = await startProxy(t, portOf(url), pace, () => header);
      const through = url.replace(/:\d+\//, `:${port}/`);
      const clientId = `${version}-${i}`;
      const client = await NativeSocket.open(t, through, { clientId });
      await useAll(client, clientId);
      assert.equal((await viewOf(home, clientId))["address"], `192.0.2.${i}`, clientId);
    }
  }
  const port = portOf(broker.urls[0]);
  await closing(rawSocket(t, port, "GET /rill HTTP/1.1\r\nHost: edge\r\n\r\n"));
  await closing(rawSocket(t, port, proxyV1("TCP4 192.0.2.7 10.0.0.1 1 99999")));
  assert.equal(await droppedFor(broker, "bad-proxy-header"), 2);
});

test("Limits per address count native clients, not their proxy.", async (t) => {
  const settings = { listeners: [{ url: OWN, ...PROXIED }], mqtt: { connectionsPerAddressMax: 2 } };
  const { broker, url } = await serve(t, settings);
  const open = async (last: number): Promise<NativeSocket> => {
    const port = await startProxy(t, portOf(url), "glued", () => proxyTcp4([192, 0, 2, last]));
    return NativeSocket.open(t, url.replace(/:\d+\//, `:${port}/`));
  };
  await open(1);
  await open(1);
  await assert.rejects(open(1));
  await open(2);
  assert.equal(await droppedFor(broker, "too-many-from-address"), 1);
});

test("Web pages come in from where they may, and their handshake is refused otherwise.", async (t) => {
  const listeners = [
    { url: OWN },
    { ...BOTH, origins: ["https://app.example"] },
    { url: OWN, origins: ["*"] },
  ];
  const { broker } = await serve(t, { listeners });
  const [own = "", listed = "", all = ""] = broker.urls;
  const { host } = new URL(own);
  assert.equal(await statusOf(own), 101);
  assert.equal(await statusOf(own, { origin: `http://${host}` }), 101);
  assert.equal(await statusOf(own, { origin: "https://evil.example" }), 403);
  assert.equal(await statusOf(own, { origin: "null" }), 403);
  const rebound = { origin: "http://evil.example", host: "evil.example" };
  assert.equal(await statusOf(own, rebound), 403);
  assert.equal(await statusOf(listed, { origin: "https://app.example" }), 101);
  assert.equal(await statusOf(listed, { origin: `http://${new URL(listed).host}` }), 403);
  assert.equal(await statusOf(all, { origin: "https://anybody.example" }), 101);
  assert.equal(await statusOf(own.replace("/rill", "/other")), 404);
  assert.equal(await droppedFor(broker, "handshake-failed"), 5);
});
