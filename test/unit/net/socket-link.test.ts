import assert from "node:assert/strict";
import { Socket } from "node:net";
import { type TestContext, test } from "node:test";
import type { WriteListener } from "../../../src/net/direct-write.ts";
import { NetworkCounters } from "../../../src/net/network-counters.ts";
import { OutputBudget } from "../../../src/net/output-budget.ts";
import { SocketLink } from "../../../src/net/socket-link.ts";
import { Turn } from "../../../src/net/turn.ts";
import type { Wire } from "../../../src/net/wire.ts";

const BUDGET = 1_000;
const WRITE_TIMEOUT_MS = 400;

/** Takes bytes and lets the test say when the kernel has them. */
class SlowWire implements Wire {
  queuedBytes = 0;
  isGone = false;
  isPaused = false;
  readonly #waiting: { readonly count: number; readonly onWritten: () => void }[] = [];

  get writes(): number {
    return this.#waiting.length;
  }

  write(bytes: Uint8Array, end: number, listener: WriteListener): boolean {
    this.queuedBytes += end;
    this.#waiting.push({ count: end, onWritten: () => listener.onWritten(bytes, end) });
    return false;
  }

  setPaused(isPaused: boolean): void {
    this.isPaused = isPaused;
  }

  end(): void {
    this.isGone = true;
  }

  /** The kernel took the oldest write. */
  drain(): void {
    const written = this.#waiting.shift();
    if (written === undefined) return;
    this.queuedBytes -= written.count;
    written.onWritten();
  }
}

function fixture(t: TestContext, budget = new OutputBudget(1_000_000), bytesMax = BUDGET) {
  t.mock.timers.enable({ apis: ["setInterval", "setTimeout"] });
  const wire = new SlowWire();
  const socket = new Socket();
  const counters = new NetworkCounters();
  const seen = {
    room: 0,
    get stalled(): number {
      return counters.writesStalled;
    },
  };
  const options = {
    turn: new Turn(() => undefined),
    counters,
    budget,
    outputBytesMax: bytesMax,
    writeTimeoutMs: WRITE_TIMEOUT_MS,
  };
  const link = new SocketLink(options, socket, wire, {
    address: "127.0.0.1",
    certificateSubject: undefined,
  });
  link.writer = {
    onRoom: () => {
      seen.room++;
    },
  };
  const write = (count: number): void => {
    link.output.writeBytes(new Uint8Array(count));
    link.flush();
  };
  return { link, wire, socket, seen, write };
}

test("within the budget there is room, beyond it there is none until the kernel took enough", (t) => {
  const { link, wire, seen, write } = fixture(t);
  write(BUDGET - 1);
  assert.equal(link.hasRoom, true);
  write(1);
  assert.equal(link.hasRoom, false);
  assert.equal(wire.isPaused, false);
  wire.drain();
  assert.equal(link.hasRoom, true);
  assert.equal(seen.room, 1);
});

test("a peer that has twice the budget waiting is not read until there is room again", (t) => {
  const { link, wire, write } = fixture(t);
  write(BUDGET);
  assert.equal(link.isFlooded, false);
  write(BUDGET);
  assert.equal(wire.isPaused, true);
  assert.equal(link.isFlooded, true);
  // The protocol's own wish does not overrule it.
  link.setPaused(false);
  assert.equal(wire.isPaused, true);
  wire.drain();
  assert.equal(wire.isPaused, true);
  wire.drain();
  assert.equal(wire.isPaused, false);
  assert.equal(link.isFlooded, false);
});

test("a peer that the protocol wants not to be read stays so when there is room again", (t) => {
  const { link, wire, write } = fixture(t);
  link.setPaused(true);
  write(2 * BUDGET);
  wire.drain();
  assert.equal(wire.isPaused, true);
});

test("over budget and without progress for the write timeout it is destroyed", (t) => {
  const { socket, seen, write } = fixture(t);
  write(BUDGET);
  t.mock.timers.tick(WRITE_TIMEOUT_MS - 1);
  assert.equal(seen.stalled, 0);
  t.mock.timers.tick(1);
  assert.equal(seen.stalled, 1);
  assert.equal(socket.destroyed, true);
});

