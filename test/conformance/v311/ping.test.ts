import assert from "node:assert/strict";
import { test } from "node:test";
import { ProtocolVersion } from "../../../src/mqtt/packet.ts";
import { edgeForFile, settled } from "../edge.ts";

const edge = edgeForFile();

test("PINGREQ is answered with one PINGRESP [MQTT-3.12.4-1]", async (t) => {
  const client = await edge.connect(t, ProtocolVersion.v311, "pinging");
  assert.deepEqual(await settled(client), []);
  assert.deepEqual(await settled(client), []);
});
