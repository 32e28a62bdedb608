/**
 * The records of a log, each handed to one receiver at a time until it is settled: what queues and durable consumers of streams have in
 * common. In which states a record may be is in delivery-states.ts; here is what moves it between them: handing out, settling, giving
 * up, and time.
 *
 * What is not *new* is on disk in blocks: a delivery's count goes with the next commit, for which a millisecond is waited, and nobody
 * waits for it; settling goes with the commit that its answer waits for. A delivery is named by sequence and count: whoever has it may
 * settle it until the record was handed to somebody else, also after a reconnect or a restart.
 */
import { after, type Instant } from "../lib/clock.ts";
import type { DeliveriesContext } from "./deliveries-context.ts";
import { type Entry, Hands } from "./delivery-entry.ts";
import { type Receiver, Receivers } from "./delivery-receiver.ts";
import { DeliveryStates } from "./delivery-states.ts";
import { GivenUpRecords } from "./given-up-records.ts";
import { LogWindow } from "./log-window.ts";
import type { PatternCounts } from "./pattern-counts.ts";
import type { CommitNumber, LogId, LogRecord, Sequence, Store } from "./store.ts";

/** Delivery counts end here: part of a delivery's name. */
export const DELIVERY_COUNT_MAX = 65_535;
const NAME_FACTOR = DELIVERY_COUNT_MAX + 1;
const PEEK_BYTES = 65_536;
/** Records that are given back, given up or passed over in one turn; the next ones have theirs STEP_MS later. */
const STEP_RECORDS = 1_000;
const STEP_MS = 1;
/** What one turn may pass over on the way to what it hands out: so many records that are not meant, and given up ones at their cost. */
const PASS_BUDGET = 16_384;
const GIVE_UP_COST = 16;
/** What became of settling several deliveries. */
export interface Settled {
  /** What the answer waits for. */
  readonly commit: CommitNumber;
  /** Those that are not theirs any more. */
  readonly expired: readonly number[];
}

export class Deliveries {
  /** Records that may be in hands or hidden at a time. */
  inHandsMax = Number.POSITIVE_INFINITY;
  /** Whose these were is deleted. */
  isForgotten = false;
  readonly #context: DeliveriesContext;
  readonly #store: Store;
  readonly #log: LogId;
  readonly #counts: PatternCounts;
  readonly #states: DeliveryStates;
  readonly #window: LogWindow;
  readonly #receivers = new Receivers();
  readonly #givenUp: GivenUpRecords;
  #hands = new WeakMap<object, Hands>();
  /** Whoever took something last, and its hands. */
  #owner: object | undefined;
  #ownerHands: Hands | undefined;
  /** Whose owners are gone: what is in them is given back step by step, and until then nothing is handed out. */
  readonly #released: Hands[] = [];
  #isPumping = false;
  #passBudget = PASS_BUDGET;

  /** Begins with the first record that is still there. */
  constructor(context: DeliveriesContext) {
    const { store, log, changed, counts } = context;
    this.#context = context;
    this.#store = store;
    this.#log = log;
    this.#counts = counts;
    this.#states = new DeliveryStates(context, () => changed.add(this));
    this.#window = new LogWindow(store, log);
    this.#givenUp = new GivenUpRecords(context, this.#states, this.#window);
  }

  /** The first sequence that is not settled. */
  get floor(): Sequence {
    return this.#states.floor as Sequence;
  }

