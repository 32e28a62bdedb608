import { TLSSocket } from "node:tls";
import {
  connect,
  type IClientPublishOptions,
  type IConnackPacket,
  type IPublishPacket,
  type MqttClient,
  type Packet,
} from "mqtt";
import type { Random } from "../src/lib/random.ts";
import { integer } from "./chance.ts";
import { type ClientIdentity, disconnectOptions, durableClientOptions } from "./client-options.ts";
import { statusTopic } from "./device-topics.ts";
import { clientUrl } from "./transport.ts";
import type { ConnectionEnd, WillLedger } from "./will-ledger.ts";

const RECONNECT_MS_MIN = 150;
const RECONNECT_MS_MAX = 350;

export interface LinkOptions extends ClientIdentity {
  readonly device: string;
  readonly run: string;
  readonly keepAliveSeconds: number;
  /** Undefined: a device without will. */
  readonly wills: WillLedger | undefined;
  readonly random: Random;
}

/** Who hears of the connection. */
export interface LinkListener {
  onConnected(packet: IConnackPacket): void;
  onPacket(packet: Packet): void;
  onMessage(topic: string, packet: IPublishPacket): void;
}

/** The part of a will that changes with every connection. */
interface Will {
  readonly topic: string;
  payload: string;
  readonly qos: 1;
  readonly retain: false;
}

/**
 * A device's way to the broker. Between `open` and `leave` it reconnects by itself, on one durable session; with a will, each connection
 * has one of its own, which names the connection by number.
 */
export class DeviceLink {
  /** Connections confirmed, those of them with a verified certificate, broken on purpose, left in good order; sessions the broker forgot. */
  readonly counts = { connects: 0, secured: 0, drops: 0, leaves: 0, sessionsLost: 0 };
  readonly #options: LinkOptions;
  readonly #listener: LinkListener;
  readonly #will: Will | undefined;
  #client: MqttClient | undefined;
  #isReady = false;
  #connection = 0;
  #end: ConnectionEnd = "unknown";
  #lastError = "";

  constructor(options: LinkOptions, listener: LinkListener) {
    this.#options = options;
    this.#listener = listener;
    const topic = statusTopic(options.device);
    this.#will =
      options.wills === undefined ? undefined : { topic, payload: "", qos: 1, retain: false };
  }

  /** Connected, and whatever an earlier connection left has been sent again. */
  get isReady(): boolean {
    return this.#isReady;
  }

  /** The last thing that went wrong on the connection. Empty if nothing did. */
  get lastError(): string {
    return this.#lastError;
  }

  /** Connects, and from then on reconnects by itself. Not between `open` and the end of `leave`. */
  open(): void {
    const { url, keepAliveSeconds, random } = this.#options;
    const reconnectMs = integer(random, RECONNECT_MS_MIN, RECONNECT_MS_MAX);
    this.#nextConnection();
    const client = connect(clientUrl(url), {
      ...durableClientOptions(this.#options, keepAliveSeconds, reconnectMs),
      ...(this.#will === undefined ? {} : { will: this.#will }),
    });
    client.on("connect", (packet) => this.#onConnected(client, packet));
    client.on("close", () => this.#onClosed());
    client.on("error", (error) => {
      this.#lastError = error.message;
    });
    client.on("packetreceive", (packet) => this.#listener.onPacket(packet));
    client.on("message", (topic, _payload, packet) => this.#listener.onMessage(topic, packet));
    this.#client = client;
  }

  /** Publishes; call it only while ready. The packet id, or undefined when there is no connection. */
  publish(
    topic: string,
    payload: string,
    options: IClientPublishOptions,
    onDone: (error: Error | undefined) => void,
  ): number | undefined {
    const client = this.#client;
    if (client === undefined) return undefined;
    client.publish(topic, payload, options, (error) => onDone(error ?? undefined));
    // While connected MQTT.js draws the packet id inside publish().
    return client.getLastMessageId();
  }

  /** Subscribes with QoS 1; `onDone` is told whether the broker granted it. */
  subscribe(filter: string, onDone: (isGranted: boolean) => void): void {
    this.#client?.subscribe(filter, { qos: 1 }, (error, granted) => {
      onDone(error === null && (granted?.[0]?.qos ?? 128) < 128);
    });
  }

  /** Loses the connection as a radio would; it comes back by itself. */
  drop(): void {
    if (!this.#isReady) return;
    this.counts.drops += 1;
    this.#isReady = false;
    this.#end = "accident";
    this.#client?.stream.destroy();
  }

  /**
   * Disconnects for good or until `open`. Orderly (DISCONNECT, so no will) when connected and nothing is outstanding, as the caller says;
   * else the connection is just closed. With `endsSession` an MQTT 5 session ends too.
   */
  async leave(hasOutstanding: boolean, endsSession: boolean): Promise<void> {
    const client = this.#client;
    if (client === undefined) return;
    const isOrderly = this.#isReady && !hasOutstanding;
    this.#isReady = false;
    if (isOrderly) {
      this.#end = "clean";
      this.counts.leaves += 1;
    }
    const { protocolVersion } = this.#options;
    await client.endAsync(!isOrderly, disconnectOptions(protocolVersion, endsSession));
    if (this.#client === client) this.#client = undefined;
  }

  #nextConnection(): void {
    this.#connection += 1;
    this.#end = "unknown";
    const { wills, device, run } = this.#options;
    if (this.#will === undefined || wills === undefined) return;
    const connection = this.#connection;
    this.#will.payload = JSON.stringify({ device, run, connection, status: "offline" });
    wills.opened(device, connection);
  }

  #onConnected(client: MqttClient, packet: IConnackPacket): void {
    this.counts.connects += 1;
    const { stream } = client;
    if (stream instanceof TLSSocket && stream.authorized) this.counts.secured += 1;
    if (this.counts.connects > 1 && !packet.sessionPresent) this.counts.sessionsLost += 1;
    this.#options.wills?.confirmed(this.#options.device, this.#connection);
    this.#isReady = true;
    this.#listener.onConnected(packet);
  }

  #onClosed(): void {
    this.#isReady = false;
    this.#options.wills?.ended(this.#options.device, this.#connection, this.#end);
    this.#nextConnection();
  }
}
