import assert from "node:assert/strict";
import { PacketType, ProtocolVersion } from "../../src/mqtt/packet.ts";
import { type Answer, CaseClient } from "./case-client.ts";
import type { MalformedCase } from "./malformed-case.ts";

const CLIENT_ID = "corpus-case";

/** Sends one wrong packet to the broker at this port and checks what comes of it. */
export async function runCase(port: number, malformed: MalformedCase): Promise<void> {
  const { expected, version, bytes } = malformed;
  const client = await CaseClient.open(port, version);
  try {
    if (malformed.phase === "connected") await client.connect(CLIENT_ID, version);
    client.send(bytes);
    switch (expected.kind) {
      case "closes":
        await client.until(() => client.isClosed);
        checkFarewell(client.answers, expected.reasonCode, version);
        return;
      case "refuses":
        await client.until(() => client.isClosed);
        checkRefusal(client.answers, expected);
        return;
      case "answers": {
        assert.equal(await client.isAlive(), true, "the connection was closed");
        const { type, reasonCode } = expected;
        const found = client.answers.find((answer) => answer.type === type);
        assert.equal(found?.reasonCode, reasonCode);
        return;
      }
      case "waits":
        assert.deepEqual(client.answers, []);
        return;
    }
  } finally {
    await client.end();
  }
}

/** Sends the packet as it should be; fails when the broker does not take it. */
export async function runBase(port: number, malformed: MalformedCase): Promise<void> {
  const { version, base, phase } = malformed;
  const client = await CaseClient.open(port, version);
  try {
    if (phase === "connected") await client.connect(CLIENT_ID, version);
    client.send(base);
    const isAlive = await client.isAlive();
    // A packet identifier that nobody knows is released and completed all the same.
    const refusals = client.answers.filter(
      ({ type, reasonCode }) =>
        reasonCode >= 0x80 && type !== PacketType.pubrel && type !== PacketType.pubcomp,
    );
    assert.deepEqual(refusals, []);
    const isDisconnect = (base[0] ?? 0) >>> 4 === PacketType.disconnect;
    assert.equal(isAlive, !isDisconnect);
  } finally {
    await client.end();
  }
}

function checkFarewell(
  received: readonly Answer[],
  reasonCode: number,
  version: ProtocolVersion,
): void {
  // What was right before the fault may have been answered.
  const last = received.filter(({ type }) => type !== PacketType.pubrec);
  const farewell = { type: PacketType.disconnect, reasonCode };
  assert.deepEqual(last, version === ProtocolVersion.v5 ? [farewell] : []);
}

function checkRefusal(
  received: readonly Answer[],
  { reasonCode, isSilent }: { readonly reasonCode: number; readonly isSilent?: boolean },
): void {
  if (received.length === 0 && isSilent !== false) return;
  assert.deepEqual(received, [{ type: PacketType.connack, reasonCode }]);
}
