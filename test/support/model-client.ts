/**
 * A client that keeps to the specification, over a network that a test moves packet by packet: sends again after a
 * reconnect what is not acknowledged, in its order and with DUP, and tells QoS 2 repeats by their packet identifier.
 */
import assert from "node:assert/strict";
import type { QoS } from "../../src/broker/message.ts";
import {
  type AckType,
  type OutgoingPacket,
  PacketType,
  ProtocolVersion,
} from "../../src/mqtt/packet.ts";
import {
  type FromBroker,
  publishPacket,
  type Received,
  textOf,
  type VirtualClient,
} from "./virtual-client.ts";
import type { VirtualNode } from "./virtual-node.ts";

export interface ModelClientOptions {
  readonly clientId: string;
  readonly version: ProtocolVersion;
  /** False: its session lasts; true: it starts anew with each connection. */
  readonly cleanStart: boolean;
  /** In version 5; 65,535 in 3.x. */
  readonly receiveMaximum: number;
  /** Subscribed to after each CONNACK without a session. */
  readonly filters: readonly { readonly topicFilter: string; readonly qos: QoS }[];
  /** A PUBLISH is about to arrive at the broker. */
  readonly onArriving?: (topic: string, payload: string, qos: QoS) => void;
}

/** A message on its way to the broker. */
interface Sending {
  readonly topic: string;
  readonly payload: string;
  readonly qos: QoS;
  isReleased: boolean;
  /** How often it was sent on this connection: a QoS 1 packet identifier is free after as many PUBACKs. */
  copies: number;
}

/** A message handed to the application. */
export interface Delivery {
  readonly topic: string;
  readonly payload: string;
  readonly qos: QoS;
  /** How often this client had connected by then. */
  readonly connectionNumber: number;
}

export class ModelClient {
  readonly options: ModelClientOptions;
  /** What the application got, in order; QoS 2 repeats are left out, as the specification wants it. */
  readonly deliveries: Delivery[] = [];
  /** How often it subscribed, at most as often as the broker saw it. */
  subscribes = 0;
  /** Payloads for which a PUBACK or PUBREC came. */
  readonly acknowledged = new Set<string>();
  readonly #node: VirtualNode;
  #network: VirtualClient | undefined;
  #toBroker: OutgoingPacket[] = [];
  #fromBroker: FromBroker[] = [];
  #isConnected = false;
  #hadSession = false;
  #isSubscribed = false;
  #connectionNumber = 0;
  #lastPacketId = 0;
  /** In the order of first sending. */
  readonly #sending = new Map<number, Sending>();
  /** QoS 2 packet identifiers received and not released. */
  readonly #received = new Set<number>();
  /** QoS 1 and 2 packet identifiers that the broker wrote on this connection and whose end it has not been told. */
  readonly #unfinished = new Set<number>();

  constructor(node: VirtualNode, options: ModelClientOptions) {
    this.#node = node;
    this.options = options;
  }

  get isConnected(): boolean {
    return this.#isConnected;
  }

  /** True from `connect` on, before CONNACK came. */
  get hasNetwork(): boolean {
    return this.#network !== undefined;
  }

  /** The broker does not want to read just now. */
  get isHeld(): boolean {
    return this.#network?.link.isPaused === true;
  }

  /** Messages sent and not finished. */
  get sendingSize(): number {
    return this.#sending.size;
  }

  /** True when nothing is in transit. */
  get isQuiet(): boolean {
    return this.#toBroker.length === 0 && this.#fromBroker.length === 0;
  }

  /** Connects; on top of a connection it takes over from. */
  connect(): void {
    this.#forgetNetwork();
    const { clientId, version, cleanStart, receiveMaximum } = this.options;
    this.#connectionNumber++;
    const properties =
      version === ProtocolVersion.v5
        ? { receiveMaximum, sessionExpirySeconds: cleanStart ? 0 : 0xffff_ffff }
        : {};
    this.#network = this.#node.connect(clientId, { version, cleanStart, properties });
  }

  /** The network connection breaks, with all that is in transit. */
  lose(): void {
    const network = this.#network;
    this.#forgetNetwork();
    network?.lose();
  }

  /** The broker's process is gone. */
  brokerCrashed(): void {
    this.#forgetNetwork();
    if (this.options.cleanStart) this.#hadSession = false;
  }

  setRoom(hasRoom: boolean): void {
    this.#network?.setRoom(hasRoom);
  }

