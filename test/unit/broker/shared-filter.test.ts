import assert from "node:assert/strict";
import { test } from "node:test";
import { isShared, isSubscribable, plainFilterOf } from "../../../src/broker/shared-filter.ts";

test("A shared subscription has a name of at least one character without wildcards, and a topic filter.", () => {
  const good = [
    "$share/g/a",
    "$share/g/#",
    "$share/g/+/a/#",
    "$share/g//",
    "$share/$x/$SYS/#",
    "$share/ü/a",
  ];
  for (const filter of good) assert.ok(isShared(filter) && isSubscribable(filter), filter);
  const bad = [
    "$share/",
    "$share/g",
    "$share//a",
    "$share/g/",
    "$share/+/a",
    "$share/#",
    "$share/#/a",
    "$share/g+/a",
    "$share/g#/a",
    "$share/g/a#",
    "$share/g/#/a",
    "$share/g/$share/h/a",
  ];
  for (const filter of bad) assert.ok(isShared(filter) && !isSubscribable(filter), filter);
});

test("What does not begin with $share/ is a plain topic filter.", () => {
  for (const filter of ["a", "#", "$share", "$shared/g/a", "x/$share/g/a"]) {
    assert.ok(!isShared(filter) && isSubscribable(filter), filter);
    assert.equal(plainFilterOf(filter), filter);
  }
  assert.ok(!isSubscribable("a/#/b"));
});

test("The topic filter within is what stands behind the name.", () => {
  assert.equal(plainFilterOf("$share/g/a/b"), "a/b");
  assert.equal(plainFilterOf("$share/g//"), "/");
  assert.equal(plainFilterOf("$share/g"), "");
});
