import type { IPublishPacket } from "mqtt";
import type { Random } from "../src/lib/random.ts";
import { Attendant } from "./attendant.ts";
import type { ClientIdentity } from "./client-options.ts";
import { type AnswerWay, CommandLedger } from "./command-ledger.ts";
import type { Device } from "./device.ts";
import {
  commandTopic,
  REPLY_FILTER,
  replyTopic,
  responseTopic,
  splitTopic,
} from "./device-topics.ts";

/** Most commands sent and not yet acknowledged by the broker. */
const OUTSTANDING_MAX = 100;
const REFUSED_PAUSE_MS = 500;

export interface CommanderOptions extends ClientIdentity {
  readonly run: string;
  /** Who takes commands, with how many for each. */
  readonly plans: readonly { readonly device: Device; readonly commands: number }[];
  /** Between two commands to one device. */
  readonly everyMs: number;
  readonly random: Random;
}

interface Plan {
  readonly device: Device;
  left: number;
  dueAtMs: number | undefined;
}

/** A command that is due, or was refused and is due again. */
interface Order {
  readonly requestId: string;
  readonly device: Device;
}

/**
 * Sends commands to devices and checks that each is answered once. Request ids are `{run}-{number}`. Between two clients of MQTT 5
 * the answer comes by response topic and correlation data, else on `reply/{deviceId}/{requestId}`.
 */
export class Commander {
  readonly ledger: CommandLedger;
  readonly #options: CommanderOptions;
  readonly #attendant: Attendant;
  readonly #responseTopic: string;
  readonly #plans: Plan[];
  readonly #refused: Order[] = [];
  #issued = 0;
  #outstanding = 0;
  #refusedUntilMs = 0;

  constructor(options: CommanderOptions) {
    const { plans, clientId } = options;
    this.#options = options;
    this.#plans = plans.map(({ device, commands }) => ({
      device,
      left: commands,
      dueAtMs: undefined,
    }));
    this.ledger = new CommandLedger(plans.reduce((sum, { commands }) => sum + commands, 0));
    this.#responseTopic = responseTopic(clientId);
    this.#attendant = new Attendant({
      ...options,
      filters: [REPLY_FILTER, ...(options.protocolVersion === 5 ? [this.#responseTopic] : [])],
      barrierTopic: replyTopic(clientId, "barrier"),
      onMessage: (topic, packet) => this.#onMessage(topic, packet),
    });
  }

  /** The client behind it, for its life. */
  get attendant(): Attendant {
    return this.#attendant;
  }

  /** Sends what is due; a device's commands begin when it has subscribed. `nowMs` is monotonic. */
  tick(nowMs: number): void {
    if (!this.#attendant.isReady || nowMs < this.#refusedUntilMs) return;
    while (this.#outstanding < OUTSTANDING_MAX) {
      const again = this.#refused.shift();
      if (again === undefined) break;
      this.#send(again, nowMs);
    }
    for (const plan of this.#plans) {
      if (this.#outstanding >= OUTSTANDING_MAX) return;
      if (this.#isDue(plan, nowMs)) this.#sendNext(plan, nowMs);
    }
  }

  #isDue(plan: Plan, nowMs: number): boolean {
    if (plan.left === 0 || !plan.device.isSubscribed) return false;
    const { everyMs, random } = this.#options;
    plan.dueAtMs ??= nowMs + random.next() * everyMs;
    return nowMs >= plan.dueAtMs;
  }

  #sendNext(plan: Plan, nowMs: number): void {
    plan.left -= 1;
    plan.dueAtMs = nowMs + this.#options.everyMs;
    this.#issued += 1;
    const requestId = `${this.#options.run}-${this.#issued}`;
    this.ledger.issue(requestId, plan.device.name, this.#wayOf(plan.device));
    this.#send({ requestId, device: plan.device }, nowMs);
  }

  #wayOf(device: Device): AnswerWay {
    const isFive = this.#options.protocolVersion === 5 && device.protocolVersion === 5;
    return isFive ? "response-topic" : "convention";
  }

  #send(order: Order, nowMs: number): void {
    const { requestId, device } = order;
    const properties =
      this.#options.protocolVersion === 5
        ? { responseTopic: this.#responseTopic, correlationData: Buffer.from(requestId) }
        : undefined;
    const payload = JSON.stringify({ requestId, action: "set", percent: this.#issued % 101 });
    this.#outstanding += 1;
    this.#attendant.publish(commandTopic(device.name, requestId), payload, properties, (error) => {
      this.#outstanding -= 1;
      if (error === undefined) this.ledger.accept(requestId, device.isAsleep);
      else {
        this.#refusedUntilMs = nowMs + REFUSED_PAUSE_MS;
        this.#refused.push(order);
      }
    });
  }

  #onMessage(topic: string, packet: IPublishPacket): void {
    if (topic === this.#responseTopic) {
      const requestId = packet.properties?.correlationData?.toString() ?? "";
      this.ledger.answer(requestId, deviceIn(packet.payload), "response-topic");
      return;
    }
    const parts = splitTopic(topic, "reply");
    // Answers to other fleets' commands come by too.
    if (parts === undefined || !parts.last.startsWith(`${this.#options.run}-`)) return;
    this.ledger.answer(parts.last, parts.device, "convention");
  }
}

/** The device that an answer's payload names; empty when it names none. */
function deviceIn(payload: IPublishPacket["payload"]): string {
  try {
    const decoded: unknown = JSON.parse(payload.toString());
    const isNamed = typeof decoded === "object" && decoded !== null && "device" in decoded;
    return isNamed && typeof decoded.device === "string" ? decoded.device : "";
  } catch {
    return "";
  }
}
