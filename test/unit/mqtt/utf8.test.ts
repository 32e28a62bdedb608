import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeUtf8 } from "../../../src/mqtt/utf8.ts";

const decode = (bytes: Uint8Array): string => decodeUtf8(bytes, 0, bytes.length);

/** As a Buffer and as a plain Uint8Array: the two take different ways. */
const both = (bytes: readonly number[]): Uint8Array[] => [
  Buffer.from(bytes),
  Uint8Array.from(bytes),
];

test("Well-formed strings of every length of character are decoded [MQTT-1.5.4-1].", () => {
  const texts = [
    "",
    "a",
    "\u0001\u007f",
    "\u0080",
    "é",
    "\u07ff",
    "\u0800",
    "€",
    "\ud7ff",
    "\ue000",
    "\uffff",
    "🐋",
    "\u{10ffff}",
    "x".repeat(1_000),
    `${"x".repeat(1_000)}é`,
  ];
  for (const text of texts) {
    for (const bytes of both([...Buffer.from(text)])) assert.equal(decode(bytes), text);
  }
});

test("A byte order mark is a character like others [MQTT-1.5.4-3].", () => {
  for (const bytes of both([0xef, 0xbb, 0xbf, 0x61])) assert.equal(decode(bytes), "\ufeffa");
});

test("Only the range is looked at.", () => {
  for (const bytes of both([0xff, 0x61, 0x62, 0x00])) assert.equal(decodeUtf8(bytes, 1, 3), "ab");
});

test("U+0000 is refused, also behind other characters [MQTT-1.5.4-2].", () => {
  for (const codes of [[0], [0x61, 0], [0xc3, 0xa9, 0], [0, 0xc3, 0xa9]]) {
    for (const bytes of both(codes)) assert.throws(() => decode(bytes), { reasonCode: 0x81 });
  }
});

test("Ill-formed UTF-8 is refused [MQTT-1.5.4-1].", () => {
  const illFormed = [
    [0x80],
    [0xc3],
    [0xc3, 0x28],
    [0xc0, 0x80], // U+0000, overlong
    [0xc0, 0xaf], // a slash, overlong
    [0xe0, 0x80, 0xaf],
    [0xf0, 0x80, 0x80, 0xaf],
    [0xe2, 0x82],
    [0xed, 0xa0, 0x80], // U+D800
    [0xed, 0xbf, 0xbf], // U+DFFF
    [0xed, 0xa0, 0x81, 0xed, 0xb0, 0x80], // a pair of surrogates
    [0xf4, 0x90, 0x80, 0x80], // beyond U+10FFFF
    [0xf8, 0x88, 0x80, 0x80, 0x80],
    [0xfe],
    [0xff],
  ];
  for (const codes of illFormed) {
    for (const bytes of [...both(codes), ...both([0x61, ...codes, 0x62])]) {
      assert.throws(() => decode(bytes), { name: "ProtocolError", reasonCode: 0x81 });
    }
  }
});
