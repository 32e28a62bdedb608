import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { DirectWrite, type WriteListener, writeDirectly } from "../../../src/net/direct-write.ts";

const BUFFER_BYTES = 2_048;

async function pair(t: TestContext): Promise<{ near: Socket; far: Socket }> {
  const server = createServer().listen(0, "127.0.0.1");
  t.after(() => server.close());
  await once(server, "listening");
  const address = server.address();
  assert.ok(typeof address === "object" && address !== null);
  const accepted = once(server, "connection") as Promise<[Socket]>;
  const far = connect(address.port, "127.0.0.1");
  const [near] = await accepted;
  for (const socket of [near, far]) {
    socket.on("error", () => undefined);
    t.after(() => socket.destroy());
  }
  return { near, far };
}

/** A buffer of the size that output is gathered in, with text in front and rubbish behind. */
function gathered(text: string, size = BUFFER_BYTES): Uint8Array {
  const bytes = Buffer.alloc(size, "?");
  bytes.write(text);
  return bytes;
}

const silent: WriteListener = { onWritten: () => assert.fail("a write that was taken is told") };

/** Everything until `count` bytes have come. */
async function read(socket: Socket, count: number): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of socket) {
    chunks.push(chunk as Buffer);
    bytes += (chunk as Buffer).length;
    if (bytes >= count) break;
  }
  return Buffer.concat(chunks).toString();
}

/** Writes `bytes` until the system takes no more at once; how many writes there were, the last going on. */
function fill(socket: Socket, bytes: Uint8Array, listener: WriteListener): number {
  for (let writes = 1; writes < 100_000; writes++) {
    const outcome = writeDirectly(socket, bytes, bytes.length, listener);
    if (outcome === DirectWrite.underWay) return writes;
    assert.equal(outcome, DirectWrite.taken);
  }
  return assert.fail("the system takes everything");
}

test("what is written directly arrives, and nothing else, in the order of the writes", async (t) => {
  const { near, far } = await pair(t);
  const texts = ["one", "two", "three", "x".repeat(1_500), "", "one", "y".repeat(1_024), "end"];
  for (const text of texts) {
    const outcome = writeDirectly(near, gathered(text), text.length, silent);
    assert.equal(outcome, DirectWrite.taken);
  }
  const large = gathered("large", 16_384);
  assert.equal(writeDirectly(near, large, 5, silent), DirectWrite.taken);
  near.write("stream");
  const expected = `${texts.join("")}largestream`;
  assert.equal(await read(far, expected.length), expected);
});

test("a write that the system does not take at once is told when it has, and stays whole meanwhile", async (t) => {
  const { near, far } = await pair(t);
  const told: [Uint8Array, number][] = [];
  const listener = { onWritten: (bytes: Uint8Array, end: number) => told.push([bytes, end]) };
  // Small ones, which are copied, go on, too; what is written to others meanwhile is not theirs.
  const small = gathered("a".repeat(1_000));
  let writes = 0;
  let outcome: DirectWrite = DirectWrite.taken;
  while (outcome === DirectWrite.taken) {
    outcome = writeDirectly(near, small, 1_000, listener);
    writes++;
  }
  assert.equal(outcome, DirectWrite.underWay);
  const other = await pair(t);
  assert.equal(writeDirectly(other.near, gathered("b".repeat(1_000)), 1_000, silent), 0);
  assert.deepEqual(told, []);
  const text = await read(far, writes * 1_000);
  assert.equal(text.length, writes * 1_000);
  assert.equal(text.replaceAll("a", "").length, 0);
  while (told.length === 0) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(told, [[small, 1_000]]);
});

test("a write under way when its socket is destroyed is told once", async (t) => {
  const { near } = await pair(t);
  let told = 0;
  fill(near, Buffer.alloc(65_536), { onWritten: () => told++ });
  assert.equal(told, 0);
  near.destroy();
  await once(near, "close");
  assert.equal(told, 1);
  assert.equal(writeDirectly(near, gathered("x"), 1, silent), DirectWrite.unavailable);
});

test("a write to a peer that is gone destroys the socket", async (t) => {
  const { near, far } = await pair(t);
  far.resetAndDestroy();
  await once(far, "close");
  const closed = once(near, "close");
  for (let i = 0; i < 10 && !near.destroyed; i++) writeDirectly(near, gathered("x"), 1, silent);
  await closed;
  assert.ok(near.destroyed);
});
