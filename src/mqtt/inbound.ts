/** PUBLISH from a client: its topic, its quota, what the broker says to it, and which acknowledgement it earns. */
import type { Broker } from "../broker/broker.ts";
import type { Message } from "../broker/message.ts";
import {
  isNamedPattern,
  isPatternTopic,
  nameInTopic,
  QUEUE_TOPIC,
  STREAM_TOPIC,
} from "../broker/pattern-topics.ts";
import { PublishOutcome } from "../broker/publish-room.ts";
import { isReplyTopic } from "../broker/reply-topics.ts";
import type { Session } from "../broker/session.ts";
import { type CommitNumber, NO_COMMIT } from "../broker/store.ts";
import { isTopicName, Topic } from "../broker/topic.ts";
import { after, type Instant } from "../lib/clock.ts";
import { LazyMap } from "../lib/lazy-map.ts";
import { isWithinLimits, mayPublishTo } from "./accept-connect.ts";
import type { ConnectionOptions } from "./connection-options.ts";
import { toMessageProperties } from "./message-properties.ts";
import { PacketType, ProtocolVersion, type PublishPacket } from "./packet.ts";
import { ProtocolError } from "./protocol-error.ts";
import { ReasonCode } from "./reason-code.ts";
import { TopicCache } from "./topic-cache.ts";
import { decodeUtf8, isWellFormedUtf8 } from "./utf8.ts";

const NOWHERE = new Topic("");
const EMPTY = new Uint8Array(0);
const DOLLAR = 0x24;

export class Inbound {
  readonly #broker: Broker;
  readonly #options: ConnectionOptions;
  readonly #topics: TopicCache;
  /** By alias [MQTT 5.0 section 3.3.2.3.4]; those of topics that may not be published to apart. */
  readonly #aliases = new LazyMap<number, Topic>();
  readonly #deniedAliases = new LazyMap<number, Topic>();
  readonly #session: Session;
  /** Of the rules that the cached topics and aliases were held against. */
  #rulesVersion: number;
  /** Why the last topic that was looked at may not be published to; 0: it may. */
  #topicRefusal = 0;
  #lastDenied = NOWHERE;
  /** Filled anew for each PUBLISH. */
  readonly #message: Message;
  readonly #version: ProtocolVersion;
  /** QoS 1 and 2 messages of this connection that are not answered for good [MQTT-3.3.4-7]. */
  #unanswered = 0;
  /** The commit and the reason code of the acknowledgement that the last QoS 1 or 2 PUBLISH earned. */
  ackCommit: CommitNumber = NO_COMMIT;
  ackReasonCode = 0;

