/** Bounds of native connections over real sockets: time, number, size, rate, and readers that do not read. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { BrokerHome, type BrokerProcess } from "../support/broker-process.ts";
import { eventually } from "../support/json-process.ts";
import { NativeSocket } from "../support/native-socket.ts";
import { droppedFor, sampleOf } from "../support/prometheus.ts";

const WAIT_MS = 10_000;

type Settings = Readonly<Record<string, unknown>>;

async function serve(
  t: TestContext,
  settings: Settings,
): Promise<{ broker: BrokerProcess; url: string }> {
  const config = { listeners: [{ url: "rill://127.0.0.1:0" }], ...settings };
  const broker = await new BrokerHome(t).start({ config });
  return { broker, url: broker.urls[0] ?? "" };
}

const portOf = (url: string): number => Number(new URL(url).port);

function rawSocket(t: TestContext, port: number, text: string): Socket {
  const socket = connect({ host: "127.0.0.1", port });
  t.after(() => socket.destroy());
  socket.on("error", () => undefined);
  socket.resume();
  if (text.length > 0) socket.write(text);
  return socket;
}

const closing = (socket: Socket): Promise<unknown> =>
  once(socket, "close", { signal: AbortSignal.timeout(WAIT_MS) });

test("Connections without hello are bounded: by time, by number, and by what they may send.", async (t) => {
  const mqtt = { connectTimeoutMs: 500, unauthenticatedConnectionsMax: 5 };
  const { broker, url } = await serve(t, { mqtt });
  const standing = await NativeSocket.open(t, url);
  const silent = await NativeSocket.dial(t, url, "rill.v1+json");
  const closed = silent.closed();
  const said = await silent.nextOf("error");
  assert.deepEqual([said.code, said.id, said.retry], ["timeout", undefined, true]);
  assert.equal(await closed, 1_000);
  // Neither a whole request nor idle.
  const slow = rawSocket(t, portOf(url), "GET /rill HTTP/1.1\r\nHost: edge\r\nX-Slow: ");
  const drip = setInterval(() => slow.write("y"), 50);
  await closing(slow).finally(() => clearInterval(drip));
  assert.equal(await droppedFor(broker, "handshake-timeout"), 1);
  const crowd = Array.from({ length: 8 }, () => rawSocket(t, portOf(url), ""));
  await Promise.all(crowd.slice(0, 3).map(closing));
  assert.ok((await droppedFor(broker, "unauthenticated-shed")) >= 3);
  assert.equal((await standing.ask({ op: "ping" })).op, "pong");
});

test("There are no more connections than the configuration allows.", async (t) => {
  const { broker, url } = await serve(t, { mqtt: { connectionsMax: 2 } });
  const clients = [await NativeSocket.open(t, url), await NativeSocket.open(t, url)];
  await assert.rejects(NativeSocket.open(t, url));
  assert.equal(await droppedFor(broker, "not-accepted"), 1);
  clients[0]?.webSocket.close();
  const isOpen = (): Promise<boolean> =>
    NativeSocket.open(t, url).then(
      () => true,
      () => false,
    );
  await eventually("there is room again", isOpen, WAIT_MS);
});

test("Who is silent is asked whether it is there; who does not answer is gone, who does stays.", async (t) => {
  const { broker, url } = await serve(t, { native: { idleMs: "1s" } });
  const silent = await NativeSocket.open(t, url, { clientId: "silent" });
  const alive = await NativeSocket.open(t, url, { clientId: "alive" });
  const gone = silent.closed();
  const answering = (async () => {
    for (let i = 0; i < 2; i++) {
      await alive.nextOf("ping");
      alive.send({ op: "pong" });
    }
  })();
  assert.equal((await silent.nextOf("error")).code, "timeout");
  await gone;
  await answering;
  assert.equal((await alive.ask({ op: "ping" })).op, "pong");
  assert.equal(await sampleOf(broker, "rillmq_native_connections"), 1);
});

test("Messages are bounded: larger ones, and lists in pieces, end that connection alone.", async (t) => {
  const { broker, url } = await serve(t, { native: { frameBytesMax: "64KiB" } });
  const other = await NativeSocket.open(t, url);
  const fits = await other.ask({ op: "publish", topic: "a", payload: Buffer.alloc(60_000) });
  assert.equal(fits.op, "ok");
  const refused = await other.ask({ op: "publish", topic: "a", payload: Buffer.alloc(66_000) });
  assert.deepEqual([refused["code"], refused["retry"]], ["too-large", false]);
  const pieces = await NativeSocket.open(t, url);
  const closed = pieces.closed();
  for (let i = 0; i < 40; i++) pieces.webSocket.send(Buffer.alloc(10_000), { fin: false });
  assert.equal(await closed, 1_009);
  for (const text of ["{", "[]]", '{"op":"ping"', "null", "7", '"ping"', "\u0000"]) {
    const client = await NativeSocket.open(t, url, {}, "rill.v1+json");
    const gone = client.closed();
    client.webSocket.send(text);
    assert.equal((await client.nextOf("error")).code, "bad-frame", text);
    assert.equal(await gone, 1_000);
  }
  const invalid = await NativeSocket.open(t, url, {}, "rill.v1+json");
  invalid.webSocket.send(Buffer.from([0x22, 0xc3, 0x28, 0x22]), { binary: false });
  assert.equal((await invalid.nextOf("error")).code, "bad-frame");
  assert.equal(await sampleOf(broker, "rillmq_protocol_errors_total"), 8);
  assert.ok((await droppedFor(broker, "bad-frame")) >= 1);
  assert.equal((await other.ask({ op: "ping" })).op, "pong");
});

test("Who does not read gets no more than its output may hold, and is closed when it never reads.", async (t) => {
  const mqtt = { outputBytesMax: "64KiB", writeTimeoutMs: 1_000 };
  const { broker, url } = await serve(t, { mqtt });
  const deaf = await NativeSocket.open(t, url, { clientId: "deaf" });
  await deaf.ask({ op: "stream.create", stream: "s", retain: "limits" });
  const writer = await NativeSocket.open(t, url, { clientId: "writer" });
  const messages = Array(100).fill({ payload: Buffer.alloc(9_000) });
  await deaf.ask({ op: "consume", stream: "s", credit: 60_000 });
  deaf.webSocket.pause();
  for (let i = 0; i < 40; i++) {
    assert.equal((await writer.ask({ op: "append", stream: "s", messages })).op, "ok");
    const waiting = await sampleOf(broker, "rillmq_output_waiting_bytes");
    assert.ok(waiting < 1_000_000, `${waiting} bytes wait`);
  }
  const isGone = async (): Promise<boolean> => (await droppedFor(broker, "write-stalled")) === 1;
  await eventually("it is closed", isGone, WAIT_MS);
  assert.equal((await writer.ask({ op: "ping" })).op, "pong");
});

test("Who publishes faster than it may is held to its rate, and that is counted.", async (t) => {
  const { broker, url } = await serve(t, { mqtt: { publishRateMax: 50 } });
  const fast = await NativeSocket.open(t, url);
  const other = await NativeSocket.open(t, url);
  const started = performance.now();
  const answers = Array.from({ length: 100 }, () => fast.ask({ op: "publish", topic: "a" }));
  assert.equal((await other.ask({ op: "publish", topic: "b" })).op, "ok");
  for (const answer of await Promise.all(answers)) assert.equal(answer.op, "ok");
  assert.ok(performance.now() - started >= 900, "50 at once, and 50 in a second");
  assert.ok((await sampleOf(broker, 'rillmq_limits_reached_total{limit="publish-rate"}')) >= 1);
});
