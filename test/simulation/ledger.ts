import assert from "node:assert/strict";
import type { Deliveries, LogDelivery, Receiver, Settled } from "../../src/broker/deliveries.ts";
import type { CommitNumber, Store } from "../../src/broker/store.ts";
import type { Instant } from "../../src/lib/clock.ts";

/** What is known of one message, by its payload. */
interface Known {
  /** The commit that its acknowledgement waits for; 0: it is acknowledged. */
  commit: CommitNumber;
  /** The commit that its end waits for; 0: it has ended for good; undefined: it goes on. */
  settledBy: CommitNumber | undefined;
  /** Until when nobody else may get it. */
  hiddenUntil: number;
  /** A publisher with QoS 1 may have sent it several times. */
  readonly mayRepeat: boolean;
}

interface Held {
  readonly payload: string;
  readonly delivery: number;
  readonly deliveries: Deliveries;
}

const FOR_GOOD = 0 as CommitNumber;
const UNKNOWN = Number.MAX_SAFE_INTEGER as CommitNumber;

/** What was put into queues or streams and what became of it, under crashes that forget what was not flushed. */
export class Ledger {
  readonly name: string;
  /** In the hands of receivers. */
  readonly held: Held[] = [];
  settled = 0;
  delivered = 0;
  readonly #store: () => Store;
  readonly #now: () => Instant;
  readonly #known = new Map<string, Known>();
  /** Payloads that a crash took before they were acknowledged. */
  readonly #gone = new Set<string>();

  constructor(name: string, store: () => Store, now: () => Instant) {
    this.name = name;
    this.#store = store;
    this.#now = now;
  }

  get size(): number {
    return this.#known.size;
  }

  /** It was taken, and is acknowledged with this commit. */
  put(payload: string, commit: CommitNumber): void {
    this.#enter(payload, commit, false);
  }

  /** It is on its way and may come out; with `acknowledged` it has to. */
  offer(payload: string, mayRepeat: boolean): void {
    this.#enter(payload, UNKNOWN, mayRepeat);
  }

  acknowledged(payload: string): void {
    const known = this.#known.get(payload);
    if (known !== undefined) known.commit = FOR_GOOD;
  }

  #enter(payload: string, commit: CommitNumber, mayRepeat: boolean): void {
    this.#known.set(payload, { commit, settledBy: undefined, hiddenUntil: 0, mayRepeat });
  }

  /** Takes up to `room` and holds it. */
  take(
    deliveries: Deliveries,
    room: number,
    visibilityMs: number,
    deliveriesMax = Number.POSITIVE_INFINITY,
  ): void {
    const receiver: Receiver = {
      room,
      visibilityMs,
      deliver: (delivery) => {
        (receiver as { room: number }).room--;
        const { deliveryCount } = delivery;
        assert.ok(deliveryCount <= deliveriesMax, `${this.name}: delivery ${deliveryCount}`);
        this.#deliver(deliveries, delivery);
      },
      onPumped: () => undefined,
    };
    deliveries.addReceiver(receiver);
    deliveries.pump();
    deliveries.removeReceiver(receiver);
  }

  /** Settles one that is held; `settle` says how. `ends`: it goes for good. */
  settle(held: Held, settle: (delivery: number) => Settled, ends: boolean): void {
    this.held.splice(this.held.indexOf(held), 1);
    const { expired, commit } = settle(held.delivery);
    if (expired.length > 0) return;
    const known = this.#known.get(held.payload);
    assert.ok(known !== undefined);
    known.hiddenUntil = 0;
    if (ends) known.settledBy = commit;
  }

  /** A commit is on disk. */
  onFlushed(): void {
    const { flushedCommit } = this.#store();
    for (const known of this.#known.values()) {
      if (known.commit <= flushedCommit) known.commit = FOR_GOOD;
      if (known.settledBy === undefined || known.settledBy === FOR_GOOD) continue;
      if (known.settledBy > flushedCommit) continue;
      known.settledBy = FOR_GOOD;
      this.settled++;
    }
  }

  /** What was not flushed is gone, and nobody holds anything. */
  onCrash(): void {
    for (const [payload, known] of this.#known) {
      if (known.commit !== FOR_GOOD && known.commit !== UNKNOWN) {
        this.#known.delete(payload);
        this.#gone.add(payload);
      } else if (known.settledBy !== FOR_GOOD) {
        known.settledBy = undefined;
      }
      known.hiddenUntil = 0;
    }
    this.held.length = 0;
  }

  /** Everything that was acknowledged has ended. */
  checkDone(): void {
    for (const [payload, { commit, settledBy }] of this.#known) {
      if (commit !== FOR_GOOD) continue;
      assert.equal(settledBy, FOR_GOOD, `${this.name}: ${payload} was acknowledged and is lost`);
    }
  }

  #deliver(deliveries: Deliveries, { record, delivery, visibleAt }: LogDelivery): void {
    const { bytes, payloadStart, payloadEnd } = record;
    const payload = Buffer.from(bytes.subarray(payloadStart, payloadEnd)).toString();
    this.delivered++;
    const known = this.#known.get(payload);
    const why = this.#gone.has(payload)
      ? "was never acknowledged and lost in a crash"
      : "is unknown";
    assert.ok(known !== undefined, `${this.name}: ${payload} ${why}`);
    if (!known.mayRepeat) {
      const isSettled = known.settledBy === FOR_GOOD;
      assert.ok(!isSettled, `${this.name}: ${payload} was settled and came back`);
      const isHidden = known.hiddenUntil > this.#now();
      assert.ok(!isHidden, `${this.name}: ${payload} is in two hands at a time`);
    }
    if (known.settledBy !== FOR_GOOD) known.settledBy = undefined;
    known.hiddenUntil = visibleAt;
    this.held.push({ payload, delivery, deliveries });
  }
}
