/**
 * The one place that releases acknowledgements. Each connection has one queue: acknowledgements leave in the order in
 * which they were earned [MQTT-4.6.0-2 … 4.6.0-4], each not before the commit it needs is on disk.
 */
import { RingBuffer } from "../lib/ring-buffer.ts";
import { type CommitNumber, NO_COMMIT } from "./store.ts";

interface Waiting<A> {
  readonly commit: CommitNumber;
  readonly acknowledgement: A;
}

/** Knows how far the store is flushed and which queues wait. */
export class AcknowledgementGate {
  #flushed: CommitNumber = NO_COMMIT;
  #waiting = new Set<{ release(): void }>();

  get flushed(): CommitNumber {
    return this.#flushed;
  }

  /** To be called by a queue that has something to wait for. */
  wait(queue: { release(): void }): void {
    this.#waiting.add(queue);
  }

  forget(queue: { release(): void }): void {
    this.#waiting.delete(queue);
  }

  /** The commit is on disk: releases what waited for it. */
  advance(flushed: CommitNumber): void {
    this.#flushed = flushed;
    const waiting = this.#waiting;
    this.#waiting = new Set();
    for (const queue of waiting) queue.release();
  }
}

/** The acknowledgements of one connection, first in first out. */
export class AcknowledgementQueue<A> {
  readonly #gate: AcknowledgementGate;
  readonly #send: (acknowledgement: A) => void;
  readonly #waiting = new RingBuffer<Waiting<A>>();

  /** `send` puts an acknowledgement on the wire. */
  constructor(gate: AcknowledgementGate, send: (acknowledgement: A) => void) {
    this.#gate = gate;
    this.#send = send;
  }

  /** Acknowledgements that wait. */
  get size(): number {
    return this.#waiting.size;
  }

  /** Hot path: per message. Sends at once when nothing is ahead and the commit is flushed (or none is needed). */
  push(commit: CommitNumber, acknowledgement: A): void {
    if (this.#waiting.size === 0) {
      if (commit <= this.#gate.flushed) {
        this.#send(acknowledgement);
        return;
      }
      this.#gate.wait(this);
    }
    this.#waiting.push({ commit, acknowledgement });
  }

  /** For those that need no commit and have no order among the others: PUBCOMP [MQTT-4.6.0-2 … 4.6.0-4 name it not]. */
  overtake(acknowledgement: A): void {
    this.#send(acknowledgement);
  }

  /** Sends what is flushed; called by the gate. */
  release(): void {
    for (let next = this.#waiting.peek(); next !== undefined; next = this.#waiting.peek()) {
      if (next.commit > this.#gate.flushed) {
        this.#gate.wait(this);
        return;
      }
      this.#waiting.shift();
      this.#send(next.acknowledgement);
    }
  }

  /** The connection is gone: nobody waits any more. */
  close(): void {
    this.#waiting.clear();
    this.#gate.forget(this);
  }
}
