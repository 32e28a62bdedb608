import type { Message, MessageProperties, QoS } from "../broker/message.ts";
import type { LogId, LogRecord, Ordinal, Sequence } from "../broker/store.ts";
import type { Topic } from "../broker/topic.ts";
import type { Instant } from "../lib/clock.ts";

/**
 * A record of a log, written or read. It is a class because V8 goes on making objects of a literal in the shape that they had when it
 * compiled the literal: once a number had outgrown it, each record was rebuilt at its first change, which took a fifth of an ingest's time.
 */
export class StoredRecord implements LogRecord {
  topic: Topic;
  qos: QoS;
  retain: boolean;
  bytes: Uint8Array;
  payloadStart: number;
  payloadEnd: number;
  properties: MessageProperties | undefined;
  publisherId: string;
  receivedAt: Instant;
  expiresAt: Instant | undefined;
  readonly log: LogId;
  sequence = 0 as Sequence;
  ordinal = 0 as Ordinal;
  readonly epoch: string;

  /** As `message`, with its payload at `bytes[payloadStart, payloadEnd)`. Without sequence and ordinal until it is given them. */
  constructor(
    message: Message,
    bytes: Uint8Array,
    payloadStart: number,
    payloadEnd: number,
    log: LogId,
    epoch: string,
  ) {
    // Hot path: per record.
    this.topic = message.topic;
    this.qos = message.qos;
    this.retain = message.retain;
    this.bytes = bytes;
    this.payloadStart = payloadStart;
    this.payloadEnd = payloadEnd;
    this.properties = message.properties;
    this.publisherId = message.publisherId;
    this.receivedAt = message.receivedAt;
    this.expiresAt = message.expiresAt;
    this.log = log;
    this.epoch = epoch;
  }
}
