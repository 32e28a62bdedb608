import assert from "node:assert/strict";
import { test } from "node:test";
import { PacketType, ProtocolVersion } from "../../../src/mqtt/packet.ts";
import { ScriptedAuthenticator } from "../../support/scripted-authenticator.ts";
import type { ConnectFields, VirtualClient } from "../../support/virtual-client.ts";
import { publishPacket } from "../../support/virtual-client.ts";
import { VirtualNode } from "../../support/virtual-node.ts";

const VERSIONS = [ProtocolVersion.v311, ProtocolVersion.v5];

function nodeWith(authenticator: ScriptedAuthenticator, allowsAnonymous = false): VirtualNode {
  return new VirtualNode({ connection: { authenticator, allowsAnonymous } });
}

const as = (user: string, password = user): ConnectFields => ({
  username: user,
  password: Buffer.from(password),
});

const lasting: ConnectFields = {
  cleanStart: false,
  properties: { sessionExpirySeconds: 3_600 },
};

function refusalOf(client: VirtualClient): string {
  assert.equal(client.isClosed, true);
  return client.takeText().join();
}

for (const version of VERSIONS) {
  test(`A wrong password is refused, in version ${version}. [MQTT 5.0 section 3.2.2.2]`, () => {
    const node = nodeWith(new ScriptedAuthenticator());
    assert.equal(refusalOf(node.connect("c", { version, ...as("ann", "wrong") })), "connack 0x86");
    assert.equal(node.broker.counters.refusedCredentials, 1);
    assert.equal(node.broker.sessions.size, 0);
  });

  test(`No user name is refused where one is wanted, in version ${version}.`, () => {
    const node = nodeWith(new ScriptedAuthenticator());
    assert.equal(refusalOf(node.connect("c", { version })), "connack 0x87");
    assert.equal(node.broker.counters.refusedNotAuthorized, 1);
  });

  test(`Too many at once are refused for now, in version ${version}.`, () => {
    const node = nodeWith(new ScriptedAuthenticator());
    const expected = version === ProtocolVersion.v5 ? "connack 0x89" : "connack 0x88";
    assert.equal(refusalOf(node.connect("c", { version, ...as("busy") })), expected);
    assert.equal(node.broker.counters.refusedBusy, 1);
  });

  test(`Another user cannot take over, resume or end a session, in version ${version}.`, () => {
    const node = nodeWith(new ScriptedAuthenticator(), true);
    const ann = node.connect("c", { version, ...lasting, ...as("ann") });
    ann.subscribe("t", { qos: 1 });
    ann.take();
    for (const cleanStart of [false, true]) {
      for (const stranger of [as("bob"), {}]) {
        const thief = node.connect("c", { version, ...stranger, cleanStart });
        assert.equal(refusalOf(thief), "connack 0x87");
      }
    }
    assert.equal(ann.isClosed, false);
    ann.lose();
    const thief = node.connect("c", { version, ...as("bob"), cleanStart: true });
    assert.equal(refusalOf(thief), "connack 0x87");
    node.crash();
    assert.equal(refusalOf(node.connect("c", { version, ...lasting })), "connack 0x87");
    node.connect("p", as("bob")).publish("t", "kept", { qos: 1, packetId: 1 });
    const back = node.connect("c", { version, ...lasting, ...as("ann") });
    assert.deepEqual(back.takeText(), ["connack present", "publish t q1 #1: kept"]);
  });
}

test("A user cannot take over what belongs to nobody in particular.", () => {
  const node = nodeWith(new ScriptedAuthenticator(), true);
  const anonymous = node.connect("c");
  anonymous.take();
  assert.equal(refusalOf(node.connect("c", as("ann"))), "connack 0x87");
  assert.equal(refusalOf(node.connect("c", as("anonymous"))), "connack 0x87");
  assert.equal(anonymous.isClosed, false);
});

test("Where anonymous clients come in, a wrong password is refused all the same.", () => {
  const node = nodeWith(new ScriptedAuthenticator(), true);
  assert.equal(refusalOf(node.connect("c", as("ann", "wrong"))), "connack 0x86");
  assert.deepEqual(node.connect("c").takeText(), ["connack"]);
});

