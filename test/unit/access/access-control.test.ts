import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { AccessControl, runningMax } from "../../../src/access/access-control.ts";
import { LogThrottle } from "../../../src/access/log-throttle.ts";
import { formatPasswordHash, hashPassword } from "../../../src/access/password-hash.ts";
import { readRules } from "../../../src/access/rules-file.ts";
import { formatScramVerifier, scramVerifierOf } from "../../../src/access/scram-verifier.ts";
import type { AuthenticationOutcome } from "../../../src/broker/authenticator.ts";
import { eventually } from "../../support/json-process.ts";

const root = mkdtempSync(join(tmpdir(), "rillmq-access-"));
after(() => rmSync(root, { recursive: true, force: true }));
let count = 0;

const CHEAP = { ln: 10, r: 8, p: 1 };
const lineOf = async (user: string, password: string): Promise<string> =>
  `${user}:${formatPasswordHash(await hashPassword(Buffer.from(password), CHEAP))}`;
const [ANN, BOB, NEW_ANN] = await Promise.all([
  lineOf("ann", "a"),
  lineOf("bob", "b"),
  lineOf("ann", "new"),
]);

const rules = (filter: string): string =>
  `rules:\n  - user: ann\n    publish: [${filter}]\n    subscribe: [${filter}]\n`;

class Fixture {
  readonly usersFile: string;
  readonly rulesFile: string;
  readonly logged: string[] = [];
  readonly ended: string[] = [];
  changes = 0;
  readonly control: AccessControl;

  constructor(users: string, rulesText: string) {
    const folder = join(root, String(++count));
    this.usersFile = `${folder}.users`;
    this.rulesFile = `${folder}.rules`;
    writeFileSync(this.usersFile, users, { mode: 0o600 });
    writeFileSync(this.rulesFile, rulesText);
    const { usersFile, rulesFile } = this;
    this.control = new AccessControl(
      {
        usersFile,
        rulesFile,
        verificationsMax: 2,
        verificationsWaitingMax: 10,
        verifiedForMs: 60_000,
      },
      (level, event, fields) => this.logged.push(`${level} ${event} ${JSON.stringify(fields)}`),
      readRules,
    );
    this.control.listen({
      onPolicyChanged: () => {
        this.changes++;
      },
      endConnectionsOf: (isGone) => {
        for (const user of ["ann", "bob"]) if (isGone(user)) this.ended.push(user);
        assert.equal(isGone(undefined), false);
      },
    });
  }

  login(username: string | undefined, password: string): Promise<AuthenticationOutcome> {
    const claim = { username, password: Buffer.from(password), address: "10.0.0.1" };
    return new Promise((resolve) => {
      this.control.authenticator.authenticate({ ...claim, allowsAnonymous: false }, resolve);
    });
  }

  async isIn(username: string, password: string): Promise<boolean> {
    return (await this.login(username, password)).isAccepted;
  }

  logs(part: string): string[] {
    return this.logged.filter((line) => line.includes(part));
  }
}

test("users come in by their passwords; unknown users and those without a name do not", async () => {
  const fixture = new Fixture(`${ANN}\n${BOB}\n`, "rules: []");
  fixture.control.close();
  const login = (user: string | undefined, password: string): Promise<AuthenticationOutcome> =>
    fixture.login(user, password);
  assert.deepEqual(await login("ann", "a"), { isAccepted: true, principal: "ann" });
  assert.deepEqual(await login("bob", "b"), { isAccepted: true, principal: "bob" });
  const bad = { isAccepted: false, refusal: "bad-credentials" };
  assert.deepEqual(await login("ann", "b"), bad);
  assert.deepEqual(await login("ann", ""), bad);
  assert.deepEqual(await login("eve", "a"), bad);
  assert.deepEqual(await login("", "a"), bad);
  assert.deepEqual(await login("toString", "a"), bad);
  assert.deepEqual(await login(undefined, "a"), { isAccepted: false, refusal: "not-authorized" });
});

test("who is not let in is told with the address, never with the password or an unknown name", async () => {
  const fixture = new Fixture(ANN, "rules: []");
  await fixture.login("ann", "s3cret");
  await fixture.login("s3cret", "x");
  fixture.control.close();
  const lines = fixture.logs("not let in");
  assert.equal(lines.length, 2);
  assert.match(lines[0] ?? "", /"address":"10.0.0.1","user":"ann"/);
  assert.ok(!fixture.logged.join().includes("s3cret"));
});

test("a changed users file is in force by itself; those who are gone or have another password are ended", async () => {
  const fixture = new Fixture(`${ANN}\n${BOB}\n`, "rules: []");
  assert.equal(await fixture.isIn("ann", "a"), true);
  // As a Kubernetes secret does it: another file in its place.
  writeFileSync(`${fixture.usersFile}.new`, `${NEW_ANN}\n`);
  renameSync(`${fixture.usersFile}.new`, fixture.usersFile);
  await eventually(
    "the users are loaded",
    () => fixture.changes > 0,
    10_000,
    () => "",
  );
  fixture.control.close();
  assert.deepEqual(fixture.ended, ["ann", "bob"]);
  assert.equal(await fixture.isIn("ann", "a"), false);
  assert.equal(await fixture.isIn("ann", "new"), true);
  assert.equal(await fixture.isIn("bob", "b"), false);
  assert.equal(fixture.control.authorization.mayPublish("bob", "c", "t"), false);
});

