/** Native clients that send to a queue, get pushed deliveries or ask for them by long polls, and settle them in all ways. */
import assert from "node:assert/strict";
import type { Delivery, ServerFrame } from "../../src/native/frame.ts";
import type { Ledger } from "./ledger.ts";
import type { Answer, NativeLine } from "./native-line.ts";
import { payloadBytes, payloadText, type Stage, type Step } from "./stage.ts";
import { Credit, type Work } from "./work.ts";

const WORK = "work";
const DEAD = "dead";
const VISIBILITY_MS = 500;
const UNSETTLED_MAX = 40;

/** A message in the hands of a native client. */
interface Hand {
  readonly payload: string;
  readonly queue: string;
  readonly delivery: number;
  readonly deliveryCount: number;
  visibleAt: number;
  /** The client knows that it has it. */
  isRead: boolean;
}

/** Messages sent in one frame: all of them are taken or none. */
interface Batch {
  readonly messages: readonly {
    readonly payload: string;
    readonly messageId?: string;
    readonly delayMs?: number;
  }[];
  arrivals: number;
  isAcknowledged: boolean;
}

type How = "ack" | "reject" | "requeue" | "extend";

export class QueueWork implements Work {
  sent = 0;
  readonly steps: readonly Step[];
  readonly #stage: Stage;
  readonly #ledger: Ledger;
  readonly #lines: () => readonly NativeLine[];
  readonly #hands = new Map<NativeLine, Hand[]>();
  readonly #credits = new Map<NativeLine, Credit[]>();
  readonly #batches: Batch[] = [];
  /** Sent with identifiers and not answered: they are sent again. */
  readonly #unanswered: Batch[] = [];

