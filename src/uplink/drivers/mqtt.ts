import { Buffer } from "node:buffer";
import { connect, type IClientOptions, type IConnackPacket, type MqttClient } from "mqtt";
import type { LogRecord } from "../../broker/store.ts";
import { recordId } from "../record-id.ts";
import type { Driver, Failure, Link, LinkEvents, LinkTarget } from "../remote.ts";
import {
  connectionFailure,
  isVersionRefusal,
  publishFailure,
  reasonCodeOf,
} from "./mqtt-failure.ts";
import { fitsString, publishPacketBytes, publishProperties } from "./mqtt-publish.ts";

export interface MqttTlsOptions {
  readonly ca?: string | Buffer;
  readonly cert?: string | Buffer;
  readonly key?: string | Buffer;
  readonly rejectUnauthorized?: boolean;
}

export interface MqttDriverOptions {
  /** Brokers by priority: `mqtt://`, `mqtts://`, `ws://` or `wss://`. */
  readonly urls: readonly string[];
  /** Before each topic; `{edgeId}` is replaced. Default `edge/{edgeId}/`; may be empty. */
  readonly topicPrefix?: string;
  /** 5 (default) falls back to 3.1.1 with a remote that refuses 5; 4 is 3.1.1 alone. */
  readonly protocolVersion?: 4 | 5;
  /** Default: made of edgeId and the uplink's name. */
  readonly clientId?: string;
  readonly username?: string;
  readonly password?: string;
  readonly tls?: MqttTlsOptions;
  readonly keepAliveSeconds?: number;
}

const TOPIC_PREFIX = "edge/{edgeId}/";
const KEEP_ALIVE_SECONDS = 30;
const CONNECT_TIMEOUT_MS = 30_000;
const RECEIVE_MAXIMUM = 65_535;
/** No matching subscribers: taken, and nobody wanted it [MQTT 5.0 section 3.4.2.1]. */
const NO_MATCHING_SUBSCRIBERS = 0x10;
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
}

class MqttLink implements Link {
  readonly #options: MqttDriverOptions;
  readonly #memory: Memory;
  readonly #target: LinkTarget;
  readonly #events: LinkEvents;
  readonly #topicPrefix: string;
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
    const prefix = options.topicPrefix ?? TOPIC_PREFIX;
    this.#topicPrefix = prefix.replaceAll("{edgeId}", target.edgeId);
    this.#url = options.urls[memory.urlIndex % options.urls.length] ?? "";
    const isOld =
      options.protocolVersion === 4 ||
      memory.isVersion5Refused ||
      memory.silentCloses >= SILENT_CLOSES_MAX;
    this.#version = isOld ? 4 : 5;
    this.#client = this.#dial();
  }

  reconcile(lane: number): void {
    // MQTT cannot say what it has: everything that was not acknowledged is sent again.
    const why =
      this.#version === 5
        ? "MQTT QoS 1 resends what was not acknowledged; the user property rill-id tells duplicates"
        : "MQTT QoS 1 resends what was not acknowledged; MQTT 3.1.1 carries no record id";
    setImmediate(() => {
      if (this.#isSilent) return;
      const guarantee = { kind: "at-least-once", why } as const;
      this.#events.onReconciled(lane, { found: new Map(), position: undefined, guarantee });
    });
  }

  // Hot path: per record; MQTT.js wants a callback and an options object for each.
  send(lane: number, record: LogRecord): Failure | undefined {
    const { sequence } = record;
    const topic = this.#topicPrefix + record.topic.text;
    if (!fitsString(topic))
      return { class: "lane", reason: "its topic with the prefix is too long" };
    const payload = Buffer.from(
      record.bytes.buffer,
      record.bytes.byteOffset + record.payloadStart,
      record.payloadEnd - record.payloadStart,
    );
    const stream = this.#target.lanes[lane] ?? "";
    const id = recordId(this.#target.edgeId, record.epoch, stream, sequence);
    const properties =
      this.#version === 5 ? publishProperties(record, id, this.#target.clock.now()) : undefined;
    const remote = this.#connack?.properties;
    const bytes = publishPacketBytes(topic, payload.length, properties);
    const bytesMax = remote?.maximumPacketSize;
    if (bytesMax !== undefined && bytes > bytesMax) {
      return {
        class: "lane",
        reason: `its packet of ${bytes} bytes exceeds the remote's ${bytesMax}`,
      };
    }
    const retain = record.retain && remote?.retainAvailable !== false;
    this.#client.publish(
      topic,
      payload,
      properties === undefined ? { qos: 1, retain } : { qos: 1, retain, properties },
      (error) => this.#onPublished(lane, sequence, error),
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
      if (client === this.#client) this.#onConnack(packet);
    });
    client.on("disconnect", (packet) => {
      reasonCode = packet.reasonCode;
      lastError ??= new Error("the remote disconnected");
    });
    client.on("error", (error) => {
      lastError = error;
      reasonCode = reasonCodeOf(error) ?? reasonCode;
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
    const { username, password, tls, clientId, keepAliveSeconds } = this.#options;
    const { edgeId, uplink } = this.#target;
    return {
      protocolVersion: this.#version,
      clientId: clientId ?? `rillmq-${edgeId}-${uplink}`,
      clean: true,
      keepalive: keepAliveSeconds ?? KEEP_ALIVE_SECONDS,
      // The engine connects again, and resends from the log.
      reconnectPeriod: 0,
      reconnectOnConnackError: false,
      queueQoSZero: false,
      resubscribe: false,
      connectTimeout: CONNECT_TIMEOUT_MS,
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password }),
      ...(tls?.ca === undefined ? {} : { ca: tls.ca }),
      ...(tls?.cert === undefined ? {} : { cert: tls.cert }),
      ...(tls?.key === undefined ? {} : { key: tls.key }),
      ...(tls?.rejectUnauthorized === undefined
        ? {}
        : { rejectUnauthorized: tls.rejectUnauthorized }),
    };
  }

  #onConnack(packet: IConnackPacket): void {
    if (this.#isSilent) return;
    this.#connack = packet;
    this.#memory.silentCloses = 0;
    if (packet.properties?.maximumQoS === 0) {
      this.destroy();
      this.#events.onClosed({ class: "config", reason: "the remote takes QoS 0 only" });
      return;
    }
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
    this.#events.onClosed(connectionFailure(reasonCode, error));
  }
}

/** An error of the network, before any MQTT was spoken. */
function isSystemError(error: unknown): boolean {
  return error instanceof Error && "code" in error && typeof error.code === "string";
}
