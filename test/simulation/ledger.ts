import assert from "node:assert/strict";
import type { Deliveries, Settled } from "../../src/broker/deliveries.ts";
import type { LogDelivery, Receiver } from "../../src/broker/delivery-receiver.ts";
import type { CommitNumber, Store } from "../../src/broker/store.ts";
import type { Instant } from "../../src/lib/clock.ts";
import { payloadText } from "./stage.ts";

/** What is known of one message, by its payload. */
interface Known {
  /** The commit that its acknowledgement waits for; 0: it is acknowledged. */
  commit: CommitNumber;
  /** The commit that its end waits for; 0: it has ended for good; undefined: it goes on. */
  settledBy: CommitNumber | undefined;
  /** Until when nobody else may get it. */
  hiddenUntil: number;
  /** Its delivery count, and in which queue; undefined: it begins anew, or a crash may have forgotten some. */
  count: number | undefined;
  where: string | undefined;
  /** Whoever had it last. */
  hand: object | undefined;
  wasSeen: boolean;
  /** How often whoever had it last has said that it is done, without an answer so far. */
  settlings: number;
  /** It was sent with a delay: nobody gets it before. */
  readonly notBefore: number;
  /** A publisher with QoS 1 may have sent it several times. */
  readonly mayRepeat: boolean;
}

interface Held {
  readonly payload: string;
  readonly delivery: number;
  readonly deliveries: Deliveries;
}

/** One handing-over, as far as it is judged here. */
export interface HandedOver {
  readonly payload: string;
  /** The queue or consumer that it is from. */
  readonly where: string;
  /** Undefined: whoever has it is not told. */
  readonly deliveryCount: number | undefined;
  readonly visibleAt: number;
  /** When it was handed over. */
  readonly at: number;
  /** Names whoever has it now. */
  readonly hand: object;
}

const FOR_GOOD = 0 as CommitNumber;
/** Whether it has ended is not known, and never will be unless it comes back. */
const PERHAPS = -1 as CommitNumber;
const UNKNOWN = Number.MAX_SAFE_INTEGER as CommitNumber;

/** What was put into queues or streams and what became of it, under crashes that forget what was not flushed. */
export class Ledger {
  readonly name: string;
  /** Most deliveries of one message, by where it is from. */
  readonly deliveriesMax = new Map<string, number>();
  /** In the hands of receivers. */
  readonly held: Held[] = [];
  settled = 0;
  delivered = 0;
  readonly #store: () => Store;
  readonly #now: () => Instant;
  readonly #known = new Map<string, Known>();
  /** Payloads that a crash took before they were acknowledged, or that were refused. */
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
  put(payload: string, commit: CommitNumber, notBefore = 0): void {
    this.#enter(payload, commit, false, notBefore);
  }

