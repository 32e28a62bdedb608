/**
 * A client with a session that outlives its connections, as the specification wants it: what is unacknowledged is sent
 * again after a reconnect [MQTT-4.4.0-1], QoS 2 state is kept both ways [MQTT 5.0 section 4.3.3].
 */
import {
  type OutgoingPublish,
  PacketType,
  ProtocolVersion,
  type PubrelPacket,
} from "../../src/mqtt/packet.ts";
import { type ReceivedPacket, subscribePacket, WireClient } from "./wire-client.ts";

const SESSION_EXPIRY_SECONDS = 3_600;

interface Sent {
  readonly packet: OutgoingPublish;
  readonly tag: number;
  state: "published" | "released";
}

/** What a client tells its owner. */
export interface DurableClientEvents {
  /** PUBACK, or the first PUBREC, of the message that was published with this tag. */
  readonly onAcknowledged?: (tag: number) => void;
  /** The broker refused it: reason code 0x80 or more. */
  readonly onRefused?: (tag: number, reasonCode: number) => void;
  /** A message came; with QoS 2 once. */
  readonly onMessage?: (message: OutgoingPublish) => void;
  /** The broker broke the protocol. */
  readonly onFault: (what: string) => void;
}

/** See the top of this file. */
export class DurableClient {
  readonly clientId: string;
  readonly #version: ProtocolVersion;
  readonly #events: DurableClientEvents;
  /** By packet identifier, in the order of sending. */
  readonly #sent = new Map<number, Sent>();
  /** QoS 2 messages received and not released. */
  readonly #received = new Set<number>();
  #lastPacketId = 0;
  #hasSession = false;
  #wire: WireClient | undefined;

  constructor(clientId: string, version: ProtocolVersion, events: DurableClientEvents) {
    this.clientId = clientId;
    this.#version = version;
    this.#events = events;
  }

  /** Messages published and not wholly acknowledged: PUBACK or PUBCOMP is missing. */
  get outstanding(): number {
    return this.#sent.size;
  }

  /** Messages published without any acknowledgement yet. */
  get unacknowledged(): number {
    let count = 0;
    for (const { state } of this.#sent.values()) if (state === "published") count++;
    return count;
  }

  get isConnected(): boolean {
    return this.#wire !== undefined && !this.#wire.isClosed;
  }

  /** Connects, resumes the session and sends again what is unacknowledged. */
  async connect(port: number): Promise<void> {
    const wire = await WireClient.open(port, this.#version);
    const isV5 = this.#version === ProtocolVersion.v5;
    const connack = await wire.connect({
      clientId: this.clientId,
      cleanStart: false,
      properties: isV5 ? { sessionExpirySeconds: SESSION_EXPIRY_SECONDS } : {},
    });
    if (connack.reasonCode !== 0) throw new Error(`CONNACK ${connack.reasonCode}`);
    if (this.#hasSession && !connack.sessionPresent) {
      this.#events.onFault(`${this.clientId}: the session is gone`);
    }
    this.#hasSession = true;
    this.#wire = wire;
    wire.handle((packet) => this.#onPacket(packet));
    for (const { packet, state } of this.#sent.values()) {
      if (state === "published") wire.send({ ...packet, dup: true });
      else wire.send(released(packet.packetId));
    }
  }

  /** Subscribes; resolves with SUBACK. */
  async subscribe(topicFilter: string, qos: 0 | 1 | 2): Promise<void> {
    const wire = this.#wire;
    if (wire === undefined) throw new Error("not connected");
    const packetId = this.#nextPacketId();
    await new Promise<void>((resolve, reject) => {
      wire.handle((packet) => {
        if (packet.type === PacketType.suback && packet.packetId === packetId) resolve();
        else this.#onPacket(packet);
      });
      void wire.closed.then(() => reject(new Error("closed before SUBACK")));
      wire.send(subscribePacket(packetId, topicFilter, qos));
    });
    wire.handle((packet) => this.#onPacket(packet));
  }

  /** Publishes with QoS 1 or 2. `tag` names the message in the events. */
  publish(topic: string, payload: Uint8Array, qos: 1 | 2, tag: number): void {
    const packetId = this.#nextPacketId();
    const packet: OutgoingPublish = {
      type: PacketType.publish,
      dup: false,
      qos,
      retain: false,
      packetId,
      topic,
      payload,
    };
    this.#sent.set(packetId, { packet, tag, state: "published" });
    this.#wire?.send(packet);
  }

  /** Drops the network connection, if there is one. */
  async drop(): Promise<void> {
    await this.#wire?.drop();
    this.#wire = undefined;
  }

  #nextPacketId(): number {
    do this.#lastPacketId = (this.#lastPacketId % 65_535) + 1;
    while (this.#sent.has(this.#lastPacketId));
    return this.#lastPacketId;
  }

  #onPacket(packet: ReceivedPacket): void {
    switch (packet.type) {
      case PacketType.publish:
        this.#receive(packet);
        return;
      case PacketType.puback:
      case PacketType.pubrec:
        this.#acknowledged(packet.packetId, packet.type, packet.reasonCode);
        return;
      case PacketType.pubcomp:
        this.#completed(packet.packetId);
        return;
      case PacketType.pubrel:
        this.#received.delete(packet.packetId);
        this.#answer(PacketType.pubcomp, packet.packetId);
        return;
      case PacketType.disconnect:
        return;
      default:
        this.#fault(`packet of type ${packet.type} came unasked`);
    }
  }

  #receive(message: OutgoingPublish): void {
    const { qos, packetId } = message;
    if (qos < 2 || !this.#received.has(packetId)) this.#events.onMessage?.(message);
    if (qos === 1) this.#answer(PacketType.puback, packetId);
    if (qos < 2) return;
    this.#received.add(packetId);
    this.#answer(PacketType.pubrec, packetId);
  }

  #acknowledged(packetId: number, type: 4 | 5, reasonCode: number): void {
    const sent = this.#sent.get(packetId);
    const qos = type === PacketType.puback ? 1 : 2;
    if (sent === undefined || sent.packet.qos !== qos) {
      this.#fault(`acknowledgement of type ${type} for unknown packet identifier ${packetId}`);
      return;
    }
    if (reasonCode >= 0x80) {
      this.#sent.delete(packetId);
      this.#events.onRefused?.(sent.tag, reasonCode);
      return;
    }
    const isFirst = sent.state === "published";
    if (qos === 1) this.#sent.delete(packetId);
    else {
      sent.state = "released";
      this.#wire?.send(released(packetId));
    }
    if (isFirst) this.#events.onAcknowledged?.(sent.tag);
  }

  #completed(packetId: number): void {
    if (this.#sent.get(packetId)?.state !== "released") {
      this.#fault(`PUBCOMP for packet identifier ${packetId} that was not released`);
    }
    this.#sent.delete(packetId);
  }

  #answer(type: 4 | 5 | 7, packetId: number): void {
    this.#wire?.send({ type, packetId, reasonCode: 0 });
  }

  #fault(what: string): void {
    this.#events.onFault(`${this.clientId}: ${what}`);
  }
}

const released = (packetId: number): PubrelPacket => ({
  type: PacketType.pubrel,
  packetId,
  reasonCode: 0,
});
