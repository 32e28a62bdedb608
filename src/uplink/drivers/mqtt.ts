import { Buffer } from "node:buffer";
import { connect, type IClientOptions, type IConnackPacket, type MqttClient } from "mqtt";
import type { LogRecord } from "../../broker/store.ts";
import {
  type CredentialSources,
  type Credentials,
  credentialsMark,
  readCredentials,
} from "../credentials.ts";
import { recordId } from "../record-id.ts";
import type { Driver, Failure, Guarantee, Link, LinkEvents, LinkTarget } from "../remote.ts";
import { TopicTemplate } from "../topic-template.ts";
import {
  connectionFailure,
  isVersionRefusal,
  publishFailure,
  reasonCodeOf,
} from "./mqtt-failure.ts";
import { guardClient, UNRELEASED_MAX } from "./mqtt-guard.ts";
import { fitsString, publishPacketBytes, publishProperties } from "./mqtt-publish.ts";

export interface MqttDriverOptions extends CredentialSources {
  /** Brokers by priority: `mqtt://`, `mqtts://`, `ws://` or `wss://`. */
  readonly urls: readonly string[];
  /** Before the topic of lanes without a template; `{edgeId}` is replaced. Default `edge/{edgeId}/`; may be empty. */
  readonly topicPrefix?: string;
  /** 5 (default) falls back to 3.1.1 with a remote that refuses 5; 4 is 3.1.1 alone. */
  readonly protocolVersion?: 4 | 5;
  /** Default: made of edgeId and the uplink's name. */
  readonly clientId?: string;
  readonly keepAliveSeconds?: number;
}

const TOPIC_PREFIX = "edge/{edgeId}/";
const KEEP_ALIVE_SECONDS = 30;
const CONNECT_TIMEOUT_MS = 30_000;
const RECEIVE_MAXIMUM = 65_535;
/** No matching subscribers: taken, and nobody wanted it [MQTT 5.0 section 3.4.2.1]. */
const NO_MATCHING_SUBSCRIBERS = 0x10;
const PROTOCOL_ERROR = 0x82;
/** Connections that end without a word before their CONNACK, after which 3.1.1 is tried. */
const SILENT_CLOSES_MAX = 3;

/** What the driver knows beyond one link. */
interface Memory {
  /** The next URL of the list. */
  urlIndex: number;
  /** The remote said that it does not speak MQTT 5. */
  isVersion5Refused: boolean;
  silentCloses: number;
  noMatchingSubscribers: number;
}

/**
 * Any MQTT broker: QoS 1, clean start (our log is the session), at least once. The record id goes along as user
 * property `rill-id` in MQTT 5, so that consumers can drop duplicates.
 */
