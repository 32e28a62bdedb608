import assert from "node:assert/strict";
import { test } from "node:test";
import { type ConnectionEnd, WillLedger } from "../../../firmware-sim/will-ledger.ts";

function connectionThatEnded(ledger: WillLedger, connection: number, end: ConnectionEnd): void {
  ledger.opened("a", connection);
  ledger.confirmed("a", connection);
  ledger.ended("a", connection, end);
}

test("the will of an accident is due until it was seen", () => {
  const ledger = new WillLedger();
  connectionThatEnded(ledger, 1, "accident");
  assert.equal(ledger.counts().missing, 1);
  ledger.saw("a", 1);
  ledger.saw("a", 1);
  const { accidents, seen, missing, repeated } = ledger.counts();
  assert.deepEqual(
    { accidents, seen, missing, repeated },
    { accidents: 1, seen: 1, missing: 0, repeated: 1 },
  );
});

test("a will that is seen before its device has noticed the accident counts for it", () => {
  const ledger = new WillLedger();
  ledger.opened("a", 1);
  ledger.confirmed("a", 1);
  ledger.saw("a", 1);
  ledger.ended("a", 1, "accident");
  assert.equal(ledger.counts().missing, 0);
});

test("the will of a device that said goodbye is unjustified", () => {
  const ledger = new WillLedger();
  connectionThatEnded(ledger, 1, "clean");
  assert.equal(ledger.counts().unjustified, 0);
  ledger.saw("a", 1);
  assert.equal(ledger.counts().unjustified, 1);
  assert.equal(ledger.counts().cleanLeaves, 1);
});

test("where somebody else ended the connection a will is right, and none is right too", () => {
  const ledger = new WillLedger();
  connectionThatEnded(ledger, 1, "unknown");
  connectionThatEnded(ledger, 2, "unknown");
  ledger.saw("a", 2);
  const { brokenByOthers, missing, unjustified, unknown } = ledger.counts();
  assert.deepEqual(
    { brokenByOthers, missing, unjustified, unknown },
    { brokenByOthers: 2, missing: 0, unjustified: 0, unknown: 0 },
  );
});

test("an unconfirmed connection may leave a will; one that was never opened may not", () => {
  const ledger = new WillLedger();
  ledger.opened("a", 1);
  ledger.ended("a", 1, "accident");
  ledger.saw("a", 1);
  assert.equal(ledger.counts().unknown, 0);
  assert.equal(ledger.counts().accidents, 0);
  ledger.saw("a", 2);
  ledger.saw("a", 0);
  ledger.saw("b", 1);
  assert.equal(ledger.counts().unknown, 3);
});
