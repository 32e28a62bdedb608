import assert from "node:assert/strict";
import { test } from "node:test";
import { PacketType, type Role } from "../../../src/mqtt/packet.ts";
import {
  connackReasonCode,
  connackReturnCode,
  isReasonCodeOf,
  ReasonCode,
} from "../../../src/mqtt/reason-code.ts";

/** All codes that the sender may put into the packet, in order. */
const codesOf = (type: PacketType, sender: Role): string =>
  Array.from({ length: 256 }, (_, code) => code)
    .filter((code) => isReasonCodeOf(type, code, sender))
    .map((code) => code.toString(16).padStart(2, "0"))
    .join(" ");

test("Every reason code stands in the packets of section 2.4 and in no others.", () => {
  const received = "00 10 80 83 87 90 91 97 99";
  for (const sender of ["client", "server"] as const) {
    assert.equal(codesOf(PacketType.puback, sender), received);
    assert.equal(codesOf(PacketType.pubrec, sender), received);
    assert.equal(codesOf(PacketType.pubrel, sender), "00 92");
    assert.equal(codesOf(PacketType.pubcomp, sender), "00 92");
    assert.equal(codesOf(PacketType.publish, sender), "");
  }
  assert.equal(
    codesOf(PacketType.connack, "server"),
    "00 80 81 82 83 84 85 86 87 88 89 8a 8c 90 95 97 99 9a 9b 9c 9d 9f",
  );
  assert.equal(codesOf(PacketType.connack, "client"), "");
  assert.equal(codesOf(PacketType.suback, "server"), "00 01 02 80 83 87 8f 91 97 9e a1 a2");
  assert.equal(codesOf(PacketType.unsuback, "server"), "00 11 80 83 87 8f 91");
  assert.equal(
    codesOf(PacketType.disconnect, "client"),
    "00 04 80 81 82 83 90 93 94 95 96 97 98 99",
  );
  assert.equal(
    codesOf(PacketType.disconnect, "server"),
    "00 80 81 82 83 87 89 8b 8c 8d 8e 8f 90 93 94 95 96 97 98 99 9a 9b 9c 9d 9e 9f a0 a1 a2",
  );
  assert.equal(codesOf(PacketType.auth, "client"), "18 19");
  assert.equal(codesOf(PacketType.auth, "server"), "00 18");
});

test("Every reason code may stand somewhere.", () => {
  for (const code of Object.values(ReasonCode)) {
    const isUsed = Object.values(PacketType).some(
      (type) => isReasonCodeOf(type, code, "server") || isReasonCodeOf(type, code, "client"),
    );
    assert.ok(isUsed, `0x${code.toString(16)}`);
  }
  // 43 codes in section 2.4, three of them named 0x00.
  assert.equal(new Set(Object.values(ReasonCode)).size, 43);
});

test("Return codes of 3.x and reason codes stand for each other.", () => {
  for (let returnCode = 0; returnCode <= 5; returnCode++) {
    assert.equal(connackReturnCode(connackReasonCode(returnCode) ?? -1), returnCode);
  }
  assert.equal(connackReasonCode(6), undefined);
  assert.equal(connackReturnCode(ReasonCode.banned), 5);
  assert.equal(connackReturnCode(ReasonCode.badAuthenticationMethod), 5);
  assert.equal(connackReturnCode(ReasonCode.serverBusy), 3);
  assert.equal(connackReturnCode(ReasonCode.quotaExceeded), 3);
});

test("No refusal is ever told as an acceptance.", () => {
  for (let code = 1; code < 256; code++) assert.notEqual(connackReturnCode(code), 0);
});
