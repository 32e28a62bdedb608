import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import * as ws from "ws";
import { Opcode } from "../../src/net/websocket-input.ts";
import {
  type ClientFrame,
  clientFrame,
  closePayload,
  notesOf,
} from "../support/websocket-frames.ts";

const MESSAGE_BYTES_MAX = 100_000;

const mask = fc.tuple(fc.nat(255), fc.nat(255), fc.nat(255), fc.nat(255));
const payload = fc.oneof(
  fc.uint8Array({ maxLength: 40 }),
  fc.uint8Array({ minLength: 120, maxLength: 130 }),
  fc
    .tuple(fc.constantFrom(200, 65_535, 65_536, 70_000), fc.nat(255))
    .map(([length, seed]) => Uint8Array.from({ length }, (_, i) => i * 7 + seed)),
);
const control = fc.record({
  opcode: fc.constantFrom(Opcode.ping, Opcode.pong),
  payload: fc.uint8Array({ maxLength: 125 }),
  mask,
});
/** One message: fragments, and control frames between them. */
const message = fc
  .record({
    isText: fc.boolean(),
    parts: fc.array(fc.record({ payload, mask, before: fc.array(control, { maxLength: 2 }) }), {
      minLength: 1,
      maxLength: 4,
    }),
  })
  .map(({ isText, parts }): ClientFrame[] =>
    parts.flatMap(({ before, ...part }, i) => [
      ...before,
      {
        ...part,
        opcode: i > 0 ? Opcode.continuation : isText ? Opcode.text : Opcode.binary,
        isLast: i === parts.length - 1,
      },
    ]),
  );
const conversation = fc
  .record({
    messages: fc.array(message, { maxLength: 5 }),
    end: fc.option(fc.constantFrom(Buffer.alloc(0), closePayload(1_000), closePayload(3_000))),
  })
  .map(({ messages, end }): ClientFrame[] => [
    ...messages.flat(),
    ...(end === null ? [] : [{ opcode: Opcode.close, payload: end }]),
  ]);

/** What the frames mean, told without looking at bytes. */
function meaningOf(frames: readonly ClientFrame[]): string[] {
  const notes: string[] = [];
  let kind = "";
  let parts: Uint8Array[] = [];
  let bytes = 0;
  for (const { opcode, payload: content = new Uint8Array(0), isLast = true } of frames) {
    const digits = Buffer.from(content).toString("hex");
    if (opcode === Opcode.ping) notes.push(`ping ${digits}`);
    else if (opcode === Opcode.close) return [...notes, `close ${digits}`];
    else if (opcode !== Opcode.pong) {
      if (opcode !== Opcode.continuation) kind = opcode === Opcode.text ? "text" : "binary";
      parts.push(content);
      bytes += content.length;
      if (bytes > MESSAGE_BYTES_MAX) return [...notes, "broken 1009"];
      if (!isLast) continue;
      notes.push(`${kind} ${Buffer.concat(parts).toString("hex")}`);
      parts = [];
      bytes = 0;
    }
  }
  return notes;
}

/** The bytes in pieces that end at these points of a million. */
function cutAt(bytes: Buffer, points: readonly number[]): Buffer[] {
  const ends = points.map((point) => Math.floor((point / 1_000_000) * bytes.length));
  const cuts = [0, ...ends.sort((a, b) => a - b), bytes.length];
  return cuts.slice(1).map((end, i) => bytes.subarray(cuts[i], end));
}

const cuts = fc.array(fc.nat(1_000_000), { maxLength: 12 });

test("However valid frames are cut, they are the same messages, pings and close.", () => {
  fc.assert(
    fc.property(conversation, cuts, (frames, points) => {
      const reads = cutAt(Buffer.concat(frames.map(clientFrame)), points);
      assert.deepEqual(notesOf(reads, MESSAGE_BYTES_MAX), meaningOf(frames));
    }),
  );
});

test("Byte by byte they are the same, too.", () => {
  const small = conversation.filter(
    (frames) => frames.reduce((sum, one) => sum + (one.payload?.length ?? 0), 0) < 2_000,
  );
  fc.assert(
    fc.property(small, (frames) => {
      const reads = [...Buffer.concat(frames.map(clientFrame))].map((byte) => Buffer.of(byte));
      assert.deepEqual(notesOf(reads, MESSAGE_BYTES_MAX), meaningOf(frames));
    }),
  );
});

