import assert from "node:assert/strict";
import { test } from "node:test";
import type {
  AuthenticationStep,
  EnhancedAuthenticator,
  EnhancedClaim,
} from "../../../src/broker/enhanced-authenticator.ts";
import { PacketType, ProtocolVersion } from "../../../src/mqtt/packet.ts";
import type { Properties } from "../../../src/mqtt/properties.ts";
import { ReasonCode } from "../../../src/mqtt/reason-code.ts";
import type { VirtualClient } from "../../support/virtual-client.ts";
import { publishPacket } from "../../support/virtual-client.ts";
import { VirtualNode } from "../../support/virtual-node.ts";

const METHOD = "WORD";
const CONTINUE = ReasonCode.continueAuthentication;
const AGAIN = ReasonCode.reAuthenticate;

/**
 * Method WORD: the client names itself, is asked for a word, and says `NAME`, which lets it in as NAME, `more`, or something
 * wrong.
 */
class WordAuthenticator implements EnhancedAuthenticator {
  readonly claims: EnhancedClaim[] = [];

  begin(method: string, claim: EnhancedClaim) {
    if (method !== METHOD) return undefined;
    this.claims.push(claim);
    return { step: (data: Uint8Array | undefined) => stepOf(Buffer.from(data ?? []).toString()) };
  }
}

function stepOf(word: string): AuthenticationStep {
  if (word === "" || word === "more") return { kind: "continue", data: Buffer.from("word?") };
  if (word === "wrong") return { kind: "refused", refusal: "bad-credentials" };
  return { kind: "accepted", principal: word, data: Buffer.from(`hello ${word}`) };
}

const propertiesOf = (word: string | undefined, method: string = METHOD): Properties => ({
  authenticationMethod: method,
  ...(word === undefined ? {} : { authenticationData: Buffer.from(word) }),
});

function auth(client: VirtualClient, word: string | undefined, code: number = CONTINUE): void {
  client.send({ type: PacketType.auth, reasonCode: code, properties: propertiesOf(word) });
}

/** Each packet with its authentication method and data. */
function authText(client: VirtualClient): string[] {
  return client.take().map((packet) => {
    const properties: Properties = ("properties" in packet ? packet.properties : undefined) ?? {};
    const { authenticationMethod = "", authenticationData } = properties;
    const code = "reasonCode" in packet ? packet.reasonCode.toString(16) : "";
    return `${packet.type} ${code} ${authenticationMethod} ${Buffer.from(authenticationData ?? []).toString()}`.trim();
  });
}

function nodeOf(options = {}): { node: VirtualNode; authenticator: WordAuthenticator } {
  const authenticator = new WordAuthenticator();
  const connection = { enhancedAuthenticator: authenticator, ...options };
  return { node: new VirtualNode({ connection }), authenticator };
}

/** A client that came in as `ann`. */
function connected(node: VirtualNode, fields: object = {}): VirtualClient {
  const client = node.connect("c", { properties: propertiesOf("ann"), ...fields });
  assert.deepEqual(authText(client), ["2 0 WORD hello ann"]);
  return client;
}

test("An exchange of AUTH packets ends with CONNACK that has the method and its last word. [MQTT-4.12.0-2, 4.12.0-5]", () => {
  const { node, authenticator } = nodeOf();
  const client = node.connect("c", { username: "ann", properties: propertiesOf(undefined) });
  assert.deepEqual(authText(client), ["15 18 WORD word?"]);
  assert.equal(client.link.isPaused, false);
  auth(client, "ann");
  assert.deepEqual(authText(client), ["2 0 WORD hello ann"]);
  assert.equal(node.broker.sessions.get("c")?.principal, "ann");
  assert.deepEqual(authenticator.claims, [{ username: "ann", address: "127.0.0.1" }]);
});

test("A method that is not there is refused with 0x8C. [MQTT-4.12.0-1]", () => {
  const { node } = nodeOf();
  const client = node.connect("c", { properties: propertiesOf("ann", "OTHER") });
  assert.deepEqual(client.takeText(), ["connack 0x8c"]);
  assert.equal(client.isClosed, true);
});

test("Who does not pass is refused and counted. [MQTT-4.12.0-4]", () => {
  const { node } = nodeOf();
  const client = node.connect("c", { properties: propertiesOf(undefined) });
  client.take();
  auth(client, "wrong");
  assert.deepEqual(client.takeText(), ["connack 0x86"]);
  assert.equal(client.isClosed, true);
  assert.equal(node.broker.counters.refusedCredentials, 1);
  assert.equal(node.broker.sessions.size, 0);
});

test("Until CONNACK only AUTH and DISCONNECT are taken. [MQTT-3.1.2-30]", () => {
  const packets = [
    publishPacket("t", "x"),
    { type: PacketType.pingreq },
    { type: PacketType.unsubscribe, packetId: 1, topicFilters: ["a"] },
  ] as const;
  for (const packet of packets) {
    const { node } = nodeOf();
    const client = node.connect("c", { properties: propertiesOf(undefined) });
    client.take();
    client.send(packet);
    assert.deepEqual(client.takeText(), ["connack 0x82"]);
    assert.equal(client.isClosed, true);
    assert.equal(node.broker.counters.messagesReceivedQos0, 0);
  }
  const { node } = nodeOf();
  const client = node.connect("c", { properties: propertiesOf(undefined) });
  client.take();
  client.disconnect();
  assert.deepEqual(client.takeText(), []);
  assert.equal(client.isClosed, true);
});

