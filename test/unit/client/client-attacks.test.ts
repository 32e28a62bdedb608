/** The client against a server that does what it likes, without a network. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { connectThrough, type RillClient } from "../../../src/client/client.ts";
import type { ClientOptions } from "../../../src/client/client-options.ts";
import type { ClientSocket } from "../../../src/client/client-socket.ts";
import { RillError } from "../../../src/client/rill-error.ts";
import { codecOf } from "../../../src/native/frame-codec.ts";

const LIMITS = { frameBytesMax: 10_000, payloadBytesMax: 10_000, requestsMax: 10, batchMax: 10 };

interface Frame {
  readonly op: string;
  readonly id?: number;
  readonly [field: string]: unknown;
}

/** One connection, seen from the server. */
class Peer {
  readonly got: Frame[] = [];
  readonly socket: ClientSocket;
  readonly sizes: number[] = [];
  isClosed = false;
  readonly #codec = codecOf("rill.v1+json");

  constructor(answer: (frame: Frame, peer: Peer) => object | undefined, protocol = "rill.v1+json") {
    this.socket = {
      binaryType: "",
      protocol,
      bufferedAmount: 0,
      onopen: null,
      onmessage: null,
      onerror: null,
      onclose: null,
      send: (message) => {
        const bytes = Buffer.from(message as string);
        this.sizes.push(bytes.length);
        for (const frame of this.#codec.decode(bytes) as Frame[]) {
          this.got.push(frame);
          const reply = answer(frame, this);
          if (reply !== undefined) queueMicrotask(() => this.say(reply));
        }
      },
      close: () => {
        this.isClosed = true;
      },
    };
  }