/** The library's receiver, which its types do not know. An error of its `write` would be told later. */
interface Receiver {
  on(event: string, listener: (...parts: never[]) => void): void;
  _write(chunk: Uint8Array, encoding: "buffer", done: (error?: object) => void): void;
}
const { Receiver: TheirReceiver } = ws as unknown as {
  readonly Receiver: new (options: Readonly<Record<string, unknown>>) => Receiver;
};

/** What `ws` tells of the same reads; text is not looked at, as here. */
function theirNotes(reads: readonly Uint8Array[]): string[] {
  const notes: string[] = [];
  const options = { isServer: true, maxPayload: MESSAGE_BYTES_MAX, skipUTF8Validation: true };
  const receiver = new TheirReceiver(options);
  const digits = (data: Buffer): string => data.toString("hex");
  let hasEnded = false;
  receiver.on("message", (data: Buffer, isBinary: boolean) =>
    notes.push(`${isBinary ? "binary" : "text"} ${digits(data)}`),
  );
  receiver.on("ping", (data: Buffer) => notes.push(`ping ${digits(data)}`));
  receiver.on("conclude", (code: number, reason: Buffer) => {
    hasEnded = true;
    notes.push(`close ${code === 1_005 ? "" : digits(closePayload(code, reason))}`);
  });
  const done = (error?: object): void => {
    if (error === undefined) return;
    hasEnded = true;
    const [code] = Object.getOwnPropertySymbols(error).map(
      (name) => (error as Readonly<Record<symbol, unknown>>)[name],
    );
    notes.push(`broken ${code}`);
  };
  for (const read of reads) if (!hasEnded) receiver._write(Buffer.from(read), "buffer", done);
  return notes;
}

/** Bytes that look like frames, valid or not. */
const wild = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: conversation.map((frames) => Buffer.concat(frames.map(clientFrame))) },
    { weight: 2, arbitrary: fc.uint8Array({ maxLength: 30 }) },
    {
      weight: 6,
      arbitrary: fc
        .record({
          opcode: fc.nat(15),
          isLast: fc.boolean(),
          reserved: fc.constantFrom(0, 0, 0, 0, 0, 1, 4),
          mask: fc.option(mask, { nil: undefined, freq: 20 }),
          payload: fc.oneof(
            fc.uint8Array({ maxLength: 20 }),
            fc.nat(6_000).map((code) => closePayload(code)),
          ),
        })
        .map(clientFrame),
    },
  ),
  { maxLength: 6 },
);

/** Stricter than the library: lengths in more bytes than they need, and the reason of a close. */
function isStricter(ours: readonly string[], theirs: readonly string[]): boolean {
  const last = ours.at(-1);
  const next = theirs[ours.length - 1];
  if (last === "broken 1007") return next?.startsWith("close ") === true;
  return last === "broken 1002" && next !== last;
}

test("Whatever bytes come, nothing is thrown, and what is told is what the library tells.", () => {
  const ends = { broken: 0, closed: 0, open: 0, stricter: 0 };
  fc.assert(
    fc.property(wild, cuts, (parts, points) => {
      const reads = cutAt(Buffer.concat(parts), points);
      const ours = notesOf(reads, MESSAGE_BYTES_MAX);
      const theirs = theirNotes(reads);
      const last = ours.at(-1);
      if (isStricter(ours, theirs)) {
        ends.stricter++;
        assert.deepEqual(ours.slice(0, -1), theirs.slice(0, ours.length - 1));
        return;
      }
      ends[last?.startsWith("broken") ? "broken" : last?.startsWith("close") ? "closed" : "open"]++;
      assert.deepEqual(ours, theirs);
    }),
    { numRuns: 500 },
  );
  assert.ok(ends.broken > 50 && ends.closed > 20 && ends.open > 20, JSON.stringify(ends));
  assert.ok(ends.stricter < 25, JSON.stringify(ends));
});
