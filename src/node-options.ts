/** From the configuration to what the broker, its streams and its connections want to be told. */
import { randomBytes } from "node:crypto";
import {
  type Destination,
  NO_ROUTES,
  parseDestinations,
  type RouteTable,
} from "./broker/destinations.ts";
import type { BrokerLimits } from "./broker/limits.ts";
import type { QoS } from "./broker/message.ts";
import type { QueueSettings } from "./broker/queue-records.ts";
import type { RoutingSettings } from "./broker/routing.ts";
import { NEVER_MS } from "./broker/session.ts";
import type { StreamSettings } from "./broker/stream.ts";
import type { Config } from "./config.ts";
import type { ConnectionOptions } from "./mqtt/connection-options.ts";
import type { NativeOptions } from "./native/native-options.ts";

/** Session expiry that means never, in the configuration. */
const EXPIRY_NEVER_SECONDS = 0xffff_ffff;

/** What one stream captures and how much it may hold; no `maxAgeMs` is said as 0 in the file. */
export function streamSettings(
  stream: Config["streams"][number],
  { patterns }: Config,
): StreamSettings {
  const { name, filters, maxBytes, maxMessages, maxAgeMs, whenFull } = stream;
  return {
    name,
    filters,
    bytesMax: maxBytes,
    messagesMax: maxMessages,
    ageMaxMs: maxAgeMs === 0 ? undefined : maxAgeMs,
    whenFull,
    duplicateWindowMs: patterns.duplicateWindowMs,
  };
}

/** A queue of the configuration; what it does not say is that of all queues. */
export function queueSettings(
  queue: Config["queues"][number],
  { patterns }: Config,
): QueueSettings {
  const { name, filters, deadLetterQueue, expiryMs } = queue;
  return {
    name,
    filters,
    deadLetterQueue,
    expiryMs,
    bytesMax: queue.maxBytes ?? patterns.queueBytesMax,
    messagesMax: queue.maxMessages ?? patterns.queueMessagesMax,
    deliveriesMax: queue.deliveriesMax ?? patterns.queueDeliveriesMax,
    visibilityMs: queue.visibilityMs ?? patterns.queueVisibilityMs,
    duplicateWindowMs: queue.duplicateWindowMs ?? patterns.duplicateWindowMs,
  };
}

/** Routes by key, and rules. Mistakes were found when the configuration was checked. */
export function routingOf({ routes, rules }: Config): RoutingSettings {
  const destinationsOf = (to: string, known: RouteTable): readonly Destination[] => {
    const parsed = parseDestinations(to, "event", known);
    return "mistake" in parsed ? [] : parsed.destinations;
  };
  const table = new Map(routes.map(({ key, to }) => [key, destinationsOf(to, NO_ROUTES)]));
  return {
    routes: table,
    rules: rules.map(({ filter, to }) => ({ filter, to: destinationsOf(to, table) })),
  };
}

function expiryMaxMs(config: Config): number {
  const seconds = config.mqtt.sessionExpiryMaxSeconds;
  return seconds === EXPIRY_NEVER_SECONDS ? NEVER_MS : seconds * 1_000;
}

