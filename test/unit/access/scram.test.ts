import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { FailedAuthentication } from "../../../src/access/password-authenticator.ts";
import { parsePasswordHash } from "../../../src/access/password-hash.ts";
import { saslprep } from "../../../src/access/saslprep.ts";
import { SCRAM_SHA_256, ScramAuthenticator } from "../../../src/access/scram-authenticator.ts";
import { ScramExchange } from "../../../src/access/scram-exchange.ts";
import {
  formatScramVerifier,
  parseScramVerifier,
  type ScramVerifier,
  scramVerifierOf,
} from "../../../src/access/scram-verifier.ts";
import { readSecret } from "../../../src/access/secret-file.ts";
import { formatUser, parseUsers, type User } from "../../../src/access/users-file.ts";
import type { AuthenticationStep } from "../../../src/broker/enhanced-authenticator.ts";
import { ScramClient } from "../../support/scram-client.ts";

const HASH = "$scrypt$ln=13,r=8,p=1$c2FsdHNhbHQ$aGFzaGhhc2g";
const password = parsePasswordHash(HASH);
assert.ok(password !== undefined);
const hash = password;
const ANN = await scramVerifierOf("pencil", 4_096);
const userOf = (scram: ScramVerifier | undefined): User => ({ password: hash, scram });

const REFUSED: AuthenticationStep = { kind: "refused", refusal: "bad-credentials" };
const textOf = (step: AuthenticationStep | undefined): string =>
  step !== undefined && "data" in step ? Buffer.from(step.data ?? []).toString() : "";

class Fixture {
  readonly users = new Map<string, User>([
    ["ann", userOf(ANN)],
    ["a,b=c", userOf(ANN)],
    ["old", userOf(undefined)],
  ]);
  readonly failed: FailedAuthentication[] = [];
  readonly authenticator = new ScramAuthenticator(this.users, new Uint8Array(32), (one) =>
    this.failed.push(one),
  );

  begin(username?: string) {
    const exchange = this.authenticator.begin(SCRAM_SHA_256, { username, address: "10.0.0.1" });
    assert.ok(exchange !== undefined);
    return exchange;
  }

  /** What the exchange of this client ends with. */
  run(client: ScramClient, username?: string): AuthenticationStep {
    const exchange = this.begin(username);
    const first = exchange.step(client.first());
    if (first.kind !== "continue") return first;
    const last = exchange.step(client.final(first.data));
    if (last.kind === "accepted") assert.equal(client.trusts(last.data), true);
    return last;
  }
}

