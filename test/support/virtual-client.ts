import assert from "node:assert/strict";
import type { QoS } from "../../src/broker/message.ts";
import { ByteWriter } from "../../src/lib/byte-writer.ts";
import type { MqttConnection } from "../../src/mqtt/connection.ts";
import { Decoder } from "../../src/mqtt/decoder.ts";
import { encodePacket } from "../../src/mqtt/encoder.ts";
import {
  type AckType,
  type ConnectPacket,
  type OutgoingPacket,
  type Packet,
  PacketType,
  type ProtocolVersion,
  type PublishPacket,
  type SubscribeEntry,
} from "../../src/mqtt/packet.ts";
import type { Properties } from "../../src/mqtt/properties.ts";
import { decodeUtf8 } from "../../src/mqtt/utf8.ts";
import type { FakeLink } from "./fake-link.ts";
import type { VirtualNode } from "./virtual-node.ts";

export type ConnectFields = Partial<Omit<ConnectPacket, "type" | "protocolVersion">>;

/** A PUBLISH that the client got, with copies of its topic and payload as text. */
export interface Received {
  readonly type: typeof PacketType.publish;
  readonly dup: boolean;
  readonly qos: QoS;
  readonly retain: boolean;
  readonly packetId: number;
  readonly topic: string;
  readonly payload: string;
  readonly properties: Properties;
}

/** What the client got from the broker. */
export type FromBroker = Received | Exclude<Packet, PublishPacket>;

export interface PublishFields {
  readonly qos?: QoS;
  readonly packetId?: number;
  readonly retain?: boolean;
  readonly dup?: boolean;
  readonly properties?: Properties;
}

const utf8 = new TextEncoder();

/** One network connection from the client's side: says exactly what it is told to say and remembers what it got. */
export class VirtualClient {
  readonly link: FakeLink;
  readonly connection: MqttConnection;
  readonly version: ProtocolVersion;
  readonly #node: VirtualNode;
  readonly #decoder: Decoder;
  #isLost = false;

  constructor(
    node: VirtualNode,
    connection: MqttConnection,
    link: FakeLink,
    version: ProtocolVersion,
  ) {
    this.#node = node;
    this.connection = connection;
    this.link = link;
    this.version = version;
    this.#decoder = new Decoder({ role: "client", packetBytesMax: 2 ** 28 });
    this.#decoder.protocolVersion = version;
  }

  /** The broker has closed this connection. */
  get isClosed(): boolean {
    return this.link.isClosed;
  }

  /** The bytes of packets as this client writes them. */
  encode(...packets: readonly OutgoingPacket[]): Uint8Array {
    const writer = new ByteWriter();
    for (const packet of packets) assert.equal(encodePacket(writer, packet, this.version), true);
    return writer.bytes.slice(0, writer.end);
  }

