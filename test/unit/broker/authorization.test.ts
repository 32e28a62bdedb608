import assert from "node:assert/strict";
import { test } from "node:test";
import {
  Authorization,
  type Denial,
  type Rule,
  type RuleSubject,
  resolveFilter,
  ruleFilterMistake,
} from "../../../src/broker/authorization.ts";

const ANN: RuleSubject = { kind: "user", name: "ann" };
const EVERYBODY: RuleSubject = { kind: "authenticated" };
const NOBODY: RuleSubject = { kind: "anonymous" };

const rule = (
  subject: RuleSubject,
  publish: readonly string[],
  subscribe: readonly string[] = [],
): Rule => ({ subject, publish, subscribe });

const authorize = (...rules: readonly Rule[]): Authorization =>
  new Authorization({ rules, users: undefined });

test("without rules everything is allowed", () => {
  const authorization = new Authorization();
  assert.equal(authorization.isOpen, true);
  assert.equal(authorization.mayPublish("ann", "c", "any/topic"), true);
  assert.equal(authorization.maySubscribe(undefined, "c", "#"), true);
  assert.equal(authorization.mayReceive("ann", "c", "$SYS/x"), true);
});

test("with an empty list of rules everything is denied", () => {
  const authorization = authorize();
  assert.equal(authorization.mayPublish("ann", "c", "a"), false);
  assert.equal(authorization.maySubscribe("ann", "c", "a"), false);
  assert.equal(authorization.mayReceive("ann", "c", "a"), false);
});

test("rules of a user, of everybody with a name and of those without add up, each for its own", () => {
  const authorization = authorize(
    rule(ANN, ["ann/#"]),
    rule(EVERYBODY, ["all"]),
    rule(NOBODY, ["public"]),
  );
  const allowed = (principal: string | undefined): string[] =>
    ["ann/x", "all", "public"].filter((topic) => authorization.mayPublish(principal, "c", topic));
  assert.deepEqual(allowed("ann"), ["ann/x", "all"]);
  assert.deepEqual(allowed("bob"), ["all"]);
  assert.deepEqual(allowed(undefined), ["public"]);
});

test("a user called anonymous is not somebody without a name", () => {
  const authorization = authorize(rule(NOBODY, ["public"]));
  assert.equal(authorization.mayPublish("anonymous", "c", "public"), false);
});

test("a right to publish is no right to subscribe, nor the other way round", () => {
  const authorization = authorize(rule(ANN, ["up"], ["down"]));
  assert.equal(authorization.mayPublish("ann", "c", "down"), false);
  assert.equal(authorization.maySubscribe("ann", "c", "up"), false);
  assert.equal(authorization.mayReceive("ann", "c", "up"), false);
  assert.equal(authorization.mayReceive("ann", "c", "down"), true);
});

test("a subscription must be covered by one allowed filter, shared or not", () => {
  const authorization = authorize(rule(ANN, [], ["a/+/b", "c/#"]));
  const may = (filter: string): boolean => authorization.maySubscribe("ann", "c", filter);
  assert.deepEqual(
    ["a/x/b", "a/+/b", "c", "c/#", "$share/group/c/d"].map(may),
    Array(5).fill(true),
  );
  assert.deepEqual(["a/#", "#", "+/c", "$share/group/#", "$SYS/#"].map(may), Array(5).fill(false));
});

test("broker's own topics need a rule that names them", () => {
  const authorization = authorize(
    rule(ANN, [], ["#"]),
    rule({ kind: "user", name: "op" }, [], ["$SYS/#"]),
  );
  assert.equal(authorization.maySubscribe("ann", "c", "$SYS/broker/uptime"), false);
  assert.equal(authorization.mayReceive("ann", "c", "$SYS/broker/uptime"), false);
  assert.equal(authorization.maySubscribe("op", "c", "$SYS/#"), true);
});

test("%u and %c stand for the names as they are", () => {
  assert.equal(resolveFilter("dev/%c/%u/#", "ann", "pump-7"), "dev/pump-7/ann/#");
  assert.equal(resolveFilter("x-%c-y", "ann", "%u"), "x-%u-y");
  assert.equal(resolveFilter("%u", "$&$1", "c"), undefined);
  assert.equal(resolveFilter("a/%u", "b$&", "c"), "a/b$&");
  assert.equal(resolveFilter("100%%u/%%", "ann", "c"), "100%u/%");
});

// CVE-2017-7650 and its relatives.
for (const name of ["+", "#", "a+", "a/b", "/", "", "x\0y", "$SYS", "#/", "a#b"]) {
  test(`the name ${JSON.stringify(name)} widens no rule: it matches nothing`, () => {
    assert.equal(resolveFilter("d/%c/t", "ann", name), undefined);
    assert.equal(resolveFilter("d/%u/t", name, "c"), undefined);
    const authorization = authorize(rule(EVERYBODY, ["d/%c/#", "d/%u/#"], ["d/%c/#", "%u/#"]));
    assert.equal(authorization.maySubscribe(name, name, "d/#"), false);
    assert.equal(authorization.maySubscribe(name, name, `d/${name}`), false);
    assert.equal(authorization.mayPublish(name, name, "d/other/t"), false);
    assert.equal(authorization.mayPublish(name, name, `d/${name}/t`), false);
  });
}

test("a rule with the user's name gives nothing to somebody without one", () => {
  const authorization = authorize(rule(NOBODY, ["u/%u/#", "c/%c"]));
  assert.equal(authorization.mayPublish(undefined, "pump", "u//x"), false);
  assert.equal(authorization.mayPublish(undefined, "pump", "u/undefined/x"), false);
  assert.equal(authorization.mayPublish(undefined, "pump", "c/pump"), true);
});

test("users who are gone may not publish, whatever the rules say", () => {
  const users = new Set(["ann"]);
  const authorization = new Authorization({ rules: undefined, users });
  assert.equal(authorization.mayPublish("ann", "c", "t"), true);
  assert.equal(authorization.mayPublish("bob", "c", "t"), false);
  assert.equal(authorization.mayPublish(undefined, "c", "t"), true);
});

test("another policy is in force at once, has another version, and denials are told", () => {
  const denials: Denial[] = [];
  const authorization = new Authorization(undefined, (denial) => denials.push(denial));
  const { version } = authorization;
  assert.equal(authorization.mayPublish("ann", "c", "a"), true);
  authorization.replace({ rules: [rule(ANN, ["b"])], users: undefined });
  assert.notEqual(authorization.version, version);
  assert.equal(authorization.mayPublish("ann", "c", "a"), false);
  assert.equal(authorization.mayPublish("ann", "c", "b"), true);
  authorization.replace({ rules: [rule(ANN, ["c"])], users: undefined });
  assert.equal(authorization.mayPublish("ann", "c", "b"), false);
  assert.deepEqual(denials, [
    { action: "publish", principal: "ann", clientId: "c", topic: "a" },
    { action: "publish", principal: "ann", clientId: "c", topic: "b" },
  ]);
});

test("filters of rules are looked at with their placeholders", () => {
  for (const filter of ["a/b", "#", "%u/#", "a/%c/+", "x%cy", "50%%/a", "$SYS/#"]) {
    assert.equal(ruleFilterMistake(filter), undefined, filter);
  }
  for (const filter of ["", "a/#/b", "a+", "%u+", "%x", "50%", "%", "$share/g/a", "%%%", "a\0"]) {
    assert.notEqual(ruleFilterMistake(filter), undefined, filter);
  }
});
