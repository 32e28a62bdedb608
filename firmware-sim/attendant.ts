import {
  connect,
  type IClientPublishOptions,
  type IPublishPacket,
  type MqttClient,
  type Packet,
} from "mqtt";
import { type ClientIdentity, disconnectOptions, durableClientOptions } from "./client-options.ts";
import { clientUrl } from "./transport.ts";

const KEEP_ALIVE_SECONDS = 20;
const RECONNECT_MS = 200;
const BARRIER_MS_MAX = 5_000;

export interface AttendantOptions extends ClientIdentity {
  /** Subscribed with QoS 2. */
  readonly filters: readonly string[];
  /** A topic that matches a filter and that nobody else publishes to. */
  readonly barrierTopic: string;
  readonly onMessage: (topic: string, packet: IPublishPacket) => void;
}

/** A client of the fleet that is no device: it listens on a durable session from before the first device until after the last. */
export class Attendant {
  readonly #options: AttendantOptions;
  #client: MqttClient | undefined;
  #isConnected = false;
  #isSubscribed = false;
  #lastError = "";
  #onBarrier: (() => void) | undefined;

  constructor(options: AttendantOptions) {
    this.#options = options;
  }

  /** Connected, and from now on nothing escapes it. */
  get isReady(): boolean {
    return this.#isConnected && this.#isSubscribed;
  }

  get lastError(): string {
    return this.#lastError;
  }

  start(): void {
    const { url, filters, barrierTopic, onMessage } = this.#options;
    const client = connect(
      clientUrl(url),
      durableClientOptions(this.#options, KEEP_ALIVE_SECONDS, RECONNECT_MS),
    );
    client.on("connect", ({ sessionPresent }) => {
      this.#isConnected = true;
      if (!sessionPresent) this.#isSubscribed = false;
      if (this.#isSubscribed) return;
      client.subscribe([...filters], { qos: 2 }, (error, granted) => {
        this.#isSubscribed = error === null && (granted?.every(({ qos }) => qos < 128) ?? false);
      });
    });
    client.on("close", () => {
      this.#isConnected = false;
    });
    client.on("error", (error) => {
      this.#lastError = error.message;
    });
    client.on("message", (topic, _payload, packet) => {
      if (topic === barrierTopic) this.#onBarrier?.();
      else onMessage(topic, packet);
    });
    this.#client = client;
  }

  /** Publishes with QoS 1; call it only while ready. */
  publish(
    topic: string,
    payload: string,
    properties: IClientPublishOptions["properties"],
    onDone: (error: Error | undefined, packet: Packet | undefined) => void,
  ): void {
    const options =
      properties === undefined ? { qos: 1 as const } : { qos: 1 as const, properties };
    this.#client?.publish(topic, payload, options, (error, packet) =>
      onDone(error ?? undefined, packet),
    );
  }

  /**
   * Sends itself a message: when it is back, everything that the broker had taken before has been heard. Resolves with false after 5 s
   * without it.
   */
  async barrier(): Promise<boolean> {
    const client = this.#client;
    if (client === undefined || !this.isReady) return false;
    return await new Promise<boolean>((resolve) => {
      const timer = setTimeout(() => resolve(false), BARRIER_MS_MAX);
      this.#onBarrier = () => {
        clearTimeout(timer);
        resolve(true);
      };
      client.publish(this.#options.barrierTopic, "barrier", { qos: 2 });
    });
  }

  /** Disconnects for good. With MQTT 5 the session ends as well. */
  async stop(): Promise<void> {
    const isOnline = this.#isConnected;
    this.#isConnected = false;
    const end = disconnectOptions(this.#options.protocolVersion, true);
    await this.#client?.endAsync(!isOnline, end);
  }
}