test("A session's record of an older version belongs to anonymous clients.", () => {
  const authenticator = new ScriptedAuthenticator();
  const node = nodeWith(authenticator, true);
  node.connect("c", lasting).lose();
  const [key = ""] = node.metaKeys(0x10);
  assert.equal(Buffer.from(key.slice(2), "hex").toString(), "c");
  const record = node.store.get("meta", Buffer.from(key, "hex"));
  assert.equal(Buffer.from(record ?? []).includes("user"), false);
  node.crash();
  assert.deepEqual(node.connect("c", lasting).takeText(), ["connack present"]);
});

test("While it is found out who a client is, nothing is decoded and the network is paused.", () => {
  const authenticator = new ScriptedAuthenticator("late");
  const node = nodeWith(authenticator);
  const client = node.dial();
  const connect = client.encode({
    type: PacketType.connect,
    protocolVersion: ProtocolVersion.v5,
    cleanStart: true,
    keepAliveSeconds: 0,
    clientId: "c",
    properties: {},
    ...as("ann"),
  });
  const early = client.encode(
    { type: PacketType.pingreq },
    publishPacket("t", "early", { qos: 1, packetId: 7 }),
  );
  client.sendBytes(Buffer.concat([connect, early.subarray(0, 1)]));
  assert.equal(client.link.isPaused, true);
  client.sendBytes(early.subarray(1, 5));
  client.sendBytes(early.subarray(5));
  assert.deepEqual(client.takeText(), []);
  assert.equal(node.broker.counters.messagesReceivedQos1, 0);
  authenticator.answer();
  node.turn();
  assert.deepEqual(client.takeText(), ["connack", "pingresp", "puback 7 0x10"]);
  assert.equal(client.link.isPaused, false);
});

test("What a refused client sent early has no effect.", () => {
  const authenticator = new ScriptedAuthenticator("late");
  const node = nodeWith(authenticator);
  const client = node.connect("c", as("ann", "wrong"));
  client.publish("t", "early", { qos: 1, packetId: 7 });
  authenticator.answer();
  node.turn();
  assert.equal(refusalOf(client), "connack 0x86");
  assert.equal(node.broker.counters.messagesReceivedQos1, 0);
});

test("The bytes that come early are bounded.", () => {
  const authenticator = new ScriptedAuthenticator("late");
  const node = nodeWith(authenticator);
  const client = node.connect("c", as("ann"));
  for (let i = 0; i < 5 && !client.isClosed; i++) client.sendBytes(new Uint8Array(65_536));
  assert.equal(refusalOf(client), "connack 0x95");
  assert.equal(authenticator.cancelled, 1);
});

test("The deadline of CONNECT holds until it is answered.", () => {
  const authenticator = new ScriptedAuthenticator("late");
  const node = nodeWith(authenticator);
  const client = node.connect("c", as("ann"));
  node.advance(9_999);
  assert.equal(client.isClosed, false);
  node.advance(1);
  assert.equal(refusalOf(client), "connack 0x89");
  assert.equal(authenticator.cancelled, 1);
  authenticator.answer();
  assert.equal(node.broker.sessions.size, 0);
});

test("A client that goes while it is found out who it is leaves nothing.", () => {
  const authenticator = new ScriptedAuthenticator("late");
  const node = nodeWith(authenticator);
  node.connect("c", as("ann")).lose();
  assert.equal(authenticator.cancelled, 1);
  authenticator.answer();
  assert.equal(node.broker.sessions.size, 0);
});

test("Keep alive counts from the answer, not from CONNECT.", () => {
  const authenticator = new ScriptedAuthenticator("late");
  const node = nodeWith(authenticator);
  const client = node.connect("c", { ...as("ann"), keepAliveSeconds: 2 });
  node.advance(8_000);
  authenticator.answer();
  node.turn();
  node.advance(2_900);
  assert.equal(client.isClosed, false);
  node.advance(100);
  assert.equal(client.isClosed, true);
});

test("The will of a crashed session is not cancelled by another user.", () => {
  const authenticator = new ScriptedAuthenticator();
  const node = nodeWith(authenticator);
  const payload = Buffer.from("gone");
  const will = { topic: "will", payload, qos: 1, retain: false, properties: {} } as const;
  node.connect("c", { ...as("ann"), will });
  node.crash();
  const watcher = node.connect("w", as("w"));
  watcher.subscribe("will", { qos: 1 });
  watcher.take();
  node.connect("c", as("bob"));
  assert.deepEqual(watcher.takeText(), ["publish will q1 #1: gone"]);
});