export class MqttDriver implements Driver {
  readonly name = "mqtt";
  readonly #options: MqttDriverOptions;
  readonly #memory: Memory = {
    urlIndex: 0,
    isVersion5Refused: false,
    silentCloses: 0,
    noMatchingSubscribers: 0,
  };

  constructor(options: MqttDriverOptions) {
    this.#options = options;
  }

  /** Records that the remote took although nobody subscribes to them. */
  get noMatchingSubscribers(): number {
    return this.#memory.noMatchingSubscribers;
  }

  open(target: LinkTarget, events: LinkEvents): Link {
    return new MqttLink(this.#options, this.#memory, target, events);
  }

  credentialsMark(): string | undefined {
    return credentialsMark(this.#options);
  }
}

interface LinkLane {
  readonly stream: string;
  readonly maxQos: 0 | 1;
  readonly template: TopicTemplate;
}

class MqttLink implements Link {
  readonly #options: MqttDriverOptions;
  readonly #memory: Memory;
  readonly #target: LinkTarget;
  readonly #events: LinkEvents;
  readonly #lanes: readonly LinkLane[];
  readonly #credentials: Credentials;
  readonly #url: string;
  #client: MqttClient;
  #version: 4 | 5;
  #connack: IConnackPacket | undefined;
  #isSilent = false;

  constructor(options: MqttDriverOptions, memory: Memory, target: LinkTarget, events: LinkEvents) {
    this.#options = options;
    this.#memory = memory;
    this.#target = target;
    this.#events = events;
    const { edgeId, uplink } = target;
    this.#lanes = target.lanes.map(({ stream, topic, maxQos }) => {
      const template = topic ?? `${options.topicPrefix ?? TOPIC_PREFIX}{topic}`;
      return {
        stream,
        maxQos,
        template: new TopicTemplate(template, { edgeId, uplink, stream }),
      };
    });
    this.#credentials = readCredentials(options);
    this.#url = options.urls[memory.urlIndex % options.urls.length] ?? "";
    const isOld =
      options.protocolVersion === 4 ||
      memory.isVersion5Refused ||
      memory.silentCloses >= SILENT_CLOSES_MAX;
    this.#version = isOld ? 4 : 5;
    this.#client = this.#dial();
  }

  reconcile(lane: number): void {
    const maxQos = this.#lanes[lane]?.maxQos ?? 1;
    const isTooMuch = maxQos > 0 && this.#connack?.properties?.maximumQoS === 0;
    setImmediate(() => {
      if (this.#isSilent) return;
      if (isTooMuch) {
        const reason = "the remote takes QoS 0 only: set maxQos to 0 if that is enough";
        this.#events.onReconcileFailed(lane, { class: "config", reason });
        return;
      }
      // MQTT cannot say what it has: everything that was not acknowledged is sent again.
      const guarantee = guaranteeOf(maxQos, this.#version);
      this.#events.onReconciled(lane, { found: new Map(), position: undefined, guarantee });
    });
  }

  // Hot path: per record; MQTT.js wants a callback and an options object for each.
  send(index: number, record: LogRecord): Failure | undefined {
    const lane = this.#lanes[index];
    if (lane === undefined) return undefined;
    const { sequence } = record;
    const topic = lane.template.apply(record.topic.text);
    const mistake = topicMistake(topic);
    if (topic === undefined || mistake !== undefined) {
      return { class: "poison", reason: mistake ?? "it has no topic at the remote" };
    }
    const payload = Buffer.from(
      record.bytes.buffer,
      record.bytes.byteOffset + record.payloadStart,
      record.payloadEnd - record.payloadStart,
    );
    const id = recordId(this.#target.edgeId, record.epoch, lane.stream, sequence);
    const properties =
      this.#version === 5 ? publishProperties(record, id, this.#target.clock) : undefined;
    const remote = this.#connack?.properties;
    const bytes = publishPacketBytes(topic, payload.length, properties);
    const bytesMax = remote?.maximumPacketSize;
    if (bytesMax !== undefined && bytes > bytesMax) {
      const reason = `its packet of ${bytes} bytes exceeds the remote's ${bytesMax}`;
      return { class: "poison", reason };
    }
    const retain = record.retain && remote?.retainAvailable !== false;
    const qos = lane.maxQos;
    this.#client.publish(
      topic,
      payload,
      properties === undefined ? { qos, retain } : { qos, retain, properties },
      // With QoS 0 it may call back at once, but the engine is not to be told from inside its own call.
      qos === 0
        ? (error) => setImmediate(() => this.#onPublished(index, sequence, error))
        : (error) => this.#onPublished(index, sequence, error),
    );
    return undefined;
  }

  destroy(): void {
    this.#isSilent = true;
    this.#client.end(true);
  }

  async close(timeoutMs: number): Promise<void> {
    this.#isSilent = true;
    const client = this.#client;
    const isDone = await new Promise<boolean>((resolve) => {
      const timeout = setTimeout(() => resolve(false), timeoutMs);
      // What is in flight stays ours: nobody waits for it here.
      const isForced = !client.connected || Object.keys(client.outgoing).length > 0;
      client.end(isForced, {}, () => {
        clearTimeout(timeout);
        resolve(true);
      });
    });
    if (!isDone) client.stream.destroy();
  }

  #dial(): MqttClient {
    const client = connect(this.#url, this.#connectOptions());
    let lastError: unknown;
    let reasonCode: number | undefined;
    client.on("connect", (packet) => {
      // We start clean: a session that the remote goes on with is not ours [MQTT-3.2.2-4].
      if (packet.sessionPresent) {
        lastError = new Error("the remote goes on with a session that was to start clean");
        reasonCode = PROTOCOL_ERROR;
        client.end(true);
      } else if (client === this.#client) this.#onConnack(packet);
    });
    client.on("disconnect", (packet) => {
      reasonCode = packet.reasonCode;
      lastError ??= new Error("the remote disconnected");
    });
    client.on("error", (error) => {
      lastError = error;
      reasonCode = reasonCodeOf(error) ?? reasonCode;
    });
    guardClient(client, (error) => {
      lastError = error;
    });
    client.on("packetreceive", (packet) => {
      if (packet.cmd === "puback" && packet.reasonCode === NO_MATCHING_SUBSCRIBERS) {
        this.#memory.noMatchingSubscribers++;
      }
    });
    // A refusal comes as `close` and then `error`, in the same turn.
    client.on("close", () => {
      setImmediate(() => {
        if (client === this.#client) this.#onClose(lastError, reasonCode);
      });
    });
    return client;
  }

  #connectOptions(): IClientOptions {
    const { clientId, keepAliveSeconds } = this.#options;
    const { username, password, tls } = this.#credentials;
    const { edgeId, uplink } = this.#target;
    return {
      protocolVersion: this.#version,
      clientId: clientId ?? `rillmq-${edgeId}-${uplink}`,
      clean: true,
      keepalive: keepAliveSeconds ?? KEEP_ALIVE_SECONDS,
      // The engine connects again, and resends from the log.
      reconnectPeriod: 0,
      // Else it keeps 65,536 small buffers for packet identifiers.
      writeCache: false,
      reconnectOnConnackError: false,
      queueQoSZero: false,
      resubscribe: false,
      connectTimeout: CONNECT_TIMEOUT_MS,
      ...(this.#version === 5 ? { properties: { receiveMaximum: UNRELEASED_MAX } } : {}),
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password }),
      ...tls,
    };
  }

  #onConnack(packet: IConnackPacket): void {
    // A second one is cut off by the guard.
    if (this.#isSilent || this.#connack !== undefined) return;
    this.#connack = packet;
    this.#memory.silentCloses = 0;
    this.#events.onConnected({
      windowMax: packet.properties?.receiveMaximum ?? RECEIVE_MAXIMUM,
      reconcilesLanesAlone: false,
      address: new URL(this.#url).host,
    });
  }

  #onPublished(lane: number, sequence: number, error: unknown): void {
    if (this.#isSilent) return;
    if (error === undefined || error === null) {
      this.#events.onAcknowledged(lane, sequence, undefined);
      return;
    }
    const code = reasonCodeOf(error);
    // Without a reason of the remote it is about the connection, which says so itself.
    if (code !== undefined) {
      this.#events.onRefused(lane, sequence, publishFailure(code, error));
    }
  }

  #onClose(error: unknown, reasonCode: number | undefined): void {
    if (this.#isSilent) return;
    if (this.#connack === undefined) {
      if (this.#version === 5 && isVersionRefusal(error)) {
        this.#memory.isVersion5Refused = true;
        this.#version = 4;
        this.#client = this.#dial();
        return;
      }
      if (reasonCode === undefined && !isSystemError(error)) this.#memory.silentCloses++;
      this.#memory.urlIndex++;
    }
    this.#isSilent = true;
    const isConnected = this.#connack !== undefined;
    this.#events.onClosed(connectionFailure(reasonCode, error, isConnected));
  }
}

/** Why this cannot be a topic at the remote. */
function topicMistake(topic: string | undefined): string | undefined {
  if (topic === undefined) return "its topic has fewer levels than the lane's template names";
  if (topic.startsWith("$")) return "its topic at the remote would start with $";
  return fitsString(topic) ? undefined : "its topic at the remote is too long";
}

/** What a lane's QoS gives: the remote's own answer, or none. */
function guaranteeOf(maxQos: 0 | 1, version: 4 | 5): Guarantee {
  if (maxQos === 0) {
    const why =
      "QoS 0: a record is done when it was written to the connection, and may get lost on it";
    return { kind: "at-most-once", why };
  }
  const tail =
    version === 5
      ? "the user property rill-id tells duplicates"
      : "MQTT 3.1.1 carries no record id";
  const why = `MQTT QoS 1 resends what was not acknowledged; ${tail}`;
  return { kind: "at-least-once", why };
}

/** An error of the network, before any MQTT was spoken. */
function isSystemError(error: unknown): boolean {
  return error instanceof Error && "code" in error && typeof error.code === "string";
}
