import type { ServerFrame, StreamRecord, Subprotocol } from "../../../src/native/frame.ts";
import { PatternClient } from "./pattern-client.ts";
import { below, chance, nameOf, type Station } from "./station.ts";
import { STREAM } from "./stream-appender.ts";
import type { StreamLedger } from "./stream-ledger.ts";

const CREDIT = 20;
const ACK_WAIT_MS = 400;
const REJECT_SHARE = 0.1;
const FORGET_SHARE = 0.03;
const DELAY_MS_MAX = 100;

/** One of a group that shares a durable consumer. */
export class StreamConsumer {
  readonly client: PatternClient;
  /** True at the end: everything is acknowledged. */
  isDraining = false;
  readonly #station: Station;
  readonly #ledger: StreamLedger;
  #last = 0;

  constructor(name: string, subprotocol: Subprotocol, station: Station, ledger: StreamLedger) {
    this.client = new PatternClient(name, subprotocol, (frame) => this.#onPushed(frame));
    this.#station = station;
    this.#ledger = ledger;
  }

  async connect(url: string): Promise<void> {
    this.#last = 0;
    await this.client.connect(url);
    const request = {
      op: "consume",
      stream: STREAM,
      consumer: "group",
      from: { at: "first" },
      credit: CREDIT,
      isGroup: true,
      ackWaitMs: ACK_WAIT_MS,
    };
    this.client.ask(request, (answer) => {
      if (answer.op !== "ok") this.#station.fault(`consume: ${JSON.stringify(answer)}`);
    });
  }

  #onPushed(frame: ServerFrame): void {
    if (frame.op !== "records" || frame.lost !== undefined) {
      this.#station.fault(`${this.client.clientId} got ${JSON.stringify(frame)}`);
      return;
    }
    const { sub, records } = frame;
    for (const record of records) this.#take(sub, record);
    this.client.tell({ op: "credit", sub, add: records.length });
  }

  #take(sub: number, { payload, sequence, deliveryCount = 0 }: StreamRecord): void {
    this.#last = this.#ledger.arrive(nameOf(payload), sequence, deliveryCount, this.#last);
    this.#station.note("records delivered");
    if (!this.isDraining && chance(this.#station, FORGET_SHARE)) return;
    if (this.isDraining || !chance(this.#station, REJECT_SHARE)) this.#ack(sub, sequence);
    else this.#reject(sub, sequence);
  }

  #ack(sub: number, sequence: number): void {
    this.#ledger.ask(sequence);
    this.client.ask({ op: "ack", sub, sequences: [sequence] }, (answer) => {
      if (answer.op === "ok") {
        this.#ledger.settle(sequence);
        this.#station.note("record ack answered");
      } else this.#refused("ack", answer);
    });
    this.#station.note("record ack");
  }

  #reject(sub: number, sequence: number): void {
    const delayMs = chance(this.#station, 0.5) ? 1 + below(this.#station, DELAY_MS_MAX) : 0;
    const request = {
      op: "reject",
      sub,
      sequences: [sequence],
      ...(delayMs > 0 ? { delayMs } : {}),
    };
    this.client.ask(request, (answer) => {
      if (answer.op === "ok") this.#station.note("record reject answered");
      else this.#refused("reject", answer);
    });
  }

  /** It may be too late for it. */
  #refused(how: string, answer: Readonly<Record<string, unknown>>): void {
    if (answer["code"] !== "expired-delivery") {
      this.#station.fault(`${how}: ${JSON.stringify(answer)}`);
    }
  }
}
