import assert from "node:assert/strict";
import { test } from "node:test";
import { CloseCode, Opcode, WebSocketInput } from "../../../src/net/websocket-input.ts";
import {
  clientFrame,
  closePayload,
  NotedEvents,
  notesOf,
  textOf,
} from "../../support/websocket-frames.ts";

const { continuation, text, binary, close, ping, pong } = Opcode;
const hex = (digits: string): Buffer => Buffer.from(digits.replaceAll(" ", ""), "hex");
const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const BROKEN = ["broken 1002"];

function numbered(length: number): Buffer {
  return Buffer.from(Uint8Array.from({ length }, (_, i) => i % 251));
}

test("A masked text message of RFC 6455 section 5.7 is read.", () => {
  assert.deepEqual(notesOf([hex("81 85 37fa213d 7f9f4d5158")]), ["text 48656c6c6f"]);
});

test("An unmasked message of RFC 6455 section 5.7 is none of a client: 1002 (section 5.1).", () => {
  assert.deepEqual(notesOf([hex("81 05 48656c6c6f")]), BROKEN);
  assert.deepEqual(notesOf([hex("89 05 48656c6c6f")]), BROKEN);
});

test("A fragmented message of RFC 6455 section 5.7, masked, is one message.", () => {
  const first = clientFrame({ opcode: text, isLast: false, payload: textOf("Hel") });
  const second = clientFrame({ opcode: continuation, payload: textOf("lo") });
  assert.deepEqual(hexOf(first).slice(0, 4), "0183");
  assert.deepEqual(notesOf([first, second]), ["text 48656c6c6f"]);
  assert.deepEqual(notesOf([Buffer.concat([first, second])]), ["text 48656c6c6f"]);
});

test("The masked pong of RFC 6455 section 5.7 is taken and not told; a ping is.", () => {
  assert.deepEqual(notesOf([hex("8a 85 37fa213d 7f9f4d5158")]), []);
  assert.deepEqual(notesOf([hex("89 85 37fa213d 7f9f4d5158")]), ["ping 48656c6c6f"]);
});

test("Messages of 256 bytes and of 64 KiB have the headers of RFC 6455 section 5.7.", () => {
  const middle = clientFrame({ opcode: binary, payload: numbered(256) });
  const large = clientFrame({ opcode: binary, payload: numbered(65_536) });
  assert.equal(hexOf(middle).slice(0, 8), "82fe0100");
  assert.equal(hexOf(large).slice(0, 20), "82ff0000000000010000");
  const notes = notesOf([middle, large]);
  assert.deepEqual(notes, [`binary ${hexOf(numbered(256))}`, `binary ${hexOf(numbered(65_536))}`]);
});

test("Payloads of every length to 70 are unmasked wherever they lie.", () => {
  for (let length = 0; length <= 70; length++) {
    for (let offset = 0; offset < 8; offset++) {
      const frame = clientFrame({
        opcode: binary,
        payload: numbered(length),
        mask: [1, 200, 3, 77],
      });
      const memory = Buffer.alloc(offset + frame.length + 3, 0xaa);
      memory.set(frame, offset);
      const events = new NotedEvents();
      new WebSocketInput(100, events).receive(memory.subarray(offset, offset + frame.length));
      assert.deepEqual(
        events.notes,
        [`binary ${hexOf(numbered(length))}`],
        `${length} at ${offset}`,
      );
      // Nothing beside it is touched.
      assert.equal(hexOf(memory.subarray(0, offset)), "aa".repeat(offset));
      assert.equal(hexOf(memory.subarray(offset + frame.length)), "aaaaaa");
    }
  }
});

test("Several frames of one read are told in their order, control frames between fragments at once.", () => {
  const read = Buffer.concat([
    clientFrame({ opcode: binary, payload: textOf("a") }),
    clientFrame({ opcode: text, payload: textOf("b"), isLast: false }),
    clientFrame({ opcode: ping, payload: textOf("c") }),
    clientFrame({ opcode: continuation, isLast: false }),
    clientFrame({ opcode: pong }),
    clientFrame({ opcode: continuation, payload: textOf("d") }),
    clientFrame({ opcode: binary }),
  ]);
  const told = ["binary 61", "ping 63", "text 6264", "binary "];
  assert.deepEqual(notesOf([read]), told);
  assert.deepEqual(notesOf([...read].map((byte) => Buffer.of(byte))), told);
});

