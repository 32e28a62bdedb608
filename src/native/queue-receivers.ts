/** Those of a connection who take messages of a queue: a sub with credit, and a receive that may wait. */
import type { Deliveries } from "../broker/deliveries.ts";
import type { LogDelivery, Receiver } from "../broker/delivery-receiver.ts";
import type { Due } from "../broker/due.ts";
import type { Queue } from "../broker/queue.ts";
import { after } from "../lib/clock.ts";
import type { Deadline } from "../lib/deadline-heap.ts";
import type { Caller } from "./caller.ts";
import { frameBytes } from "./content.ts";
import { deliveryOf } from "./delivery-content.ts";
import type { Delivery } from "./frame.ts";
import { mayRead } from "./rights.ts";
import type { Sub } from "./subs.ts";
import type { Wait } from "./waits.ts";

/** About so many bytes of messages go into one frame; one message more may be in it. */
export const BATCH_BYTES = 131_072;

/** How long a poll that would not wait does so while much is passed over that nobody gets. */
const PASSING_MS = 1_000;

/** Remembers that the connection may have some of these in hands; those of queues that are deleted by now are forgotten. */
function addHolding({ holdings }: Caller, deliveries: Deliveries): void {
  if (holdings.has(deliveries)) return;
  for (const known of holdings) if (known.isForgotten) holdings.delete(known);
  holdings.add(deliveries);
}

/** Deliveries of a queue as they come. */
export class QueueSub implements Sub, Receiver {
  readonly id: number;
  readonly owner: Caller;
  readonly takesViews = true;
  readonly visibilityMs: number;
  credit: number;
  readonly #queue: Queue;
  #batch: LogDelivery[] = [];
  #bytes = 0;

  constructor(owner: Caller, id: number, queue: Queue, credit: number, visibilityMs: number) {
    this.owner = owner;
    this.id = id;
    this.#queue = queue;
    this.credit = credit;
    this.visibilityMs = visibilityMs;
  }

  get room(): number {
    return this.owner.hasRoom ? this.credit : 0;
  }

  start(): void {
    addHolding(this.owner, this.#queue.deliveries);
    this.#queue.deliveries.addReceiver(this);
    this.pump();
  }

  /** Hot path: per message. */
  deliver(delivery: LogDelivery): void {
    this.credit--;
    this.#batch.push(delivery);
    this.#bytes += frameBytes(delivery.record);
    if (this.#bytes >= BATCH_BYTES) this.onPumped();
  }

  onPumped(): void {
    if (this.#batch.length === 0) return;
    const deliveries = this.#batch;
    this.#batch = [];
    this.#bytes = 0;
    this.owner.sendDeliveries(this.id, deliveries);
  }

  onForgotten(): void {
    this.owner.subs.end(this.id, "not-found", "the queue was deleted");
  }

  pump(): void {
    if (this.room > 0) this.#queue.deliveries.pump();
  }

  isAllowed(): boolean {
    return mayRead(this.owner, "queue", this.#queue.name);
  }

  /** What it has in hands stays there: it may be settled. */
  close(): void {
    this.#queue.deliveries.removeReceiver(this);
  }
}

/** One `receive`: takes what there is; when there is nothing it waits, if it may. */
export class QueuePoll implements Wait, Receiver, Due {
  readonly owner: Caller;
  readonly takesViews = true;
  readonly visibilityMs: number;
  readonly #id: number;
  readonly #queue: Queue;
  readonly #deliveries: Delivery[] = [];
  /** How many more it takes. */
  #left: number;
  #bytes = 0;
  #deadline: Deadline<Due> | undefined;
  #isOver = false;

  constructor(owner: Caller, id: number, queue: Queue, max: number, visibilityMs: number) {
    this.owner = owner;
    this.#id = id;
    this.#queue = queue;
    this.#left = max;
    this.visibilityMs = visibilityMs;
  }

  /** Many polls of a client that does not read do not gather what it could not be sent. */
  get room(): number {
    return this.owner.hasRoom ? this.#left : 0;
  }

  start(waitMs: number): void {
    const { broker, waits } = this.owner;
    const { deliveries } = this.#queue;
    addHolding(this.owner, deliveries);
    deliveries.addReceiver(this);
    deliveries.pump();
    if (this.#isOver) return;
    // There may be something behind what is given up or passed over in the next turns.
    const leastMs = deliveries.isPassing ? PASSING_MS : 0;
    if (waitMs === 0 && leastMs === 0) {
      this.#finish();
      return;
    }
    waits.add(this);
    const until = after(broker.clock.now(), Math.max(waitMs, leastMs));
    this.#deadline = broker.deadlines.add(until, this);
  }

  /** Hot path: per message. */
  deliver(delivery: LogDelivery): void {
    this.#left--;
    this.#deliveries.push(deliveryOf(delivery, this.owner.broker.clock));
    this.#bytes += frameBytes(delivery.record);
    if (this.#bytes >= BATCH_BYTES) this.#left = 0;
  }

  onPumped(): void {
    this.#finish();
  }

  onForgotten(): void {
    this.#leave();
    this.owner.refuse(this.#id, "not-found", "the queue was deleted");
  }

  /** Nothing came in time. */
  onDue(): void {
    this.#deadline = undefined;
    this.#finish();
  }

  recheck(): void {
    if (mayRead(this.owner, "queue", this.#queue.name)) return;
    this.#leave();
    this.owner.refuse(this.#id, "not-authorized", "the rules do not allow it any more");
  }

  close(): void {
    this.#leave();
  }

  #finish(): void {
    if (this.#isOver) return;
    this.#leave();
    this.owner.reply(this.#id, { deliveries: this.#deliveries });
  }

  #leave(): void {
    this.#isOver = true;
    this.owner.broker.deadlines.cancel(this.#deadline);
    this.#deadline = undefined;
    this.owner.waits.delete(this);
    this.#queue.deliveries.removeReceiver(this);
  }
}
