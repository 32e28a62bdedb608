import assert from "node:assert/strict";
import { test } from "node:test";
import { CommandLedger } from "../../../firmware-sim/command-ledger.ts";

test("a command is done when it is answered once by the device and in the way agreed", () => {
  const ledger = new CommandLedger(2);
  ledger.issue("r-1", "a", "response-topic");
  ledger.issue("r-2", "b", "convention");
  ledger.accept("r-1", false);
  ledger.accept("r-2", true);
  assert.equal(ledger.isDone, false);
  assert.deepEqual(ledger.unanswered(10), ["a r-1", "b r-2"]);
  ledger.answer("r-1", "a", "response-topic");
  ledger.answer("r-2", "b", "convention");
  assert.equal(ledger.isDone, true);
  assert.deepEqual(ledger.unanswered(10), []);
  assert.deepEqual(ledger.counts(), {
    planned: 2,
    issued: 2,
    accepted: 2,
    acceptedAsleep: 1,
    answered: 2,
    repeated: 0,
    misrouted: 0,
    unknown: 0,
  });
});

test("a second answer is repeated and does not stand in for another command's", () => {
  const ledger = new CommandLedger(2);
  ledger.issue("r-1", "a", "convention");
  ledger.issue("r-2", "a", "convention");
  ledger.answer("r-1", "a", "convention");
  ledger.answer("r-1", "a", "convention");
  assert.equal(ledger.isDone, false);
  assert.equal(ledger.counts().repeated, 1);
  assert.equal(ledger.counts().answered, 1);
});

test("an answer by another way, by another device or to no command is no answer", () => {
  const ledger = new CommandLedger(1);
  ledger.issue("r-1", "a", "response-topic");
  ledger.answer("r-1", "a", "convention");
  ledger.answer("r-1", "b", "response-topic");
  ledger.answer("r-7", "a", "response-topic");
  const { answered, misrouted, unknown } = ledger.counts();
  assert.deepEqual({ answered, misrouted, unknown }, { answered: 0, misrouted: 2, unknown: 1 });
});

test("issuing again after a refusal and a second acknowledgement count once", () => {
  const ledger = new CommandLedger(1);
  ledger.accept("r-1", false);
  ledger.issue("r-1", "a", "convention");
  ledger.issue("r-1", "a", "convention");
  ledger.accept("r-1", false);
  ledger.accept("r-1", true);
  const { issued, accepted, acceptedAsleep } = ledger.counts();
  assert.deepEqual(
    { issued, accepted, acceptedAsleep },
    { issued: 1, accepted: 1, acceptedAsleep: 0 },
  );
});
