/** Everything that an MQTT broker must not answer before it is on disk, asked one by one and timed. */
import { PacketType, ProtocolVersion } from "../../src/mqtt/packet.ts";
import { publishPacket, subscribePacket, WireClient } from "./wire-client.ts";

/** One question and its answer. */
export interface Exchange {
  readonly what: string;
  /** From the question to the answer. */
  readonly tookMs: number;
}

const SESSION = { sessionExpirySeconds: 3_600 };
const { puback, pubrec, pubrel, pubcomp, suback, unsuback, connack, publish } = PacketType;
/** Publishes of the burst, and the pause between them: they come while a commit is under way. */
const BURST = 20;
const BURST_PAUSE_MS = 40;

/** The exchanges that were answered too early for a disk that takes `delayMs` for each sync. */
export const tooEarly = (exchanges: readonly Exchange[], delayMs: number): Exchange[] =>
  exchanges.filter(({ tookMs }) => tookMs < delayMs);

/** Runs all exchanges against the broker on this port, with new client identifiers that start with `prefix`. */
export async function runExchanges(
  port: number,
  version: ProtocolVersion,
  prefix: string,
): Promise<Exchange[]> {
  const run = new ExchangeRun(version, prefix);
  await run.session(port);
  await run.publishes();
  await run.burst();
  await run.delivery();
  await run.end();
  return run.exchanges;
}

class ExchangeRun {
  readonly exchanges: Exchange[] = [];
  readonly #version: ProtocolVersion;
  readonly #prefix: string;
  #wire: WireClient | undefined;
  #port = 0;

  constructor(version: ProtocolVersion, prefix: string) {
    this.#version = version;
    this.#prefix = prefix;
  }

  get #client(): WireClient {
    if (this.#wire === undefined) throw new Error("not connected");
    return this.#wire;
  }

  /** CONNECT that creates a durable session with a will, and SUBSCRIBE of it. */
  async session(port: number): Promise<void> {
    this.#port = port;
    const wire = await WireClient.open(port, this.#version);
    this.#wire = wire;
    const topic = `${this.#prefix}/will`;
    const will = { topic, payload: Buffer.of(1), qos: 1, retain: false, properties: {} } as const;
    await this.#time(
      "CONNACK of a new durable session",
      () => {
        return wire.send(this.#connect({ will }));
      },
      connack,
    );
    await this.#time(
      "SUBACK of a durable session",
      () => {
        return wire.send(subscribePacket(1, `${this.#prefix}/#`, 2));
      },
      suback,
    );
  }

  /** Of a message that a durable session is owed, a retained one, and both flows of QoS 2. */
  async publishes(): Promise<void> {
    const wire = this.#client;
    const topic = `${this.#prefix}/plain`;
    await this.#time(
      "PUBACK",
      () => {
        return wire.send(publishPacket(topic, "1", { qos: 1, packetId: 11 }));
      },
      puback,
    );
    await this.#time(
      "PUBACK of a retained message",
      () => {
        const fields = { qos: 1, packetId: 12, retain: true } as const;
        return wire.send(publishPacket(`${topic}/retained`, "2", fields));
      },
      puback,
    );
    await this.#time(
      "PUBREC",
      () => {
        return wire.send(publishPacket(topic, "3", { qos: 2, packetId: 13 }));
      },
      pubrec,
    );
    await this.#time(
      "PUBREC of a repeated PUBLISH",
      () => {
        return wire.send(publishPacket(topic, "4", { qos: 2, packetId: 14 }));
      },
      pubrec,
      () => {
        wire.send(publishPacket(topic, "4", { qos: 2, packetId: 14, dup: true }));
      },
    );
    await this.#time(
      "PUBCOMP",
      () => {
        return wire.send({ type: pubrel, packetId: 13, reasonCode: 0 });
      },
      pubcomp,
    );
  }

  /** Publishes that come while a commit is under way wait for the next one. */
  async burst(): Promise<void> {
    const wire = this.#client;
    const sentAt: number[] = [];
    for (let i = 0; i < BURST; i++) {
      const fields = { qos: 1, packetId: 100 + i } as const;
      sentAt.push(wire.send(publishPacket(`${this.#prefix}/burst`, "5", fields)));
      await new Promise((resolve) => setTimeout(resolve, BURST_PAUSE_MS));
    }
    for (const [i, sent] of sentAt.entries()) {
      const { at } = await wire.takeType(puback, 100 + i);
      this.exchanges.push({ what: `PUBACK ${i} of a burst`, tookMs: at - sent });
    }
  }

  /** PUBREL to a durable subscriber comes after its PUBREC is on disk. */
  async delivery(): Promise<void> {
    const wire = this.#client;
    const isQos2 = (packet: { type: PacketType }): boolean =>
      packet.type === publish && "qos" in packet && packet.qos === 2;
    const { packet } = await wire.take("PUBLISH with QoS 2", isQos2);
    const packetId = "packetId" in packet ? packet.packetId : 0;
    await this.#time(
      "PUBREL",
      () => {
        return wire.send({ type: pubrec, packetId, reasonCode: 0 });
      },
      pubrel,
    );
    wire.send({ type: pubcomp, packetId, reasonCode: 0 });
  }

  /** UNSUBSCRIBE of a durable session, and CONNECT that ends one. */
  async end(): Promise<void> {
    const wire = this.#client;
    await this.#time(
      "UNSUBACK of a durable session",
      () => {
        const topicFilters = [`${this.#prefix}/#`];
        return wire.send({ type: PacketType.unsubscribe, packetId: 2, topicFilters });
      },
      unsuback,
    );
    await wire.drop();
    const next = await WireClient.open(this.#port, this.#version);
    this.#wire = next;
    await this.#time(
      "CONNACK that ends a durable session",
      () => {
        return next.send({ ...this.#connect({}), cleanStart: true, properties: {} });
      },
      connack,
    );
    await next.drop();
  }

  #connect(fields: object): Extract<Parameters<WireClient["send"]>[0], { type: 1 }> {
    return {
      type: PacketType.connect,
      protocolVersion: this.#version,
      cleanStart: false,
      keepAliveSeconds: 0,
      clientId: `${this.#prefix}-client`,
      properties: this.#version === ProtocolVersion.v5 ? SESSION : {},
      ...fields,
    };
  }

  /** From `ask` to the next packet of this type. `meanwhile` is done once between them. */
  async #time(
    what: string,
    ask: () => number,
    answer: PacketType,
    meanwhile: () => void = () => undefined,
  ): Promise<void> {
    const sentAt = ask();
    meanwhile();
    const { at } = await this.#client.takeType(answer);
    this.exchanges.push({ what, tookMs: at - sentAt });
  }
}
