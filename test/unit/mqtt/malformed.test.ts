import assert from "node:assert/strict";
import { test } from "node:test";
import { PacketType, ProtocolVersion } from "../../../src/mqtt/packet.ts";
import { ProtocolError } from "../../../src/mqtt/protocol-error.ts";
import { MALFORMED_PACKETS } from "./malformed-packets.ts";
import { MALFORMED_PROPERTIES } from "./malformed-properties.ts";
import { decodeAll, decoderFor, wire } from "./wire.ts";

const { v311, v5 } = ProtocolVersion;
const ROWS = [...MALFORMED_PACKETS, ...MALFORMED_PROPERTIES];

for (const [what, version, reader, bytes, code] of ROWS) {
  test(`A ${reader} of version ${version} refuses ${what}.`, () => {
    const whole = decoderFor(reader, version);
    assert.throws(() => decodeAll(whole, wire(bytes)), { name: "ProtocolError", reasonCode: code });
    const split = decoderFor(reader, version);
    const pieces = [...wire(bytes)].map((byte) => Uint8Array.of(byte));
    assert.throws(() => decodeAll(split, ...pieces), { name: "ProtocolError", reasonCode: code });
  });
}

test("The table has at least 120 rows, no two with the same bytes for the same reader.", () => {
  const seen = new Set(ROWS.map((row) => `${row[1]} ${row[2]} ${wire(row[3]).toString("hex")}`));
  assert.equal(seen.size, ROWS.length);
  assert.ok(ROWS.length >= 120);
});

test("An unsupported level is told with the error, and the answer is in 3.1.1.", () => {
  const decoder = decoderFor("server", v311);
  decoder.feed(wire("10 0c 0004'MQTT' 06 02 0000 0000"));
  const error = caught(() => decoder.next());
  assert.equal(error.announcedLevel, 6);
  assert.equal(decoder.protocolVersion, v311);
});

test("What is wrong behind the level of a CONNECT is answered in its version.", () => {
  const decoder = decoderFor("server", v311);
  decoder.feed(wire("10 0d 0004'MQTT' 05 03 0000 00 0000"));
  assert.equal(caught(() => decoder.next()).reasonCode, 0x81);
  assert.equal(decoder.protocolVersion, v5);
});

test("Ill-formed UTF-8 in the topic of a PUBLISH is left to who reads the topic.", () => {
  const decoder = decoderFor("server", v311);
  decoder.feed(wire("30 05 0001 ff 'hi'"));
  assert.equal(decoder.next()?.type, PacketType.publish);
});

function caught(act: () => unknown): ProtocolError {
  try {
    act();
  } catch (error) {
    if (error instanceof ProtocolError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}