test("Reserved bits and opcodes break the connection with 1002.", () => {
  for (const reserved of [1, 2, 4, 7])
    assert.deepEqual(notesOf([clientFrame({ opcode: binary, reserved })]), BROKEN);
  for (const opcode of [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
    assert.deepEqual(notesOf([clientFrame({ opcode })]), BROKEN, `opcode ${opcode}`);
});

test("A continuation of nothing, and a message inside another one, break the connection.", () => {
  const begun = clientFrame({ opcode: text, isLast: false, payload: textOf("a") });
  assert.deepEqual(notesOf([clientFrame({ opcode: continuation })]), BROKEN);
  assert.deepEqual(notesOf([begun, clientFrame({ opcode: binary })]), BROKEN);
  assert.deepEqual(notesOf([begun, begun]), BROKEN);
  const ended = clientFrame({ opcode: continuation });
  assert.deepEqual(notesOf([begun, ended, ended]), ["text 61", ...BROKEN]);
});

test("Control frames are whole and have at most 125 bytes.", () => {
  for (const opcode of [close, ping, pong]) {
    assert.deepEqual(notesOf([clientFrame({ opcode, isLast: false })]), BROKEN);
    assert.deepEqual(notesOf([clientFrame({ opcode, payload: numbered(126) })]), BROKEN);
    assert.deepEqual(notesOf([clientFrame({ opcode, lengthBytes: 2 })]), BROKEN);
  }
  assert.deepEqual(notesOf([clientFrame({ opcode: ping, payload: numbered(125) })]), [
    `ping ${hexOf(numbered(125))}`,
  ]);
});

test("A length is written in as few bytes as it fits in, and its first bit is 0.", () => {
  for (const length of [0, 1, 125])
    assert.deepEqual(
      notesOf([clientFrame({ opcode: binary, payload: numbered(length), lengthBytes: 2 })]),
      BROKEN,
    );
  for (const length of [0, 126, 65_535])
    assert.deepEqual(
      notesOf([clientFrame({ opcode: binary, payload: numbered(length), lengthBytes: 8 })]),
      BROKEN,
    );
  assert.deepEqual(notesOf([hex("82ff 8000000000010000")]), BROKEN);
});

test("A message that is too large is refused with 1009 when its header announces it, in one frame or in several.", () => {
  const at = (length: number): Buffer => clientFrame({ opcode: binary, payload: numbered(length) });
  assert.equal(notesOf([at(200)], 200).length, 1);
  assert.deepEqual(notesOf([at(201).subarray(0, 4)], 200), ["broken 1009"]);
  assert.deepEqual(notesOf([hex("82ff 7fffffffffffffff")], 200), ["broken 1009"]);
  const begun = clientFrame({ opcode: binary, isLast: false, payload: numbered(150) });
  const rest = (length: number): Buffer =>
    clientFrame({ opcode: continuation, payload: numbered(length) });
  assert.equal(notesOf([begun, rest(50)], 200).length, 1);
  assert.deepEqual(notesOf([begun, rest(51).subarray(0, 2)], 200), ["broken 1009"]);
  // The next message has the whole bound again, and control frames do not count.
  const next = [begun, clientFrame({ opcode: ping }), rest(50), begun, rest(50)];
  assert.equal(notesOf(next, 200).length, 3);
});

test("The peer's close is told with its code and reason; nothing is told after it.", () => {
  const after = clientFrame({ opcode: binary, payload: textOf("late") });
  for (const payload of [
    Buffer.alloc(0),
    closePayload(1_000),
    closePayload(4_999, textOf("täglich")),
  ])
    assert.deepEqual(notesOf([clientFrame({ opcode: close, payload }), after]), [
      `close ${hexOf(payload)}`,
    ]);
  const both = Buffer.concat([clientFrame({ opcode: close }), after]);
  assert.deepEqual(notesOf([both, after]), ["close "]);
});

test("Close codes that may not be sent are refused with 1002, reasons that are not UTF-8 with 1007.", () => {
  const told = (payload: Uint8Array): string[] =>
    notesOf([clientFrame({ opcode: close, payload })]);
  for (const code of [0, 999, 1_004, 1_005, 1_006, 1_015, 1_016, 2_999, 5_000, 65_535])
    assert.deepEqual(told(closePayload(code)), BROKEN, String(code));
  for (const code of [1_000, 1_001, 1_003, 1_007, 1_014, 3_000, 4_999])
    assert.deepEqual(told(closePayload(code)), [`close ${hexOf(closePayload(code))}`]);
  assert.deepEqual(told(Buffer.of(3)), BROKEN);
  assert.deepEqual(told(closePayload(1_000, hex("c328"))), [`broken ${CloseCode.invalidPayload}`]);
});

test("After a broken frame, and after it was stopped, nothing is told.", () => {
  const good = clientFrame({ opcode: ping });
  assert.deepEqual(notesOf([clientFrame({ opcode: 3 }), good]), BROKEN);
  const events = new NotedEvents();
  const input = new WebSocketInput(10, events);
  input.receive(good.subarray(0, 3));
  input.stop();
  input.receive(good.subarray(3));
  input.receive(good);
  assert.deepEqual(events.notes, []);
});

test("Who stops it while a message is told gets none of the frames behind it.", () => {
  const told: string[] = [];
  const input: WebSocketInput = new WebSocketInput(10, {
    onMessage: (message) => {
      told.push(hexOf(message));
      input.stop();
    },
    onPing: () => told.push("ping"),
    onClose: () => told.push("close"),
    onBroken: () => told.push("broken"),
  });
  const frame = clientFrame({ opcode: binary, payload: textOf("a") });
  input.receive(Buffer.concat([frame, frame, clientFrame({ opcode: ping })]));
  assert.deepEqual(told, ["61"]);
});

test("A message that comes whole in one read is a view of it; one that is cut has memory of its own.", () => {
  const seen: { readonly memory: ArrayBufferLike; readonly bytes: string }[] = [];
  const input = new WebSocketInput(1_000, {
    onMessage: (message) => seen.push({ memory: message.buffer, bytes: hexOf(message) }),
    onPing: () => undefined,
    onClose: () => undefined,
    onBroken: () => undefined,
  });
  const shared = Buffer.allocUnsafeSlow(1_000);
  const frame = clientFrame({ opcode: binary, payload: numbered(300) });
  shared.set(frame);
  input.receive(shared.subarray(0, frame.length));
  for (const part of [frame.subarray(0, 100), frame.subarray(100)]) {
    // As with the buffer that all sockets read into.
    shared.fill(0xee);
    shared.set(part);
    input.receive(shared.subarray(0, part.length));
  }
  assert.deepEqual(
    seen.map(({ memory }) => memory === shared.buffer),
    [true, false],
  );
  assert.deepEqual(
    seen.map(({ bytes }) => bytes),
    Array(2).fill(hexOf(numbered(300))),
  );
});

test("A message in very many small fragments is not copied over and over.", () => {
  const count = 100_000;
  const fragment = clientFrame({ opcode: continuation, isLast: false, payload: numbered(4) });
  const events = new NotedEvents();
  const input = new WebSocketInput(4 * count, events);
  const began = performance.now();
  input.receive(clientFrame({ opcode: binary, isLast: false }));
  for (let i = 0; i < count - 1; i++) input.receive(Buffer.from(fragment));
  input.receive(clientFrame({ opcode: continuation, payload: numbered(4) }));
  assert.equal(events.notes[0]?.length, "binary ".length + 8 * count);
  // Copying all of it for each fragment would take 20 GB of copies.
  assert.ok(performance.now() - began < 2_000);
});
