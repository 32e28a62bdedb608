import type { Subprotocol } from "../../../src/native/frame.ts";
import type { Answer } from "../../support/native-client.ts";
import { PatternClient } from "./pattern-client.ts";
import type { QueueLedger } from "./queue-ledger.ts";
import { below, chance, payloadOf, type Station } from "./station.ts";

/** Queues: where messages are sent to, where receivers move some, where those go that are rejected too often. */
export const QUEUES = ["work", "other", "dead"] as const;
/** A message that is handed out so often is given up. */
export const DELIVERIES_MAX = 4;

const WINDOW = 8;
const BATCH_MAX = 4;
/** Nothing more is sent while so much waits for receivers. */
const OWED_MAX = 150;
const WITH_ID_SHARE = 0.6;
const DELAYED_SHARE = 0.15;
/** So often an answer is taken as lost, so that the same is sent again after the broker died. */
const DEAF_SHARE = 0.05;
/** Answers that are taken as lost at a time, at most. */
const DEAF_MAX = 3;
const DELAY_MS_MAX = 400;

/** One frame of messages. */
interface Sending {
  readonly payloads: readonly string[];
  readonly hasIds: boolean;
  readonly delayMs: number;
}

interface SendResult {
  readonly sequence?: number;
  readonly duplicate?: boolean;
}

/**
 * Keeps its window full. What had no answer when the broker died is sent again where the messages have identifiers, and given up
 * where not.
 */
export class QueueSender {
  readonly client: PatternClient;
  isSending = true;
  readonly #station: Station;
  readonly #ledger: QueueLedger;
  readonly #open = new Set<Sending>();
  readonly #deaf = new Set<Sending>();
  #number = 0;
  /** The highest sequence of those that were sent once, without delay. */
  #lastSequence = 0;

  constructor(name: string, subprotocol: Subprotocol, station: Station, ledger: QueueLedger) {
    this.client = new PatternClient(name, subprotocol);
    this.#station = station;
    this.#ledger = ledger;
  }

  /** Frames without answer. */
  get open(): number {
    return this.#open.size;
  }

  async connect(url: string): Promise<void> {
    await this.client.connect(url);
    for (const sending of this.#deaf) this.#open.add(sending);
    this.#deaf.clear();
    for (const sending of [...this.#open]) {
      if (sending.hasIds) {
        this.#send(sending, true);
        continue;
      }
      this.#open.delete(sending);
      this.#ledger.abandon(sending.payloads);
    }
    this.fill();
  }

  /** Sends until the window is full. */
  fill(): void {
    const isReady = this.isSending && this.client.isConnected;
    while (isReady && this.#open.size < WINDOW && this.#ledger.owed < OWED_MAX) {
      const payloads = Array.from(
        { length: 1 + below(this.#station, BATCH_MAX) },
        () => `${this.client.clientId}#${this.#number++}`,
      );
      for (const payload of payloads) this.#ledger.send(payload);
      const sending = {
        payloads,
        hasIds: chance(this.#station, WITH_ID_SHARE),
        delayMs: chance(this.#station, DELAYED_SHARE) ? 1 + below(this.#station, DELAY_MS_MAX) : 0,
      };
      this.#open.add(sending);
      this.#send(sending, false);
    }
  }

  #send(sending: Sending, isAgain: boolean): void {
    const { payloads, hasIds, delayMs } = sending;
    const messages = payloads.map((payload) => ({
      payload: payloadOf(payload),
      deliveriesMax: DELIVERIES_MAX,
      deadLetterQueue: "dead",
      ...(hasIds ? { messageId: payload } : {}),
      ...(delayMs > 0 ? { delayMs } : {}),
    }));
    const notBefore = delayMs > 0 ? Date.now() + delayMs : 0;
    this.client.ask({ op: "send", queue: "work", messages }, (answer) => {
      if (answer.op !== "ok") {
        this.#station.fault(`send: ${JSON.stringify(answer)}`);
        return;
      }
      this.#open.delete(sending);
      this.#onSent(sending, answer, notBefore, isAgain);
      this.#station.note(delayMs > 0 ? "delayed send answered" : "send answered");
      this.fill();
    });
    this.#station.note("send");
  }

  #onSent(sending: Sending, answer: Answer, notBefore: number, isAgain: boolean): void {
    const { payloads, hasIds, delayMs } = sending;
    if (hasIds && this.#deaf.size < DEAF_MAX && chance(this.#station, DEAF_SHARE)) {
      this.#deaf.add(sending);
      return;
    }
    const results = answer["results"] as SendResult[];
    for (const [index, payload] of payloads.entries()) {
      const { sequence = 0, duplicate = false } = results[index] ?? {};
      this.#ledger.answer(payload, notBefore, duplicate);
      if (isAgain || delayMs > 0) continue;
      if (sequence <= this.#lastSequence) {
        this.#station.fault(`${payload} got ${sequence} behind ${this.#lastSequence}`);
      }
      this.#lastSequence = sequence;
    }
  }
}
