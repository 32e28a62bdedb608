/** Messages to one client: as PUBLISH in its version, with topic aliases where it takes them, never larger than it takes. */
import type { Message, QoS } from "../broker/message.ts";
import type { ByteWriter } from "../lib/byte-writer.ts";
import type { Clock } from "../lib/clock.ts";
import { publishSize, writePublish } from "./encoder.ts";
import { toPublishProperties } from "./message-properties.ts";
import { OutgoingAliases } from "./outgoing-aliases.ts";
import { ProtocolVersion } from "./packet.ts";
import type { Properties } from "./properties.ts";

const NO_TOPIC = new Uint8Array(0);
/** For messages without other properties; the encoder keeps nothing. */
const aliasAlone: Properties = { topicAlias: 0 };

/** Writes the messages of one connection. */
export class Outgoing {
  readonly #output: ByteWriter;
  readonly #clock: Clock;
  readonly #version: ProtocolVersion;
  /** Largest packet the client takes, in bytes; Infinity: any. */
  readonly #packetBytesMax: number;
  /** Undefined: the client takes no aliases, or the broker gives none. */
  readonly #aliases: OutgoingAliases | undefined;

  /** `topicAliasMax`: the highest alias to give out; 0: none. */
  constructor(
    output: ByteWriter,
    clock: Clock,
    version: ProtocolVersion,
    packetBytesMax: number,
    topicAliasMax: number,
  ) {
    this.#output = output;
    this.#clock = clock;
    this.#version = version;
    this.#packetBytesMax = packetBytesMax;
    this.#aliases = topicAliasMax > 0 ? new OutgoingAliases(topicAliasMax) : undefined;
  }

  /**
   * Writes a message as PUBLISH; false, and nothing written, when that would be larger than the client takes.
   * Hot path: per message and subscriber; allocates only version 5 properties.
   */
  write(
    message: Message,
    qos: QoS,
    packetId: number,
    isDuplicate: boolean,
    retain: boolean,
    subscriptionIds: readonly number[] | undefined,
  ): boolean {
    const properties =
      this.#version === ProtocolVersion.v5
        ? toPublishProperties(message, subscriptionIds, this.#clock)
        : undefined;
    if (this.#aliases !== undefined) {
      const isWritten = this.#writeAliased(
        this.#aliases,
        message,
        qos,
        packetId,
        isDuplicate,
        retain,
        properties,
      );
      if (isWritten) return true;
    }
    const topicBytes = message.topic.bytes;
    return this.#write(message, qos, packetId, isDuplicate, retain, topicBytes, properties);
  }

  /** False: no alias, or too large with the alias being set. */
  #writeAliased(
    aliases: OutgoingAliases,
    message: Message,
    qos: QoS,
    packetId: number,
    isDuplicate: boolean,
    retain: boolean,
    properties: Properties | undefined,
  ): boolean {
    const { topic } = message;
    const alias = aliases.of(topic);
    if (alias === 0) return false;
    const { isNew } = aliases;
    const topicBytes = isNew ? topic.bytes : NO_TOPIC;
    const sent = properties ?? aliasAlone;
    sent.topicAlias = alias;
    if (this.#write(message, qos, packetId, isDuplicate, retain, topicBytes, sent)) {
      if (isNew) aliases.keep(topic, alias);
      return true;
    }
    sent.topicAlias = undefined;
    return false;
  }

  #write(
    message: Message,
    qos: QoS,
    packetId: number,
    isDuplicate: boolean,
    retain: boolean,
    topicBytes: Uint8Array,
    properties: Properties | undefined,
  ): boolean {
    const { bytes, payloadStart, payloadEnd } = message;
    const version = this.#version;
    if (this.#packetBytesMax !== Number.POSITIVE_INFINITY) {
      const payloadBytes = payloadEnd - payloadStart;
      const size = publishSize(version, topicBytes.length, payloadBytes, qos, properties);
      // [MQTT-3.1.2-24]
      if (size > this.#packetBytesMax) return false;
    }
    writePublish(
      this.#output,
      version,
      qos,
      isDuplicate,
      retain,
      packetId,
      topicBytes,
      bytes,
      payloadStart,
      payloadEnd,
      properties,
    );
    return true;
  }
}
