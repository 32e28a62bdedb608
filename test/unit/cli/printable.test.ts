import assert from "node:assert/strict";
import { test } from "node:test";
import { properties, table } from "../../../src/cli/admin-command.ts";
import { printable, printableJson } from "../../../src/cli/printable.ts";

const NASTY = "a\u001b[2J\u009b1m\r\n\t\u202eb\u2028\u200d\ud800\0\u007f\\";

test("What steers a terminal, turns text or breaks lines is shown as an escape.", () => {
  assert.equal(printable("\u001b]0;x\u0007"), "\\u{1b}]0;x\\u{7}");
  assert.equal(printable("plant/größe 7 日本 😀"), "plant/größe 7 日本 😀");
  const shown = printable(NASTY);
  assert.match(shown, /^[\x20-\x7e]*$/);
});

test("Two different names never look the same.", () => {
  assert.notEqual(printable("\\u{1b}"), printable("\u001b"));
  assert.notEqual(printable("\\\\"), printable("\\"));
});

test("JSON is safe on a terminal, and is read as it was.", () => {
  const value = { [NASTY]: [NASTY, "\u{e0001}", "ä"] };
  const text = printableJson(value);
  assert.match(text, /^[\x20-\x7eä]*$/);
  assert.deepEqual(JSON.parse(text), value);
  assert.equal(printableJson(undefined), "null");
});

test("A cell cannot break out of its table, nor a property out of its line.", () => {
  const lines = table(["NAME", "N"], [["x\ny\u001b[A", "1"]]).split("\n");
  assert.deepEqual(lines, ["NAME             N", "x\\u{a}y\\u{1b}[A  1"]);
  assert.equal(properties({ a: "x\ny", b: { c: "\u009b" } }), 'a: x\\u{a}y\nb: {"c":"\\u{9b}"}');
});