  /** Bytes arrive at the broker; its turn ends. */
  sendBytes(bytes: Uint8Array): void {
    const arrived = new Uint8Array(bytes); // `slice` of a Buffer is a view
    if (!this.#isLost) this.connection.receive(arrived);
    // The bytes are the connection's during the call only.
    arrived.fill(0xee);
    this.#node.turn();
  }

  send(...packets: readonly OutgoingPacket[]): void {
    this.sendBytes(this.encode(...packets));
  }

  connect(fields: ConnectFields = {}): void {
    this.send({
      type: PacketType.connect,
      protocolVersion: this.version,
      cleanStart: true,
      keepAliveSeconds: 0,
      clientId: "",
      properties: {},
      ...fields,
    });
  }

  publish(topic: string, payload: string, fields: PublishFields = {}): void {
    this.send(publishPacket(topic, payload, fields));
  }

  subscribe(
    topicFilter: string,
    options: Partial<Omit<SubscribeEntry, "topicFilter">> = {},
    properties: Properties = {},
  ): void {
    const entry: SubscribeEntry = {
      topicFilter,
      qos: 0,
      noLocal: false,
      retainAsPublished: false,
      retainHandling: 0,
      ...options,
    };
    this.send({ type: PacketType.subscribe, packetId: 1, subscriptions: [entry], properties });
  }

  unsubscribe(...topicFilters: string[]): void {
    this.send({ type: PacketType.unsubscribe, packetId: 2, topicFilters });
  }

  ack(type: AckType, packetId: number, reasonCode = 0): void {
    this.send({ type, packetId, reasonCode });
  }

  disconnect(reasonCode = 0, properties: Properties = {}): void {
    this.send({ type: PacketType.disconnect, reasonCode, properties });
  }

  /** The network connection breaks; the broker notices. */
  lose(): void {
    this.#isLost = true;
    this.connection.onClosed();
    this.#node.turn();
    this.#node.forget(this);
  }

  /** The network connection is gone and nobody is told: the broker's process ended. */
  drop(): void {
    this.#isLost = true;
  }

  /** Opens or closes the client's write budget. */
  setRoom(hasRoom: boolean): void {
    this.link.hasRoom = hasRoom;
    if (hasRoom) this.connection.onRoom();
    this.#node.turn();
  }

  /** All packets that came since the last call. */
  take(): FromBroker[] {
    this.#decoder.feed(this.link.take());
    const packets: FromBroker[] = [];
    for (let next = this.#decoder.next(); next !== undefined; next = this.#decoder.next()) {
      packets.push(next.type === PacketType.publish ? receivedOf(next) : next);
    }
    return packets;
  }

  /** What `take` gives, in one line of text per packet: what most assertions want to see. */
  takeText(): string[] {
    return this.take().map(textOf);
  }

  /** Like `take`, only messages; there may be nothing else. */
  takeMessages(): Received[] {
    return this.take().map((packet) => {
      assert.ok(packet.type === PacketType.publish, `${textOf(packet)} is not a PUBLISH`);
      return packet;
    });
  }
}

export function publishPacket(
  topic: string,
  payload: string,
  fields: PublishFields = {},
): Extract<OutgoingPacket, { topic: string }> {
  return {
    type: PacketType.publish,
    dup: fields.dup ?? false,
    qos: fields.qos ?? 0,
    retain: fields.retain ?? false,
    packetId: fields.packetId ?? 0,
    topic,
    payload: utf8.encode(payload),
    properties: fields.properties,
  };
}

function receivedOf(packet: PublishPacket): Received {
  const { type, dup, qos, retain, packetId, bytes, properties } = packet;
  return {
    type,
    dup,
    qos,
    retain,
    packetId,
    topic: decodeUtf8(bytes, packet.topicStart, packet.topicEnd),
    payload: Buffer.from(bytes.subarray(packet.payloadStart, packet.payloadEnd)).toString(),
    properties: properties ?? {},
  };
}

const NAMES = new Map<number, string>(
  Object.entries(PacketType).map(([name, type]) => [type, name]),
);

/** `puback 5`, `pubrec 5 0x10`, `connack present`, `publish a/b q1 #7 dup retain: payload`. */
export function textOf(packet: FromBroker): string {
  if (packet.type === PacketType.publish) {
    const { topic, qos, packetId, dup, retain, payload } = packet;
    const id = qos === 0 ? "" : ` #${packetId}`;
    return `publish ${topic} q${qos}${id}${dup ? " dup" : ""}${retain ? " retain" : ""}: ${payload}`;
  }
  const parts = [NAMES.get(packet.type) ?? "?"];
  if ("packetId" in packet) parts.push(String(packet.packetId));
  if ("sessionPresent" in packet && packet.sessionPresent) parts.push("present");
  if ("reasonCode" in packet && packet.reasonCode !== 0) parts.push(hex(packet.reasonCode));
  if ("reasonCodes" in packet) parts.push(...packet.reasonCodes.map(hex));
  return parts.join(" ");
}

const hex = (code: number): string => `0x${code.toString(16).padStart(2, "0")}`;
