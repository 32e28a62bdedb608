/** An MQTT client whose session ends with its connection, over a network that the world moves packet by packet; it gets everything with QoS 0. */
import assert from "node:assert/strict";
import { type OutgoingPacket, PacketType, type ProtocolVersion } from "../../src/mqtt/packet.ts";
import type { FromBroker, Received, VirtualClient } from "../support/virtual-client.ts";
import { publishPacket } from "../support/virtual-client.ts";
import type { Stage } from "./stage.ts";

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
  /** The broker acknowledged it. */
  acknowledged(packet: Publish, reasonCode: number): void;
  /** The connection is over. */
  over(): void;
}

export class MqttPeer {
  readonly clientId: string;
  readonly version: ProtocolVersion;
  hasRoom = true;
  readonly #stage: Stage;
  readonly #filters: readonly string[];
  readonly #events: PeerEvents;
  #network: VirtualClient | undefined;
  #toBroker: OutgoingPacket[] = [];
  #unread: FromBroker[] = [];
  #lastPacketId = 1;
  readonly #sending = new Map<number, Publish>();

  constructor(
    stage: Stage,
    clientId: string,
    version: ProtocolVersion,
    filters: readonly string[],
    events: PeerEvents,
  ) {
    this.#stage = stage;
    this.clientId = clientId;
    this.version = version;
    this.#filters = filters;
    this.#events = events;
  }

  get isConnected(): boolean {
    return this.#network !== undefined;
  }

  get isQuiet(): boolean {
    return this.#toBroker.length + this.#unread.length + this.#sending.size === 0;
  }

  /** The broker does not want to read just now. */
  get isHeld(): boolean {
    return this.#network?.link.isPaused === true;
  }

  connect(): void {
    const { clientId, version } = this;
    this.hasRoom = true;
    this.#network = this.#stage.node.connect(clientId, { version, cleanStart: true });
    const options = {
      qos: 0,
      noLocal: false,
      retainAsPublished: false,
      retainHandling: 0,
    } as const;
    const subscriptions = this.#filters.map((topicFilter) => ({ topicFilter, ...options }));
    this.#toBroker.push({ type: PacketType.subscribe, packetId: 1, subscriptions, properties: {} });
    this.#events.dialled();
  }

  publish(topic: string, payload: string, fields: Parameters<typeof publishPacket>[2] = {}): void {
    if (this.#network === undefined) return;
    const packetId = fields.qos === 1 ? ++this.#lastPacketId : 0;
    this.#toBroker.push(publishPacket(topic, payload, { ...fields, packetId }));
  }

  /** The next packet arrives at the broker. */
  out(): void {
    const packet = this.#toBroker.shift();
    if (packet === undefined || this.#network === undefined) return;
    if (packet.type === PacketType.publish) {
      if (packet.qos > 0) this.#sending.set(packet.packetId, packet);
      this.#events.arriving(packet);
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
    for (const packet of this.#network?.take() ?? []) {
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
    assert.ok(this.#network?.isClosed !== true, `${this.clientId}: closed by the broker`);
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
    this.#events.over();
  }
}
