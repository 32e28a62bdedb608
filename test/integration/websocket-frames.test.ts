/** Frames of clients on real sockets: valid ones of all sizes and forms, and every way to break the rules. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { ProtocolVersion } from "../../src/mqtt/packet.ts";
import { codecOf } from "../../src/native/frame-codec.ts";
import { Opcode } from "../../src/net/websocket-input.ts";
import { BrokerHome, type BrokerProcess } from "../support/broker-process.ts";
import { TestAuthority } from "../support/certificates.ts";
import { eventually } from "../support/json-process.ts";
import { NativeSocket } from "../support/native-socket.ts";
import { connectPacket, packetBytes } from "../support/packet-bytes.ts";
import { droppedFor, sampleOf } from "../support/prometheus.ts";
import { RawWebSocket } from "../support/raw-websocket.ts";
import {
  type ClientFrame,
  clientFrame,
  closePayload,
  textOf,
} from "../support/websocket-frames.ts";

const WAIT_MS = 10_000;
const V311 = ProtocolVersion.v311;
const CONNECT = packetBytes(connectPacket("raw", V311), V311);
const CONNACK = "20020000";
const PINGREQ = Buffer.of(0xc0, 0);
const PINGRESP = "d000";
const { continuation, text, binary, close, ping, pong } = Opcode;
const CONNECTED = clientFrame({ opcode: binary, payload: CONNECT });

async function serve(
  t: TestContext,
  settings: Readonly<Record<string, unknown>> = {},
): Promise<{ readonly broker: BrokerProcess; readonly url: string }> {
  const listeners = [{ url: "ws://127.0.0.1:0", protocols: ["mqtt", "rill"] }];
  const broker = await new BrokerHome(t).start({ config: { listeners, ...settings } });
  return { broker, url: broker.urls[0] ?? "" };
}

const told = async (raw: RawWebSocket): Promise<string> => {
  const { opcode, payload } = await raw.next();
  return `${opcode} ${payload.toString("hex")}`;
};

test("What comes in one piece with the handshake is handled, and what comes behind it, in order.", async (t) => {
  const { url } = await serve(t);
  const pings = clientFrame({ opcode: binary, payload: PINGREQ });
  const raw = await RawWebSocket.open(t, url, "mqtt", Buffer.concat([CONNECTED, pings]));
  raw.send(pings);
  const answers = [];
  while (answers.join("").length < (CONNACK + PINGRESP + PINGRESP).length)
    answers.push((await told(raw)).slice(2));
  assert.equal(answers.join(""), CONNACK + PINGRESP + PINGRESP);
  const late = await RawWebSocket.open(t, url, "mqtt", CONNECTED.subarray(0, 9));
  late.send(CONNECTED.subarray(9));
  assert.equal(await told(late), `2 ${CONNACK}`);
});

test("Pings between the fragments of a message are answered before it is whole.", async (t) => {
  const { url } = await serve(t);
  const raw = await RawWebSocket.open(t, url);
  raw.send(
    clientFrame({ opcode: binary, isLast: false, payload: CONNECT.subarray(0, 4) }),
    clientFrame({ opcode: ping, payload: textOf("between") }),
    clientFrame({ opcode: pong, payload: textOf("nobody asked") }),
  );
  assert.equal(await told(raw), `${pong} ${textOf("between").toString("hex")}`);
  raw.send(clientFrame({ opcode: continuation, payload: CONNECT.subarray(4) }));
  assert.equal(await told(raw), `2 ${CONNACK}`);
});

test("The peer's close is answered with its code and reason, and the network connection ends.", async (t) => {
  const { broker, url } = await serve(t);
  for (const [payload, answer] of [
    [Buffer.alloc(0), ""],
    [closePayload(1_000), "1000"],
    [closePayload(4_321, textOf("so long")), "4321 so long"],
  ] as const) {
    const raw = await RawWebSocket.open(t, url, "mqtt", CONNECTED);
    raw.send(clientFrame({ opcode: close, payload }), clientFrame({ opcode: 3 }));
    assert.equal(await raw.closed(), answer);
  }
  const isGone = async (): Promise<boolean> => (await sampleOf(broker, "rillmq_connections")) === 0;
  await eventually("they are gone", isGone, WAIT_MS);
  assert.equal(await droppedFor(broker, "bad-frame"), 0);
});

/** What breaks the rules, and the code it is closed with. */
const BROKEN: readonly (readonly [what: string, frame: ClientFrame, code: string])[] = [
  ["not masked", { opcode: binary, payload: PINGREQ, mask: undefined }, "1002"],
  ["a reserved bit", { opcode: binary, payload: PINGREQ, reserved: 4 }, "1002"],
  ["a reserved opcode", { opcode: 5 }, "1002"],
  ["a continuation of nothing", { opcode: continuation }, "1002"],
  ["a ping in pieces", { opcode: ping, isLast: false }, "1002"],
  ["a ping of 126 bytes", { opcode: ping, payload: Buffer.alloc(126) }, "1002"],
  ["a length too long", { opcode: binary, payload: PINGREQ, lengthBytes: 8 }, "1002"],
  ["a close code that may not be", { opcode: close, payload: closePayload(1_005) }, "1002"],
  ["half a close code", { opcode: close, payload: Buffer.of(3) }, "1002"],
  [
    "a reason that is not UTF-8",
    { opcode: close, payload: closePayload(1_000, Buffer.of(0xc3, 0x28)) },
    "1007",
  ],
  ["text", { opcode: text, payload: textOf("text") }, "1003"],
  ["too large", { opcode: binary, payload: Buffer.alloc(200_000) }, "1009"],
];

