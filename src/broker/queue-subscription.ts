/**
 * An MQTT client that receives from a queue. PUBACK settles a delivery; it is the client's as long as it is connected: when it goes, what it
 * has not acknowledged goes back into its place at once, with its count, so that a message that kills its consumers is given up in the end. The
 * window is the client's Receive Maximum.
 */
import type { LogDelivery, Receiver } from "./delivery-receiver.ts";
import type { Lease } from "./lease.ts";
import type { Message } from "./message.ts";
import type { PatternContext, PatternSubscription } from "./pattern-subscriptions.ts";
import type { Queue } from "./queue.ts";
import type { Session } from "./session.ts";
import type { LogRecord } from "./store.ts";
import type { SubscriptionOptions } from "./subscription-tree.ts";

export class QueueSubscription implements PatternSubscription, Receiver {
  options: SubscriptionOptions;
  /** Until it is settled or the client goes. */
  readonly visibilityMs = Number.POSITIVE_INFINITY;
  readonly #context: PatternContext;
  readonly #session: Session;
  readonly #name: string;
  /** The queue that it receives from; undefined: it does not. */
  #queue: Queue | undefined;

  constructor(
    context: PatternContext,
    session: Session,
    name: string,
    options: SubscriptionOptions,
  ) {
    this.#context = context;
    this.#session = session;
    this.#name = name;
    this.options = options;
  }

  get room(): number {
    return this.#session.outbound.leaseRoom;
  }

  attach(): void {
    this.#queue ??= this.#context.queueOf(this.#name);
    this.#queue?.deliveries.addReceiver(this);
    this.#context.onWork(this);
  }

  detach(): void {
    this.#queue?.deliveries.removeReceiver(this);
    this.#queue = undefined;
  }

  pump(): void {
    this.#queue?.deliveries.pump();
  }

  /** Hot path: per delivery. */
  deliver({ delivery, record, deliveryCount }: LogDelivery): void {
    const queue = this.#queue;
    if (queue === undefined) return;
    const { subscriptionId } = this.options;
    const ids = subscriptionId === undefined ? undefined : [subscriptionId];
    const properties = {
      ...record.properties,
      userProperties: [
        ...(record.properties?.userProperties ?? []),
        ["rill-queue", this.#name] as const,
        ["rill-sequence", String(record.sequence)] as const,
        ["rill-delivery-count", String(deliveryCount)] as const,
      ],
    };
    const message = { ...record, properties };
    this.#session.outbound.lease(new QueueLease(queue, delivery, record), message, 1, false, ids);
  }

  onPumped(): void {
    // What was sent is gathered at the end of the turn.
  }

  /** The queue was deleted; one of the same name that is made later is another one. */
  onForgotten(): void {
    this.#queue = undefined;
  }

  onFlushed(): void {
    // The queue hands out what came.
  }

  onChores(): void {
    if (this.#queue === undefined && this.#session.subscriber !== undefined) this.attach();
  }
}

/** A delivery in the hands of an MQTT client. */
class QueueLease implements Lease {
  readonly number = 0;
  readonly #queue: Queue;
  readonly #delivery: number;
  readonly #record: LogRecord;

  constructor(queue: Queue, delivery: number, record: LogRecord) {
    this.#queue = queue;
    this.#delivery = delivery;
    this.#record = record;
  }

  message(): Message {
    return this.#record;
  }

  claim(): void {
    // It is never sent with QoS 2.
  }

  settle(): void {
    this.#queue.deliveries.ack([this.#delivery]);
  }

  giveBack(): void {
    const { deliveries } = this.#queue;
    deliveries.reject([this.#delivery], 0);
    deliveries.pump();
  }

  /** Others may take it; not again at once, because it would only come back. */
  refuse(): void {
    this.#queue.deliveries.reject([this.#delivery], this.#queue.settings.visibilityMs);
  }
}