test("a password that is being checked while its user goes does not let in", async () => {
  const fixture = new Fixture(`${ANN}\n${BOB}\n`, "rules: []");
  fixture.control.close();
  const outcome = fixture.login("ann", "a");
  writeFileSync(fixture.usersFile, `${BOB}\n`);
  fixture.control.reload();
  assert.equal((await outcome).isAccepted, false);
});

test("a damaged users file changes nothing but the log", async () => {
  const fixture = new Fixture(ANN, "rules: []");
  fixture.control.close();
  for (const text of ["ann", `${ANN}\n${ANN}`, "ann:plain"]) {
    writeFileSync(fixture.usersFile, text);
    fixture.control.reload();
  }
  rmSync(fixture.usersFile);
  fixture.control.reload();
  assert.equal(await fixture.isIn("ann", "a"), true);
  assert.deepEqual(fixture.ended, []);
  assert.equal(fixture.logs("error the changed users file cannot be used").length, 4);
});

test("changed rules are in force at once, damaged ones never", () => {
  const fixture = new Fixture(ANN, rules("a"));
  fixture.control.close();
  const { authorization } = fixture.control;
  const allowed = (): string[] =>
    ["a", "b"].filter((topic) => authorization.mayPublish("ann", "c", topic));
  assert.deepEqual(allowed(), ["a"]);
  writeFileSync(fixture.rulesFile, rules("b"));
  fixture.control.reload();
  assert.deepEqual(allowed(), ["b"]);
  for (const text of ["", "rules:", "rules: [{ user: ann, publish: ['a/#/b'] }]"]) {
    writeFileSync(fixture.rulesFile, text);
    fixture.control.reload();
  }
  assert.deepEqual(allowed(), ["b"]);
  assert.equal(fixture.logs("error the changed rules file cannot be used").length, 3);
});

test("reading the same users again ends nobody's connection", () => {
  const fixture = new Fixture(`${ANN}\n${BOB}\n`, "rules: []");
  fixture.control.close();
  fixture.control.reload();
  assert.deepEqual(fixture.ended, []);
});

test("one thread is left to the store, however many passwords may be checked at a time", () => {
  assert.equal(runningMax(2, undefined), 2);
  assert.equal(runningMax(3, "4"), 3);
  assert.equal(runningMax(2, "2"), 1);
  assert.equal(runningMax(2, "1"), 1);
  assert.equal(runningMax(2, "many"), 2);
  assert.equal(runningMax(3, "0"), 3);
});

test("damaged files end the start", () => {
  assert.throws(() => new Fixture("ann", "rules: []"), { code: "users-file-damaged" });
  assert.throws(() => new Fixture(ANN, "rules"), { code: "rules-file-damaged" });
});

test("a users file that everybody may read is warned about", () => {
  const fixture = new Fixture(ANN, "rules: []");
  fixture.control.close();
  assert.deepEqual(fixture.logs("warn"), []);
  chmodSync(fixture.usersFile, 0o644);
  fixture.control.reload();
  assert.equal(fixture.logs("warn everybody on this machine may read").length, 1);
});

test("denials are told, a few per second", () => {
  const fixture = new Fixture(ANN, rules("a"));
  fixture.control.close();
  for (let i = 0; i < 100; i++) fixture.control.authorization.mayPublish("ann", "c", `t${i}`);
  const lines = fixture.logs("warn the rules deny this").length;
  assert.ok(lines >= 5 && lines <= 10, `${lines} lines`);
});

test("the throttle lets a few through per second and tells how many it held back", () => {
  let nowMs = 0;
  const throttle = new LogThrottle(2, () => nowMs);
  assert.deepEqual(
    [1, 2, 3, 4].map(() => throttle.admit()),
    [0, 0, undefined, undefined],
  );
  nowMs = 999;
  assert.equal(throttle.admit(), undefined);
  nowMs = 1_000;
  assert.deepEqual(
    [1, 2, 3].map(() => throttle.admit()),
    [3, 0, undefined],
  );
});

test("a user with another SCRAM verifier is ended like one with another password", async () => {
  const verifiers = await Promise.all(["a", "b"].map((text) => scramVerifierOf(text, 4_096)));
  const [one = "", two = ""] = verifiers.map(
    (verifier) => `${ANN}:${formatScramVerifier(verifier)}`,
  );
  const fixture = new Fixture(`${one}\n${BOB}\n`, "rules: []");
  const claim = { username: undefined, address: "10.0.0.1" };
  fixture.control.keepSecretIn(root);
  assert.ok(fixture.control.enhancedAuthenticator.begin("SCRAM-SHA-256", claim) !== undefined);
  writeFileSync(fixture.usersFile, `${two}\n${BOB}\n`);
  fixture.control.reload();
  fixture.control.close();
  assert.deepEqual(fixture.ended, ["ann"]);
});