for (const place of ["TCP", "TLS"] as const) {
  test(`Who breaks the rules is told why and closed, and nobody else is: over ${place}.`, async (t) => {
    const home = new BrokerHome(t);
    const authority = place === "TLS" ? TestAuthority.create(t, home.folder) : undefined;
    if (place === "TLS" && authority === undefined) return;
    const tls = authority?.sign("edge", "edge-1");
    const listeners = [{ url: `${tls === undefined ? "ws" : "wss"}://127.0.0.1:0` }];
    const settings = tls === undefined ? {} : { tls: { cert: tls.cert, key: tls.key } };
    const mqtt = { maxPacketBytes: "64KiB" };
    const broker = await home.start({ config: { listeners, mqtt, ...settings } });
    const url = broker.urls[0] ?? "";
    const standing = await RawWebSocket.open(t, url, "mqtt", CONNECTED);
    assert.equal(await told(standing), `2 ${CONNACK}`);
    let count = 0;
    for (const [what, frame, code] of BROKEN) {
      const client = packetBytes(connectPacket(`bad-${count}`, V311), V311);
      const raw = await RawWebSocket.open(
        t,
        url,
        "mqtt",
        clientFrame({ opcode: binary, payload: client }),
      );
      assert.equal(await told(raw), `2 ${CONNACK}`, what);
      raw.send(clientFrame(frame), clientFrame({ opcode: binary, payload: PINGREQ }));
      assert.equal(await raw.closed(), code, what);
      count++;
      assert.equal(await droppedFor(broker, "bad-frame"), count, what);
    }
    const isAlone = async (): Promise<boolean> =>
      (await sampleOf(broker, "rillmq_connections")) === 1;
    await eventually("the others are gone", isAlone, WAIT_MS);
    standing.send(clientFrame({ opcode: binary, payload: PINGREQ }));
    assert.equal(await told(standing), `2 ${PINGRESP}`);
  });
}

test("A client that never ends what it closed, or what it broke, is disconnected.", async (t) => {
  const { broker, url } = await serve(t);
  for (const frame of [clientFrame({ opcode: close }), clientFrame({ opcode: 3 })]) {
    const raw = await RawWebSocket.open(t, url, "mqtt", CONNECTED);
    // Reads nothing, not even the end.
    raw.socket.pause();
    raw.send(frame);
    const isGone = async (): Promise<boolean> =>
      (await sampleOf(broker, "rillmq_connections")) === 0 && !broker.isOver;
    await eventually("it is gone", isGone, WAIT_MS);
    raw.socket.destroy();
  }
});

async function ok(client: NativeSocket, request: Readonly<Record<string, unknown>>): Promise<void> {
  const answer = await client.ask(request);
  assert.equal(answer.op, "ok", JSON.stringify(answer));
}

test("Messages of all sizes come unchanged, in one frame or in many, in both encodings.", async (t) => {
  const { url } = await serve(t);
  for (const subprotocol of ["rill.v1+msgpack", "rill.v1+json"] as const) {
    const client = await NativeSocket.open(t, url, {}, subprotocol);
    const codec = codecOf(subprotocol);
    await ok(client, { op: "subscribe", filter: "sizes", credit: 1_000 });
    const sizes = [1, 2, 100, 125, 126, 127, 1_000, 65_534, 65_535, 65_536, 65_537, 300_000];
    for (const pieces of [1, 2, 7]) {
      for (const size of sizes) {
        const payload = Buffer.from(Uint8Array.from({ length: size }, (_, i) => 32 + (i % 95)));
        const encoded = codec.encode({ op: "publish", id: 1, topic: "sizes", payload });
        const bytes = typeof encoded === "string" ? textOf(encoded) : encoded;
        const step = Math.ceil(bytes.length / pieces);
        for (let at = 0; at < bytes.length; at += step) {
          const isLast = at + step >= bytes.length;
          const part = bytes.subarray(at, at + step);
          client.webSocket.send(part, { fin: isLast, binary: typeof encoded !== "string" });
        }
        const event = await client.nextOf("event");
        assert.deepEqual(Buffer.from(event.payload ?? []), payload, `${size} in ${pieces}`);
      }
    }
    client.webSocket.close(3_000);
    assert.equal(await client.closed(), 3_000);
  }
});

test("Frames that wait for the disk stay as they came, whatever is read meanwhile.", async (t) => {
  const { url } = await serve(t, { native: { requestsMax: 2 } });
  const slow = await NativeSocket.open(t, url);
  const other = await NativeSocket.open(t, url);
  await ok(slow, { op: "stream.create", stream: "s", retain: "limits" });
  const answers: Promise<unknown>[] = [];
  for (let i = 0; i < 200; i++) {
    const payload = Buffer.from(String(i).padStart(300, "0"));
    answers.push(slow.ask({ op: "append", stream: "s", messages: [{ payload }] }));
    // Read into the same memory, if it is one.
    answers.push(other.ask({ op: "publish", topic: "x", payload: Buffer.alloc(3_000, 0x7e) }));
  }
  await Promise.all(answers);
  await ok(slow, { op: "consume", stream: "s", from: { at: "first" }, credit: 200 });
  const seen: string[] = [];
  while (seen.length < 200) {
    const frame = await slow.nextOf("records");
    for (const { payload } of frame.records) seen.push(Buffer.from(payload ?? []).toString());
  }
  assert.deepEqual(
    seen,
    Array.from({ length: 200 }, (_, i) => String(i).padStart(300, "0")),
  );
});
