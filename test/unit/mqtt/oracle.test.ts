import assert from "node:assert/strict";
import { test } from "node:test";
import {
  isKnownToOracle,
  oracleDecode,
  oracleEncode,
  oracleForm,
} from "../../support/codec-oracle.ts";
import { CONTROL_VECTORS } from "./control-vectors.ts";
import { MESSAGE_VECTORS } from "./message-vectors.ts";
import { decodeAll, decoderFor, snapshot, wire } from "./wire.ts";

/** It forgets a user property that is empty, and an empty one is in this vector. */
const hasEmptyUserProperty = (bytes: string): boolean => bytes.includes("2600000000");

for (const [title, version, reader, bytes, packet, isDecodeOnly] of [
  ...MESSAGE_VECTORS,
  ...CONTROL_VECTORS,
]) {
  if (!isKnownToOracle(packet) || isDecodeOnly !== undefined) continue;
  test(`${title} reads the same to mqtt-packet.`, () => {
    assert.deepEqual(oracleDecode(wire(bytes), version), oracleForm(packet, version));
  });
  if (hasEmptyUserProperty(bytes)) continue;
  test(`${title} reads the same when mqtt-packet wrote it.`, () => {
    const decoder = decoderFor(reader, version);
    assert.deepEqual(decodeAll(decoder, oracleEncode(packet, version)), [snapshot(packet)]);
  });
}
