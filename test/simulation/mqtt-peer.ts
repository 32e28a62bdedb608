/** An MQTT client over a network that the world moves packet by packet. Unless told otherwise its session ends with its connection, and it gets everything with QoS 0. */
import assert from "node:assert/strict";
import type { QoS } from "../../src/broker/message.ts";
import { type OutgoingPacket, PacketType, ProtocolVersion } from "../../src/mqtt/packet.ts";
import type { FromBroker, Received, VirtualClient } from "../support/virtual-client.ts";
import { publishPacket } from "../support/virtual-client.ts";
import type { Stage, Step } from "./stage.ts";

type Publish = Extract<OutgoingPacket, { topic: string }>;

/** What is told of a client. */
export interface PeerEvents {
  /** It connects, and is about to subscribe. */
  dialled(): void;
  /** It is subscribed from now on. */
  subscribed(): void;
  /** The broker wrote a message, and the client has read one. */
  written(message: Received): void;
  read(message: Received): void;
  /** A PUBLISH is about to arrive at the broker. */
  arriving(packet: Publish): void;
  /** What the client says to this message, that it has it, is about to arrive at the broker. */
  acking(message: Received): void;
  /** The broker acknowledged it. */
  acknowledged(packet: Publish, reasonCode: number): void;
  /** The connection is over. */
  over(): void;
}

export const NOTHING: PeerEvents = {
  dialled: () => undefined,
  subscribed: () => undefined,
  written: () => undefined,
  read: () => undefined,
  arriving: () => undefined,
  acking: () => undefined,
  acknowledged: () => undefined,
  over: () => undefined,
};

/** Several clients that do something together. */
export interface Devices {
  readonly peers: readonly MqttPeer[];
  readonly steps: readonly Step[];
  /** Nothing is left for them to do. */
  readonly isDone: boolean;
  /** What was written to all of them since the last call is judged. */
  onJudged(): void;
  /** After each step. */
  checkBounds(): void;
  /** The broker's process is gone, and all connections with it. */
  onCrash(): void;
  /** The faults are over: whatever is open is done. */
  drain(): void;
  /** Everything has come to its end. */
  check(): void;
}

/** What makes it another client than most. */
export interface PeerOptions {
  readonly qos?: QoS;
  /** Its session outlives its connections. */
  readonly isDurable?: boolean;
  /** With MQTT 5. */
  readonly receiveMaximum?: number;
}

export class MqttPeer {
  readonly clientId: string;
  readonly version: ProtocolVersion;
  hasRoom = true;
  readonly #stage: Stage;
  readonly #filters: readonly string[];
  readonly #events: PeerEvents;
  readonly #options: PeerOptions;
  #network: VirtualClient | undefined;
  #toBroker: OutgoingPacket[] = [];
  #unread: FromBroker[] = [];
  #lastPacketId = 1;
  readonly #sending = new Map<number, Publish>();
  /** Acknowledgements on their way, by packet identifier. */
  readonly #acking = new Map<number, Received>();

  constructor(
    stage: Stage,
    clientId: string,
    version: ProtocolVersion,
    filters: readonly string[],
    events: PeerEvents,
    options: PeerOptions = {},
  ) {
    this.#stage = stage;
    this.clientId = clientId;
    this.version = version;
    this.#filters = filters;
    this.#events = events;
    this.#options = options;
  }

  get isConnected(): boolean {
    return this.#network !== undefined;
  }

  get isQuiet(): boolean {
    return this.#toBroker.length + this.#unread.length + this.#sending.size === 0;
  }

  /** Publishes that are not acknowledged, on their way ones among them. */
  get sendingSize(): number {
    return this.#sending.size + this.#toBroker.length;
  }

  /** The broker does not want to read just now. */
  get isHeld(): boolean {
    return this.#network?.link.isPaused === true;
  }

  connect(): void {
    const { clientId, version } = this;
    const { qos = 0, isDurable = false, receiveMaximum = 65_535 } = this.#options;
    this.hasRoom = true;
    const properties =
      version === ProtocolVersion.v5
        ? { receiveMaximum, sessionExpirySeconds: isDurable ? 0xffff_ffff : 0 }
        : {};
    this.#network = this.#stage.node.connect(clientId, {
      version,
      cleanStart: !isDurable,
      properties,
    });
    this.#events.dialled();
    if (this.#filters.length === 0) return;
    const options = { qos, noLocal: false, retainAsPublished: false, retainHandling: 0 } as const;
    const subscriptions = this.#filters.map((topicFilter) => ({ topicFilter, ...options }));
    this.#toBroker.push({ type: PacketType.subscribe, packetId: 1, subscriptions, properties: {} });
  }

  publish(topic: string, payload: string, fields: Parameters<typeof publishPacket>[2] = {}): void {
    if (this.#network === undefined) return;
    const packetId = fields.qos === 1 ? ++this.#lastPacketId : 0;
    this.#toBroker.push(publishPacket(topic, payload, { ...fields, packetId }));
  }

  /** Tells the broker that the client has this message. */
  ack(message: Received): void {
    if (this.#network === undefined) return;
    const { packetId } = message;
    this.#acking.set(packetId, message);
    this.#toBroker.push({ type: PacketType.puback, packetId, reasonCode: 0 });
  }

  /** The next packet arrives at the broker. */
  out(): void {
    const packet = this.#toBroker.shift();
    if (packet === undefined || this.#network === undefined) return;
    if (packet.type === PacketType.publish) {
      if (packet.qos > 0) this.#sending.set(packet.packetId, packet);
      this.#events.arriving(packet);
    } else if (packet.type === PacketType.puback) {
      const message = this.#acking.get(packet.packetId);
      this.#acking.delete(packet.packetId);
      if (message !== undefined) this.#events.acking(message);
    }
    this.#network.send(packet);
  }

  /** The client reads what has come. */
  in(): void {
    for (const packet of this.#unread.splice(0)) {
      if (packet.type === PacketType.publish) this.#events.read(packet);
    }
  }

  /** Judges what the broker wrote. */
  collect(): void {
    const network = this.#network;
    if (network === undefined) return;
    if (network.link.output.end > 0) this.#written(network.take());
    assert.ok(!network.isClosed, `${this.clientId}: closed by the broker`);
  }

  #written(packets: readonly FromBroker[]): void {
    for (const packet of packets) {
      this.#unread.push(packet);
      if (packet.type === PacketType.publish) this.#events.written(packet);
      else if (packet.type === PacketType.suback) this.#events.subscribed();
      else if (packet.type === PacketType.puback) {
        const sent = this.#sending.get(packet.packetId);
        assert.ok(sent !== undefined, `${this.clientId}: PUBACK ${packet.packetId}`);
        this.#sending.delete(packet.packetId);
        this.#events.acknowledged(sent, packet.reasonCode);
      }
    }
  }

  setRoom(hasRoom: boolean): void {
    this.hasRoom = hasRoom;
    this.#network?.setRoom(hasRoom);
  }

  lose(): void {
    const network = this.#network;
    this.crashed();
    network?.lose();
  }

  /** The broker's process is gone. */
  crashed(): void {
    if (this.#network === undefined) return;
    this.#network = undefined;
    this.#toBroker = [];
    this.#unread = [];
    this.#sending.clear();
    this.#acking.clear();
    this.#events.over();
  }
}
