/**
 * Deliveries that wait for the flush of a QoS 2 publish, in the order of commits. Bounded: beyond the bound (`isFull`)
 * the broker takes nothing more that needs the store, and publishers are held back.
 */
import { RingBuffer } from "../lib/ring-buffer.ts";
import type { Message, QoS } from "./message.ts";
import type { TreeSubscriber } from "./shared-subscriptions.ts";
import type { CommitNumber } from "./store.ts";
import type { RouteTarget } from "./subscription-tree.ts";

/** What they may take; a message counts once per delivery. */
const DEFERRED_BYTES_MAX = 8_388_608;
/** What the objects around one of them take, about. */
const DELIVERY_BYTES = 256;

/** A message to one subscriber; it owns its bytes. */
export interface DeferredDelivery {
  readonly commit: CommitNumber;
  readonly message: Message;
  readonly target: RouteTarget<TreeSubscriber>;
  readonly qos: QoS;
  /** Of the rules under which it was routed. */
  readonly rulesVersion: number;
}

/** A queue of them; what it takes is counted. */
export class DeferredDeliveries {
  readonly #deliveries = new RingBuffer<DeferredDelivery>();
  #bytes = 0;

  get isFull(): boolean {
    return this.#bytes >= DEFERRED_BYTES_MAX;
  }

  /** Hot path: per QoS 2 message and subscriber. */
  push(delivery: DeferredDelivery): void {
    this.#deliveries.push(delivery);
    this.#bytes += delivery.message.payloadEnd + DELIVERY_BYTES;
  }

  /** The next one, if `commit` covers it. */
  take(commit: CommitNumber): DeferredDelivery | undefined {
    const next = this.#deliveries.peek();
    if (next === undefined || next.commit > commit) return undefined;
    this.#deliveries.shift();
    this.#bytes -= next.message.payloadEnd + DELIVERY_BYTES;
    return next;
  }
}
