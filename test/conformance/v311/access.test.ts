import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { formatPasswordHash, hashPassword } from "../../../src/access/password-hash.ts";
import { ProtocolVersion } from "../../../src/mqtt/packet.ts";
import { publishPacket } from "../../support/wire-client.ts";
import { edgeForFile, expectLines, publishSafely, settled } from "../edge.ts";
import { field, packet, RawClient } from "../raw-client.ts";

const V311 = ProtocolVersion.v311;
const HEAD = `${field("MQTT")} 04`;

const folder = mkdtempSync(join(tmpdir(), "rillmq-conformance-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const users = join(folder, "users");
const rules = join(folder, "rules.yaml");
const hash = await hashPassword(Buffer.from("secret"), { ln: 12, r: 8, p: 1 });
writeFileSync(users, `ann:${formatPasswordHash(hash)}\n`, { mode: 0o600 });
const OPEN = '    publish: ["open/#"]\n    subscribe: ["open/#", "closed/#"]\n';
writeFileSync(rules, `rules:\n  - user: ann\n${OPEN}`);
const edge = edgeForFile({ flags: ["--users", users, "--rules", rules] });
const ann = { username: "ann", password: Buffer.from("secret") };

for (const [what, flags, fields, code] of [
  ["A wrong password", "c2", `${field("ann")} ${field("wrong")}`, "04"],
  ["An unknown user", "c2", `${field("bob")} ${field("secret")}`, "04"],
  ["A user name without password", "82", field("ann"), "04"],
  ["No user name where one is wanted", "02", "", "05"],
] as const) {
  test(`${what} is refused with code ${code}, session present 0, and the connection ended [MQTT-3.2.2-4, MQTT-3.2.2-5, MQTT-3.1.4-5]`, async (t) => {
    const client = await RawClient.open(t, edge.broker.port);
    client.send(packet(0x10, `${HEAD} ${flags} 0000 ${field("c")} ${fields}`), "c000");
    assert.equal(await client.ended(), `200200${code}`);
  });
}

test("The right user name and password are accepted [MQTT-3.1.2-19, MQTT-3.1.2-21, MQTT-3.1.4-4]", async (t) => {
  const client = await RawClient.open(t, edge.broker.port);
  const fields = `${field("c")} ${field("ann")} ${field("secret")}`;
  client.send(packet(0x10, `${HEAD} c2 0000 ${fields}`));
  await client.expect("20020000");
});

for (const qos of [1, 2] as const) {
  test(`A PUBLISH of QoS ${qos} that is not authorized ends the connection, and nobody gets it [MQTT-3.3.5-2]`, async (t) => {
    const watcher = await edge.connect(t, V311, "watcher", ann);
    await watcher.subscribe(1, "closed/#", 0);
    const client = await edge.connect(t, V311, `publisher-${qos}`, ann);
    client.send(publishPacket("closed/a", "x", { qos, packetId: 1, retain: true }));
    await client.closed;
    assert.deepEqual(client.takeAll(), []);
    assert.deepEqual(await settled(watcher), []);
  });
}

test("A PUBLISH of QoS 0 that is not authorized is treated as one that was taken, and nobody gets it [MQTT-3.3.5-2]", async (t) => {
  const watcher = await edge.connect(t, V311, "watcher", ann);
  for (const filter of ["open/#", "closed/#"]) await watcher.subscribe(1, filter, 0);
  const client = await edge.connect(t, V311, "publisher-0", ann);
  client.send(publishPacket("closed/a", "x", { retain: true }));
  await publishSafely(client, "open/a", "y");
  await expectLines(watcher, ["publish open/a q0: y"]);
});

test("A filter that is not authorized gets 0x80 in its place [MQTT-3.8.4-5, MQTT-3.9.3-1, MQTT-3.9.3-2]", async (t) => {
  const client = await RawClient.open(t, edge.broker.port);
  const fields = `${field("c")} ${field("ann")} ${field("secret")}`;
  client.send(packet(0x10, `${HEAD} c2 0000 ${fields}`));
  await client.expect("20020000");
  const pairs = `${field("open/a")} 01 ${field("private/a")} 01 ${field("closed/a")} 02`;
  client.send(packet(0x82, `0009 ${pairs}`));
  await client.expect("90050009 01 80 02");
});