  say(frame: object): void {
    this.socket.onmessage?.({ data: this.#codec.encode(frame) } as never);
  }

  lose(): void {
    this.socket.onclose?.({ code: 1006, reason: "" } as never);
  }
}

const welcome = ({ id }: Frame): object => ({
  op: "welcome",
  id,
  version: 1,
  server: "test",
  clientId: "c",
  limits: LIMITS,
});

interface Scene {
  readonly client: RillClient;
  readonly peers: Peer[];
}

async function scene(
  t: TestContext,
  answer: (frame: Frame, peer: Peer) => object | undefined,
  options: ClientOptions = {},
): Promise<Scene> {
  const peers: Peer[] = [];
  const client = await connectThrough(
    () => {
      const peer = new Peer((frame, self) =>
        frame.op === "hello" ? welcome(frame) : answer(frame, self),
      );
      peers.push(peer);
      queueMicrotask(() => peer.socket.onopen?.({} as never));
      return peer.socket;
    },
    "rill://test",
    { backoffMinMs: 1, backoffMaxMs: 2, ...options },
  );
  t.after(() => client.close(0));
  return { client, peers };
}

const ok = ({ id }: Frame): object => ({
  op: "ok",
  id,
  sub: 1,
  results: [{ sequence: 1 }],
  deliveries: [],
});
const codeOf = (error: unknown): string =>
  error instanceof RillError ? error.code : String(error);

test("A message larger than what the server takes fails by itself, and what goes with it is sent.", async (t) => {
  const { client, peers } = await scene(t, ok);
  const sent = [
    client.queues.send("q", "small"),
    client.queues.send("q", "x".repeat(10_000)),
    client.queues.send("q", "ü".repeat(4_000)),
    client.queues.send("q", "ü".repeat(5_000)),
    client.events.publish("a", "y".repeat(6_000)),
  ];
  const outcomes = await Promise.allSettled(sent);
  const codes = outcomes.map((one) => (one.status === "fulfilled" ? "ok" : codeOf(one.reason)));
  assert.deepEqual(codes, ["ok", "too-large", "ok", "too-large", "ok"]);
  assert.equal(peers.length, 1, "the same connection");
  assert.ok(peers[0]?.sizes.every((size) => size <= LIMITS.frameBytesMax));
  await client.queues.send("q", "after");
});

test("A reply larger than what the server takes reaches the requester as an error.", async (t) => {
  const { client, peers } = await scene(t, ok);
  await client.requests.respond("price", () => "x".repeat(20_000));
  peers[0]?.say({ op: "request", sub: 1, request: 7, topic: "price", deadlineMs: 4_000_000_000 });
  for (let i = 0; i < 20; i++) await turn();
  const reply = peers[0]?.got.find(({ op }) => op === "reply");
  assert.match(String(reply?.["error"]), /larger/);
  assert.equal(reply?.["request"], 7);
});

test("A deadline further away than timers reach does not abort at once, nor does a poll that waits for months end.", async (t) => {
  const { client, peers } = await scene(t, (frame) =>
    frame.op === "receive" ? undefined : ok(frame),
  );
  let isAborted: boolean | undefined;
  await client.requests.respond("price", async ({ signal }) => {
    await new Promise((resolve) => setTimeout(resolve, 20));
    isAborted = signal.aborted;
    return "1";
  });
  peers[0]?.say({
    op: "request",
    sub: 1,
    request: 1,
    topic: "price",
    deadlineMs: 4_294_967_295_000,
  });
  const polled = client.queues.receive("q", { waitMs: 90 * 86_400_000 });
  const first = await Promise.race([
    polled.then(() => "ended", codeOf),
    new Promise((resolve) => setTimeout(resolve, 50, "waits")),
  ]);
  assert.equal(first, "waits");
  assert.equal(isAborted, false);
  polled.catch(() => undefined);
});

test("Closing twice is closing once, and both wait for what is under way.", async (t) => {
  let held: Frame | undefined;
  const { client, peers } = await scene(t, (frame) => {
    held = frame;
    return undefined;
  });
  const sent = client.queues.send("q", "x");
  await turn();
  const ends: string[] = [];
  const closed = [client.close(), client.close()].map((end, i) =>
    end.then(() => ends.push(`${i}`)),
  );
  await turn();
  assert.deepEqual(ends, []);
  peers[0]?.say(ok(held ?? { op: "" }));
  await Promise.all(closed);
  await sent;
  assert.deepEqual(ends, ["0", "1"]);
  await client.close();
});

test("Whatever is under way when the connection goes ends or goes on as it is told, and no rejection is left alone.", async (t) => {
  const unhandled: unknown[] = [];
  const onUnhandled = (error: unknown): void => void unhandled.push(error);
  process.on("unhandledRejection", onUnhandled);
  t.after(() => process.off("unhandledRejection", onUnhandled));
  let isSilent = true;
  const { client, peers } = await scene(t, (frame) => {
    const isSub =
      frame.op === "subscribe" || frame.op === "respond" || frame.op === "queue.subscribe";
    return isSilent && !isSub ? undefined : ok(frame);
  });
  const events = await client.events.subscribe("#");
  const waiting = [events.next(), events.next()];
  await client.requests.respond("r", () => "x");
  const aborter = new AbortController();
  const work: readonly (readonly [string, Promise<unknown>])[] = [
    ["ok", client.queues.send("q", "x")],
    ["ok", client.queues.receive("q", { waitMs: 1_000 })],
    ["connection-lost", client.events.publish("a", "x")],
    ["connection-lost", client.requests.request("a", "x")],
    ["ok", client.requests.request("a", "x", { isRepeatable: true })],
    ["connection-lost", client.queues.purge("q")],
    ["aborted", client.queues.info("q", { signal: aborter.signal })],
    ["aborted", client.queues.info("q", { signal: AbortSignal.abort() })],
  ];
  const outcomes = Promise.all(work.map(([, one]) => one.then(() => "ok", codeOf)));
  await turn();
  aborter.abort();
  isSilent = false;
  peers[0]?.lose();
  assert.deepEqual(
    await outcomes,
    work.map(([expected]) => expected),
  );
  assert.equal(peers.length, 2);
  await client.close(100);
  assert.deepEqual(await Promise.all(waiting), [
    { value: undefined, done: true },
    { value: undefined, done: true },
  ]);
  await turn();
  assert.deepEqual(unhandled, []);
});

test("A server that speaks another subprotocol, sends nonsense, or refuses, ends the attempt with its reason.", async () => {
  const cases: readonly (readonly [string, (peer: Peer) => void, string])[] = [
    ["protocol", () => undefined, "mqtt"],
    ["protocol", (peer) => peer.socket.onmessage?.({ data: "{" } as never), "rill.v1+json"],
    [
      "bad-credentials",
      (peer) => peer.say({ op: "error", id: 0, code: "bad-credentials", text: "no" }),
      "rill.v1+json",
    ],
    [
      "taken-over",
      (peer) => peer.say({ op: "error", code: "taken-over", text: "x" }),
      "rill.v1+json",
    ],
    [
      "busy",
      (peer) => peer.say({ op: "error", id: 0, code: "busy", text: "later", retry: true }),
      "rill.v1+json",
    ],
    ["unreachable", (peer) => peer.lose(), "rill.v1+json"],
  ];
  for (const [code, act, protocol] of cases) {
    const attempt = connectThrough(
      () => {
        const peer = new Peer(() => undefined, protocol);
        queueMicrotask(() => {
          peer.socket.onopen?.({} as never);
          queueMicrotask(() => act(peer));
        });
        return peer.socket;
      },
      "rill://test",
      { reconnects: false },
    );
    assert.equal(await attempt.then(() => "ok", codeOf), code);
  }
});
