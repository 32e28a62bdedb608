/** What conformance tests stand on: one broker process per file, clients that say what they are told to, packets as one line of text. */
import assert from "node:assert/strict";
import { after, before, type TestContext } from "node:test";
import {
  type ConnectPacket,
  type OutgoingPacket,
  type OutgoingPublish,
  PacketType,
  type ProtocolVersion,
} from "../../src/mqtt/packet.ts";
import { BrokerHome, type BrokerProcess, type BrokerSettings } from "../support/broker-process.ts";
import { publishPacket, WireClient } from "../support/wire-client.ts";

const NAMES = new Map<number, string>(
  Object.entries(PacketType).map(([name, type]) => [type, name]),
);
const WAIT_MS = 5_000;

const hex = (code: number): string => `0x${code.toString(16).padStart(2, "0")}`;

/** `puback 5`, `connack present`, `suback 7 0x01 0x80`, `publish a/b q1 #7 dup retain: payload`; reason codes of version 5 also for 3.x. */
export function textOf(packet: OutgoingPacket): string {
  if (packet.type === PacketType.publish) {
    const { topic, qos, packetId, dup, retain, payload } = packet;
    const id = qos === 0 ? "" : ` #${packetId}`;
    const flags = `${dup ? " dup" : ""}${retain ? " retain" : ""}`;
    return `publish ${topic} q${qos}${id}${flags}: ${Buffer.from(payload).toString()}`;
  }
  const parts = [NAMES.get(packet.type) ?? "?"];
  if ("packetId" in packet) parts.push(String(packet.packetId));
  if ("sessionPresent" in packet && packet.sessionPresent) parts.push("present");
  if ("reasonCode" in packet && packet.reasonCode !== 0) parts.push(hex(packet.reasonCode));
  if ("reasonCodes" in packet) parts.push(...packet.reasonCodes.map(hex));
  return parts.join(" ");
}

/** The broker of a file, and its clients. */
export class Edge {
  readonly #settings: BrokerSettings;
  readonly #closings: (() => Promise<void>)[] = [];
  #broker: BrokerProcess | undefined;
  #home: BrokerHome | undefined;

  constructor(settings: BrokerSettings) {
    this.#settings = settings;
  }

  get broker(): BrokerProcess {
    if (this.#broker === undefined) throw new Error("the broker is not there yet");
    return this.#broker;
  }

  async start(): Promise<void> {
    this.#home ??= new BrokerHome({ after: (close) => this.#closings.push(close) });
    this.#broker = await this.#home.start(this.#settings);
  }

  async stop(): Promise<void> {
    for (const close of this.#closings) await close();
  }

  /** Ends the broker without a word and starts it again on the same disk, on another port. */
  async crash(): Promise<void> {
    await this.broker.kill();
    await this.start();
  }

  /** A network connection without CONNECT; dropped at the end of the test. */
  async open(t: TestContext, version: ProtocolVersion): Promise<WireClient> {
    const client = await WireClient.open(this.broker.port, version);
    t.after(() => client.drop());
    return client;
  }

  /** A client whose CONNECT was accepted. */
  async connect(
    t: TestContext,
    version: ProtocolVersion,
    clientId: string,
    fields: Partial<ConnectPacket> = {},
  ): Promise<WireClient> {
    const client = await this.open(t, version);
    const connack = await client.connect({ clientId, ...fields });
    assert.equal(connack.reasonCode, 0, `${clientId} is not accepted`);
    return client;
  }
}

/** A broker for all tests of the file that calls this at its top. */
export function edgeForFile(settings: BrokerSettings = {}): Edge {
  const edge = new Edge(settings);
  before(() => edge.start());
  after(() => edge.stop());
  return edge;
}

/** Waits until the broker has closed the connection; what it said before, and was not taken, as lines. */
export async function lastWords(client: WireClient): Promise<string[]> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("the broker does not close")), WAIT_MS);
  });
  try {
    await Promise.race([client.closed, late]);
  } finally {
    clearTimeout(timer);
  }
  return client.takeAll().map(textOf);
}

/** What the broker had to say until now, as lines: `WireClient.settle`. */
export async function settled(client: WireClient): Promise<string[]> {
  return (await client.settle()).map(textOf);
}

/** Publishes with QoS 1, whatever `fields` say besides, and waits for PUBACK: the message is where it belongs. */
export async function publishSafely(
  client: WireClient,
  topic: string,
  payload: string,
  fields: Partial<OutgoingPublish> = {},
): Promise<void> {
  client.send(publishPacket(topic, payload, { packetId: 60_000, ...fields, qos: 1 }));
  await client.takeType(PacketType.puback);
}

/** DISCONNECT, and the end of the connection. */
export async function leave(client: WireClient): Promise<void> {
  client.send({ type: PacketType.disconnect, reasonCode: 0 });
  await client.closed;
}

/** Waits for these packets, as lines and in this order; nothing else may have come until then. */
export async function expectLines(client: WireClient, expected: readonly string[]): Promise<void> {
  assert.deepEqual(await arrivals(client, expected.length), expected);
}

/** Waits for so many packets; these and what came besides, as lines. */
export async function arrivals(client: WireClient, count: number): Promise<string[]> {
  const packets: OutgoingPacket[] = [];
  while (packets.length < count) {
    packets.push((await client.take(`packet ${packets.length + 1}`, () => true, WAIT_MS)).packet);
  }
  return [...packets, ...(await client.settle())].map(textOf);
}