  constructor(stage: Stage, ledger: Ledger, lines: () => readonly NativeLine[]) {
    this.#stage = stage;
    this.#ledger = ledger;
    this.#lines = lines;
    this.steps = [
      [8, "native-send", () => this.#send()],
      [4, "native-poll", () => this.#poll(this.#line(), WORK)],
      [1, "native-poll-dead", () => this.#poll(this.#line(), DEAD)],
      [10, "native-settle", () => this.#settleSome()],
      [3, "native-credit", () => this.#giveCredit()],
    ];
  }

  onDial(line: NativeLine, index: number): void {
    this.#hands.set(line, []);
    this.#credits.set(line, []);
    line.onOver.push(() => {
      for (const hand of this.#hands.get(line) ?? []) this.#ledger.freed(hand.payload, hand);
      this.#hands.delete(line);
      this.#credits.delete(line);
    });
    if (index % 2 === 1) this.#subscribe(line, WORK);
    if (index === 1) this.#subscribe(line, DEAD);
  }

  onCrash(): void {
    // Lines have told that they are over.
  }

  onJudged(): void {
    // Everything is judged as it is written.
  }

  drain(): void {
    this.#giveCredit();
    for (const line of this.#lines()) {
      const read = (this.#hands.get(line) ?? []).filter(({ isRead }) => isRead);
      for (const queue of [WORK, DEAD]) {
        const own = read.filter((hand) => hand.queue === queue);
        if (own.length > 0) this.#settle(line, own, "ack", {});
      }
    }
    for (const batch of this.#unanswered.splice(0)) this.#offer(this.#line(), batch);
  }

  check(): void {
    for (const { messages } of this.#batches) {
      const seen = messages.filter(({ payload }) => this.#ledger.wasSeen(payload));
      const text = messages.map(({ payload }) => payload).join(" ");
      const isWhole = seen.length === 0 || seen.length === messages.length;
      assert.ok(isWhole, `only ${seen.length} of what was sent together came: ${text}`);
    }
  }

  #line(): NativeLine | undefined {
    return this.#stage.pick(this.#lines());
  }

  #send(): void {
    const { chance, below } = this.#shorthand;
    const line = this.#line();
    if (line === undefined || line.isBusy) return;
    const again = chance(0.5) ? this.#unanswered.shift() : undefined;
    if (again !== undefined) {
      this.#offer(line, again);
      return;
    }
    const hasIds = chance(0.5);
    const messages = Array.from({ length: 1 + below(3) }, () => {
      const name = this.#stage.payload("n");
      const payload = chance(0.2) ? `${name}\u00ff${"x".repeat(below(400))}` : name;
      return {
        payload,
        ...(hasIds ? { messageId: name } : {}),
        ...(chance(0.2) ? { delayMs: below(400) } : {}),
      };
    });
    const batch: Batch = { messages, arrivals: 0, isAcknowledged: false };
    this.#batches.push(batch);
    this.sent += messages.length;
    this.#offer(line, batch);
  }

  #offer(line: NativeLine | undefined, batch: Batch): void {
    const { messages } = batch;
    const hasIds = messages[0]?.messageId !== undefined;
    if (line === undefined) {
      this.#unanswered.push(batch);
      return;
    }
    const frames = messages.map((one) => ({ ...one, payload: payloadBytes(one.payload) }));
    line.ask(
      { op: "send", queue: WORK, messages: frames },
      {
        arrived: () => {
          batch.arrivals++;
          for (const { payload, delayMs = 0 } of messages) {
            this.#ledger.offer(payload, false, delayMs === 0 ? 0 : this.#stage.now + delayMs);
          }
        },
        answered: (answer) => this.#onSent(batch, answer),
        unanswered: () => {
          if (hasIds) this.#unanswered.push(batch);
        },
      },
    );
  }

  #onSent(batch: Batch, answer: Answer): void {
    const { messages } = batch;
    if (answer.op === "error") {
      assert.equal(answer["code"], "held", `send: ${JSON.stringify(answer)}`);
      if (batch.arrivals === 1) for (const { payload } of messages) this.#ledger.refused(payload);
      return;
    }
    const results = answer["results"] as readonly { readonly duplicate?: boolean }[];
    const duplicates = results.filter(({ duplicate }) => duplicate === true).length;
    const text = JSON.stringify(messages);
    assert.equal(results.length, messages.length);
    if (batch.arrivals === 1) assert.equal(duplicates, 0, `duplicate at first: ${text}`);
    if (batch.isAcknowledged) assert.equal(duplicates, messages.length, `taken twice: ${text}`);
    batch.isAcknowledged = true;
    for (const { payload } of messages) this.#ledger.acknowledged(payload);
    const isRepeated = messages[0]?.messageId !== undefined && this.#stage.chance(0.1);
    if (isRepeated && this.#stage.hasFaults) this.#unanswered.push(batch);
  }

  #subscribe(line: NativeLine, queue: string): void {
    const frame = { op: "queue.subscribe", queue, credit: 1 + this.#stage.below(8) } as const;
    line.ask(
      { ...frame, visibilityMs: VISIBILITY_MS },
      {
        answered: ({ op, sub }) => {
          assert.equal(op, "ok");
          const credit = new Credit(line, sub as number);
          this.#credits.get(line)?.push(credit);
          line.open(sub as number, {
            written: (written, { at }) => this.#pushed(line, queue, written, at),
            read: (read) => {
              if (read.op !== "deliveries") return;
              credit.take(read.deliveries.length);
              this.#read(line, read.deliveries);
            },
          });
        },
        withinMs: 0,
      },
    );
  }

  #pushed(line: NativeLine, queue: string, frame: ServerFrame, at: number): void {
    assert.equal(frame.op, "deliveries");
    if (frame.op === "deliveries") this.#take(line, queue, frame.deliveries, at);
  }

  #poll(line: NativeLine | undefined, queue: string): void {
    if (line === undefined || line.isBusy) return;
    const waitMs = this.#stage.chance(0.3) ? 0 : this.#stage.below(600);
    const max = 1 + this.#stage.below(4);
    line.ask(
      { op: "receive", queue, max, waitMs, visibilityMs: VISIBILITY_MS },
      {
        answered: ({ op, deliveries }, { at }) => {
          assert.equal(op, "ok");
          const taken = deliveries as readonly Delivery[];
          assert.ok(taken.length <= max, "more than what was asked for");
          this.#take(line, queue, taken, at);
        },
        read: ({ deliveries }) => this.#read(line, deliveries as readonly Delivery[]),
        withinMs: waitMs,
      },
    );
  }

  #take(line: NativeLine, queue: string, deliveries: readonly Delivery[], at: number): void {
    for (const { payload: bytes, delivery, deliveryCount } of deliveries) {
      const payload = payloadText(bytes);
      const visibleAt = at + VISIBILITY_MS;
      const hand: Hand = { payload, queue, delivery, deliveryCount, visibleAt, isRead: false };
      this.#ledger.handedOut({ payload, where: queue, deliveryCount, visibleAt, at, hand });
      this.#hands.get(line)?.push(hand);
    }
  }

  #read(line: NativeLine, deliveries: readonly Delivery[]): void {
    const read = new Set(deliveries.map(({ delivery }) => delivery));
    const hands = this.#hands.get(line) ?? [];
    for (const hand of hands) if (read.has(hand.delivery)) hand.isRead = true;
    // A client that does nothing about what it has forgets the oldest.
    const forgotten = hands.splice(0, Math.max(0, hands.length - UNSETTLED_MAX));
    for (const hand of forgotten) this.#ledger.freed(hand.payload, hand);
  }

  #settleSome(): void {
    const { chance, below } = this.#shorthand;
    const line = this.#line();
    const read = this.#hands.get(line as NativeLine)?.filter(({ isRead }) => isRead) ?? [];
    const { queue } = this.#stage.pick(read) ?? {};
    if (line === undefined || queue === undefined) return;
    const chosen = read.filter((hand) => hand.queue === queue).slice(0, 1 + below(3));
    const how = this.#stage.pick<How>(["ack", "ack", "ack", "reject", "requeue", "extend"]);
    const delayMs = below(300);
    if (how === "extend") this.#settle(line, chosen, how, { visibilityMs: 1 + below(800) });
    else if (how !== "ack" && chance(0.5)) this.#settle(line, chosen, how, { delayMs });
    else this.#settle(line, chosen, how, {});
  }

  #settle(
    line: NativeLine,
    chosen: readonly Hand[],
    how: How,
    fields: { readonly delayMs?: number; readonly visibilityMs?: number },
  ): void {
    const hands = this.#hands.get(line) ?? [];
    const [{ queue = WORK } = {}] = chosen;
    for (const hand of chosen) hands.splice(hands.indexOf(hand), 1);
    const deliveries = chosen.map(({ delivery }) => delivery);
    let arrivedAt = 0;
    line.ask(
      { op: "settle", queue, how, deliveries, ...fields },
      {
        arrived: () => {
          arrivedAt = this.#stage.now;
          for (const hand of chosen) {
            if (how === "ack") this.#ledger.settling(hand.payload, hand);
            else this.#ledger.freed(hand.payload, hand, how === "requeue");
          }
        },
        answered: (answer, { at }) => {
          const isRefused = answer.op === "error";
          const isHeld = isRefused && answer["code"] === "held";
          if (isRefused && !isHeld) assert.equal(answer["code"], "expired-delivery");
          const expired = new Set((answer["expired"] as readonly number[] | undefined) ?? []);
          for (const hand of chosen) {
            const isExpired = isRefused || expired.has(hand.delivery);
            if (isExpired) this.#notSettled(hand, !isHeld && at === arrivedAt ? at : undefined);
            else this.#settled(line, hand, how, arrivedAt, fields);
          }
        },
        unanswered: (hasArrived) => {
          if (hasArrived) return;
          for (const hand of chosen) this.#ledger.freed(hand.payload, hand);
        },
      },
    );
  }

