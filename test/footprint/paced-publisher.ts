/** Publishers that keep to a rate, whatever the broker does. */
import { Link } from "../../bench/load/link.ts";
import { PacketWalker } from "../../bench/load/packet-walker.ts";
import { encodePublishQos1, PUBACK, uint16At } from "../../bench/load/packets.ts";

const READ_BUFFER_BYTES = 4_096;
const TICK_MS = 5;
/** Packet identifiers in use per connection; so many may wait for their acknowledgement. */
const PACKET_IDS = 1_000;

/** What a fleet has seen so far. */
export interface FleetTotals {
  readonly sent: number;
  readonly acknowledged: number;
  /** Packets that were no acknowledgement due. */
  readonly unexpected: number;
  /** Connections that ended by themselves. */
  readonly lost: number;
}

/** One connection: QoS 1, the time of each message kept until its acknowledgement. */
class Publisher {
  readonly #link: Link;
  readonly #packets: readonly Buffer[];
  readonly #sentAt = new Float64Array(PACKET_IDS);
  readonly #latencies: number[];
  readonly #walker: PacketWalker;
  sent = 0;
  acknowledged = 0;
  unexpected = 0;

  constructor(link: Link, topic: string, payloadBytes: number, latencies: number[]) {
    this.#link = link;
    this.#latencies = latencies;
    this.#packets = Array.from({ length: PACKET_IDS }, (_, i) =>
      encodePublishQos1({ topic, payloadBytes }, i + 1),
    );
    this.#walker = new PacketWalker((bytes, at) => this.#received(bytes, at));
    link.receive((bytes, count) => {
      this.#walker.feed(bytes, count);
      return true;
    });
  }

  get hasCapacity(): boolean {
    return this.sent - this.acknowledged < PACKET_IDS;
  }

  publish(now: number): void {
    const index = this.sent % PACKET_IDS;
    const packet = this.#packets[index];
    if (packet === undefined) return;
    this.#sentAt[index] = now;
    this.sent++;
    this.#link.write(packet);
  }

  close(): void {
    this.#link.close();
  }

  /** Acknowledgements come in the order of the messages [MQTT-4.6.0-2]. */
  #received(bytes: Uint8Array, at: number): void {
    const index = this.acknowledged % PACKET_IDS;
    if ((bytes[at] ?? 0) >>> 4 !== PUBACK || uint16At(bytes, at + 2) !== index + 1) {
      this.unexpected++;
      return;
    }
    this.#latencies.push(performance.now() - (this.#sentAt[index] ?? 0));
    this.acknowledged++;
  }
}

/** Connections that publish in turn, together at one rate. */
export class Fleet {
  readonly #publishers: readonly Publisher[];
  readonly #latencies: number[];
  #lost = 0;
  #next = 0;

  private constructor(publishers: readonly Publisher[], latencies: number[]) {
    this.#publishers = publishers;
    this.#latencies = latencies;
  }

  /** Connects them all; each publishes to a topic of its own under `topicPrefix`. */
  static async open(options: {
    readonly port: number;
    readonly connections: number;
    readonly topicPrefix: string;
    readonly payloadBytes: number;
  }): Promise<Fleet> {
    const latencies: number[] = [];
    const publishers: Publisher[] = [];
    const fleet = new Fleet(publishers, latencies);
    for (let i = 0; i < options.connections; i++) {
      const link = await Link.open({
        port: options.port,
        clientId: `footprint-${i}`,
        cleanStart: true,
        readBufferBytes: READ_BUFFER_BYTES,
        onLost: () => {
          fleet.#lost++;
        },
      });
      const topic = `${options.topicPrefix}/${String(i).padStart(3, "0")}`;
      publishers.push(new Publisher(link, topic, options.payloadBytes, latencies));
    }
    return fleet;
  }

  /** Publishes at this rate for so long, then waits for what is outstanding, at most 10 s. */
  async run(perSecond: number, seconds: number): Promise<void> {
    const total = perSecond * seconds;
    const startedAt = performance.now();
    let due = 0;
    while (due < total && this.#lost === 0) {
      const now = performance.now();
      const until = Math.min(total, Math.floor(((now - startedAt) / 1_000) * perSecond));
      for (; due < until; due++) this.#publishNext(now);
      await new Promise((resolve) => setTimeout(resolve, TICK_MS));
    }
    await this.#settle();
  }

  /** Publishes so many messages as fast as they are acknowledged. */
  async flood(messages: number): Promise<void> {
    for (let sent = 0; sent < messages && this.#lost === 0; ) {
      const now = performance.now();
      const { sent: all, acknowledged } = this.totals();
      const room = Math.min(messages - sent, 2 * PACKET_IDS - (all - acknowledged));
      for (let i = 0; i < room; i++) this.#publishNext(now);
      sent += Math.max(0, room);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await this.#settle();
  }

  totals(): FleetTotals {
    const sum = (pick: (publisher: Publisher) => number): number =>
      this.#publishers.reduce((total, publisher) => total + pick(publisher), 0);
    return {
      sent: sum((publisher) => publisher.sent),
      acknowledged: sum((publisher) => publisher.acknowledged),
      unexpected: sum((publisher) => publisher.unexpected),
      lost: this.#lost,
    };
  }

  /** Milliseconds from publish to acknowledgement below which this share (0 to 1) of the messages stayed. */
  latency(share: number): number {
    const sorted = Float64Array.from(this.#latencies).sort();
    return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
  }

  close(): void {
    for (const publisher of this.#publishers) publisher.close();
  }

  #publishNext(now: number): void {
    const publisher = this.#publishers[this.#next++ % this.#publishers.length];
    if (publisher?.hasCapacity) publisher.publish(now);
  }

  async #settle(): Promise<void> {
    const untilMs = performance.now() + 10_000;
    const isDone = (): boolean => {
      const { sent, acknowledged } = this.totals();
      return acknowledged >= sent || this.#lost > 0;
    };
    while (!isDone() && performance.now() < untilMs) {
      await new Promise((resolve) => setTimeout(resolve, TICK_MS));
    }
  }
}
