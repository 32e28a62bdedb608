import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join as joinPath } from "node:path";
import { after, test } from "node:test";
import { hashPassword } from "../../../src/access/password-hash.ts";
import { scramVerifierOf } from "../../../src/access/scram-verifier.ts";
import { withUser } from "../../../src/access/users-file.ts";
import { type AuthPacket, type ConnectPacket, PacketType } from "../../../src/mqtt/packet.ts";
import type { Properties } from "../../../src/mqtt/properties.ts";
import { ScramClient } from "../../support/scram-client.ts";
import { connectOf, field, framed, properties } from "../bytes.ts";
import { edgeForFile } from "../edge.ts";
import { StrictClient } from "../strict-client.ts";

const METHOD = "SCRAM-SHA-256";
const folder = mkdtempSync(joinPath(tmpdir(), "rillmq-auth-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const usersFile = joinPath(folder, "users");
const secret = Buffer.from("s3cret");
const user = {
  password: await hashPassword(secret, { ln: 12, r: 8, p: 1 }),
  scram: await scramVerifierOf("s3cret", 4_096),
};
writeFileSync(usersFile, withUser("", "ann", user), { mode: 0o600 });
const edge = edgeForFile({ config: { allowAnonymous: true, access: { usersFile } } });

const dial = (): Promise<StrictClient> => StrictClient.dial(edge.broker.port);

const methodOf = (data: Uint8Array | undefined, method = METHOD): Properties => ({
  authenticationMethod: method,
  ...(data === undefined ? {} : { authenticationData: data }),
});

const authOf = (reasonCode: number, data: Uint8Array | undefined, method = METHOD): AuthPacket => ({
  type: PacketType.auth,
  reasonCode,
  properties: methodOf(data, method),
});

/** The broker's AUTH; its data. */
async function takesAuth(client: StrictClient, reasonCode: number): Promise<Uint8Array> {
  const packet = await client.take();
  assert.ok(packet.type === PacketType.auth);
  assert.equal(packet.reasonCode, reasonCode);
  assert.equal(packet.properties?.authenticationMethod, METHOD);
  return packet.properties.authenticationData ?? new Uint8Array(0);
}

/** CONNECT with the first message of SCRAM; what the broker says to it. */
async function begins(
  client: StrictClient,
  scram: ScramClient,
  fields: Partial<ConnectPacket> = {},
): Promise<Uint8Array> {
  client.connect("auth", { properties: methodOf(scram.first()), ...fields });
  return takesAuth(client, 0x18);
}

/** A client that came in by SCRAM. */
async function authenticated(scram: ScramClient): Promise<StrictClient> {
  const client = await dial();
  client.send(authOfFinal(scram, await begins(client, scram)));
  const connack = await client.take();
  assert.ok(connack.type === PacketType.connack && connack.reasonCode === 0);
  return client;
}

const authOfFinal = (scram: ScramClient, server: Uint8Array): AuthPacket =>
  authOf(0x18, scram.final(server));

test("An authentication method that the broker does not have is refused with 0x8C, and closed. [MQTT-4.12.0-1, MQTT-4.13.2-1]", async () => {
  for (const method of ["none", "scram-sha-256", "SCRAM-SHA-1", ""]) {
    const client = await dial();
    client.connect("no-method", { properties: methodOf(undefined, method) });
    await client.ends("connack 0x8c");
  }
});

test("AUTH goes back and forth with 0x18, and AUTH and CONNACK have CONNECT's method. [MQTT-4.12.0-2, MQTT-4.12.0-3, MQTT-4.12.0-5, MQTT-3.15.2-1]", async () => {
  const scram = new ScramClient("ann", "s3cret");
  const client = await dial();
  const server = await begins(client, scram);
  client.send(authOfFinal(scram, server));
  const connack = await client.take();
  assert.ok(connack.type === PacketType.connack);
  assert.equal(connack.reasonCode, 0);
  assert.equal(connack.properties.authenticationMethod, METHOD);
  assert.ok(scram.trusts(connack.properties.authenticationData));
  await client.getsNothing();
});

test("Who does not prove the password is refused with 0x86, and closed. [MQTT-4.12.0-4, MQTT-4.13.2-1]", async () => {
  for (const [name, password] of [
    ["ann", "other"],
    ["bob", "s3cret"],
  ] as const) {
    const scram = new ScramClient(name, password);
    const client = await dial();
    client.send(authOfFinal(scram, await begins(client, scram)), { type: PacketType.pingreq });
    await client.ends("connack 0x86");
  }
});

test("AUTH with another method than CONNECT ends the connection, before CONNACK and after it. [MQTT-4.12.0-5, MQTT-4.12.1-1]", async () => {
  const scram = new ScramClient("ann", "s3cret");
  const early = await dial();
  early.send(authOf(0x18, scram.final(await begins(early, scram)), "PLAIN"));
  await early.ends("connack 0x82");
  const late = await authenticated(new ScramClient("ann", "s3cret"));
  late.send(authOf(0x19, scram.first(), "PLAIN"));
  await late.ends("disconnect 0x82");
});

test("Until CONNACK a client may send AUTH and DISCONNECT and nothing else. [MQTT-3.1.2-30, MQTT-3.1.4-6]", async () => {
  const rows = [
    "30 04 0001 61 00",
    "c0 00",
    "82 07 0001 00 0001 61 00",
    "40 02 0001",
    connectOf("02", "00", field("'auth'")),
  ];
  for (const bytes of rows) {
    const client = await dial();
    await begins(client, new ScramClient("ann", "s3cret"));
    client.sendWire(bytes);
    assert.deepEqual(await client.rest(), ["connack 0x82"], bytes);
  }
  const client = await dial();
  await begins(client, new ScramClient("ann", "s3cret"));
  client.sendWire("e000");
  await client.ends();
});

test("A client without method gets no AUTH and no method, and may send no AUTH. [MQTT-4.12.0-6, MQTT-4.12.0-7]", async () => {
  for (const reasonCode of [0x18, 0x19]) {
    const client = await StrictClient.join(edge.broker.port, "plain");
    assert.equal(client.connack?.properties.authenticationMethod, undefined);
    client.send(authOf(reasonCode, undefined));
    await client.ends("disconnect 0x82");
  }
  const empty = await StrictClient.join(edge.broker.port, "plain");
  empty.sendWire("f0 00");
  await empty.ends("disconnect 0x82");
});

test("A client authenticates again with the same method, while everything else goes on, and AUTH 0x00 says that it is done. [MQTT-4.12.1-1, MQTT-4.12.0-5, MQTT-3.15.2-1]", async () => {
  const client = await authenticated(new ScramClient("ann", "s3cret"));
  await client.subscribe("again");
  for (let i = 0; i < 2; i++) {
    const scram = new ScramClient("ann", "s3cret");
    client.send(authOf(0x19, scram.first()));
    const server = await takesAuth(client, 0x18);
    await client.getsNothing();
    client.send(authOfFinal(scram, server));
    assert.ok(scram.trusts(await takesAuth(client, 0x00)));
    await client.getsNothing();
  }
});

test("A re-authentication that fails ends the connection with 0x87. [MQTT-4.12.1-2, MQTT-4.13.2-1]", async () => {
  const client = await authenticated(new ScramClient("ann", "s3cret"));
  const scram = new ScramClient("ann", "other");
  client.send(authOf(0x19, scram.first()));
  client.send(authOfFinal(scram, await takesAuth(client, 0x18)));
  await client.ends("disconnect 0x87");
});

test("Reason codes of AUTH that a client may not send, and those at the wrong time, end the connection. [MQTT-3.15.2-1, MQTT-4.12.0-3]", async () => {
  for (const reasonCode of [0x00, 0x01, 0x80, 0x87]) {
    const client = await authenticated(new ScramClient("ann", "s3cret"));
    client.sendWire(
      framed(
        "f0",
        reasonCode.toString(16).padStart(2, "0"),
        properties("15", field(`'${METHOD}'`)),
      ),
    );
    assert.deepEqual(await client.rest(), ["disconnect 0x82"], String(reasonCode));
  }
  // There is nothing to go on with.
  const done = await authenticated(new ScramClient("ann", "s3cret"));
  done.send(authOf(0x18, undefined));
  await done.ends("disconnect 0x82");
  // Nothing to do again.
  const early = await dial();
  await begins(early, new ScramClient("ann", "s3cret"));
  early.send(authOf(0x19, undefined));
  await early.ends("connack 0x82");
});

test("Flags of AUTH other than 0 are malformed. [MQTT-3.15.1-1]", async () => {
  for (let flags = 1; flags < 16; flags++) {
    const client = await authenticated(new ScramClient("ann", "s3cret"));
    client.sendWire(framed(`f${flags.toString(16)}`, "19", properties("15", field(`'${METHOD}'`))));
    await client.ends("disconnect 0x81");
  }
});

test("Properties of AUTH: a method, data with it, each once, and none of other packets. [MQTT-4.13.1-1, MQTT-4.12.0-5]", async () => {
  const method = `15 ${field(`'${METHOD}'`)}`;
  const rows: readonly [text: string, code: string][] = [
    ["00", "0x82"],
    [properties("16 0000"), "0x82"],
    [properties(method, method), "0x82"],
    [properties(method, "16 0000 16 0000"), "0x82"],
    [properties(method, "11 00000000"), "0x81"],
    ["7f", "0x81"],
  ];
  for (const [text, code] of rows) {
    const client = await authenticated(new ScramClient("ann", "s3cret"));
    client.sendWire(framed("f0", "19", text));
    assert.deepEqual(await client.rest(), [`disconnect ${code}`], text);
  }
});

test("AUTH of the broker has neither reason string nor user properties, so that none makes it too large. [MQTT-3.15.2-2, MQTT-3.15.2-3]", async () => {
  const client = await dial();
  client.connect("auth", { properties: methodOf(new ScramClient("ann", "s3cret").first()) });
  const packet = await client.take();
  assert.ok(packet.type === PacketType.auth);
  assert.deepEqual(Object.keys(packet.properties ?? {}).sort(), [
    "authenticationData",
    "authenticationMethod",
  ]);
});

test("Who gives a wrong user name or password is refused with 0x86, one who proves to be nobody else is let in. [MQTT-3.1.4-2, MQTT-3.2.2-7, MQTT-3.1.3-12]", async () => {
  const rows: readonly [string, string | undefined, string][] = [
    ["ann", "other", "connack 0x86"],
    ["ann", undefined, "connack 0x86"],
    ["bob", "s3cret", "connack 0x86"],
  ];
  for (const [username, password, answer] of rows) {
    const client = await dial();
    const given = password === undefined ? {} : { password: Buffer.from(password) };
    client.connect("named", { username, ...given });
    await client.ends(answer);
  }
  const client = await StrictClient.join(edge.broker.port, "named", {
    username: "ann",
    password: secret,
  });
  await client.leave();
});

test("A session belongs to its user: nobody else takes it over or ends it, and it stands. [MQTT-3.1.4-2]", async () => {
  const named = { username: "ann", password: secret };
  const owner = await StrictClient.join(edge.broker.port, "owned", named);
  const other = await dial();
  other.connect("owned");
  await other.ends("connack 0x87");
  await owner.getsNothing();
});
