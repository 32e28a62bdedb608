import type { Delivery, Subprotocol } from "../../../src/native/frame.ts";
import type { Answer } from "../../support/native-client.ts";
import type { Step } from "./kill-point.ts";
import { PatternClient } from "./pattern-client.ts";
import type { FirstDeliveries, QueueLedger, Settling } from "./queue-ledger.ts";
import { DELIVERIES_MAX } from "./queue-sender.ts";
import { below, chance, nameOf, type Station } from "./station.ts";

const CREDIT = 12;
/** What is forgotten comes back after so long. */
const VISIBILITY_MS = 300;
const POLL_MS = 200;
const HELD_MS_MAX = 20;
const HELD_SHARE = 0.3;
const DELAY_MS_MAX = 200;
const DELAYED_SHARE = 0.3;
/** Every so many-th message of `work` is rejected until it is given up. */
const POISON_EVERY = 17;

/** What is done with deliveries while there are kills, and how likely. */
const ACTS = [
  [0.7, "ack"],
  [0.1, "reject"],
  [0.09, "requeue"],
  [0.06, "extend"],
  [0.05, "forget"],
] as const;
type Act = (typeof ACTS)[number][1];

const SETTLINGS = { ack: "ack", reject: "keep", requeue: "move", extend: "keep" } as const;

/** In its hands. */
interface Held {
  readonly queue: string;
  readonly payload: string;
  readonly delivery: Delivery;
}

/** Takes messages of queues, by pushes or by long polls, and settles them in every way there is. */
export class QueueReceiver {
  readonly client: PatternClient;
  /** True at the end: everything is taken and acknowledged. */
  isDraining = false;
  readonly #station: Station;
  readonly #ledger: QueueLedger;
  readonly #queues: readonly string[];
  readonly #polls: boolean;
  readonly #bySub = new Map<number, string>();
  #order: FirstDeliveries = new Map();
  /** Grows with each connection: what was held on an earlier one is forgotten. */
  #run = 0;

  /** `polls`: by `receive`; otherwise by `queue.subscribe`. */
  constructor(
    client: { readonly name: string; readonly subprotocol: Subprotocol },
    queues: readonly string[],
    polls: boolean,
    station: Station,
    ledger: QueueLedger,
  ) {
    this.client = new PatternClient(client.name, client.subprotocol, (frame) => {
      if (frame.op === "deliveries") this.#onPushed(frame.sub, frame.deliveries);
      else this.#station.fault(`${client.name} got ${JSON.stringify(frame)}`);
    });
    this.#queues = queues;
    this.#polls = polls;
    this.#station = station;
    this.#ledger = ledger;
  }

  async connect(url: string): Promise<void> {
    this.#run++;
    this.#bySub.clear();
    this.#order = new Map();
    await this.client.connect(url);
    for (const queue of this.#queues) {
      if (this.#polls) this.#poll(queue);
      else this.#subscribe(queue);
    }
  }

  #subscribe(queue: string): void {
    const request = { op: "queue.subscribe", queue, credit: CREDIT, visibilityMs: VISIBILITY_MS };
    this.client.ask(request, (answer) => {
      if (answer.op === "ok") this.#bySub.set(answer["sub"] as number, queue);
      else this.#station.fault(`subscribe: ${JSON.stringify(answer)}`);
    });
  }

  #poll(queue: string): void {
    const max = 1 + below(this.#station, CREDIT);
    const request = { op: "receive", queue, max, waitMs: POLL_MS, visibilityMs: VISIBILITY_MS };
    this.client.ask(request, (answer) => {
      if (answer.op !== "ok") {
        this.#station.fault(`receive: ${JSON.stringify(answer)}`);
        return;
      }
      for (const delivery of answer["deliveries"] as Delivery[]) this.#take(queue, delivery);
      this.#poll(queue);
    });
  }

  #onPushed(sub: number, deliveries: readonly Delivery[]): void {
    const queue = this.#bySub.get(sub) ?? "?";
    for (const delivery of deliveries) this.#take(queue, delivery);
    this.client.tell({ op: "credit", sub, add: deliveries.length });
  }

  #take(queue: string, delivery: Delivery): void {
    const held = { queue, payload: nameOf(delivery.payload), delivery };
    this.#ledger.arrive(queue, held.payload, delivery, this.#order);
    if (queue !== "dead" && delivery.deliveryCount > DELIVERIES_MAX) {
      this.#station.fault(`${held.payload} was delivered ${delivery.deliveryCount} times`);
    }
    this.#station.note(queue === "dead" ? "dead letter delivered" : "delivered");
    const act = this.#actFor(held);
    if (this.isDraining || !chance(this.#station, HELD_SHARE)) {
      this.#do(held, act);
      return;
    }
    this.#station.note("held");
    const run = this.#run;
    const later = (): void => {
      if (run === this.#run && this.client.isConnected) this.#do(held, act);
    };
    setTimeout(later, below(this.#station, HELD_MS_MAX));
  }

  #actFor({ queue, payload }: Held): Act {
    if (this.isDraining) return "ack";
    const isPoison = queue === "work" && Number(payload.split("#")[1]) % POISON_EVERY === 0;
    if (isPoison) return "reject";
    let at = this.#station.random.next();
    for (const [share, act] of ACTS) {
      at -= share;
      // What was given up goes nowhere from there.
      if (at < 0) return queue === "dead" && act === "requeue" ? "ack" : act;
    }
    return "ack";
  }

  #do(held: Held, act: Act): void {
    if (act === "forget") return;
    const { queue, payload, delivery } = held;
    const isLast =
      act === "reject" && queue !== "dead" && delivery.deliveryCount === DELIVERIES_MAX;
    const mayDelay = act === "reject" || act === "requeue";
    const isDelayed = mayDelay && !isLast && chance(this.#station, DELAYED_SHARE);
    const delayMs = isDelayed ? 1 + below(this.#station, DELAY_MS_MAX) : 0;
    const how: Settling = isLast ? "give up" : SETTLINGS[act];
    const notBefore = isDelayed ? Date.now() + delayMs : 0;
    this.#ledger.ask(payload, how, delivery.delivery);
    const to = act === "requeue" && chance(this.#station, 0.5) ? { to: "other" } : {};
    const request = {
      op: "settle",
      queue,
      how: act,
      deliveries: [delivery.delivery],
      ...(isDelayed ? { delayMs } : {}),
      ...to,
      ...(act === "extend" ? { visibilityMs: VISIBILITY_MS } : {}),
    };
    this.client.ask(request, (answer) => this.#onSettled(held, { act, how, notBefore }, answer));
    this.#station.note(isLast ? "last reject" : act);
  }

  #onSettled(
    held: Held,
    { act, how, notBefore }: { act: Exclude<Act, "forget">; how: Settling; notBefore: number },
    answer: Answer,
  ): void {
    const { queue, payload, delivery } = held;
    if (answer.op !== "ok") {
      // It was too slow.
      this.#ledger.refuse(payload, how, delivery.delivery);
      if (answer["code"] !== "expired-delivery") {
        this.#station.fault(`settle: ${JSON.stringify(answer)}`);
      }
      return;
    }
    const key = `${queue}/${delivery.sequence}`;
    this.#ledger.settle(payload, key, how, delivery.delivery, notBefore);
    this.#station.note(`${act} answered` satisfies Step);
    if (act === "extend") this.#do(held, "ack");
  }
}
