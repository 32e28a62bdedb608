import assert from "node:assert/strict";
import { test } from "node:test";
import {
  formatPasswordHash,
  hashPassword,
  parsePasswordHash,
  verifyPassword,
} from "../../../src/access/password-hash.ts";

const CHEAP = { ln: 10, r: 8, p: 1 };
const SALT = "c2FsdHNhbHQ";
const HASH = "aGFzaGhhc2g";

const phc = (parameters: string, salt = SALT, hash = HASH): string =>
  `$scrypt$${parameters}$${salt}$${hash}`;

test("the right password is right, all others are wrong", async () => {
  const known = await hashPassword(Buffer.from("päss wörd"), CHEAP);
  assert.equal(await verifyPassword(Buffer.from("päss wörd"), known), true);
  for (const wrong of ["", "päss wör", "päss wörd ", "Päss wörd"]) {
    assert.equal(await verifyPassword(Buffer.from(wrong), known), false, wrong);
  }
});

test("the same password never has the same hash twice", async () => {
  const [one, other] = await Promise.all([
    hashPassword(Buffer.from("x"), CHEAP),
    hashPassword(Buffer.from("x"), CHEAP),
  ]);
  assert.notEqual(formatPasswordHash(one), formatPasswordHash(other));
});

test("a hash is read back as it was written, with its own parameters", async () => {
  const known = await hashPassword(Buffer.from("x"), { ln: 11, r: 4, p: 2 });
  const text = formatPasswordHash(known);
  assert.match(text, /^\$scrypt\$ln=11,r=4,p=2\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/);
  const read = parsePasswordHash(text);
  assert.ok(read !== undefined);
  assert.equal(formatPasswordHash(read), text);
  assert.equal(await verifyPassword(Buffer.from("x"), read), true);
});

test("it is scrypt as RFC 7914 has it", async () => {
  // Section 12: the first 16 bytes of the third vector.
  const salt = Buffer.from("SodiumChloride").toString("base64").replace(/=+$/, "");
  const bytes = Buffer.from("7023bdcb3afd7348461c06cd81fd38eb", "hex");
  const read = parsePasswordHash(
    phc("ln=14,r=8,p=1", salt, bytes.toString("base64").replace(/=+$/, "")),
  );
  assert.ok(read !== undefined);
  assert.equal(await verifyPassword(Buffer.from("pleaseletmein"), read), true);
});

const BROKEN: readonly (readonly [what: string, text: string])[] = [
  ["nothing", ""],
  ["plain text", "secret"],
  ["another function", `$argon2id$v=19$m=65536,t=3,p=4$${SALT}$${HASH}`],
  ["no parameters", `$scrypt$${SALT}$${HASH}`],
  ["another order", phc("r=8,ln=13,p=1")],
  ["too cheap", phc("ln=9,r=8,p=1")],
  ["more memory than there is", phc("ln=15,r=8,p=1")],
  ["more memory by r", phc("ln=14,r=9,p=1")],
  ["too many rounds", phc("ln=13,r=8,p=17")],
  ["no rounds", phc("ln=13,r=8,p=0")],
  ["r of 0", phc("ln=13,r=0,p=1")],
  ["a negative number", phc("ln=-3,r=8,p=1")],
  ["padding", phc("ln=13,r=8,p=1", `${SALT}=`)],
  ["bits that mean nothing", phc("ln=13,r=8,p=1", "c2FsdHNhbHR")],
  ["a short salt", phc("ln=13,r=8,p=1", "c2FsdA")],
  ["no hash", phc("ln=13,r=8,p=1", SALT, "")],
  ["something behind it", `${phc("ln=13,r=8,p=1")}$`],
  ["a newline behind it", `${phc("ln=13,r=8,p=1")}\n`],
];

test("a fine hash is taken", () => {
  assert.ok(parsePasswordHash(phc("ln=13,r=8,p=1")) !== undefined);
});

for (const [what, text] of BROKEN) {
  test(`${what} is no hash`, () => assert.equal(parsePasswordHash(text), undefined));
}
