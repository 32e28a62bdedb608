import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { AcknowledgementGate, AcknowledgementQueue } from "../../../src/broker/acknowledgements.ts";
import { type CommitNumber, NO_COMMIT } from "../../../src/broker/store.ts";

const commit = (number: number): CommitNumber => number as CommitNumber;

test("Nothing leaves before its commit, none overtakes another, and all leave at last.", () => {
  const step = fc.oneof(
    fc.record({
      kind: fc.constant("push" as const),
      queue: fc.nat(2),
      ahead: fc.constantFrom(0, 0, 1, 2),
    }),
    fc.constant({ kind: "flush" as const }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60, size: "max" }), (steps) => {
      const gate = new AcknowledgementGate();
      const sent: { number: number; needs: number }[][] = [[], [], []];
      const queues = sent.map((list) => {
        return new AcknowledgementQueue<{ number: number; needs: number }>(gate, (each) => {
          assert.ok(each.needs <= gate.flushed, "before its commit");
          assert.equal(each.number, list.length, "in order");
          list.push(each);
        });
      });
      const pushed = [0, 0, 0];
      let flushed = 0;
      for (const each of steps) {
        if (each.kind === "flush") {
          gate.advance(commit(++flushed));
          continue;
        }
        const needs = each.ahead === 0 ? NO_COMMIT : flushed + each.ahead;
        const number = pushed[each.queue] ?? 0;
        pushed[each.queue] = number + 1;
        queues[each.queue]?.push(commit(needs), { number, needs });
      }
      gate.advance(commit(++flushed));
      gate.advance(commit(++flushed));
      assert.deepEqual(
        sent.map(({ length }) => length),
        pushed,
      );
    }),
  );
});

test("An acknowledgement that needs no commit leaves at once when nothing is ahead of it.", () => {
  const gate = new AcknowledgementGate();
  const sent: string[] = [];
  const queue = new AcknowledgementQueue<string>(gate, (text) => sent.push(text));
  queue.push(NO_COMMIT, "a");
  queue.push(commit(1), "b");
  queue.push(NO_COMMIT, "c");
  assert.deepEqual([sent, queue.size], [["a"], 2]);
  gate.advance(commit(1));
  assert.deepEqual(sent, ["a", "b", "c"]);
  queue.push(commit(1), "d");
  assert.deepEqual(sent, ["a", "b", "c", "d"]);
});

test("What is pushed while acknowledgements leave goes behind those that wait.", () => {
  const gate = new AcknowledgementGate();
  const sent: string[] = [];
  const queue: AcknowledgementQueue<string> = new AcknowledgementQueue<string>(gate, (text) => {
    sent.push(text);
    if (text === "a") queue.push(NO_COMMIT, "pushed by a");
  });
  for (const text of ["a", "b"]) queue.push(commit(1), text);
  gate.advance(commit(1));
  assert.deepEqual(sent, ["a", "b", "pushed by a"]);
});

test("A closed queue sends nothing, also when it is closed while others are released.", () => {
  const gate = new AcknowledgementGate();
  const sent: string[] = [];
  const second = new AcknowledgementQueue<string>(gate, (text) => sent.push(text));
  const first = new AcknowledgementQueue<string>(gate, (text) => {
    sent.push(text);
    second.close();
  });
  first.push(commit(1), "first");
  second.push(commit(1), "second");
  gate.advance(commit(1));
  gate.advance(commit(2));
  assert.deepEqual(sent, ["first"]);
});