test("The exchange of RFC 7677 section 3 goes as it is written there.", async () => {
  const salt = Buffer.from("W22ZaJ0SNY7soEsUEjb6gQ==", "base64");
  const verifier = await scramVerifierOf("pencil", 4_096, salt);
  const exchange = new ScramExchange({
    username: undefined,
    nonce: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
    identify: (user) => ({ isReal: () => user === "user", verifier }),
    onFailed: () => undefined,
  });
  const first = exchange.step(Buffer.from("n,,n=user,r=rOprNGfwEbeRWgbNEkqO"));
  assert.equal(
    textOf(first),
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
  );
  const last = exchange.step(
    Buffer.from(
      "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
    ),
  );
  assert.equal(last.kind, "accepted");
  assert.equal(textOf(last), "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
  assert.deepEqual(exchange.step(Buffer.from("again")), REFUSED);
});

test("A user comes in with the right password alone, by whatever name needs quoting.", () => {
  const fixture = new Fixture();
  for (const name of ["ann", "a,b=c"]) {
    const step = fixture.run(new ScramClient(name, "pencil"));
    assert.equal(step.kind === "accepted" && step.principal, name);
    assert.deepEqual(fixture.run(new ScramClient(name, "pencils")), REFUSED);
  }
  assert.deepEqual(
    fixture.failed.map(({ user }) => user),
    ["ann", "a,b=c"],
  );
});

test("Unknown users and those without verifier get an exchange like all others, and fail at its end.", () => {
  const fixture = new Fixture();
  for (const name of ["eve", "old", "toString"]) {
    const salts = [1, 2].map(() => {
      const first = fixture.begin().step(new ScramClient(name, "pencil").first());
      return ScramClient.partsOf("data" in first ? first.data : undefined);
    });
    const [one, two] = salts;
    assert.equal(one?.iterations, 4_096);
    assert.equal(Buffer.from(one?.salt ?? "", "base64").length, 16);
    assert.equal(one?.salt, two?.salt, "the same salt whenever it is asked for");
    assert.notEqual(one?.nonce, two?.nonce);
    assert.deepEqual(fixture.run(new ScramClient(name, "pencil")), REFUSED);
  }
  const salts = ["eve", "old", "toString"].map((name) =>
    textOf(fixture.begin().step(new ScramClient(name, "x").first())),
  );
  assert.equal(new Set(salts.map((text) => /s=([^,]+)/.exec(text)?.[1])).size, 3);
  // What was given as a name of nobody may be a password.
  assert.deepEqual(
    fixture.failed.map(({ user }) => user),
    [undefined, "old", undefined],
  );
});

test("Made up salts survive a restart, because the secret does.", () => {
  const folder = mkdtempSync(join(tmpdir(), "rillmq-secret-"));
  try {
    const secret = readSecret(folder);
    assert.equal(secret.length, 32);
    assert.deepEqual(readSecret(folder), secret);
    assert.equal(statSync(join(folder, "access-secret")).mode & 0o777, 0o600);
    assert.deepEqual(readFileSync(join(folder, "access-secret")), Buffer.from(secret));
    const salts = [secret, secret, new Uint8Array(32)].map((one) => {
      const authenticator = new ScramAuthenticator(new Map(), new Uint8Array(32), () => undefined);
      authenticator.useSecret(one);
      const claim = { username: undefined, address: "" };
      const step = authenticator
        .begin(SCRAM_SHA_256, claim)
        ?.step(new ScramClient("eve", "x").first());
      return /s=([^,]+)/.exec(textOf(step))?.[1];
    });
    assert.equal(salts[0], salts[1]);
    assert.notEqual(salts[0], salts[2]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("User Name of CONNECT and the authorization identity say the same as SCRAM or nothing.", () => {
  const fixture = new Fixture();
  const client = (gs2?: string): ScramClient => new ScramClient("ann", "pencil", "nonce", gs2);
  assert.equal(fixture.run(client(), "ann").kind, "accepted");
  assert.deepEqual(fixture.run(client(), "bob"), REFUSED);
  assert.deepEqual(fixture.run(client(), ""), REFUSED);
  assert.equal(fixture.run(client("n,a=ann,")).kind, "accepted");
  assert.deepEqual(fixture.run(client("n,a=bob,")), REFUSED);
});

test("A client may know channel binding, but not use it.", () => {
  const fixture = new Fixture();
  const client = (gs2: string): ScramClient => new ScramClient("ann", "pencil", "nonce", gs2);
  assert.equal(fixture.run(client("y,,")).kind, "accepted");
  assert.deepEqual(fixture.run(client("p=tls-exporter,,")), REFUSED);
  const exchange = fixture.begin();
  const first = exchange.step(client("n,,").first());
  // What the client says last is bound to what it said first.
  const final = client("y,,").final("data" in first ? first.data : undefined);
  assert.deepEqual(exchange.step(final), REFUSED);
});

test("What is no SCRAM message is refused.", () => {
  const fixture = new Fixture();
  for (const first of [
    "",
    "n=ann,r=nonce",
    "n,,r=nonce",
    "n,,n=ann",
    "n,,n=,r=nonce",
    "n,,n=ann,r=",
    "n,,n=ann,r=no nce",
    "n,,n=an=n,r=nonce",
    "n,,n=an=2Dn,r=nonce",
    "n,,m=x,n=ann,r=nonce",
    "x,,n=ann,r=nonce",
    `n,,n=ann,r=${"x".repeat(513)}`,
    `n,,n=${"x".repeat(5_000)},r=nonce`,
  ]) {
    assert.deepEqual(fixture.begin().step(Buffer.from(first)), REFUSED, first);
  }
  assert.deepEqual(fixture.begin().step(Buffer.from("n,,n=\xff,r=nonce", "latin1")), REFUSED);
  for (const change of [
    () => "",
    (final: string) => final.replace("c=biws", "c=eSws"),
    (final: string) => final.replace("r=", "r=x"),
    (final: string) => final.replace(/p=./, "p="),
    (final: string) => final.replace(/p=.*/, "p=AAAA"),
    (final: string) => final.replace(/,p=.*/, ""),
  ]) {
    const exchange = fixture.begin();
    const client = new ScramClient("ann", "pencil");
    const first = exchange.step(client.first());
    const final = client.final("data" in first ? first.data : undefined).toString();
    assert.deepEqual(exchange.step(Buffer.from(change(final))), REFUSED);
  }
});

test("A proof with another nonce than that of this exchange is refused, right as it is otherwise.", () => {
  const fixture = new Fixture();
  const client = new ScramClient("ann", "pencil");
  const finalWith = (said?: string): AuthenticationStep => {
    const exchange = fixture.begin();
    const first = exchange.step(client.first());
    return exchange.step(client.final("data" in first ? first.data : undefined, said));
  };
  assert.equal(finalWith().kind, "accepted");
  assert.deepEqual(finalWith("fyko+d2lbbFgONRv9qkxdawLold"), REFUSED);
});

test("A client that waits to be asked is asked with nothing.", () => {
  const exchange = new Fixture().begin();
  assert.deepEqual(exchange.step(undefined), { kind: "continue", data: undefined });
  assert.equal(exchange.step(new ScramClient("ann", "pencil").first()).kind, "continue");
  assert.deepEqual(exchange.step(undefined), REFUSED);
});

test("Who gets another password or is gone before the proof came does not come in.", async () => {
  for (const user of [undefined, userOf(undefined), userOf(await scramVerifierOf("x", 4_096))]) {
    const fixture = new Fixture();
    const client = new ScramClient("ann", "pencil");
    const exchange = fixture.begin();
    const first = exchange.step(client.first());
    fixture.authenticator.replaceUsers(new Map(user === undefined ? [] : [["ann", user]]));
    assert.deepEqual(
      exchange.step(client.final("data" in first ? first.data : undefined)),
      REFUSED,
    );
  }
});

test("Without users file and for other methods there is nothing to begin.", () => {
  const claim = { username: undefined, address: "" };
  const closed = new ScramAuthenticator(undefined, new Uint8Array(32), () => undefined);
  assert.equal(closed.begin(SCRAM_SHA_256, claim), undefined);
  assert.equal(new Fixture().authenticator.begin("SCRAM-SHA-1", claim), undefined);
});

test("A verifier is read as it is written; what is too cheap or too dear is not.", () => {
  const text = formatScramVerifier(ANN);
  assert.match(text, /^\$scram-sha-256\$i=4096\$/);
  assert.deepEqual(formatScramVerifier(parseScramVerifier(text) ?? ANN), text);
  for (const other of ["i=4095", "i=10000001", "i=0", "i=4096x", "i=04096"]) {
    assert.equal(parseScramVerifier(text.replace("i=4096", other)), undefined, other);
  }
  assert.equal(parseScramVerifier(text.slice(0, -1)), undefined);
});

test("A users file with verifiers is read, and one that is damaged told by its line.", () => {
  const line = `ann:${formatUser(userOf(ANN))}`;
  const users = parseUsers(`old:${HASH}\n${line}\n`, "users");
  assert.equal(users.get("old")?.scram, undefined);
  assert.deepEqual(
    Buffer.from(users.get("ann")?.scram?.storedKey ?? []),
    Buffer.from(ANN.storedKey),
  );
  assert.throws(
    () => parseUsers(`${line}x\n`, "users"),
    /^OperatingError: users line 1: expected a verifier/,
  );
});

test("SASLprep maps, normalises and refuses as in RFC 4013 section 3.", () => {
  assert.equal(saslprep("I\u00adX"), "IX");
  assert.equal(saslprep("user"), "user");
  assert.equal(saslprep("USER"), "USER");
  assert.equal(saslprep("\u00aa"), "a");
  assert.equal(saslprep("\u2168"), "IX");
  assert.equal(saslprep("\u0007"), undefined);
  assert.equal(saslprep("a\u00a0b\u3000c"), "a b c");
  for (const bad of ["\ue000", "\ufdd0", "\ud800", "\u202e", "\ufffd", "\u{e0041}"]) {
    assert.equal(saslprep(`a${bad}`), undefined);
  }
});

test("Two ways to write the same password make the same verifier.", async () => {
  const salt = new Uint8Array(16);
  const [one, two] = await Promise.all(
    ["\u2168", "IX"].map((text) => scramVerifierOf(text, 4_096, salt)),
  );
  assert.deepEqual(one, two);
  await assert.rejects(scramVerifierOf("a\u0007", 4_096), RangeError);
  await assert.rejects(scramVerifierOf("a", 4_095), RangeError);
});
