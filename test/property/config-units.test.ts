import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { bytesOf, durationOf, durationText, sizeText } from "../../src/config-units.ts";

/** Numbers of all magnitudes, many of them round. */
const amounts = fc
  .tuple(fc.integer({ min: 0, max: 9_999 }), fc.constantFrom(1, 60, 1_000, 1_024, 1_024 ** 3))
  .map(([count, unit]) => count * unit);

test("a size as it is shown is read back as the same", () => {
  fc.assert(fc.property(amounts, (bytes) => assert.equal(bytesOf(sizeText(bytes)), bytes)));
});

test("a duration as it is shown is read back as the same", () => {
  fc.assert(fc.property(amounts, (ms) => assert.equal(durationOf(durationText(ms), 1), ms)));
});

test("a plain number is in the unit of the setting, as number and as text", () => {
  fc.assert(
    fc.property(amounts, fc.constantFrom(1, 1_000), (count, unitMs) => {
      assert.equal(durationOf(count, unitMs), count);
      assert.equal(durationOf(String(count), unitMs), count);
      assert.equal(bytesOf(String(count)), count);
    }),
  );
});

test("text that is no amount is never read as one", () => {
  const words = ["", " ", "-1", "1 2", "1e3", "0x10", "GiB", "1GiBB", "1.0000000001", "NaN", "∞"];
  for (const word of words) {
    assert.equal(bytesOf(word), undefined, word);
    assert.equal(durationOf(word, 1), undefined, word);
  }
  assert.equal(bytesOf("0.3"), undefined);
  assert.equal(durationOf("500ms", 1_000), undefined);
  assert.equal(bytesOf(Number.NaN), undefined);
});
