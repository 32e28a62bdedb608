import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { RingBuffer } from "../../../src/lib/ring-buffer.ts";

test("A ring buffer gives what an array gives, whatever is pushed and shifted.", () => {
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.constant("push" as const) },
    { weight: 4, arbitrary: fc.constant("shift" as const) },
    { weight: 1, arbitrary: fc.constant("burst" as const) },
    { arbitrary: fc.constant("clear" as const), weight: 1 },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100, size: "max" }), (steps) => {
      const ring = new RingBuffer<number>();
      const model: number[] = [];
      let next = 0;
      for (const each of steps) {
        const pushes = { push: 1, burst: 40, shift: 0, clear: 0 }[each];
        for (let i = 0; i < pushes; i++) {
          ring.push(next);
          model.push(next++);
        }
        if (each === "shift") assert.equal(ring.shift(), model.shift());
        if (each === "clear") {
          ring.clear();
          model.length = 0;
        }
        assert.equal(ring.size, model.length);
        assert.equal(ring.peek(), model[0]);
      }
      while (model.length > 0) assert.equal(ring.shift(), model.shift());
      assert.equal(ring.shift(), undefined);
    }),
  );
});

test("A shifted item is not kept alive.", () => {
  const ring = new RingBuffer<object | undefined>();
  ring.push({});
  ring.shift();
  for (let i = 0; i < 16; i++) ring.push(undefined);
  for (let i = 0; i < 16; i++) assert.equal(ring.shift(), undefined);
});
