import assert from "node:assert/strict";
import { test } from "node:test";
import { ProtocolVersion } from "../../../src/mqtt/packet.ts";
import { connectPacket } from "../../support/packet-bytes.ts";
import { edgeForFile, lastWords } from "../edge.ts";

const V311 = ProtocolVersion.v311;
const edge = edgeForFile();

test("A second CONNECT ends the connection [MQTT-3.1.0-2]", async (t) => {
  const client = await edge.connect(t, V311, "twice");
  client.send(connectPacket("twice", V311));
  assert.deepEqual(await lastWords(client), []);
});
