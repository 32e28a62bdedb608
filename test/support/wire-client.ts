/** MQTT packet by packet: a client that does nothing by itself, so that a test decides when what is acknowledged. */
import { once } from "node:events";
import { connect } from "node:net";
import type { Duplex } from "node:stream";
import { ByteWriter } from "../../src/lib/byte-writer.ts";
import { Decoder } from "../../src/mqtt/decoder.ts";
import { encodePacket } from "../../src/mqtt/encoder.ts";
import {
  type ConnackPacket,
  type ConnectPacket,
  type OutgoingPacket,
  type OutgoingPublish,
  type Packet,
  PacketType,
  type ProtocolVersion,
  type SubackPacket,
} from "../../src/mqtt/packet.ts";

const PACKET_BYTES_MAX = 16 * 1_048_576;
const WAIT_MS = 15_000;

/** A packet that came; a PUBLISH owns its bytes. */
export type ReceivedPacket = OutgoingPacket;

/** A packet that came, and when (`performance.now()`). */
export interface Arrival {
  readonly packet: ReceivedPacket;
  readonly at: number;
}

interface Waiter {
  readonly matches: (packet: ReceivedPacket) => boolean;
  readonly resolve: (arrival: Arrival) => void;
}

/** One network connection. */
export class WireClient {
  /** Resolves when the network connection is gone. */
  readonly closed: Promise<void>;
  readonly #socket: Duplex;
  readonly #version: ProtocolVersion;
  readonly #decoder: Decoder;
  readonly #output = new ByteWriter();
  readonly #arrivals: Arrival[] = [];
  readonly #waiters = new Set<Waiter>();
  #onPacket: ((packet: ReceivedPacket) => void) | undefined;
  #isScheduled = false;
  #isClosed = false;

