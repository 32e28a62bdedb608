import assert from "node:assert/strict";
import { test } from "node:test";
import { pack } from "msgpackr";
import { type ServerFrame, SUBPROTOCOLS } from "../../../src/native/frame.ts";
import { codecOf } from "../../../src/native/frame-codec.ts";
import { CLIENT_OPS, checkClientFrame, FrameError } from "../../../src/native/frame-fields.ts";

const bytesOf = (message: Uint8Array | string): Uint8Array =>
  typeof message === "string" ? Buffer.from(message) : message;

const isBadFrame = (error: unknown): boolean =>
  error instanceof FrameError && error.code === "bad-frame";

for (const subprotocol of SUBPROTOCOLS) {
  const codec = codecOf(subprotocol);

  test(`${subprotocol} carries frames there and back, text and any bytes, one or several at a time.`, () => {
    const frames = [
      { op: "publish", id: 1, topic: "a/b", payload: new Uint8Array([0xff, 0, 1]) },
      {
        op: "send",
        id: 2 ** 53 - 1,
        queue: "q",
        messages: [{ payload: new TextEncoder().encode("ü\u0000"), properties: [["k", "v"]] }],
      },
      { op: "publish", topic: "empty", payload: new Uint8Array(0) },
    ];
    for (const frame of frames) {
      const [decoded] = codec.decode(bytesOf(codec.encode(frame)));
      assert.deepEqual(normal(checkClientFrame(decoded)), normal(frame));
    }
    assert.equal(codec.decode(bytesOf(codec.encode(frames))).length, frames.length);
  });

  test(`${subprotocol} refuses what is no frame, at whatever byte it ends.`, () => {
    const whole = bytesOf(codec.encode({ op: "publish", topic: "t", payload: new Uint8Array(9) }));
    for (let end = 0; end < whole.length; end++) {
      assert.throws(() => codec.decode(whole.subarray(0, end)), isBadFrame, `cut at ${end}`);
    }
  });
}

/** Buffers and views as plain arrays, so that they compare by content. */
function normal(value: unknown): unknown {
  if (value instanceof Uint8Array) return [...value];
  if (Array.isArray(value)) return value.map(normal);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([name]) => !name.endsWith("64"))
      .map(([name, part]) => [name, normal(part)]),
  );
}

test("Frames that are nested too deeply are refused before they are looked at.", () => {
  let nested: unknown = 1;
  for (let i = 0; i < 20; i++) nested = { nested };
  for (const subprotocol of SUBPROTOCOLS) {
    const codec = codecOf(subprotocol);
    assert.throws(() => codec.decode(bytesOf(codec.encode(nested))), isBadFrame);
  }
  assert.throws(() => codecOf("rill.v1+json").decode(Buffer.from("[".repeat(100_000))), isBadFrame);
});

test("A frame that a field is missing from, or that has one of another kind, is refused with its id.", () => {
  const wrong: unknown[] = [
    null,
    [],
    "publish",
    { id: 1 },
    { op: "toString", id: 1 },
    { op: "__proto__", id: 1 },
    { op: "publish", topic: 5, id: 1 },
    { op: "publish", id: 1 },
    { op: "send", queue: "q", messages: [] },
    { op: "send", id: 1, queue: "a/b", messages: [] },
    { op: "send", id: 1, queue: "$q", messages: [] },
    { op: "send", id: 1, queue: "", messages: [] },
    { op: "send", id: 1, queue: "q", messages: [{ payload: "text" }] },
    { op: "send", id: 1, queue: "q", messages: [{ properties: [["one"]] }] },
    { op: "read", id: 1, stream: "s", from: {} },
    { op: "read", id: 1, stream: "s", from: { at: "first", sequence: 1 } },
    { op: "publish", topic: "\ud800", id: 1 },
    { op: "receive", queue: "q", id: -1 },
    { op: "receive", queue: "q", id: 1.5 },
    { op: "receive", queue: "q", id: 1, waitMs: -1 },
  ];
  for (const frame of wrong) {
    assert.throws(() => checkClientFrame(frame), FrameError, JSON.stringify(frame));
  }
  try {
    checkClientFrame({ op: "publish", id: 7, topic: 5 });
    assert.fail("it was taken");
  } catch (error) {
    assert.ok(error instanceof FrameError);
    assert.deepEqual([error.id, error.code], [7, "bad-frame"]);
  }
});

test("Unknown fields mean nothing, and every op is known.", () => {
  assert.equal(checkClientFrame({ op: "ping", id: 1, more: { a: 1 } }).op, "ping");
  assert.equal(new Set(CLIENT_OPS).size, CLIENT_OPS.length);
});

test("A MessagePack value that contains itself is refused.", () => {
  const cyclic: { self?: unknown } = {};
  cyclic.self = [cyclic, cyclic, cyclic];
  const codec = codecOf("rill.v1+msgpack");
  // 0x69 and 0x70: MessagePack extensions for references of structured clones.
  const bytes = Buffer.from([
    0xd6, 0x69, 0, 0, 0, 1, 0x92, 0xd6, 0x70, 0, 0, 0, 1, 0xd6, 0x70, 0, 0, 0, 1,
  ]);
  assert.throws(() => codec.decode(bytes), isBadFrame);
  assert.throws(
    () => codec.decode(Buffer.concat([pack({ op: "ping" }), Buffer.of(1)])),
    isBadFrame,
  );
});

test("What the server says comes back as it was said.", () => {
  const frames: ServerFrame[] = [
    { op: "pong", id: 1 },
    { op: "error", id: 2, code: "full", text: "the queue is full", retry: true, afterMs: 1_000 },
    { op: "event", sub: 1, topic: "t", publishedAt: 1, payload: new Uint8Array([1]) },
  ];
  for (const subprotocol of SUBPROTOCOLS) {
    const codec = codecOf(subprotocol);
    assert.deepEqual(codec.decode(bytesOf(codec.encode(frames))).map(normal), frames.map(normal));
  }
});