  /** `at`: when it was found out, if that was when it was asked. */
  #notSettled(hand: Hand, at: number | undefined): void {
    this.#ledger.notSettled(hand.payload, hand);
    if (at === undefined) return;
    assert.ok(at >= hand.visibleAt, `${hand.payload} was in hands and could not be settled`);
  }

  #settled(
    line: NativeLine,
    hand: Hand,
    how: How,
    arrivedAt: number,
    { delayMs = 0, visibilityMs = 0 }: { delayMs?: number; visibilityMs?: number },
  ): void {
    const { payload, queue, deliveryCount } = hand;
    const isExhausted =
      deliveryCount >= (this.#ledger.deliveriesMax.get(queue) ?? Number.POSITIVE_INFINITY);
    if (how === "ack") this.#ledger.settledForGood(payload, hand);
    else if (how === "extend") {
      hand.visibleAt = arrivedAt + visibilityMs;
      this.#ledger.hideUntil(payload, hand, hand.visibleAt);
      this.#hands.get(line)?.push(hand);
    } else if (how === "requeue" || !isExhausted) {
      this.#ledger.hideUntil(payload, hand, arrivedAt + delayMs);
    }
  }

  #giveCredit(): void {
    const lines = this.#stage.hasFaults ? [this.#line()] : this.#lines();
    for (const line of lines) {
      for (const credit of this.#credits.get(line as NativeLine) ?? []) credit.give();
    }
  }

  get #shorthand() {
    const stage = this.#stage;
    return {
      chance: (share: number): boolean => stage.chance(share),
      below: (end: number): number => stage.below(end),
    };
  }
}
