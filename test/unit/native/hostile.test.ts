/** What a client may send that means no good: nothing of it breaks the broker, or keeps others from being served. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { SeededRandom } from "../../../src/lib/random.ts";
import { SUBPROTOCOLS } from "../../../src/native/frame.ts";
import { codecOf } from "../../../src/native/frame-codec.ts";
import { VirtualNode } from "../../support/virtual-node.ts";

const SEED = Number(process.env["SEED"] ?? 20_261_123);
const ROUNDS = 1_500;

const doc = readFileSync(join(import.meta.dirname, "../../../docs/native-protocol.md"), "utf8");
const examples = [...doc.matchAll(/```json client\n([^\n]+)\n```/g)].map(([, text = "{}"]) => text);

const VALUES: readonly unknown[] = [
  null,
  -1,
  0,
  1,
  1.5,
  2 ** 53,
  2 ** 60,
  "",
  "#",
  "+/#",
  "$SYS/broker",
  "$share/g/a",
  "a;b;stream:s;queue:q;route:x",
  "\u0000",
  "\ud800",
  "x".repeat(70_000),
  true,
  [],
  [[]],
  [null],
  {},
  { at: "first", sequence: 1 },
  { payload: 7 },
  Array(2_000).fill(1),
];

/** A whole number below `end`. */
const below = (random: SeededRandom, end: number): number => Math.floor(random.next() * end);

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null;

/** Changes something somewhere in a frame. */
function spoil(value: unknown, random: SeededRandom): unknown {
  if (!isObject(value) || value instanceof Uint8Array) return VALUES[below(random, VALUES.length)];
  const fields = Object.keys(value);
  const field = fields[below(random, fields.length)];
  if (field === undefined) return value;
  const choice = below(random, 4);
  if (choice === 0) delete value[field];
  else if (choice === 1) value[field] = VALUES[below(random, VALUES.length)];
  else value[field] = spoil(value[field], random);
  return value;
}

/** The bytes of a message, some of them changed or missing. */
function damage(bytes: Uint8Array, random: SeededRandom): Uint8Array {
  const changed = Uint8Array.from(bytes);
  for (let i = below(random, 4); i >= 0; i--) {
    changed[below(random, changed.length)] = below(random, 256);
  }
  return below(random, 3) === 0 ? changed.subarray(0, below(random, changed.length)) : changed;
}

for (const subprotocol of SUBPROTOCOLS) {
  test(`${subprotocol}: spoilt frames and damaged messages break nothing, and another client is served (seed ${SEED}).`, () => {
    const random = new SeededRandom(SEED);
    const node = new VirtualNode({ storeBytesMax: 4_000_000 });
    const codec = codecOf(subprotocol);
    const victim = node.native("victim");
    const watched = "watched/only/here";
    const { sub } = victim.ok({ op: "subscribe", filter: watched, credit: 1_000 });
    let hostile = node.dialNative(subprotocol);
    let conversation = 0;
    for (let round = 0; round < ROUNDS; round++) {
      if (hostile.isClosed || conversation++ % 40 === 0) {
        hostile.drop();
        hostile = node.dialNative(subprotocol);
        hostile.ask({ op: "hello", versions: [1], clientId: "hostile" });
      }
      const text = examples[below(random, examples.length)] ?? "{}";
      const [frame] = codecOf("rill.v1+json").decode(Buffer.from(text));
      const spoilt = below(random, 4) === 0 ? frame : spoil(frame, random);
      const message = codec.encode(below(random, 3) === 0 ? [spoilt, frame] : spoilt);
      const bytes = typeof message === "string" ? Buffer.from(message) : Uint8Array.from(message);
      hostile.sendRaw(below(random, 3) === 0 ? damage(bytes, random) : bytes);
      if (round % 50 !== 0) continue;
      victim.ok({ op: "publish", topic: watched });
      assert.deepEqual(
        victim.takeAll("event").map((event) => event.sub),
        [sub],
      );
      victim.send({ op: "credit", sub, add: 1 });
      assert.ok(node.broker.sessions.size <= 2);
    }
    hostile.drop();
    node.advance(10_000);
    assert.equal(node.broker.readers.size, 0, "no reader of the dead is left");
    for (const { deliveries } of node.broker.queues.all())
      assert.equal(deliveries.receiverCount, 0);
    assert.equal(node.broker.subscriptionCount, 1);
    assert.equal(node.broker.requests.size, 0);
  });
}

test("Who sends without reading is not read any more, and its answers stay within bounds.", () => {
  const node = new VirtualNode({ flushes: "manual" });
  const client = node.native("c");
  for (let i = 0; i < 1_000; i++)
    client.send({
      op: "publish",
      id: 10_000 + i,
      topic: "a",
      payload: Buffer.from("x"),
      retain: true,
    });
  assert.ok(client.link.isPaused);
  const before = client.link.output.end;
  for (let i = 0; i < 1_000; i++) client.send({ op: "ping", id: 20_000 + i });
  assert.equal(client.link.output.end, before, "what is behind it waits");
  client.link.hasRoom = false;
  node.flushAll();
  assert.ok(client.link.isPaused);
  client.link.hasRoom = true;
  client.connection.onRoom();
  for (let i = 0; i < 30; i++) node.flushAll();
  assert.equal(client.link.isPaused, false);
  for (let i = 0; i < 1_000; i++) {
    assert.equal(client.answerTo(10_000 + i)?.op, "ok");
    assert.equal(client.answerTo(20_000 + i)?.op, "pong");
  }
});
