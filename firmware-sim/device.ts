import { connect, type IConnackPacket, type MqttClient, type Packet } from "mqtt";
import type { Random } from "../src/lib/random.ts";
import { integer } from "./chance.ts";
import type { DeviceKind } from "./device-kind.ts";
import { Ledger } from "./ledger.ts";

/** Longest time for which unused rate is saved up, so that an outage is not followed by a flood. */
const SAVED_RATE_MS_MAX = 1_000;
/** How long a device waits after a refusal (reason code 0x80 or above) before it tries that message again. */
const REFUSED_PAUSE_MS = 500;
const RECONNECT_MS_MIN = 150;
const RECONNECT_MS_MAX = 350;
const SESSION_EXPIRY_S = 3_600;
const SUCCESS_REASON_CODE_MAX = 0x7f;

export interface DeviceOptions {
  readonly device: string;
  readonly clientId: string;
  readonly kind: DeviceKind;
  /** `mqtt://host:port` of the edge. */
  readonly url: string;
  readonly protocolVersion: 4 | 5;
  /** How many messages the device publishes in all. */
  readonly messages: number;
  readonly ratePerSecond: number;
  /** Most messages published and not yet completed. */
  readonly outstandingMax: number;
  readonly random: Random;
}

interface Refused {
  readonly seq: number;
  readonly payload: string;
}

/**
 * One simulated device on a durable session. What is outstanding lives in the outgoing store of MQTT.js, which
 * sends it again in order after each reconnect (QoS 2 under its old packet id), so that a crash of the edge
 * costs nothing. The device publishes only while connected and only inside its rate and its window.
 */
export class Device {
  readonly ledger: Ledger;
  /** Connections opened, connections that this device broke on purpose, refusals, and sessions the edge forgot. */
  readonly counts = { connects: 0, drops: 0, refusals: 0, sessionsLost: 0 };
  readonly #options: DeviceOptions;
  readonly #topic: string;
  readonly #seqByPacketId = new Map<number, number>();
  readonly #refused: Refused[] = [];
  #client: MqttClient | undefined;
  #isReady = false;
  #windowMax: number;
  #outstanding = 0;
  #credit = 1;
  #creditAtMs: number | undefined;
  #refusedUntilMs = 0;
  #lastError = "";

  constructor(options: DeviceOptions) {
    this.#options = options;
    this.#topic = `sim/${options.device}/${options.kind.kind}`;
    this.#windowMax = options.outstandingMax;
    this.ledger = new Ledger(options.device, options.kind.kind, options.kind.qos);
  }

  /** Everything is published and every message's handshake is complete. */
  get isDone(): boolean {
    const { published } = this.ledger;
    return published >= this.#options.messages && this.#outstanding === 0 && !this.#hasRefused;
  }

  get isConnected(): boolean {
    return this.#isReady;
  }

  /** The last thing that went wrong on the connection, for a report of failure. Empty if nothing did. */
  get lastError(): string {
    return this.#lastError;
  }

  get #hasRefused(): boolean {
    return this.#refused.length > 0;
  }

  /** Connects, and from then on reconnects by itself until `stop`. */
  start(): void {
    const { url, clientId, protocolVersion, random } = this.#options;
    const client = connect(url, {
      clientId,
      protocolVersion,
      clean: false,
      ...(protocolVersion === 5 ? { properties: { sessionExpiryInterval: SESSION_EXPIRY_S } } : {}),
      reconnectPeriod: integer(random, RECONNECT_MS_MIN, RECONNECT_MS_MAX),
      reconnectOnConnackError: true,
      connectTimeout: 5_000,
      keepalive: 20,
      resubscribe: false,
      timerVariant: "native",
    });
    client.on("connect", (packet) => this.#onConnected(packet));
    client.on("close", () => {
      this.#isReady = false;
    });
    client.on("error", (error) => {
      this.#lastError = error.message;
    });
    client.on("packetreceive", (packet) => this.#onPacket(packet));
    this.#client = client;
  }

  /** Publishes what rate and window allow. Call it every few tens of milliseconds; `nowMs` is monotonic. */
  tick(nowMs: number): void {
    this.#refill(nowMs);
    while (this.#isReady && this.#credit >= 1) {
      if (this.#outstanding >= this.#windowMax) return;
      if (this.#hasRefused) {
        if (nowMs < this.#refusedUntilMs) return;
        const again = this.#refused.shift();
        if (again !== undefined) this.#publish(again.seq, again.payload, nowMs);
      } else {
        if (this.ledger.published >= this.#options.messages) return;
        const seq = this.ledger.publish();
        this.#publish(seq, this.#payloadOf(seq), nowMs);
      }
      this.#credit -= 1;
    }
  }

  /** Disconnects for good. With MQTT 5 the session ends as well. */
  async stop(): Promise<void> {
    const { protocolVersion } = this.#options;
    const isOnline = this.#isReady;
    this.#isReady = false;
    const end =
      protocolVersion === 5 ? { reasonCode: 0, properties: { sessionExpiryInterval: 0 } } : {};
    await this.#client?.endAsync(!isOnline || this.#outstanding > 0, end);
  }

  #refill(nowMs: number): void {
    const { ratePerSecond } = this.#options;
    const elapsedMs = Math.min(nowMs - (this.#creditAtMs ?? nowMs), SAVED_RATE_MS_MAX);
    const creditMax = Math.max(1, (ratePerSecond * SAVED_RATE_MS_MAX) / 1_000);
    this.#credit = Math.min(creditMax, this.#credit + (elapsedMs * ratePerSecond) / 1_000);
    this.#creditAtMs = nowMs;
  }

  #payloadOf(seq: number): string {
    const { device, kind, random } = this.#options;
    return JSON.stringify({ device, seq, ...kind.measure(random, seq) });
  }

  #publish(seq: number, payload: string, nowMs: number): void {
    const client = this.#client;
    if (client === undefined) return;
    const { kind, random } = this.#options;
    this.#outstanding += 1;
    client.publish(this.#topic, payload, { qos: kind.qos }, (error) => {
      this.#outstanding -= 1;
      if (error && !this.ledger.acknowledged.has(seq)) {
        this.counts.refusals += 1;
        this.#lastError = error.message;
        this.#refusedUntilMs = nowMs + REFUSED_PAUSE_MS;
        this.#refused.push({ seq, payload });
      }
    });
    // While connected MQTT.js draws the packet id inside publish().
    this.#seqByPacketId.set(client.getLastMessageId(), seq);
    if (kind.dropChance > 0 && random.next() < kind.dropChance) {
      this.counts.drops += 1;
      this.#isReady = false;
      client.stream.destroy();
    }
  }

  #onConnected(packet: IConnackPacket): void {
    this.counts.connects += 1;
    if (this.counts.connects > 1 && !packet.sessionPresent) this.counts.sessionsLost += 1;
    const receiveMaximum = packet.properties?.receiveMaximum ?? 65_535;
    this.#windowMax = Math.min(this.#options.outstandingMax, receiveMaximum);
    this.#isReady = true;
  }

  #onPacket(packet: Packet): void {
    if (packet.cmd !== "puback" && packet.cmd !== "pubrec") return;
    const { messageId } = packet;
    const seq = messageId === undefined ? undefined : this.#seqByPacketId.get(messageId);
    if (seq === undefined || (packet.reasonCode ?? 0) > SUCCESS_REASON_CODE_MAX) return;
    this.ledger.acknowledge(seq);
  }
}
