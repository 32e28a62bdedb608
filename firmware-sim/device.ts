import type { IConnackPacket, IPublishPacket, Packet } from "mqtt";
import type { Random } from "../src/lib/random.ts";
import { integer } from "./chance.ts";
import { type Answer, CommandInbox, type InboxView } from "./command-inbox.ts";
import type { DeviceKind, Stay } from "./device-kind.ts";
import { DeviceLink } from "./device-link.ts";
import { commandFilter } from "./device-topics.ts";
import { Ledger, type LedgerView } from "./ledger.ts";
import type { WillLedger } from "./will-ledger.ts";

/** Longest time for which unused rate is saved up, so that an outage is not followed by a flood. */
const SAVED_RATE_MS_MAX = 1_000;
/** How long a device waits after a refusal (reason code 0x80 or above) before it tries that message again. */
const REFUSED_PAUSE_MS = 500;
/** A device that leaves stays for this long after its last message in either direction. */
const LINGER_MS = 150;
const SUCCESS_REASON_CODE_MAX = 0x7f;
/** `,"pad":""` */
const PAD_BYTES = 9;

export interface DeviceOptions {
  readonly device: string;
  readonly clientId: string;
  readonly run: string;
  readonly kind: DeviceKind;
  /** Address of the edge, with one of the transports. */
  readonly url: string;
  readonly ca: string | undefined;
  readonly protocolVersion: 4 | 5;
  readonly keepAliveSeconds: number;
  /** Payloads are filled up to this many bytes; 0: they are as long as they are. */
  readonly payloadBytes: number;
  /** How many messages the device publishes in all. */
  readonly messages: number;
  /** How many commands it will be sent in all. */
  readonly commands: number;
  readonly ratePerSecond: number;
  /** Most messages published and not yet completed, answers included. */
  readonly outstandingMax: number;
  /** Where it notes its connections when its kind has a will. */
  readonly wills: WillLedger;
  readonly random: Random;
}

/** Connections and what became of them, and messages that the broker refused. */
export interface DeviceCounts extends Readonly<DeviceLink["counts"]> {
  readonly refusals: number;
}

interface Refused {
  readonly seq: number;
  readonly payload: string;
}

/** An answer on its way. Once the broker has it (PUBREC), an error in the rest of the handshake does not make it due again. */
interface SentAnswer {
  isAcknowledged: boolean;
}

/** `leaving` and `asleep` only for kinds that leave; `off` before `start` and after `stop`. */
type Phase = "off" | "awake" | "leaving" | "asleep";

/**
 * One simulated device on a durable session. What is outstanding lives in the outgoing store of MQTT.js, which
 * sends it again in order after each reconnect (QoS 2 under its old packet id), so that a crash of the edge
 * costs nothing. The device publishes only while connected and only inside its rate and its window. It leaves only when nothing
 * is outstanding.
 */
export class Device {
  readonly #options: DeviceOptions;
  readonly #ledger: Ledger;
  readonly #inbox: CommandInbox;
  readonly #link: DeviceLink;
  readonly #topic: string;
  /** What a packet id stands for: the sequence number of a reading, or an answer. */
  readonly #sentByPacketId = new Map<number, number | SentAnswer>();
  readonly #refused: Refused[] = [];
  #phase: Phase = "off";
  #leaving: Promise<void> = Promise.resolve();
  #isSubscribed = false;
  #windowMax: number;
  #outstanding = 0;
  #credit = 1;
  #creditAtMs: number | undefined;
  #refusals = 0;
  #refusedUntilMs = 0;
  #lastRefusal = "";
  #stayLeft = 0;
  #activeAtMs = 0;
  #wakeAtMs = 0;

