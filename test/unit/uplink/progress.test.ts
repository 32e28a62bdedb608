import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { IntervalSet } from "../../../src/lib/interval-set.ts";
import {
  decodeProgress,
  encodeProgress,
  PROGRESS_KEY_PREFIX,
  Progress,
  progressKey,
} from "../../../src/uplink/progress.ts";

const progressArbitrary = fc
  .tuple(
    fc.array(fc.tuple(fc.integer({ min: 1, max: 2 ** 40 }), fc.integer({ min: 0, max: 2 ** 33 })), {
      maxLength: 30,
    }),
    fc.option(
      fc.record({
        origin: fc.string({ unit: "binary", maxLength: 60 }),
        position: fc.maxSafeNat(),
        highest: fc.maxSafeNat(),
      }),
      { nil: undefined },
    ),
  )
  .map(([runs, remote]) => {
    const done = new IntervalSet();
    for (const [from, length] of runs) done.add(from, from + length);
    return new Progress(done, remote === undefined ? undefined : { ...remote });
  });

test("progress reads back as it was written", () => {
  fc.assert(
    fc.property(progressArbitrary, (progress) => {
      const read = decodeProgress(encodeProgress(progress));
      assert.deepEqual(read?.done.runs(), progress.done.runs());
      assert.deepEqual(read?.remote, progress.remote);
    }),
  );
});

test("a damaged progress record is recognised, whatever byte changed or is missing", () => {
  fc.assert(
    fc.property(progressArbitrary, fc.nat(), fc.integer({ min: 1, max: 255 }), (p, at, flip) => {
      const record = encodeProgress(p);
      const damaged = Uint8Array.from(record);
      const index = at % damaged.length;
      damaged[index] = (damaged[index] ?? 0) ^ flip;
      assert.equal(decodeProgress(damaged), undefined);
      assert.equal(decodeProgress(record.subarray(0, index)), undefined);
    }),
  );
});

test("no bytes make the decoder throw", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
      decodeProgress(bytes);
      decodeProgress(Uint8Array.of(1, ...bytes));
    }),
    { numRuns: 1_000 },
  );
});

test("keys of different uplinks and streams never are the same", () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), fc.string(), fc.string(), (a, b, c, d) => {
      const isSame = Buffer.compare(progressKey(a, b), progressKey(c, d)) === 0;
      assert.equal(isSame, a === c && b === d);
    }),
  );
  assert.equal(progressKey("centre", "telemetry")[0], PROGRESS_KEY_PREFIX);
});

test("the remote position follows only when everything sent before it is done", () => {
  const progress = new Progress();
  progress.reconciled({ origin: "s@1", position: 10, highest: 10 });
  for (const sequence of [1, 2, 3]) progress.sent(sequence);
  progress.acknowledged(2, 12);
  assert.equal(progress.remote?.position, 10, "1 and 3 may still be stored anywhere after 10");
  assert.equal(progress.remote?.highest, 12);
  progress.sent(4);
  progress.acknowledged(1, 11);
  assert.equal(progress.remote?.position, 10);
  progress.acknowledged(3, 13);
  assert.equal(progress.remote?.position, 12, "4 was sent after 12 was acknowledged");
});

test("the remote position never passes a record that is stored and not done, whatever the order", () => {
  fc.assert(
    fc.property(fc.array(fc.nat({ max: 9 }), { minLength: 1, maxLength: 200 }), (choices) => {
      const progress = new Progress();
      progress.reconciled({ origin: "s@1", position: 0, highest: 0 });
      const unacknowledged: { sequence: number; position: number }[] = [];
      let sequence = 0;
      let position = 0;
      for (const choice of choices) {
        if (choice < 5) {
          progress.sent(++sequence);
          unacknowledged.push({ sequence, position: ++position });
        } else {
          const [one] = unacknowledged.splice(choice % Math.max(1, unacknowledged.length), 1);
          if (one !== undefined) progress.acknowledged(one.sequence, one.position);
        }
        const lowest = Math.min(...unacknowledged.map((one) => one.position));
        assert.ok((progress.remote?.position ?? 0) < lowest);
      }
    }),
  );
});
