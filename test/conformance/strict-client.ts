/** An MQTT 5 client that a test leads packet by packet, and that knows every packet it got: nothing may come unasked. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import type { Duplex } from "node:stream";
import { Decoder } from "../../src/mqtt/decoder.ts";
import {
  type ConnackPacket,
  type ConnectPacket,
  type OutgoingPacket,
  type OutgoingPublish,
  type Packet,
  PacketType,
  ProtocolVersion,
  type SubscribeEntry,
} from "../../src/mqtt/packet.ts";
import type { Properties } from "../../src/mqtt/properties.ts";
import { packetBytes } from "../support/packet-bytes.ts";
import { ownedPacket, publishPacket } from "../support/wire-client.ts";
import { wire } from "../unit/mqtt/wire.ts";
import { textOf } from "./edge.ts";

const WAIT_MS = 10_000;
const PACKET_BYTES_MAX = 16 * 1_048_576;

/** A packet that came: as it is, as a line of text, and as its bytes in hexadecimal digits. */
export interface Arrival {
  readonly packet: OutgoingPacket;
  readonly text: string;
  readonly hex: string;
}

export type SubscribeOptions = Partial<Omit<SubscribeEntry, "topicFilter">>;

/** One network connection that speaks version 5, or the version it was given. */
export class StrictClient {
  /** Resolves when the network connection is gone. */
  readonly closed: Promise<void>;
  /** What CONNECT was answered with; undefined before `join`. */
  connack: ConnackPacket | undefined;
  readonly #socket: Duplex;
  readonly #version: ProtocolVersion;
  readonly #decoder = new Decoder({ role: "client", packetBytesMax: PACKET_BYTES_MAX });
  #arrivals: Arrival[] = [];
  /** Bytes of the packets that are not complete yet. */
  #bytes: Buffer = Buffer.alloc(0);
  #failure: Error | undefined;
  #isClosed = false;
  #lastPacketId = 0;
  #wake: () => void = () => undefined;