  /** It is on its way and may come out; with `acknowledged` it has to. */
  offer(payload: string, mayRepeat: boolean, notBefore = 0): void {
    if (!this.#known.has(payload)) this.#enter(payload, UNKNOWN, mayRepeat, notBefore);
  }

  /** It came out at least once. */
  wasSeen(payload: string): boolean {
    return this.#known.get(payload)?.wasSeen === true;
  }

  /** It was sent before, may still come out, and with `acknowledged` it has to. */
  has(payload: string): boolean {
    return this.#known.has(payload);
  }

  /** It was refused: it never comes out. */
  refused(payload: string): void {
    this.#known.delete(payload);
    this.#gone.add(payload);
  }

  /** Nobody gets it earlier. */
  hideUntil(payload: string, hand: object | undefined, until: number): void {
    const known = this.#known.get(payload);
    if (known !== undefined && known.hand === hand) known.hiddenUntil = until;
  }

  /** Whoever had it has it no more, or wants to keep it no more; `isMoved`: it begins anew. */
  freed(payload: string, hand: object, isMoved = false): void {
    const known = this.#known.get(payload);
    if (known === undefined || known.hand !== hand) return;
    known.hiddenUntil = 0;
    if (isMoved) known.count = undefined;
  }

  /** Whoever has it has said that it is done: it may have ended. */
  settling(payload: string, hand: object): void {
    const known = this.#known.get(payload);
    if (known === undefined || known.hand !== hand || known.settledBy === FOR_GOOD) return;
    known.settledBy = PERHAPS;
    known.settlings++;
    known.hiddenUntil = 0;
  }

  /** What `settling` said was not done after all. */
  notSettled(payload: string, hand: object): void {
    const known = this.#known.get(payload);
    if (known?.hand !== hand || known.settledBy !== PERHAPS) return;
    known.settlings--;
    if (known.settlings === 0) known.settledBy = undefined;
  }

  /** Whoever has it has said that it is done, which ends it with this commit; nobody is told. */
  settledWith(payload: string, hand: object, commit: CommitNumber): void {
    const known = this.#known.get(payload);
    if (known?.hand === hand) known.settledBy = commit;
  }

  /** The end of what this hand had is acknowledged: it never comes back. */
  settledForGood(payload: string, hand: object): void {
    const known = this.#known.get(payload);
    if (known === undefined) return;
    const isTheirs = known.hand === hand || known.mayRepeat;
    assert.ok(isTheirs, `${this.name}: ${payload} was settled by one who had it no more`);
    known.settledBy = FOR_GOOD;
    this.settled++;
  }

  acknowledged(payload: string): void {
    const known = this.#known.get(payload);
    if (known !== undefined) known.commit = FOR_GOOD;
  }

  #enter(payload: string, commit: CommitNumber, mayRepeat: boolean, notBefore = 0): void {
    this.#known.set(payload, {
      commit,
      settledBy: undefined,
      hiddenUntil: 0,
      count: undefined,
      where: undefined,
      hand: undefined,
      wasSeen: false,
      settlings: 0,
      notBefore,
      mayRepeat,
    });
  }

  /** Takes up to `room` and holds it. */
  take(deliveries: Deliveries, where: string, room: number, visibilityMs: number): void {
    const receiver: Receiver = {
      room,
      visibilityMs,
      deliver: (delivery) => {
        (receiver as { room: number }).room--;
        this.#deliver(deliveries, where, delivery);
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
    known.count = undefined;
    if (ends) known.settledBy = commit;
  }

  /** A commit is on disk. */
  onFlushed(): void {
    const { flushedCommit } = this.#store();
    for (const known of this.#known.values()) {
      if (known.commit <= flushedCommit) known.commit = FOR_GOOD;
      if (known.settledBy === undefined || known.settledBy <= FOR_GOOD) continue;
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
      } else if (known.settledBy !== FOR_GOOD && known.settledBy !== PERHAPS) {
        known.settledBy = undefined;
      }
      known.hiddenUntil = 0;
      known.count = undefined;
    }
    this.held.length = 0;
  }

  /** Everything that was acknowledged has ended. */
  checkDone(): void {
    for (const [payload, { commit, settledBy }] of this.#known) {
      if (commit !== FOR_GOOD || settledBy === PERHAPS) continue;
      assert.equal(settledBy, FOR_GOOD, `${this.name}: ${payload} was acknowledged and is lost`);
    }
  }

  #deliver(deliveries: Deliveries, where: string, handed: LogDelivery): void {
    const { record, delivery, deliveryCount, visibleAt } = handed;
    const payload = payloadText(record.bytes.subarray(record.payloadStart, record.payloadEnd));
    const held = { payload, delivery, deliveries };
    this.handedOut({ payload, where, deliveryCount, visibleAt, at: this.#now(), hand: held });
    this.held.push(held);
  }

  /** Somebody gets it. */
  handedOut({ payload, where, deliveryCount, visibleAt, at, hand }: HandedOver): void {
    this.delivered++;
    const countMax = this.deliveriesMax.get(where) ?? Number.POSITIVE_INFINITY;
    const isTooOften = deliveryCount !== undefined && deliveryCount > countMax;
    assert.ok(!isTooOften, `${this.name}: delivery ${deliveryCount} from ${where}`);
    const known = this.#known.get(payload);
    let count = deliveryCount;
    const what = `${this.name}: ${payload}`;
    const why = this.#gone.has(payload) ? "was refused, or lost in a crash" : "is unknown";
    assert.ok(known !== undefined, `${what} ${why}`);
    if (!known.mayRepeat) {
      const isSettled = known.settledBy !== undefined && known.settledBy !== PERHAPS;
      assert.ok(!isSettled, `${what} was settled and came back`);
      const isHidden = Math.max(known.hiddenUntil, known.notBefore) > at;
      assert.ok(!isHidden, `${what} is in two hands at a time, or came too early`);
      const next = known.where === where && known.count !== undefined ? known.count + 1 : undefined;
      count ??= next;
      assert.equal(count, next ?? count, `${what}: deliveryCount`);
    }
    if (known.settledBy !== FOR_GOOD) known.settledBy = undefined;
    known.wasSeen = true;
    known.settlings = 0;
    known.hiddenUntil = visibleAt;
    known.count = count;
    known.where = where;
    known.hand = hand;
  }
}