  /** Of a client whose CONNECT was accepted. */
  constructor(
    broker: Broker,
    options: ConnectionOptions,
    session: Session,
    version: ProtocolVersion,
  ) {
    this.#broker = broker;
    this.#options = options;
    this.#session = session;
    this.#version = version;
    this.#rulesVersion = broker.authorizer.version;
    this.#topics = new TopicCache(broker.topics, (topic) => this.#judge(topic) === 0);
    this.#message = {
      topic: NOWHERE,
      qos: 0,
      retain: false,
      bytes: EMPTY,
      payloadStart: 0,
      payloadEnd: 0,
      properties: undefined,
      publisherId: session.clientId,
      receivedAt: 0 as Instant,
      expiresAt: undefined,
    };
  }

  /** PUBACK, or PUBREC with an error, has left. */
  onAnswered(ack: { type: PacketType }): void {
    if (ack.type !== PacketType.pubrel && ack.type !== PacketType.pubcomp) this.#release();
  }

  /** PUBREL came. */
  onReleased(): void {
    this.#release();
  }

  /**
   * Publishes; false: hold it and try again. Hot path: per message.
   * @throws ProtocolError when the connection must be closed
   */
  publish(packet: PublishPacket, session: Session, now: Instant): boolean {
    const { qos, packetId } = packet;
    this.ackReasonCode = ReasonCode.success;
    this.#checkOffered(packet);
    if (qos === 2) {
      const stored = session.receivedCommit(packetId);
      if (stored !== undefined) {
        // A repeat joins the commit of the first [MQTT-4.3.3-10].
        this.ackCommit = stored;
        return true;
      }
    }
    if (qos > 0) this.#countIn();
    if (this.#rulesVersion !== this.#broker.authorizer.version) this.#onRulesChanged();
    const topic = this.#topicOf(packet);
    if (topic === undefined) {
      this.#refuse(qos, this.#topicRefusal);
      return true;
    }
    if (packet.properties?.isPayloadUtf8 === true && !this.#isPayloadFine(packet)) {
      this.#refuse(qos, ReasonCode.payloadFormatInvalid);
      return true;
    }
    const missing = isPatternTopic(topic.text) ? this.#missingPattern(topic.text) : 0;
    if (missing !== 0) {
      this.#refuse(qos, missing);
      return true;
    }
    this.#fill(packet, topic, now);
    // Nothing is retained there.
    if (isPatternTopic(topic.text)) this.#message.retain = false;
    const outcome = isReplyTopic(topic.text)
      ? this.#reply(topic)
      : this.#broker.publish(this.#message, session);
    const isHeld =
      outcome === PublishOutcome.hold ||
      // 3.x has no way to refuse one message: its publisher waits for room, up to a limit.
      (outcome === PublishOutcome.refused && this.#version !== ProtocolVersion.v5);
    if (isHeld) {
      if (qos > 0) this.#release();
      return false;
    }
    this.#count(packet);
    if (qos > 0) this.#answer(packet, session, outcome);
    return true;
  }

  /** A reply goes to whoever waits for it, and nowhere else. */
  #reply(topic: Topic): PublishOutcome {
    this.#broker.publishCommit = NO_COMMIT;
    const isTaken = this.#broker.requests.takeReply(topic.text, this.#message);
    return isTaken ? PublishOutcome.accepted : PublishOutcome.noSubscribers;
  }

  /** @throws ProtocolError for what CONNACK said that there is not */
  #checkOffered({ qos, retain }: PublishPacket): void {
    const { maximumQos, isRetainAvailable } = this.#options;
    if (qos > maximumQos) {
      // [MQTT-3.2.2-11]
      throw new ProtocolError(ReasonCode.qosNotSupported, "a QoS above the maximum of CONNACK");
    }
    if (retain && !isRetainAvailable) {
      // [MQTT-3.2.2-14]
      throw new ProtocolError(ReasonCode.retainNotSupported, "there are no retained messages here");
    }
  }

  /** [MQTT 5.0 section 3.3.2.3.2] */
  #isPayloadFine({ bytes, payloadStart, payloadEnd }: PublishPacket): boolean {
    if (!this.#options.validatesPayloadFormat) return true;
    return isWellFormedUtf8(bytes, payloadStart, payloadEnd);
  }

  #answer(packet: PublishPacket, session: Session, outcome: PublishOutcome): void {
    const { counters, publishCommit } = this.#broker;
    if (outcome === PublishOutcome.refused) {
      counters.refused++;
      this.ackCommit = NO_COMMIT;
      this.ackReasonCode = ReasonCode.quotaExceeded;
      return;
    }
    if (outcome === PublishOutcome.noSubscribers) {
      this.ackReasonCode = ReasonCode.noMatchingSubscribers;
    }
    this.ackCommit = publishCommit;
    if (packet.qos !== 2) return;
    const commit = session.receive(packet.packetId, publishCommit);
    this.ackCommit = commit;
  }

  /**
   * A message that is not taken, for its topic or its payload: version 5 refuses the message, 3.x can only close, because its acknowledgement says
   * that all is well. QoS 0 promises nothing: what is not authorized is dropped.
   */
  #refuse(qos: number, reasonCode: number): void {
    if (qos === 0 && reasonCode === ReasonCode.notAuthorized) {
      this.#broker.counters.droppedNotAuthorized++;
      return;
    }
    if (qos === 0 || this.#version !== ProtocolVersion.v5) {
      throw new ProtocolError(reasonCode, "a message that may not be published");
    }
    this.#broker.counters.refused++;
    this.ackCommit = NO_COMMIT;
    this.ackReasonCode = reasonCode;
  }

  #fill(packet: PublishPacket, topic: Topic, now: Instant): void {
    const message = this.#message;
    message.topic = topic;
    message.qos = packet.qos;
    message.retain = packet.retain;
    message.bytes = packet.bytes;
    message.payloadStart = packet.payloadStart;
    message.payloadEnd = packet.payloadEnd;
    message.receivedAt = now;
    message.properties = undefined;
    message.expiresAt = undefined;
    const { properties } = packet;
    if (properties === undefined) return;
    message.properties = toMessageProperties(properties);
    const expirySeconds = properties.messageExpirySeconds;
    if (expirySeconds !== undefined) message.expiresAt = after(now, expirySeconds * 1_000);
  }

  #topicOf(packet: PublishPacket): Topic | undefined {
    const alias = packet.properties?.topicAlias;
    const { bytes, topicStart, topicEnd } = packet;
    if (alias === undefined) {
      this.#topicRefusal = ReasonCode.topicNameInvalid;
      return topicStart === topicEnd ? undefined : this.#lookUp(bytes, topicStart, topicEnd);
    }
    // [MQTT-3.3.2-8, 3.3.2-9]
    if (alias > this.#options.topicAliasMaximum) {
      throw new ProtocolError(ReasonCode.topicAliasInvalid, "a topic alias above the maximum");
    }
    if (topicStart === topicEnd) {
      const known = this.#aliases.get(alias);
      if (known !== undefined) return known;
      if (this.#deniedAliases.has(alias)) {
        this.#topicRefusal = ReasonCode.notAuthorized;
        return undefined;
      }
      throw new ProtocolError(ReasonCode.protocolError, "a topic alias that was never set");
    }
    const topic = this.#lookUp(bytes, topicStart, topicEnd);
    if (topic !== undefined) this.#setAlias(alias, topic, true);
    else if (this.#topicRefusal === ReasonCode.notAuthorized) {
      this.#setAlias(alias, this.#lastDenied, false);
    }
    return topic;
  }

  /** Undefined: it may not be published to. Hot path: per message. */
  #lookUp(bytes: Uint8Array, start: number, end: number): Topic | undefined {
    if (bytes[start] === DOLLAR && this.#version === ProtocolVersion.v5) {
      // Each reply topic is used once: it is not kept in any table.
      const text = decodeUtf8(bytes, start, end);
      if (isReplyTopic(text) && isTopicName(text)) return new Topic(text);
    }
    return this.#topics.of(bytes, start, end);
  }

  #setAlias(alias: number, topic: Topic, isAllowed: boolean): void {
    (isAllowed ? this.#aliases : this.#deniedAliases).set(alias, topic);
    (isAllowed ? this.#deniedAliases : this.#aliases).delete(alias);
  }

  /** 0, or the reason code why this topic may not be published to. */
  #judge(topic: Topic): number {
    const session = this.#session;
    this.#topicRefusal = 0;
    // Who knows the token of a reply topic may answer; an alias may stand for one.
    const isReply = isReplyTopic(topic.text) && isTopicName(topic.text);
    if (isReply && this.#version === ProtocolVersion.v5) return 0;
    if (isPatternTopic(topic.text)) return this.#judgePattern(topic, session);
    if (!mayPublishTo(topic)) {
      this.#topicRefusal = ReasonCode.topicNameInvalid;
    } else if (!isWithinLimits(topic.text, topic.bytes.length, this.#options)) {
      this.#broker.counters.limitTopic++;
      this.#topicRefusal = ReasonCode.topicNameInvalid;
    } else if (
      !this.#broker.authorizer.mayPublish(session.principal, session.clientId, topic.text)
    ) {
      this.#topicRefusal = ReasonCode.notAuthorized;
      this.#lastDenied = topic;
    }
    return this.#topicRefusal;
  }

  /** 0: this queue or stream may be published to, if it is there. */
  #judgePattern(topic: Topic, { principal, clientId }: Session): number {
    const { authorizer } = this.#broker;
    const isOffered = !authorizer.isOpen || this.#options.allowsPatternTopics;
    if (!isNamedPattern(topic.text)) {
      this.#topicRefusal = ReasonCode.topicNameInvalid;
    } else if (!isOffered || !authorizer.mayPublish(principal, clientId, topic.text)) {
      this.#topicRefusal = ReasonCode.notAuthorized;
      this.#lastDenied = topic;
    }
    return this.#topicRefusal;
  }

  /** 0: it is there now; a queue is made where there is none. */
  #missingPattern(topic: string): number {
    const { queues, streams } = this.#broker;
    const queue = nameInTopic(topic, QUEUE_TOPIC);
    if (queue !== undefined) return queues.open(queue) === undefined ? ReasonCode.quotaExceeded : 0;
    const stream = nameInTopic(topic, STREAM_TOPIC);
    const isThere = stream !== undefined && streams.get(stream) !== undefined;
    return isThere ? 0 : ReasonCode.topicNameInvalid;
  }

  #onRulesChanged(): void {
    this.#rulesVersion = this.#broker.authorizer.version;
    this.#topics.clear();
    for (const [alias, topic] of [...this.#aliases, ...this.#deniedAliases]) {
      this.#setAlias(alias, topic, this.#judge(topic) === 0);
    }
  }

  #countIn(): void {
    this.#unanswered++;
    if (this.#version !== ProtocolVersion.v5) return;
    if (this.#unanswered > this.#options.receiveMaximum) {
      throw new ProtocolError(ReasonCode.receiveMaximumExceeded, "more than the receive maximum");
    }
  }

  #release(): void {
    if (this.#unanswered > 0) this.#unanswered--;
  }

  #count({ qos, payloadStart, payloadEnd }: PublishPacket): void {
    const { counters } = this.#broker;
    counters.payloadBytesReceived += payloadEnd - payloadStart;
    if (qos === 0) counters.messagesReceivedQos0++;
    else if (qos === 1) counters.messagesReceivedQos1++;
    else counters.messagesReceivedQos2++;
  }
}
