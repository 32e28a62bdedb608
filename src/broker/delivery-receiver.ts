/** Those who take records of a queue or a consumer: a long poll, a subscription. */
import type { Instant } from "../lib/clock.ts";
import type { LogRecord } from "./store.ts";

/** One handing-over. */
export interface LogDelivery {
  /** Names it, to settle it. */
  readonly delivery: number;
  /** Valid as long as it is held, but for receivers that take views: until `onPumped` returns. */
  readonly record: LogRecord;
  /** 1 for the first time. */
  readonly deliveryCount: number;
  readonly visibleAt: Instant;
}

/** Whoever takes messages of a queue: a long poll, a subscription. */
export interface Receiver {
  /** How many more it takes now. */
  readonly room: number;
  /** Infinity: until the receiver settles or is gone; after a restart it is gone. */
  readonly visibilityMs: number;
  /** Whose hands it takes them into, for `release`; undefined: its own. */
  readonly owner?: object;
  /** It keeps nothing of a record behind `onPumped`: what was flushed just now need not be read for it. */
  readonly takesViews?: boolean;
  deliver(delivery: LogDelivery): void;
  /** All that could be delivered now was; called after at least one `deliver`. */
  onPumped(): void;
  /** The queue or consumer is deleted: there is nothing to take any more. */
  onForgotten?(): void;
}

/** Receivers in turn. */
export class Receivers {
  readonly #receivers: Receiver[] = [];
  #turn = 0;

  get size(): number {
    return this.#receivers.length;
  }

  add(receiver: Receiver): void {
    this.#receivers.push(receiver);
  }

  remove(receiver: Receiver): void {
    const index = this.#receivers.indexOf(receiver);
    if (index < 0) return;
    this.#receivers.splice(index, 1);
    if (index < this.#turn) this.#turn--;
  }

  /** All of them; there are none any more. */
  takeAll(): readonly Receiver[] {
    return this.#receivers.splice(0);
  }

  /** Whose turn it is, of those with room; undefined: nobody's. Hot path: per delivery. */
  next(): Receiver | undefined {
    const count = this.#receivers.length;
    for (let i = 0; i < count; i++) {
      if (this.#turn >= count) this.#turn = 0;
      const receiver = this.#receivers[this.#turn++];
      if (receiver !== undefined && receiver.room > 0) return receiver;
    }
    return undefined;
  }

  /** Whose turn it was has had nothing: it is yet to come. */
  keepTurn(): void {
    this.#turn--;
  }
}
