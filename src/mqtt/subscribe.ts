/** SUBSCRIBE and UNSUBSCRIBE: which filters are granted, and the answer with one reason code per filter. */
import type { Broker } from "../broker/broker.ts";
import type { QoS } from "../broker/message.ts";
import { isPatternFilter, patternFilterOf } from "../broker/pattern-topics.ts";
import { lowerQos, type Session } from "../broker/session.ts";
import { isSubscribable, plainFilterOf } from "../broker/shared-filter.ts";
import type { CommitNumber } from "../broker/store.ts";
import type { SubscriptionOptions } from "../broker/subscription-tree.ts";
import { isWithinLimits } from "./accept-connect.ts";
import type { ConnectionOptions } from "./connection-options.ts";
import {
  PacketType,
  type SubackPacket,
  type SubscribeEntry,
  type SubscribePacket,
  type UnsubackPacket,
  type UnsubscribePacket,
} from "./packet.ts";
import { ReasonCode } from "./reason-code.ts";

/** An answer and the commit it waits for. */
export interface Answer<Packet> {
  readonly commit: CommitNumber;
  readonly answer: Packet;
}

/** [MQTT 5.0 section 3.8.4] */
export function answerSubscribe(
  broker: Broker,
  session: Session,
  packet: SubscribePacket,
  options: ConnectionOptions,
): Answer<SubackPacket> {
  const subscriptionId = packet.properties?.subscriptionIdentifiers?.[0];
  const filters: { topicFilter: string; options: SubscriptionOptions }[] = [];
  const refused: number[] = [];
  for (const entry of packet.subscriptions) {
    const { topicFilter, noLocal, retainAsPublished } = entry;
    const qos = grantedQos(entry, options);
    const retainHandling = options.isRetainAvailable ? entry.retainHandling : 2;
    const refusal =
      refusalOf(broker, session, topicFilter, options) ||
      (isPatternFilter(topicFilter) ? patternRefusalOf(broker, topicFilter, qos) : 0);
    refused.push(refusal);
    if (refusal !== 0) continue;
    const granted = { qos, noLocal, retainAsPublished, retainHandling, subscriptionId };
    filters.push({ topicFilter, options: granted });
  }
  const results: boolean[] = [];
  const commit = broker.subscribe(session, { filters, results });
  let next = 0;
  const reasonCodes = packet.subscriptions.map((entry, i) => {
    const refusal = refused[i] ?? 0;
    if (refusal !== 0) return refusal;
    // [MQTT-3.2.2-10]
    if (results[next++] === true) return grantedQos(entry, options);
    broker.counters.limitSubscriptions++;
    return ReasonCode.quotaExceeded;
  });
  return { commit, answer: { type: PacketType.suback, packetId: packet.packetId, reasonCodes } };
}

/** Of queues and streams at most 1: PUBACK settles what they give. */
function grantedQos({ qos, topicFilter }: SubscribeEntry, { maximumQos }: ConnectionOptions): QoS {
  const granted = lowerQos(qos, maximumQos);
  return isPatternFilter(topicFilter) ? lowerQos(granted, 1) : granted;
}

/** [MQTT 5.0 section 3.10.4] */
export function answerUnsubscribe(
  broker: Broker,
  session: Session,
  packet: UnsubscribePacket,
  options: ConnectionOptions,
): Answer<UnsubackPacket> {
  const results: boolean[] = [];
  const refused = packet.topicFilters.map((topicFilter) => {
    if (!isSubscribable(topicFilter)) return true;
    if (isFilterWithinLimits(topicFilter, options)) return false;
    broker.counters.limitTopic++;
    return true;
  });
  const taken = packet.topicFilters.filter((_, i) => refused[i] !== true);
  const commit = broker.subscriptions.unsubscribe(session, taken, results);
  let next = 0;
  const reasonCodes = refused.map((isRefused) => {
    if (isRefused) return ReasonCode.topicFilterInvalid;
    return results[next++] === true ? ReasonCode.success : ReasonCode.noSubscriptionExisted;
  });
  return { commit, answer: { type: PacketType.unsuback, packetId: packet.packetId, reasonCodes } };
}

/** 0: the filter is fine. */
function refusalOf(
  { authorizer, counters }: Broker,
  { principal, clientId }: Session,
  topicFilter: string,
  options: ConnectionOptions,
): number {
  if (!isSubscribable(topicFilter)) return ReasonCode.topicFilterInvalid;
  if (!isFilterWithinLimits(topicFilter, options)) {
    counters.limitTopic++;
    return ReasonCode.quotaExceeded;
  }
  const isOffered = !authorizer.isOpen || options.allowsPatternTopics;
  if (!isOffered && isPatternFilter(topicFilter)) return ReasonCode.notAuthorized;
  const isAllowed = authorizer.maySubscribe(principal, clientId, topicFilter);
  return isAllowed ? 0 : ReasonCode.notAuthorized;
}

/** 0: there is such a queue or stream to be read. */
function patternRefusalOf({ queues, streams }: Broker, topicFilter: string, qos: QoS): number {
  const pattern = patternFilterOf(topicFilter);
  if (pattern === undefined) return ReasonCode.topicFilterInvalid;
  if (pattern.kind === "stream") {
    return streams.get(pattern.name) === undefined ? ReasonCode.topicFilterInvalid : 0;
  }
  // Without PUBACK nothing could be settled.
  if (qos === 0) return ReasonCode.implementationSpecificError;
  return queues.open(pattern.name) === undefined ? ReasonCode.quotaExceeded : 0;
}

/** The levels of the topic filter, the bytes of all of it: a ShareName is bounded too. */
const isFilterWithinLimits = (topicFilter: string, options: ConnectionOptions): boolean =>
  isWithinLimits(plainFilterOf(topicFilter), Buffer.byteLength(topicFilter), options);