/** Limits of the broker: of its sessions, their windows and backlogs, and of retained messages. */
export function limitsOf(config: Config): BrokerLimits {
  const { mqtt, store, patterns } = config;
  return {
    outbound: {
      inflightMax: mqtt.inflightMax,
      memoryBacklogBytesMax: mqtt.memoryBacklogBytesMax,
      backlogMessagesMax: mqtt.backlogMessagesMax,
      backlogBytesMax: mqtt.backlogBytesMax,
      backlogAgeMaxMs: mqtt.backlogMaxAgeMs === 0 ? undefined : mqtt.backlogMaxAgeMs,
      backlogWhenFull: mqtt.backlogWhenFull,
    },
    retained: {
      messagesMax: mqtt.retainedMessagesMax,
      bytesMax: mqtt.retainedBytesMax,
      messagesPerUserMax: mqtt.retainedMessagesPerUserMax,
    },
    patterns: {
      streamsMax: patterns.streamsMax,
      consumersMax: patterns.consumersMax,
      queuesMax: patterns.queuesMax,
      requests: {
        requestsMax: patterns.requestsMax,
        requestsPerClientMax: patterns.requestsPerClientMax,
        timeoutMaxMs: patterns.requestTimeoutMaxMs,
        replyCacheBytesMax: patterns.replyCacheBytesMax,
      },
      duplicates: { bytesMax: patterns.duplicateBytesMax },
      defaults: {
        bytesMax: patterns.queueBytesMax,
        messagesMax: patterns.queueMessagesMax,
        deliveriesMax: patterns.queueDeliveriesMax,
        deadLetterQueue: undefined,
        visibilityMs: patterns.queueVisibilityMs,
        expiryMs: 0,
        duplicateWindowMs: patterns.duplicateWindowMs,
      },
    },
    pinBytesMax: store.pinBytesMax,
    sessionsMax: mqtt.sessionsMax,
    subscriptionsPerSessionMax: mqtt.subscriptionsPerSessionMax,
    sessionExpiryMaxMs: expiryMaxMs(config),
  };
}

/** What every connection is told, whichever listener it came through. */
export function connectionOptionsOf(
  config: Config,
): Omit<ConnectionOptions, "authenticator" | "enhancedAuthenticator" | "allowsAnonymous"> {
  const { mqtt } = config;
  return {
    packetBytesMax: mqtt.maxPacketBytes,
    connectPacketBytesMax: Math.min(mqtt.maxPacketBytes, mqtt.connectPacketBytesMax),
    connectTimeoutMs: mqtt.connectTimeoutMs,
    keepAliveMinSeconds: mqtt.keepAliveMinSeconds,
    keepAliveMaxSeconds: mqtt.keepAliveMaxSeconds,
    receiveMaximum: mqtt.receiveMaximum,
    allowsPatternTopics: config.patterns.allowTopics,
    topicAliasMaximum: mqtt.topicAliasMax,
    topicAliasOutMax: mqtt.topicAliasOutMax,
    sessionExpiryMaxMs: expiryMaxMs(config),
    topicBytesMax: mqtt.topicBytesMax,
    topicLevelsMax: mqtt.topicLevelsMax,
    userPropertiesMax: mqtt.userPropertiesMax,
    userPropertyBytesMax: mqtt.userPropertyBytesMax,
    publishRateMax: mqtt.publishRateMax,
    publishBytesPerSecondMax: mqtt.publishBytesPerSecondMax,
    maximumQos: mqtt.maximumQos as QoS,
    isRetainAvailable: mqtt.retainAvailable,
    validatesPayloadFormat: mqtt.validatePayloadFormat,
    responseInformation: mqtt.responseInformation,
    holdMaxMs: mqtt.holdMaxMs,
    assignClientId,
  };
}

const assignClientId = (): string => `rill-${randomBytes(12).toString("hex")}`;

/** The same for connections of the native protocol. */
export function nativeOptionsOf(
  config: Config,
): Omit<NativeOptions, "authenticator" | "allowsAnonymous" | "server" | "edgeId" | "counts"> {
  const { mqtt, native } = config;
  const { frameBytesMax, requestsMax, batchMax, subsMax, creditMax, idleMs } = native;
  // What MQTT clients take from each other others may not exceed either.
  const payloadBytesMax = Math.min(frameBytesMax, mqtt.maxPacketBytes);
  return {
    limits: { frameBytesMax, payloadBytesMax, requestsMax, batchMax, subsMax, creditMax, idleMs },
    helloTimeoutMs: mqtt.connectTimeoutMs,
    holdMaxMs: mqtt.holdMaxMs,
    topicBytesMax: mqtt.topicBytesMax,
    topicLevelsMax: mqtt.topicLevelsMax,
    propertiesMax: mqtt.userPropertiesMax,
    propertyBytesMax: mqtt.userPropertyBytesMax,
    publishRateMax: mqtt.publishRateMax,
    publishBytesPerSecondMax: mqtt.publishBytesPerSecondMax,
    isRetainAvailable: mqtt.retainAvailable,
    assignClientId,
  };
}