  /** On a network connection that is open already, whatever its kind. */
  constructor(socket: Duplex, version: ProtocolVersion) {
    this.#socket = socket;
    this.#version = version;
    this.#decoder = new Decoder({ role: "client", packetBytesMax: PACKET_BYTES_MAX });
    this.#decoder.protocolVersion = version;
    socket.on("error", () => undefined);
    socket.on("data", (chunk) => this.#onData(chunk));
    this.closed = new Promise((resolve) => {
      socket.on("close", () => {
        this.#isClosed = true;
        resolve();
      });
    });
  }

  /** Opens the network connection and sends nothing. */
  static async open(port: number, version: ProtocolVersion): Promise<WireClient> {
    const socket = connect({ host: "127.0.0.1", port, noDelay: true });
    await once(socket, "connect");
    return new WireClient(socket, version);
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Sends a packet at the end of this turn; returns the time. */
  send(packet: OutgoingPacket): number {
    encodePacket(this.#output, packet, this.#version);
    if (!this.#isScheduled) {
      this.#isScheduled = true;
      queueMicrotask(() => this.#flush());
    }
    return performance.now();
  }

  /** Sends bytes as they are, behind what was sent before. */
  sendBytes(bytes: Uint8Array): void {
    if (this.#isScheduled) this.#flush();
    if (!this.#socket.destroyed) this.#socket.write(bytes);
  }

  /** The first packet not taken yet that matches; waits for it, at most 15 s. */
  async take(
    what: string,
    matches: (packet: ReceivedPacket) => boolean,
    timeoutMs = WAIT_MS,
  ): Promise<Arrival> {
    const index = this.#arrivals.findIndex(({ packet }) => matches(packet));
    const found = index < 0 ? undefined : this.#arrivals.splice(index, 1)[0];
    if (found !== undefined) return found;
    let waiter: Waiter | undefined;
    let timer: NodeJS.Timeout | undefined;
    try {
      return await new Promise((resolve, reject) => {
        waiter = { matches, resolve };
        this.#waiters.add(waiter);
        timer = setTimeout(() => reject(new Error(`no ${what} in ${timeoutMs} ms`)), timeoutMs);
        void this.closed.then(() => reject(new Error(`closed while waiting for ${what}`)));
      });
    } finally {
      clearTimeout(timer);
      if (waiter !== undefined) this.#waiters.delete(waiter);
    }
  }

  /** The next packet of this type, with this packet identifier if one is given. */
  async takeType<T extends PacketType>(
    type: T,
    packetId?: number,
    timeoutMs?: number,
  ): Promise<{ readonly packet: Extract<ReceivedPacket, { type: T }>; readonly at: number }> {
    const matches = (packet: ReceivedPacket): boolean =>
      packet.type === type &&
      (packetId === undefined || ("packetId" in packet && packet.packetId === packetId));
    const { packet, at } = await this.take(`packet of type ${type}`, matches, timeoutMs);
    return { packet: packet as Extract<ReceivedPacket, { type: T }>, at };
  }

  /** From now on every packet goes to `onPacket`, first those that were not taken; nothing is kept for `take`. */
  handle(onPacket: (packet: ReceivedPacket) => void): void {
    this.#onPacket = onPacket;
    for (const { packet } of this.#arrivals.splice(0)) onPacket(packet);
  }

  /** How many packets of this type came and were not taken. */
  waiting(type: PacketType): number {
    return this.#arrivals.filter(({ packet }) => packet.type === type).length;
  }

  /** Everything that came and was not taken, in its order; from now on it is taken. */
  takeAll(): ReceivedPacket[] {
    return this.#arrivals.splice(0).map(({ packet }) => packet);
  }

  /** PINGREQ, and all that came before its PINGRESP and was not taken: whatever the broker had to say until then. */
  async settle(): Promise<ReceivedPacket[]> {
    this.send({ type: PacketType.pingreq });
    await this.takeType(PacketType.pingresp);
    return this.takeAll();
  }

  /** CONNECT; resolves with CONNACK, whatever it says. */
  async connect(fields: Partial<ConnectPacket>): Promise<ConnackPacket> {
    this.send({
      type: PacketType.connect,
      protocolVersion: this.#version,
      cleanStart: true,
      keepAliveSeconds: 0,
      clientId: "",
      properties: {},
      ...fields,
    });
    return (await this.takeType(PacketType.connack)).packet;
  }

  /** SUBSCRIBE to one topic filter; resolves with SUBACK. */
  async subscribe(packetId: number, topicFilter: string, qos: 0 | 1 | 2): Promise<SubackPacket> {
    this.send(subscribePacket(packetId, topicFilter, qos));
    return (await this.takeType(PacketType.suback, packetId)).packet;
  }

  /** Reads nothing from the network until `thaw`. */
  freeze(): void {
    this.#socket.pause();
  }

  thaw(): void {
    this.#socket.resume();
  }

  /** Drops the network connection. */
  async drop(): Promise<void> {
    this.#socket.destroy();
    await this.closed;
  }

  #flush(): void {
    if (!this.#isScheduled) return;
    this.#isScheduled = false;
    const { end } = this.#output;
    if (!this.#socket.destroyed) this.#socket.write(this.#output.detach().subarray(0, end));
  }

  #onData(chunk: Uint8Array): void {
    const at = performance.now();
    this.#decoder.feed(chunk);
    for (let next = this.#decoder.next(); next !== undefined; next = this.#decoder.next()) {
      const packet = ownedPacket(next);
      if (this.#onPacket === undefined) this.#keep({ packet, at });
      else this.#onPacket(packet);
    }
  }

  #keep(arrival: Arrival): void {
    for (const waiter of this.#waiters) {
      if (!waiter.matches(arrival.packet)) continue;
      this.#waiters.delete(waiter);
      waiter.resolve(arrival);
      return;
    }
    this.#arrivals.push(arrival);
  }
}

/** SUBSCRIBE to one topic filter. */
export function subscribePacket(
  packetId: number,
  topicFilter: string,
  qos: 0 | 1 | 2,
): OutgoingPacket {
  const options = { noLocal: false, retainAsPublished: false, retainHandling: 0 } as const;
  const subscriptions = [{ topicFilter, qos, ...options }];
  return { type: PacketType.subscribe, packetId, subscriptions };
}

/** A PUBLISH; QoS 0 without packet identifier. */
export function publishPacket(
  topic: string,
  payload: string | Uint8Array,
  fields: Partial<OutgoingPublish> = {},
): OutgoingPublish {
  return {
    type: PacketType.publish,
    dup: false,
    qos: 0,
    retain: false,
    packetId: 0,
    topic,
    payload: typeof payload === "string" ? Buffer.from(payload) : payload,
    ...fields,
  };
}

/** A packet that owns its bytes: what is decoded may lie in a buffer that is used again. */
export function ownedPacket(packet: Packet): OutgoingPacket {
  if (packet.type !== PacketType.publish) return packet;
  const { type, dup, qos, retain, packetId, bytes, properties } = packet;
  const topic = Buffer.from(bytes.subarray(packet.topicStart, packet.topicEnd)).toString();
  const payload = bytes.slice(packet.payloadStart, packet.payloadEnd);
  return { type, dup, qos, retain, packetId, topic, payload, properties };
}
