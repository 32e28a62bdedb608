import assert from "node:assert/strict";
import { test } from "node:test";
import { hashPassword, type PasswordHash } from "../../../src/access/password-hash.ts";
import { PasswordVerifier, type Verdict } from "../../../src/access/password-verifier.ts";

const CHEAP = { ln: 10, r: 8, p: 1 };
const RIGHT = Buffer.from("right");
const WRONG = Buffer.from("wrong");

const limits = (fields: Partial<ConstructorParameters<typeof PasswordVerifier>[0]> = {}) => ({
  runningMax: 2,
  waitingMax: 100,
  rememberMs: 0,
  ...fields,
});

const known: PasswordHash = await hashPassword(RIGHT, CHEAP);

const verdictOf = (verifier: PasswordVerifier, password: Uint8Array): Promise<Verdict> =>
  new Promise((resolve) => void verifier.verify(password, known, resolve));

test("many are checked, in the order in which they came, each once", async () => {
  const verifier = new PasswordVerifier(limits({ runningMax: 1 }));
  const order: number[] = [];
  await Promise.all(
    Array.from({ length: 20 }, async (_, i) => {
      const verdict = await verdictOf(verifier, i % 3 === 0 ? RIGHT : WRONG);
      assert.equal(verdict, i % 3 === 0 ? "right" : "wrong");
      order.push(i);
    }),
  );
  assert.deepEqual(
    order,
    Array.from({ length: 20 }, (_, i) => i),
  );
  assert.equal(verifier.waitingSize, 0);
});

test("beyond the queue the answer is busy, at once", async () => {
  const verifier = new PasswordVerifier(limits({ waitingMax: 3 }));
  const verdicts = Array.from({ length: 7 }, () => verdictOf(verifier, RIGHT));
  assert.equal(verifier.waitingSize, 3);
  const counts = (await Promise.all(verdicts)).filter((verdict) => verdict === "busy").length;
  assert.equal(counts, 2);
});

test("who is gone is not checked and not told", async () => {
  const verifier = new PasswordVerifier(limits({ runningMax: 1 }));
  const told: string[] = [];
  const cancels = ["a", "b", "c"].map((name) =>
    verifier.verify(RIGHT, known, () => told.push(name)),
  );
  for (const cancel of cancels) cancel();
  assert.equal(verifier.waitingSize, 0);
  assert.equal(await verdictOf(verifier, WRONG), "wrong");
  assert.deepEqual(told, []);
});

test("a right password is remembered for its time and no longer, a wrong one never", async () => {
  let nowMs = 0;
  const verifier = new PasswordVerifier(limits({ rememberMs: 1_000 }), () => nowMs);
  const isAtOnce = (password: Uint8Array): boolean => {
    let verdict: Verdict | undefined;
    verifier.verify(password, known, (one) => {
      verdict = one;
    })();
    return verdict === "right";
  };
  assert.equal(await verdictOf(verifier, WRONG), "wrong");
  assert.equal(await verdictOf(verifier, RIGHT), "right");
  assert.equal(isAtOnce(RIGHT), true);
  assert.equal(isAtOnce(WRONG), false);
  nowMs = 999;
  assert.equal(isAtOnce(RIGHT), true);
  nowMs = 1_000;
  assert.equal(isAtOnce(RIGHT), false);
  assert.equal(await verdictOf(verifier, RIGHT), "right");
  verifier.forgetAll();
  assert.equal(isAtOnce(RIGHT), false);
});

test("a right password is right for its own hash only", async () => {
  const verifier = new PasswordVerifier(limits({ rememberMs: 1_000 }), () => 0);
  assert.equal(await verdictOf(verifier, RIGHT), "right");
  const other = await hashPassword(WRONG, CHEAP);
  const verdict = await new Promise<Verdict>(
    (resolve) => void verifier.verify(RIGHT, other, resolve),
  );
  assert.equal(verdict, "wrong");
});

test("those who wait for the same password are let in with the first", async () => {
  const verifier = new PasswordVerifier(limits({ runningMax: 1, rememberMs: 1_000 }), () => 0);
  const order: string[] = [];
  const ask = async (name: string): Promise<void> => {
    assert.equal(await verdictOf(verifier, RIGHT), "right");
    order.push(name);
  };
  await Promise.all(["a", "b", "c"].map(ask));
  assert.deepEqual(order, ["a", "b", "c"]);
});

test("no memory for a check means busy, not right, and the next one is checked", async () => {
  const verifier = new PasswordVerifier(limits());
  const impossible = { ...known, r: 2 ** 20 };
  const verdict = await new Promise<Verdict>(
    (resolve) => void verifier.verify(RIGHT, impossible, resolve),
  );
  assert.equal(verdict, "busy");
  assert.equal(await verdictOf(verifier, RIGHT), "right");
});