  constructor(options: DeviceOptions) {
    const { device, kind } = options;
    this.#options = options;
    this.#topic = `sim/${device}/${kind.kind}`;
    this.#windowMax = options.outstandingMax;
    this.#ledger = new Ledger(device, kind.kind, kind.qos);
    this.#inbox = new CommandInbox(device);
    this.#link = new DeviceLink(
      { ...options, wills: kind.hasWill ? options.wills : undefined },
      {
        onConnected: (packet) => this.#onConnected(packet),
        onPacket: (packet) => this.#onPacket(packet),
        onMessage: (topic, packet) => this.#onMessage(topic, packet),
      },
    );
  }

  get name(): string {
    return this.#options.device;
  }

  get kind(): DeviceKind {
    return this.#options.kind;
  }

  get protocolVersion(): 4 | 5 {
    return this.#options.protocolVersion;
  }

  get ledger(): LedgerView {
    return this.#ledger;
  }

  get inbox(): InboxView {
    return this.#inbox;
  }

  /** Everything is published, every message's handshake is complete, every command has come and is answered. */
  get isDone(): boolean {
    const { messages, commands } = this.#options;
    const hasAll = this.#ledger.published >= messages && this.#inbox.received >= commands;
    return hasAll && this.#isIdle;
  }

  get isConnected(): boolean {
    return this.#link.isReady;
  }

  /** It left in good order and will come back. */
  get isAsleep(): boolean {
    return this.#phase === "asleep";
  }

  /** Commands sent now reach it, sooner or later. */
  get isSubscribed(): boolean {
    return this.#isSubscribed;
  }

  /** It has been connected at least once. */
  get hasConnected(): boolean {
    return this.#link.counts.connects > 0;
  }

  /** How many messages it publishes in all. */
  get messages(): number {
    return this.#options.messages;
  }

  /** How many commands it is to get in all. */
  get commands(): number {
    return this.#options.commands;
  }

  get counts(): DeviceCounts {
    return { ...this.#link.counts, refusals: this.#refusals };
  }

  /** The last thing that went wrong, for a report of failure. Empty if nothing did. */
  get lastError(): string {
    return this.#link.lastError || this.#lastRefusal;
  }

  /** Nothing is on its way and nothing waits to be sent again. */
  get #isIdle(): boolean {
    return this.#outstanding === 0 && this.#refused.length === 0 && !this.#inbox.hasAnswers;
  }

  /** Connects, and from then on comes back by itself until `stop`. */
  start(): void {
    this.#wake();
  }

  /** Publishes what rate and window allow. Call it every few tens of milliseconds; `nowMs` is monotonic. */
  tick(nowMs: number): void {
    if (this.#phase === "asleep" && nowMs >= this.#wakeAtMs && !this.isDone) this.#wake();
    if (this.#phase !== "awake" || !this.#link.isReady) return;
    this.#refill(nowMs);
    this.#sendAnswers(nowMs);
    this.#sendReadings(nowMs);
    const { stay } = this.#options.kind;
    if (stay !== undefined && this.#mayLeave(nowMs)) this.#leave(stay, nowMs);
  }

  /** Disconnects for good. With MQTT 5 the session ends as well, unless the device is asleep. */
  async stop(): Promise<void> {
    if (this.#phase === "awake") this.#leaving = this.#link.leave(this.#outstanding > 0, true);
    this.#phase = "off";
    await this.#leaving;
  }

  #wake(): void {
    const { kind, random } = this.#options;
    const { stay } = kind;
    this.#phase = "awake";
    this.#stayLeft =
      stay === undefined
        ? Number.POSITIVE_INFINITY
        : integer(random, stay.messages.min, stay.messages.max);
    this.#link.open();
  }

  #refill(nowMs: number): void {
    const { ratePerSecond } = this.#options;
    const elapsedMs = Math.min(nowMs - (this.#creditAtMs ?? nowMs), SAVED_RATE_MS_MAX);
    const creditMax = Math.max(1, (ratePerSecond * SAVED_RATE_MS_MAX) / 1_000);
    this.#credit = Math.min(creditMax, this.#credit + (elapsedMs * ratePerSecond) / 1_000);
    this.#creditAtMs = nowMs;
  }

  #sendReadings(nowMs: number): void {
    while (this.#link.isReady && this.#credit >= 1 && this.#outstanding < this.#windowMax) {
      if (this.#refused.length > 0) {
        if (nowMs < this.#refusedUntilMs) return;
        const again = this.#refused.shift();
        if (again !== undefined) this.#publish(again.seq, again.payload, nowMs);
      } else {
        const isOver = this.#ledger.published >= this.#options.messages;
        if (isOver || this.#stayLeft <= 0) return;
        this.#stayLeft -= 1;
        const seq = this.#ledger.publish();
        this.#publish(seq, this.#payloadOf(seq), nowMs);
      }
      this.#credit -= 1;
    }
  }

  #sendAnswers(nowMs: number): void {
    while (this.#link.isReady && this.#outstanding < this.#windowMax) {
      if (nowMs < this.#refusedUntilMs) return;
      const answer = this.#inbox.nextAnswer();
      if (answer === undefined) return;
      this.#sendAnswer(answer, nowMs);
    }
  }

  /** Answers have QoS 2, so that a broken connection does not make two of one. */
  #sendAnswer(answer: Answer, nowMs: number): void {
    const { topic, payload, correlationData } = answer;
    const properties = correlationData === undefined ? {} : { properties: { correlationData } };
    const sent: SentAnswer = { isAcknowledged: false };
    this.#outstanding += 1;
    const packetId = this.#link.publish(topic, payload, { qos: 2, ...properties }, (error) => {
      this.#outstanding -= 1;
      if (error === undefined || sent.isAcknowledged) return;
      this.#noteRefusal(error, nowMs);
      this.#inbox.giveBack(answer);
    });
    if (packetId !== undefined) this.#sentByPacketId.set(packetId, sent);
    this.#activeAtMs = nowMs;
  }

  #payloadOf(seq: number): string {
    const { device, kind, random, payloadBytes } = this.#options;
    const fields = { device, seq, ...kind.measure(random, seq) };
    const text = JSON.stringify(fields);
    const pad = payloadBytes - text.length - PAD_BYTES;
    return pad < 0 ? text : JSON.stringify({ ...fields, pad: "~".repeat(pad) });
  }

  #publish(seq: number, payload: string, nowMs: number): void {
    const { kind, random } = this.#options;
    this.#outstanding += 1;
    const packetId = this.#link.publish(this.#topic, payload, { qos: kind.qos }, (error) => {
      this.#outstanding -= 1;
      if (error === undefined || this.#ledger.acknowledged.has(seq)) return;
      this.#noteRefusal(error, nowMs);
      this.#refused.push({ seq, payload });
    });
    if (packetId !== undefined) this.#sentByPacketId.set(packetId, seq);
    this.#activeAtMs = nowMs;
    if (kind.dropChance > 0 && random.next() < kind.dropChance) this.#link.drop();
  }

  #noteRefusal(error: Error, nowMs: number): void {
    this.#refusals += 1;
    this.#lastRefusal = error.message;
    this.#refusedUntilMs = nowMs + REFUSED_PAUSE_MS;
  }

  #mayLeave(nowMs: number): boolean {
    const { messages, kind } = this.#options;
    const isStayOver = this.#stayLeft <= 0 || this.#ledger.published >= messages;
    const isReachable = this.#isSubscribed || !kind.takesCommands;
    const isQuiet = nowMs - this.#activeAtMs >= LINGER_MS;
    return isStayOver && isReachable && isQuiet && this.#isIdle;
  }

  /** Says goodbye; for the last time when it is done, and then with the session (MQTT 5). */
  #leave({ sleepMs }: Stay, nowMs: number): void {
    this.#phase = "leaving";
    this.#wakeAtMs = nowMs + integer(this.#options.random, sleepMs.min, sleepMs.max);
    this.#leaving = this.#link.leave(false, this.isDone).then(() => {
      if (this.#phase === "leaving") this.#phase = "asleep";
    });
  }

  #onConnected(packet: IConnackPacket): void {
    const { outstandingMax, kind, device } = this.#options;
    const receiveMaximum = packet.properties?.receiveMaximum ?? 65_535;
    this.#windowMax = Math.min(outstandingMax, receiveMaximum);
    this.#activeAtMs = performance.now();
    if (!packet.sessionPresent) this.#isSubscribed = false;
    if (kind.takesCommands && !this.#isSubscribed) {
      this.#link.subscribe(commandFilter(device), (isGranted) => {
        this.#isSubscribed = isGranted;
      });
    }
  }

  #onPacket(packet: Packet): void {
    if (packet.cmd !== "puback" && packet.cmd !== "pubrec") return;
    const { messageId } = packet;
    const sent = messageId === undefined ? undefined : this.#sentByPacketId.get(messageId);
    if (sent === undefined || (packet.reasonCode ?? 0) > SUCCESS_REASON_CODE_MAX) return;
    if (typeof sent === "number") this.#ledger.acknowledge(sent);
    else sent.isAcknowledged = true;
  }

  #onMessage(topic: string, packet: IPublishPacket): void {
    this.#activeAtMs = performance.now();
    this.#inbox.receive(topic, packet);
  }
}