  publish(topic: string, payload: string, qos: QoS): void {
    if (!this.#isConnected) return;
    let packetId = 0;
    if (qos > 0) {
      do this.#lastPacketId = (this.#lastPacketId % 20) + 1;
      while (this.#sending.has(this.#lastPacketId));
      packetId = this.#lastPacketId;
      this.#sending.set(packetId, { topic, payload, qos, isReleased: false, copies: 1 });
    }
    this.#toBroker.push(publishPacket(topic, payload, { qos, packetId }));
  }

  /** Subscribes to the same again, which brings the retained messages again. */
  resubscribe(): void {
    if (this.#isConnected && this.options.filters.length > 0) this.#subscribe();
  }

  /** Sends a message again although the connection lasts, as 3.1.1 allows. */
  repeat(index: number): void {
    if (!this.#isConnected) return;
    const again = [...this.#sending].filter(([, { isReleased }]) => !isReleased);
    const chosen = again[index % Math.max(1, again.length)];
    if (chosen === undefined) return;
    chosen[1].copies++;
    this.#send(...chosen);
  }

  /** Up to `count` packets arrive at the broker, in one piece. */
  out(count: number): void {
    const network = this.#network;
    const packets = this.#toBroker.splice(0, count);
    if (network === undefined || packets.length === 0) return;
    for (const packet of packets) {
      const isEnd = packet.type === PacketType.puback || packet.type === PacketType.pubcomp;
      if (isEnd) this.#unfinished.delete(packet.packetId);
      if (packet.type !== PacketType.publish) continue;
      const payload = Buffer.from(packet.payload).toString();
      this.options.onArriving?.(packet.topic, payload, packet.qos);
    }
    network.send(...packets);
  }

  /** What the broker wrote leaves for the client. */
  collect(): void {
    const network = this.#network;
    if (network === undefined) return;
    for (const packet of network.take()) {
      this.#fromBroker.push(packet);
      if (packet.type === PacketType.publish && packet.qos > 0) {
        this.#unfinished.add(packet.packetId);
        const { clientId, receiveMaximum } = this.options;
        assert.ok(this.#unfinished.size <= receiveMaximum, `${clientId}: window exceeded`);
      }
    }
    assert.ok(!network.isClosed, `${this.options.clientId}: closed by the broker`);
  }

  /** Up to `count` packets arrive at the client. */
  in(count: number): void {
    for (const packet of this.#fromBroker.splice(0, count)) this.#handle(packet);
  }

  #forgetNetwork(): void {
    this.#network = undefined;
    this.#toBroker = [];
    this.#fromBroker = [];
    this.#isConnected = false;
    this.#unfinished.clear();
  }

  #handle(packet: FromBroker): void {
    switch (packet.type) {
      case PacketType.connack:
        assert.equal(packet.reasonCode, 0);
        this.#connected(packet.sessionPresent);
        return;
      case PacketType.publish:
        this.#deliver(packet);
        return;
      case PacketType.pubrel:
        this.#received.delete(packet.packetId);
        this.#ack(PacketType.pubcomp, packet.packetId);
        return;
      case PacketType.puback:
        this.#acknowledged(packet.packetId, 1);
        return;
      case PacketType.pubrec:
        this.#acknowledged(packet.packetId, 2);
        return;
      case PacketType.pubcomp:
        assert.ok(this.#sending.get(packet.packetId)?.isReleased === true, textOf(packet));
        this.#sending.delete(packet.packetId);
        return;
      case PacketType.suback:
        this.#isSubscribed = true;
        return;
      default:
        assert.fail(`${this.options.clientId} got ${textOf(packet)}`);
    }
  }

  #connected(sessionPresent: boolean): void {
    const { clientId, cleanStart, filters } = this.options;
    assert.ok(sessionPresent || !this.#hadSession || cleanStart, `${clientId}: session lost`);
    this.#isConnected = true;
    this.#hadSession = true;
    if (!sessionPresent) {
      this.#received.clear();
      this.#sending.clear();
      this.#isSubscribed = false;
    }
    if (filters.length > 0 && !this.#isSubscribed) this.#subscribe();
    for (const [packetId, sending] of this.#sending) {
      sending.copies = 1;
      this.#send(packetId, sending);
    }
  }

  #subscribe(): void {
    this.subscribes++;
    const options = { noLocal: false, retainAsPublished: false, retainHandling: 0 } as const;
    const subscriptions = this.options.filters.map((filter) => ({ ...filter, ...options }));
    this.#toBroker.push({ type: PacketType.subscribe, packetId: 1, subscriptions, properties: {} });
  }

  #send(packetId: number, { topic, payload, qos, isReleased }: Sending): void {
    if (isReleased) this.#ack(PacketType.pubrel, packetId);
    else this.#toBroker.push(publishPacket(topic, payload, { qos, packetId, dup: true }));
  }

  #ack(type: AckType, packetId: number): void {
    this.#toBroker.push({ type, packetId, reasonCode: 0 });
  }

  #acknowledged(packetId: number, qos: QoS): void {
    const sending = this.#sending.get(packetId);
    assert.equal(sending?.qos, qos, `${this.options.clientId}: acknowledged ${packetId}`);
    if (sending === undefined) return;
    this.acknowledged.add(sending.payload);
    if (qos === 1) {
      sending.copies--;
      if (sending.copies === 0) this.#sending.delete(packetId);
      return;
    }
    // PUBREC of a repeat: PUBREL is on its way.
    if (sending.isReleased) return;
    sending.isReleased = true;
    this.#ack(PacketType.pubrel, packetId);
  }

  #deliver({ topic, payload, qos, packetId }: Received): void {
    const isRepeat = qos === 2 && this.#received.has(packetId);
    if (!isRepeat) {
      const connectionNumber = this.#connectionNumber;
      this.deliveries.push({ topic, payload, qos, connectionNumber });
    }
    if (qos === 1) this.#ack(PacketType.puback, packetId);
    if (qos !== 2) return;
    this.#received.add(packetId);
    this.#ack(PacketType.pubrec, packetId);
  }
}

/** The faults are over: everybody connects and everything moves until nothing is left to do. */
export function settle(node: VirtualNode, clients: readonly ModelClient[]): void {
  for (const client of clients) {
    client.setRoom(true);
    if (!client.hasNetwork) client.connect();
  }
  for (let idle = 0, round = 0; idle < 3; round++) {
    assert.ok(round < 1_000, "it never comes to rest");
    for (const client of clients) {
      client.out(5);
      client.in(5);
    }
    const isFlushed = node.flush();
    for (const client of clients) client.collect();
    idle = !isFlushed && clients.every((client) => client.isQuiet) ? idle + 1 : 0;
  }
}