  /** When the first that is not settled came; undefined: it is not on disk yet, or gone. Reads it. */
  get floorAt(): Instant | undefined {
    if (this.floor >= this.#flushedEnd) return undefined;
    return this.#store.read(this.#log, this.floor, 1, 1).records[0]?.receivedAt;
  }

  /** Records that are not settled, staged ones among them. */
  get size(): number {
    // The floor may lie behind the end: a consumer may begin with what does not exist yet.
    const { floor, settledCount } = this.#states;
    return Math.max(0, this.#store.nextSequence(this.#log) - floor - settledCount);
  }

  /** Records in hands or hidden. */
  get inHands(): number {
    return this.#states.inHands;
  }

  /** Given up, and waiting for room where they are to go. */
  get held(): number {
    return this.#states.held.size;
  }

  /** Records that may be handed out now, without looking at their expiry. */
  get waiting(): number {
    const { againCount, next } = this.#states;
    return againCount + Math.max(0, this.#flushedEnd - next);
  }

  get receiverCount(): number {
    return this.#receivers.size;
  }

  get #flushedEnd(): number {
    return this.#store.stats(this.#log).nextSequence;
  }

  /** Reads its state from disk. Returns how many blocks were damaged. */
  recover(): number {
    const damaged = this.#states.recover();
    this.#reschedule();
    return damaged;
  }

  /** Time spent off has become known: what is hidden is looked at, step by step. */
  onAged(): void {
    this.#states.onAged();
    this.#reschedule();
  }

  /** Everything before is settled without being handed out; for a consumer that begins later or whose log lost its beginning. */
  skipTo(sequence: number): void {
    if (sequence > this.floor) this.#states.skipTo(sequence);
  }

  /**
   * A record was appended to the log, by whoever tells all of them: handed out while its flush is being told it need not be read. Hot
   * path: per message.
   */
  onAppended(record: LogRecord): void {
    this.#window.add(record);
  }

  /** A flush has been told. */
  onFlushed(): void {
    this.#window.forgetFlushed();
  }

  /** Adds somebody who takes messages; call `pump` afterwards. */
  addReceiver(receiver: Receiver): void {
    this.#receivers.add(receiver);
  }

  /** Takes no more; what it has in hands stays hidden unless `release` is called too. */
  removeReceiver(receiver: Receiver): void {
    this.#receivers.remove(receiver);
    if (this.#owner === (receiver.owner ?? receiver)) this.#owner = undefined;
  }

  /** A receiver, or the owner of several, is gone: what it had in hands is free again, with its count, before anything else is handed out. */
  release(owner: object): void {
    if (this.#owner === owner) this.#owner = undefined;
    const hands = this.#hands.get(owner);
    if (hands?.first === undefined) return;
    this.#hands.delete(owner);
    this.#released.push(hands);
    this.#giveBack();
    this.#reschedule();
    this.pump();
  }

  /** A step of what those had who are gone. */
  #giveBack(): void {
    let left = STEP_RECORDS;
    for (let hands = this.#released[0]; hands !== undefined; hands = this.#released[0]) {
      for (let entry = hands.first; entry !== undefined; entry = hands.first) {
        if (left-- === 0) return;
        this.#counts.released++;
        this.#states.unhide(entry);
        this.#returned(entry);
      }
      this.#released.shift();
    }
  }

  /** Hands out what there is to those who take it, in turn. */
  pump(): void {
    if (this.#isPumping || this.#released.length > 0) return;
    this.#isPumping = true;
    this.#passBudget = PASS_BUDGET;
    const now = this.#context.clock.now();
    const served = new Set<Receiver>();
    while (this.inHands < this.inHandsMax) {
      const receiver = this.#receivers.next();
      if (receiver === undefined) break;
      const record = this.#take(receiver.takesViews === true);
      if (record === undefined) {
        this.#receivers.keepTurn();
        break;
      }
      served.add(receiver);
      this.#hand(receiver, record, now);
    }
    this.#isPumping = false;
    for (const receiver of served) receiver.onPumped();
    if (served.size > 0) this.#reschedule();
    if (this.#passBudget <= 0) this.#context.schedule(after(now, STEP_MS));
  }

  /** Time: what was hidden is free again, what is held is tried again; a step of it. */
  onDue(now: Instant): void {
    this.#giveBack();
    this.#states.age();
    for (let left = STEP_RECORDS; left > 0; left--) {
      const entry = this.#states.takeDue(now);
      if (entry === undefined) break;
      if (entry.receiver !== undefined) this.#counts.timedOut++;
      this.#returned(entry);
    }
    this.#givenUp.onDue(now);
    this.#reschedule();
    this.pump();
  }

  /** Gives up what is to be given up at the front, a step of it. */
  expireFront(): void {
    for (let i = 0; i < STEP_RECORDS; i++) {
      const sequence = this.#states.firstAgain ?? this.#states.next;
      if (sequence >= this.#flushedEnd) return;
      const isSettled = this.#states.isSettled(sequence);
      const record = isSettled ? undefined : this.#givenUp.recordAt(sequence);
      const reason = isSettled ? undefined : this.#givenUp.reasonFor(sequence, record);
      if (!isSettled && reason === undefined) return;
      if (this.#states.takeAgain() === undefined) this.#states.passNext();
      if (reason !== undefined) this.#givenUp.giveUp(sequence, record, reason);
    }
  }

  /** Settles deliveries: they are done. */
  ack(deliveries: readonly number[]): Settled {
    const settled = this.#each(deliveries, (entry) => this.#states.settle(entry.sequence));
    this.#counts.acknowledged += deliveries.length - settled.expired.length;
    return settled;
  }

  /** Back in their places; `delayMs`: for nobody before. */
  reject(deliveries: readonly number[], delayMs: number): Settled {
    const now = this.#context.clock.now();
    const settled = this.#each(deliveries, (entry) => {
      const isHidden =
        delayMs > 0 && !this.#givenUp.isExhausted(entry, this.#givenUp.recordAt(entry.sequence));
      if (isHidden) this.#states.hide(entry, after(now, delayMs), now);
      else this.#returned(entry);
    });
    this.#reschedule();
    this.#counts.rejected += deliveries.length - settled.expired.length;
    return settled;
  }

  /** Hidden for so long from now on. */
  extend(deliveries: readonly number[], visibilityMs: number): Settled {
    const now = this.#context.clock.now();
    const until = after(now, visibilityMs);
    const settled = this.#each(deliveries, (entry, receiver) => {
      this.#states.hide(entry, until, now);
      if (receiver !== undefined) this.#putInHands(entry, receiver);
    });
    this.#reschedule();
    this.#counts.extended += deliveries.length - settled.expired.length;
    return settled;
  }

  /** Settles deliveries after `move` has put a copy of each elsewhere, in the same commit. */
  move(deliveries: readonly number[], move: (record: LogRecord) => void): Settled {
    const settled = this.#each(deliveries, (entry) => {
      const record = this.#givenUp.recordAt(entry.sequence);
      if (record !== undefined) move(record);
      this.#states.settle(entry.sequence);
    });
    this.#counts.requeued += deliveries.length - settled.expired.length;
    return settled;
  }

  /** The end of what is on disk: behind it is what will be sent. */
  get end(): Sequence {
    return this.#flushedEnd as Sequence;
  }

  /** Settles what is before `end` and in nobody's hands, not hidden and not held, a step of it; `isDone`: that was all. */
  ackWaiting(end: Sequence): {
    readonly count: number;
    readonly commit: CommitNumber;
    readonly isDone: boolean;
  } {
    const count = this.#states.settleWaiting(end);
    this.#counts.purged += count;
    const { next, firstAgain = end } = this.#states;
    return { count, commit: this.#store.openCommit, isDone: next >= end && firstAgain >= end };
  }

  /** Settles everything that was sent so far, in hands or not; returns how many. */
  purge(): { readonly count: number; readonly commit: CommitNumber } {
    const end = this.#store.nextSequence(this.#log);
    const count = this.size;
    this.#clear();
    this.#states.purge(end);
    this.#counts.purged += count;
    return { count, commit: this.#store.openCommit };
  }

  /** Messages from a sequence on, in hands or not, without any effect on them; `visit` answers false when it wants no more. */
  peek(
    from: number,
    max: number,
    visit: (record: LogRecord, deliveryCount: number, isHidden: boolean) => boolean,
  ): void {
    const end = this.#flushedEnd;
    let seen = 0;
    let at = this.#states.firstOpen(from);
    while (at < end && seen < max) {
      const { records, next } = this.#store.read(this.#log, at as Sequence, max, PEEK_BYTES);
      for (const record of records) {
        if (seen >= max || this.#states.isSettled(record.sequence)) continue;
        const entry = this.#states.find(record.sequence);
        const isHidden = entry !== undefined && entry.again === undefined;
        seen++;
        if (!visit(record, entry?.count ?? 0, isHidden)) return;
      }
      if (next <= at) return;
      at = this.#states.firstOpen(next);
    }
  }

  /** Whose these were is deleted: nothing is left of its state on disk, and nobody receives. */
  forget(): void {
    // Who has one in hands may give it back or settle it later: then it is not known.
    this.#clear();
    this.#window.clear();
    this.isForgotten = true;
    this.#states.removeAll();
    for (const receiver of this.#receivers.takeAll()) receiver.onForgotten?.();
  }

  /** The open group is being sealed: state that changed goes with it. */
  onSealing(): void {
    this.#states.stage();
  }

  #clear(): void {
    this.#states.clear();
    this.#givenUp.clear();
    this.#hands = new WeakMap();
    this.#owner = undefined;
    this.#released.length = 0;
  }

  /** There is more to pass over or to give back than one turn may: it goes on by itself. */
  get isPassing(): boolean {
    return this.#passBudget <= 0 || this.#released.length > 0;
  }

  /** The next record to hand out; `isView`: it may be one that is only looked at now. Hot path: per message. */
  #take(isView: boolean): LogRecord | undefined {
    const states = this.#states;
    while (this.#passBudget > 0) {
      const again = states.takeAgain();
      const sequence = again?.sequence ?? states.next;
      if (again === undefined) {
        if (sequence >= this.#flushedEnd) return undefined;
        states.passNext();
        if (states.isSettled(sequence)) continue;
      }
      const view = isView ? this.#window.view(sequence) : undefined;
      const record = view ?? this.#givenUp.recordAt(sequence);
      const reason = this.#givenUp.reasonFor(sequence, record);
      if (record === undefined || reason !== undefined) {
        this.#passBudget -= GIVE_UP_COST;
        this.#givenUp.giveUp(sequence, record, reason ?? "lost");
      } else if (this.#context.isMeant?.(record) === false) {
        this.#passBudget--;
        states.settle(sequence);
        states.advanceFloor();
      } else {
        return record;
      }
    }
    return undefined;
  }

  /** Hot path: per message. */
  #hand(receiver: Receiver, record: LogRecord, now: Instant): void {
    const entry = this.#states.entryOf(record.sequence);
    entry.count = Math.min(entry.count + 1, DELIVERY_COUNT_MAX);
    this.#putInHands(entry, receiver);
    const counts = this.#counts;
    counts.countOut(record);
    if (entry.count > 1) counts.redelivered++;
    const visibleAt = after(now, receiver.visibilityMs);
    const isBounded = receiver.visibilityMs < Number.POSITIVE_INFINITY;
    if (isBounded) this.#states.hideUntil(entry, visibleAt, now);
    this.#states.countLater(entry);
    receiver.deliver({
      delivery: entry.sequence * NAME_FACTOR + entry.count,
      record,
      deliveryCount: entry.count,
      visibleAt,
    });
  }

  /** Hot path: per message. */
  #putInHands(entry: Entry, receiver: Receiver): void {
    entry.receiver = receiver;
    const owner = receiver.owner ?? receiver;
    if (owner !== this.#owner || this.#ownerHands === undefined) {
      this.#owner = owner;
      this.#ownerHands = this.#handsOf(owner);
    }
    this.#ownerHands.take(entry);
  }

  #handsOf(owner: object): Hands {
    const known = this.#hands.get(owner);
    if (known !== undefined) return known;
    const hands = new Hands();
    this.#hands.set(owner, hands);
    return hands;
  }

  #each(
    deliveries: readonly number[],
    settle: (entry: Entry, receiver: Receiver | undefined) => void,
  ): Settled {
    const expired: number[] = [];
    for (const delivery of deliveries) {
      const sequence = Math.floor(delivery / NAME_FACTOR);
      const entry = this.#states.find(sequence);
      if (entry === undefined || entry.count !== delivery - sequence * NAME_FACTOR) {
        expired.push(delivery);
        continue;
      }
      const { receiver } = entry;
      this.#states.unhide(entry);
      this.#states.takeBack(entry);
      // Each is one step that the answer waits for, although all of them are one record.
      this.#store.sealSoon();
      settle(entry, receiver);
    }
    this.#states.advanceFloor();
    return { commit: this.#store.openCommit, expired };
  }

  /** Nobody has it any more: it is free again, or given up when it was handed out often enough. */
  #returned(entry: Entry): void {
    this.#states.letGo(entry);
    const record = this.#givenUp.recordAt(entry.sequence);
    if (this.#givenUp.isExhausted(entry, record))
      this.#givenUp.giveUp(entry.sequence, record, "deliveries");
    else this.#states.free(entry);
  }

  #reschedule(): void {
    const { schedule, clock } = this.#context;
    const soon = after(clock.now(), STEP_MS);
    const { hiddenAt } = this.#states;
    // What is due by now was too much for one turn.
    if (hiddenAt !== undefined) schedule(hiddenAt > soon ? hiddenAt : soon);
    const { heldAt } = this.#givenUp;
    if (heldAt !== undefined) schedule(heldAt);
    if (this.#released.length > 0 || this.#states.isAging) schedule(soon);
  }
}
