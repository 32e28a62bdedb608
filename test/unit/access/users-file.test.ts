import assert from "node:assert/strict";
import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { parsePasswordHash } from "../../../src/access/password-hash.ts";
import {
  isWorldReadable,
  parseUsers,
  readUsers,
  userNameMistake,
  withoutUser,
  withUser,
  writeUsersFile,
} from "../../../src/access/users-file.ts";

const folder = mkdtempSync(join(tmpdir(), "rillmq-users-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const HASH = "$scrypt$ln=13,r=8,p=1$c2FsdHNhbHQ$aGFzaGhhc2g";
const OTHER = "$scrypt$ln=14,r=8,p=2$c2FsdHNhbHQ$aGFzaGhhc2g";

function hashOf(text: string) {
  const password = parsePasswordHash(text);
  assert.ok(password !== undefined);
  return { password, scram: undefined };
}

const namesOf = (text: string): string[] => [...parseUsers(text, "users").keys()];

test("users are read with their names as they are, comments and empty lines aside", () => {
  const text = `# devices\n\nann:${HASH}\r\na/b+#:${OTHER}\nü $1:${HASH}   \n`;
  assert.deepEqual(namesOf(text), ["ann", "a/b+#", "ü $1"]);
});

test("an empty file has no users", () => assert.deepEqual(namesOf(""), []));

const DAMAGED: readonly (readonly [text: string, reason: RegExp])[] = [
  [`ann:${HASH}\nbob`, /^users line 2: expected NAME:HASH$/],
  [`ann:secret`, /^users line 1: expected a hash/],
  [`ann:${HASH}\nann:${OTHER}`, /^users line 2: "ann" is there twice$/],
  [`:${HASH}`, /^users line 1: a user name has at least one character$/],
  [`anonymous:${HASH}`, /^users line 1: "anonymous" has a meaning/],
  [`*:${HASH}`, /^users line 1: "\*" has a meaning/],
  [` ann:${HASH}`, /^users line 1: a user name does not begin or end with space$/],
];

for (const [text, reason] of DAMAGED) {
  test(`damage is told by its line: ${reason.source}`, () => {
    assert.throws(() => parseUsers(text, "users"), { code: "users-file-damaged", message: reason });
  });
}

test("a password in the wrong place is not repeated", () => {
  assert.throws(
    () => parseUsers("ann:tops3cret", "users"),
    ({ message }: Error) => !message.includes("tops3cret"),
  );
});

test("files that are missing, too large or no text are refused", () => {
  const path = join(folder, "odd");
  assert.throws(() => readUsers(join(folder, "none")), { code: "users-file-damaged" });
  writeFileSync(path, Buffer.from([0xff, 0xfe]));
  assert.throws(() => readUsers(path), { code: "users-file-damaged" });
  writeFileSync(path, "#".repeat(8 * 1_048_576 + 1));
  assert.throws(() => readUsers(path), { code: "users-file-damaged" });
});

test("names that cannot be in the file are mistakes", () => {
  for (const name of [
    "",
    "a:b",
    "#a",
    "a\nb",
    "a\0",
    " a",
    "a ",
    "*",
    "anonymous",
    "é".repeat(129),
  ]) {
    assert.notEqual(userNameMistake(name), undefined, JSON.stringify(name));
  }
  for (const name of ["a", "ann b", "a#", "é".repeat(128), "a/b"]) {
    assert.equal(userNameMistake(name), undefined, name);
  }
});

test("adding, changing and removing a user leaves all other lines as they are", () => {
  const text = `# devices\nann:${HASH}\n\n# people\nbob:${HASH}\n`;
  assert.equal(withUser(text, "eve", hashOf(OTHER)), `${text}eve:${OTHER}\n`);
  assert.equal(withUser(text, "ann", hashOf(OTHER)), text.replace(`ann:${HASH}`, `ann:${OTHER}`));
  assert.equal(withoutUser(text, "ann"), `# devices\n\n# people\nbob:${HASH}\n`);
  assert.equal(withoutUser(text, "an"), undefined);
  assert.equal(withUser("", "eve", hashOf(HASH)), `eve:${HASH}\n`);
  assert.equal(withUser(`ann:${HASH}`, "eve", hashOf(HASH)), `ann:${HASH}\neve:${HASH}\n`);
});

test("the file is replaced in one step, for its owner alone, and a link stays a link", () => {
  const path = join(folder, "users");
  const link = join(folder, "link");
  writeFileSync(path, "old\n");
  chmodSync(path, 0o644);
  symlinkSync(path, link);
  assert.equal(isWorldReadable(link), true);
  writeUsersFile(link, "new\n");
  assert.equal(readFileSync(path, "utf8"), "new\n");
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(isWorldReadable(link), false);
  assert.deepEqual(
    readdirSync(folder).filter((name) => name.endsWith(".new")),
    [],
  );
});