  constructor(socket: Duplex, version: ProtocolVersion = ProtocolVersion.v5) {
    this.#socket = socket;
    this.#version = version;
    this.#decoder.protocolVersion = version;
    socket.on("error", () => undefined);
    // A WebSocket's stream does not end its own side by itself.
    socket.on("end", () => socket.end());
    socket.on("data", (chunk: Buffer) => this.#onData(chunk));
    this.closed = new Promise((resolve) => {
      socket.on("close", () => {
        this.#isClosed = true;
        resolve();
        this.#wake();
      });
    });
  }

  /** Opens a network connection and says nothing. */
  static async dial(port: number, version?: ProtocolVersion): Promise<StrictClient> {
    const socket = connect({ host: "127.0.0.1", port, noDelay: true });
    await once(socket, "connect");
    return new StrictClient(socket, version);
  }

  /** Opens a network connection and CONNECTs, by default with clean start and no keep alive; it must be accepted. */
  static async join(
    port: number,
    clientId: string,
    fields: Partial<ConnectPacket> = {},
  ): Promise<StrictClient> {
    const client = await StrictClient.dial(port, fields.protocolVersion);
    await client.join(clientId, fields);
    return client;
  }

  async join(clientId: string, fields: Partial<ConnectPacket> = {}): Promise<ConnackPacket> {
    this.connect(clientId, fields);
    const packet = await this.take();
    assert.ok(packet.type === PacketType.connack, `the first packet is ${textOfPacket(packet)}`);
    assert.equal(packet.reasonCode, 0);
    this.connack = packet;
    return packet;
  }

  /** CONNECT, and does not wait for its answer. */
  connect(clientId: string, fields: Partial<ConnectPacket> = {}): void {
    this.send({
      type: PacketType.connect,
      protocolVersion: this.#version,
      cleanStart: true,
      keepAliveSeconds: 0,
      clientId,
      properties: {},
      ...fields,
    });
  }

  /** Sends these packets in one piece. */
  send(...packets: readonly OutgoingPacket[]): void {
    this.sendBytes(Buffer.concat(packets.map((packet) => packetBytes(packet, this.#version))));
  }

  /** Sends bytes as they are, given as text (see `wire`). */
  sendWire(notation: string): void {
    this.sendBytes(wire(notation));
  }

  sendBytes(bytes: Uint8Array): void {
    this.#socket.write(bytes);
  }

  /** The next packet; waits for it. */
  async take(): Promise<OutgoingPacket> {
    return (await this.takeArrival()).packet;
  }

  async takeArrival(): Promise<Arrival> {
    const signal = AbortSignal.timeout(WAIT_MS);
    for (;;) {
      const arrival = this.#arrivals.shift();
      if (arrival !== undefined) return arrival;
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#isClosed) throw new Error("the network connection was closed");
      await this.#woken(signal);
    }
  }

  /** The next packets are these, as lines of text, in this order. */
  async gets(...texts: readonly string[]): Promise<void> {
    const got: string[] = [];
    while (got.length < texts.length) got.push((await this.takeArrival()).text);
    assert.deepEqual(got, texts);
  }

  /** The next packets are these, in any order. */
  async getsInAnyOrder(...texts: readonly string[]): Promise<void> {
    const got: string[] = [];
    while (got.length < texts.length) got.push((await this.takeArrival()).text);
    assert.deepEqual(got.sort(), [...texts].sort());
  }

  /** The connection stands, and nothing came that was not taken. */
  async getsNothing(): Promise<void> {
    this.send({ type: PacketType.pingreq });
    await this.gets("pingresp");
  }

  /** What came and was not taken until the broker closes the connection is this, as lines of text. */
  async ends(...texts: readonly string[]): Promise<void> {
    assert.deepEqual(await this.rest(), texts);
  }

  /** What comes until the broker closes the connection. */
  async rest(): Promise<string[]> {
    const signal = AbortSignal.timeout(WAIT_MS);
    while (!this.#isClosed) await this.#woken(signal);
    if (this.#failure !== undefined) throw this.#failure;
    return this.#arrivals.splice(0).map(({ text }) => text);
  }

  /** SUBSCRIBE to one topic filter or to several with the same options; resolves with the reason codes. */
  async subscribe(
    topicFilters: string | readonly string[],
    options: SubscribeOptions = {},
    properties: Properties = {},
  ): Promise<readonly number[]> {
    const filters = typeof topicFilters === "string" ? [topicFilters] : topicFilters;
    const packetId = this.nextPacketId();
    const subscriptions = filters.map((topicFilter) => entryOf(topicFilter, options));
    this.send({ type: PacketType.subscribe, packetId, subscriptions, properties });
    const early: Arrival[] = [];
    for (;;) {
      const arrival = await this.takeArrival();
      const { packet } = arrival;
      if (packet.type === PacketType.suback) {
        assert.equal(packet.packetId, packetId);
        this.#arrivals.unshift(...early);
        return packet.reasonCodes;
      }
      // Messages may come before SUBACK [MQTT 5.0 section 3.8.4].
      assert.ok(packet.type === PacketType.publish, `${arrival.text} instead of SUBACK`);
      early.push(arrival);
    }
  }

  /** UNSUBSCRIBE; resolves with the reason codes. */
  async unsubscribe(...topicFilters: string[]): Promise<readonly number[]> {
    const packetId = this.nextPacketId();
    this.send({ type: PacketType.unsubscribe, packetId, topicFilters });
    const answer = await this.take();
    assert.ok(answer.type === PacketType.unsuback, `${textOfPacket(answer)} instead of UNSUBACK`);
    assert.equal(answer.packetId, packetId);
    return answer.reasonCodes;
  }

  /** PUBLISH and all that belongs to it; when this resolves the broker is done with it. Resolves with the reason code. */
  async publish(
    topic: string,
    payload: string | Uint8Array = "",
    fields: Partial<OutgoingPublish> = {},
  ): Promise<number> {
    const packet = publishPacket(topic, payload, fields);
    if (packet.qos === 0) {
      this.send(packet);
      await this.getsNothing();
      return 0;
    }
    const packetId = fields.packetId ?? this.nextPacketId();
    this.send({ ...packet, packetId });
    const reasonCode = await this.#answer(
      packet.qos === 1 ? PacketType.puback : PacketType.pubrec,
      packetId,
    );
    if (packet.qos === 1 || reasonCode >= 0x80) return reasonCode;
    this.send({ type: PacketType.pubrel, packetId, reasonCode: 0 });
    assert.equal(await this.#answer(PacketType.pubcomp, packetId), 0);
    return reasonCode;
  }

  async #answer(type: PacketType, packetId: number): Promise<number> {
    const { packet, text } = await this.takeArrival();
    const isAnswer = packet.type === type && "reasonCode" in packet && "packetId" in packet;
    // With a message: without one Node looks for the expression in sources that tsx has changed, which may take minutes.
    assert.ok(isAnswer, `${text} instead of an answer to ${packetId}`);
    assert.equal(packet.packetId, packetId);
    return packet.reasonCode;
  }

  /** PUBACK, PUBREC, PUBREL or PUBCOMP. */
  ack(type: "puback" | "pubrec" | "pubrel" | "pubcomp", packetId: number, reasonCode = 0): void {
    this.send({ type: PacketType[type], packetId, reasonCode });
  }

  nextPacketId(): number {
    return ++this.#lastPacketId;
  }

  /** DISCONNECT; resolves when the broker has closed the connection. */
  async leave(reasonCode = 0, properties: Properties = {}): Promise<void> {
    this.send({ type: PacketType.disconnect, reasonCode, properties });
    await this.ends();
  }

  /** Drops the network connection without a word. */
  async lose(): Promise<void> {
    this.#socket.destroy();
    await this.closed;
  }

  async #woken(signal: AbortSignal): Promise<void> {
    const waiting = this.#arrivals.map(({ text }) => text).join(", ");
    await new Promise<void>((resolve, reject) => {
      if (signal.aborted) {
        reject(new Error(`nothing came in ${WAIT_MS} ms; not taken: ${waiting}`));
        return;
      }
      const onAbort = (): void =>
        reject(new Error(`nothing came in ${WAIT_MS} ms; not taken: ${waiting}`));
      signal.addEventListener("abort", onAbort, { once: true });
      this.#wake = () => {
        signal.removeEventListener("abort", onAbort);
        resolve();
      };
    });
  }

  #onData(chunk: Buffer): void {
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
    this.#decoder.feed(chunk);
    try {
      for (let next = this.#decoder.next(); next !== undefined; next = this.#decoder.next()) {
        this.#keep(next);
      }
    } catch (error) {
      this.#failure = new Error(`the broker sent ${this.#bytes.toString("hex")}`, { cause: error });
    }
    this.#wake();
  }

  #keep(packet: Packet): void {
    const length = packetLength(this.#bytes);
    const hex = this.#bytes.subarray(0, length).toString("hex");
    this.#bytes = this.#bytes.subarray(length);
    const owned = ownedPacket(packet);
    this.#arrivals.push({ packet: owned, text: textOfPacket(owned), hex });
  }
}

/** A topic filter with its options; QoS 0 and nothing else by default. */
export const entryOf = (topicFilter: string, options: SubscribeOptions = {}): SubscribeEntry => ({
  topicFilter,
  qos: 0,
  noLocal: false,
  retainAsPublished: false,
  retainHandling: 0,
  ...options,
});

/** The size of the packet at the beginning of these bytes, with its fixed header. */
function packetLength(bytes: Buffer): number {
  let length = 0;
  for (let i = 1; ; i++) {
    const byte = bytes[i] ?? 0;
    length += (byte & 0x7f) * 2 ** (7 * (i - 1));
    if (byte < 0x80) return 1 + i + length;
  }
}

/** `puback 5`, `publish a q1 #7 dup retain: payload contentType="x"`; a reason string is for people, and left out. */
export function textOfPacket(packet: OutgoingPacket): string {
  const { reasonString: _reason, ...properties } =
    ("properties" in packet ? packet.properties : undefined) ?? {};
  const named = Object.entries(properties).filter(([, value]) => value !== undefined);
  const texts = named.map(([name, value]) => {
    const isBytes = value instanceof Uint8Array;
    return `${name}=${isBytes ? Buffer.from(value).toString("hex") : JSON.stringify(value)}`;
  });
  return [textOf(packet), ...texts].join(" ");
}