test("a part of a write that the kernel took is progress", (t) => {
  const { socket, seen, write } = fixture(t);
  const handle = { writeQueueSize: BUDGET, close: (done: () => void) => done() };
  Object.assign(socket, { _handle: handle });
  write(BUDGET);
  for (let i = 0; i < 10; i++) {
    t.mock.timers.tick(WRITE_TIMEOUT_MS - 1);
    handle.writeQueueSize--;
  }
  assert.equal(seen.stalled, 0);
  t.mock.timers.tick(WRITE_TIMEOUT_MS * 1.25);
  assert.equal(seen.stalled, 1);
});

test("within budget nobody is watched", (t) => {
  const { wire, seen, write } = fixture(t);
  write(BUDGET);
  wire.drain();
  write(BUDGET - 1);
  t.mock.timers.tick(WRITE_TIMEOUT_MS * 10);
  assert.equal(seen.stalled, 0);
});

const SHARE = 16_384;

test("when all together have too much waiting, each keeps a small share and gets its room back as it reads", (t) => {
  const budget = new OutputBudget(100_000);
  const big = fixture(t, budget, 1_000_000);
  t.mock.timers.reset();
  const small = fixture(t, budget, 1_000_000);
  big.write(99_999);
  small.write(SHARE);
  assert.deepEqual([budget.isFull, big.link.hasRoom, small.link.hasRoom], [true, false, false]);
  assert.equal(budget.bytes, 99_999 + SHARE);
  small.wire.drain();
  assert.deepEqual([budget.isFull, small.link.hasRoom, small.seen.room], [false, true, 1]);
  small.write(SHARE - 1);
  assert.deepEqual([budget.isFull, small.link.hasRoom], [true, true]);
  big.wire.drain();
  small.wire.drain();
  assert.deepEqual([budget.bytes, big.link.hasRoom, big.seen.room], [0, true, 1]);
});

test("a reader that holds its part of a full budget and does not read is destroyed", (t) => {
  const budget = new OutputBudget(100_000);
  const { link, socket, seen, write } = fixture(t, budget, 1_000_000);
  write(100_000);
  t.mock.timers.tick(WRITE_TIMEOUT_MS * 2);
  assert.equal(seen.stalled, 0, "below its own budget nobody minds until something waits for it");
  assert.equal(link.hasRoom, false);
  t.mock.timers.tick(WRITE_TIMEOUT_MS);
  assert.deepEqual([seen.stalled, socket.destroyed], [1, true]);
});

test("behind a write under way small packets are gathered, so that a client that pings and does not read costs little", (t) => {
  const budget = new OutputBudget(1_000_000);
  const { link, wire, seen, write } = fixture(t, budget, 100_000);
  for (let i = 0; i < 1_000; i++) write(2);
  assert.deepEqual([wire.writes, wire.queuedBytes, link.output.end], [1, 2, 1_998]);
  assert.equal(budget.bytes, 2_000);
  wire.drain();
  assert.deepEqual([wire.writes, wire.queuedBytes, link.output.end], [1, 1_998, 0]);
  wire.drain();
  assert.deepEqual([wire.queuedBytes, budget.bytes], [0, 0]);
  // What is gathered counts against the budget as what is written does.
  for (let i = 0; i < 100_000; i++) write(2);
  assert.deepEqual([link.hasRoom, wire.isPaused, wire.writes], [false, true, 1]);
  while (wire.writes > 0) wire.drain();
  assert.deepEqual([link.hasRoom, wire.isPaused, seen.room, budget.bytes], [true, false, 1, 0]);
});

test("what was gathered for a connection that is gone is not counted any more", (t) => {
  const budget = new OutputBudget(1_000_000);
  const { wire, write } = fixture(t, budget);
  write(10);
  write(20);
  wire.isGone = true;
  wire.drain();
  assert.deepEqual([wire.writes, budget.bytes], [0, 0]);
});

test("the last words go out behind a write under way", (t) => {
  const { link, wire, write } = fixture(t);
  write(10);
  write(20);
  link.close();
  link.flush();
  assert.deepEqual([wire.writes, wire.queuedBytes, wire.isGone], [2, 30, true]);
});