test("AUTH with another method is a protocol error. [MQTT-4.12.0-5, 4.12.1-1]", () => {
  for (const isConnected of [false, true]) {
    const { node } = nodeOf();
    const word = isConnected ? "ann" : undefined;
    const client = node.connect("c", { properties: propertiesOf(word) });
    client.take();
    const code = isConnected ? AGAIN : CONTINUE;
    client.send({
      type: PacketType.auth,
      reasonCode: code,
      properties: propertiesOf("ann", "OTHER"),
    });
    assert.deepEqual(client.takeText(), [isConnected ? "disconnect 0x82" : "connack 0x82"]);
    assert.equal(client.isClosed, true);
  }
});

test("AUTH without method in CONNECT, and as the first packet, is a protocol error. [MQTT-4.12.0-6, 4.12.0-7]", () => {
  const { node } = nodeOf();
  for (const code of [CONTINUE, AGAIN]) {
    const client = node.connect("c");
    auth(client, "ann", code);
    assert.deepEqual(client.takeText(), ["connack", "disconnect 0x82"]);
  }
  const early = node.dial();
  auth(early, "ann");
  assert.deepEqual(early.takeText(), []);
  assert.equal(early.isClosed, true);
});

test("Authentication data without method is a protocol error. [MQTT 5.0 section 3.1.2.11.10]", () => {
  const { node } = nodeOf();
  const client = node.connect("c", { properties: { authenticationData: Buffer.from("ann") } });
  assert.deepEqual(client.takeText(), []);
  assert.equal(client.isClosed, true);
});

test("A client proves again who it is while everything else goes on. [MQTT-4.12.1-1]", () => {
  const { node } = nodeOf();
  const client = connected(node);
  auth(client, undefined, AGAIN);
  assert.deepEqual(authText(client), ["15 18 WORD word?"]);
  client.publish("t", "x", { qos: 1, packetId: 1 });
  client.send({ type: PacketType.pingreq });
  assert.deepEqual(client.takeText(), ["puback 1 0x10", "pingresp"]);
  auth(client, "ann");
  assert.deepEqual(authText(client), ["15 0 WORD hello ann"]);
  auth(client, "ann", AGAIN);
  assert.deepEqual(authText(client), ["15 0 WORD hello ann"]);
  assert.equal(client.isClosed, false);
});

test("Who cannot prove it again, or is somebody else by now, is disconnected with 0x87. [MQTT-4.12.1-2]", () => {
  for (const word of ["wrong", "bob"]) {
    const { node } = nodeOf();
    const client = connected(node);
    auth(client, word, AGAIN);
    assert.deepEqual(client.takeText(), ["disconnect 0x87"]);
    assert.equal(client.isClosed, true);
  }
});

test("AUTH that does not belong there is a protocol error.", () => {
  const { node } = nodeOf();
  // Nothing to go on with.
  const first = connected(node);
  auth(first, "ann");
  assert.deepEqual(first.takeText(), ["disconnect 0x82"]);
  // Again while it is under way.
  const second = connected(node);
  auth(second, undefined, AGAIN);
  auth(second, undefined, AGAIN);
  assert.deepEqual(second.takeText(), ["auth 0x18", "disconnect 0x82"]);
  // Again before there was a first time.
  const third = node.connect("c", { properties: propertiesOf(undefined) });
  auth(third, "ann", AGAIN);
  assert.deepEqual(third.takeText(), ["auth 0x18", "connack 0x82"]);
});

test("The deadline of CONNECT bounds the exchange in time, and a bound the number of its packets.", () => {
  const { node } = nodeOf();
  const idle = node.connect("c", { properties: propertiesOf(undefined) });
  idle.take();
  node.advance(9_000);
  auth(idle, "more");
  assert.deepEqual(idle.takeText(), ["auth 0x18"]);
  node.advance(1_000);
  assert.equal(idle.isClosed, true);
  const talker = node.connect("c", { properties: propertiesOf(undefined) });
  talker.take();
  for (let i = 0; i < 20 && !talker.isClosed; i++) auth(talker, "more");
  const texts = talker.takeText();
  assert.equal(texts.length, 8);
  assert.equal(texts.at(-1), "connack 0x87");
});

test("A large packet during the exchange is refused as before CONNECT.", () => {
  const { node } = nodeOf({ connectPacketBytesMax: 300 });
  const client = node.connect("c", { properties: propertiesOf(undefined) });
  client.take();
  auth(client, "x".repeat(300));
  assert.deepEqual(client.takeText(), ["connack 0x95"]);
});

test("A session by exchange belongs to its principal like any other.", () => {
  const { node } = nodeOf();
  const lasting = { ...propertiesOf("ann"), sessionExpirySeconds: 60 };
  connected(node, { properties: lasting }).lose();
  const thief = node.connect("c", { properties: propertiesOf("bob") });
  assert.deepEqual(thief.takeText(), ["connack 0x87"]);
  const back = node.connect("c", { cleanStart: false, properties: lasting });
  assert.deepEqual(back.takeText(), ["connack present"]);
});

test("AUTH and pings that come before CONNACK is on its way are answered behind it. [MQTT-3.2.0-1]", () => {
  const connection = { enhancedAuthenticator: new WordAuthenticator() };
  const node = new VirtualNode({ flushes: "manual", connection });
  const properties = { ...propertiesOf("ann"), sessionExpirySeconds: 60 };
  const client = node.connect("c", { properties });
  client.send({ type: PacketType.pingreq });
  auth(client, "ann", AGAIN);
  assert.deepEqual(client.takeText(), []);
  node.flushAll();
  assert.deepEqual(client.takeText(), ["connack", "pingresp", "auth"]);
});

test("3.x has no AUTH.", () => {
  const { node } = nodeOf();
  const client = node.connect("c", { version: ProtocolVersion.v311 });
  client.sendBytes(Uint8Array.of(0xf0, 0x00));
  assert.deepEqual(client.takeText(), ["connack"]);
  assert.equal(client.isClosed, true);
});
