/**
 * The records of a log, each handed to one receiver at a time until it is settled: what queues and durable consumers of streams have in
 * common. A record, by its sequence, is
 *
 *     new        at or behind `next`, flushed: never handed out
 *     in hands   handed out, hidden from others until its visibility is over
 *     hidden     rejected with a delay: handed to nobody before that is over
 *     again      handed out before and free: goes before all that is new, in order of sequence
 *     held       given up, and where it is to go has no room: handed to nobody, tried again once a second; on disk it is *again*
 *     settled    acknowledged, moved or given up: gone for good
 *
 * `floor` is the first that is not settled. What differs from *new* is on disk in blocks (delivery-blocks.ts): a delivery's
 * count goes with the next commit, for which a millisecond is waited, and nobody waits for it; settling goes with the commit that its
 * answer waits for. A delivery is named by sequence and count: whoever has it may settle it until the record was handed to somebody
 * else, also after a reconnect or a restart. The file is long because every step moves a record between these states.
 */
import { after, type Clock, type Instant, missedSince } from "../lib/clock.ts";
import { DeadlineHeap } from "../lib/deadline-heap.ts";
import { IntervalSet } from "../lib/interval-set.ts";
import type { HandedOut } from "./block-records.ts";
import { type BlockKeys, DeliveryBlocks } from "./delivery-blocks.ts";
import { type Entry, entryOf, Hands } from "./delivery-entry.ts";
import { isExpired } from "./message.ts";
import type { PatternCounts } from "./pattern-counts.ts";
import type { CommitNumber, LogId, LogRecord, Sequence, Store } from "./store.ts";

/** Delivery counts end here: part of a delivery's name. */
export const DELIVERY_COUNT_MAX = 65_535;
const NAME_FACTOR = DELIVERY_COUNT_MAX + 1;
const READ_RECORDS = 64;
const READ_BYTES = 65_536;
/** Records that are given back, given up or passed over in one turn; the next ones have theirs STEP_MS later. */
const STEP_RECORDS = 1_000;
const STEP_MS = 1;
/** Records that were never handed out and are settled without that in one turn: they cost little, but for what goes to disk of them. */
const STEP_NEW_RECORDS = 65_536;
/** What one turn may pass over on the way to what it hands out: so many records that are not meant, and given up ones at their cost. */
const PASS_BUDGET = 16_384;
const GIVE_UP_COST = 16;
/** How often those that are held are tried again, and how many of them in one turn. */
const HELD_RETRY_MS = 1_000;
const HELD_RECORDS = 256;

/** One handing-over. The record is valid as long as it is held. */
export interface LogDelivery {
  /** Names it, to settle it. */
  readonly delivery: number;
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
  deliver(delivery: LogDelivery): void;
  /** All that could be delivered now was; called after at least one `deliver`. */
  onPumped(): void;
  /** The queue or consumer is deleted: there is nothing to take any more. */
  onForgotten?(): void;
}

/** Why a message was given up. */
export type GiveUpReason = "expired" | "deliveries" | "lost";

/** What belongs to whose records these are: a queue, a consumer. */
export interface DeliveriesContext {
  readonly store: Store;
  readonly log: LogId;
  readonly keys: BlockKeys;
  readonly clock: Clock;
  /** Those whose `onSealing` is to be called: it adds itself. */
  readonly changed: Set<Deliveries>;
  /** `onDue` is to be called then; replaces what was asked before. */
  readonly schedule: (at: Instant) => void;
  /** After so many deliveries a record is given up; 0: never. */
  readonly deliveriesMaxOf: (record: LogRecord) => number;
  /** False: the record is not meant, and settled without being handed out. */
  readonly isMeant: ((record: LogRecord) => boolean) | undefined;
  /**
   * A record is given up: whatever is to be kept of it is staged now. False: there is no room for it just now, it stays. Undefined: it
   * is damaged or gone.
   */
  readonly onGivenUp: (record: LogRecord | undefined, reason: GiveUpReason) => boolean;
  /** A record could not be given up for the first time. */
  readonly onHeld: () => void;
  /** All before the floor is settled. */
  readonly onFloor: () => void;
  /** Where it is counted what is handed out and settled. */
  readonly counts: PatternCounts;
}

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
  readonly #blocks: DeliveryBlocks;
  readonly #counts: PatternCounts;
  /** Handed out before and not settled. */
  readonly #entries = new Map<number, Entry>();
  readonly #hidden = new DeadlineHeap<Entry>();
  /** Those that are free again, by sequence. */
  readonly #again = new DeadlineHeap<Entry>();
  /** Given up without room for them, in the order in which they are tried again. */
  readonly #held = new Set<Entry>();
  #heldAt: Instant | undefined;
  #hands = new WeakMap<object, Hands>();
  /** Whose owners are gone: what is in them is given back step by step, and until then nothing is handed out. */
  readonly #released: Hands[] = [];
  readonly #settled = new IntervalSet();
  /** Those that are still to be looked at since time spent off became known. */
  #aging: Iterator<Entry> | undefined;
  readonly #receivers: Receiver[] = [];
  #turn = 0;
  #floor: number;
  #next: number;
  #batch: readonly LogRecord[] = [];
  #isPumping = false;
  #passBudget = PASS_BUDGET;

  /** Begins with the first record that is still there. */
  constructor(context: DeliveriesContext) {
    this.#context = context;
    this.#store = context.store;
    this.#counts = context.counts;
    this.#log = context.log;
    const { changed } = context;
    this.#blocks = new DeliveryBlocks(context.store, context.keys, () => changed.add(this));
    this.#floor = this.#store.stats(this.#log).firstSequence;
    this.#next = this.#floor;
  }

  /** The first sequence that is not settled. */
  get floor(): Sequence {
    return this.#floor as Sequence;
  }

  /** When the first that is not settled came; undefined: it is not on disk yet, or gone. Reads it. */
  get floorAt(): Instant | undefined {
    if (this.#floor >= this.#flushedEnd) return undefined;
    return this.#store.read(this.#log, this.floor, 1, 1).records[0]?.receivedAt;
  }

  /** Records that are not settled, staged ones among them. */
  get size(): number {
    // The floor may lie behind the end: a consumer may begin with what does not exist yet.
    return Math.max(0, this.#store.nextSequence(this.#log) - this.#floor - this.#settled.size);
  }

  /** Records in hands or hidden. */
  get inHands(): number {
    return this.#entries.size - this.#again.size - this.#held.size;
  }

  /** Given up, and waiting for room where they are to go. */
  get held(): number {
    return this.#held.size;
  }

  /** Records that may be handed out now, without looking at their expiry. */
  get waiting(): number {
    return this.#again.size + Math.max(0, this.#flushedEnd - this.#next);
  }

  get receiverCount(): number {
    return this.#receivers.length;
  }

  get #flushedEnd(): number {
    return this.#store.stats(this.#log).nextSequence;
  }

  /** Reads its state from disk. Returns how many blocks were damaged. */
  recover(): number {
    const now = this.#context.clock.now();
    const { floor, blocks, damaged } = this.#blocks.recover();
    const { firstSequence } = this.#store.stats(this.#log);
    this.#floor = Math.max(floor, firstSequence);
    this.#next = this.#floor;
    for (const { settled, handedOut } of blocks) {
      for (const { from, to } of settled) {
        if (to >= this.#floor) this.#settled.add(Math.max(from, this.#floor), to);
      }
      for (const open of handedOut) {
        if (open.sequence >= this.#floor) this.#recoverEntry(open, now);
        this.#next = Math.max(this.#next, open.sequence + 1);
      }
    }
    const runs = this.#settled.runs();
    this.#next = Math.max(this.#next, (runs[runs.length - 1]?.to ?? 0) + 1);
    this.#recoverGaps();
    this.#advanceFloor();
    this.#reschedule();
    return damaged;
  }

  #recoverEntry(open: HandedOut, now: Instant): void {
    const entry = this.#enter(open.sequence, open.count);
    entry.until = open.hiddenUntil;
    entry.forMs = open.hiddenForMs;
    const hiddenUntil = this.#dueOf(entry);
    if (hiddenUntil > now) entry.hidden = this.#hidden.add(hiddenUntil, entry);
    else this.#free(entry);
  }

  /** A record that is handed out, or was before; in nobody's hands. */
  #enter(sequence: number, count: number): Entry {
    const entry = entryOf(sequence, count);
    this.#entries.set(sequence, entry);
    return entry;
  }

  /** When it is not hidden any more, time spent off included. */
  #dueOf({ until, forMs }: Entry): Instant {
    return (until - missedSince(this.#context.clock, (until - forMs) as Instant)) as Instant;
  }

  /** Time spent off has become known: what is hidden is looked at, step by step. */
  onAged(): void {
    this.#aging = this.#entries.values();
    this.#age();
    this.#reschedule();
  }

  #age(): void {
    for (let left = STEP_RECORDS; this.#aging !== undefined && left > 0; left--) {
      const { value: entry, done } = this.#aging.next();
      if (done === true) this.#aging = undefined;
      const hidden = entry?.hidden;
      if (entry === undefined || hidden === undefined) continue;
      const due = this.#dueOf(entry);
      if (due >= hidden.at) continue;
      this.#hidden.cancel(hidden);
      entry.hidden = this.#hidden.add(due, entry);
    }
  }

  /** Below `next` and neither settled nor known: its first handing-over did not get to disk. */
  #recoverGaps(): void {
    for (const { from, to } of this.#settled.missing(this.#floor, this.#next - 1)) {
      for (let sequence = from; sequence <= to; sequence++) {
        if (this.#entries.has(sequence)) continue;
        this.#free(this.#enter(sequence, 0));
      }
    }
  }

  /** Everything before is settled without being handed out; for a consumer that begins later or whose log lost its beginning. */
  skipTo(sequence: number): void {
    if (sequence <= this.#floor) return;
    for (const entry of this.#entriesBefore(sequence)) {
      this.#unhide(entry);
      this.#takeBack(entry);
      this.#entries.delete(entry.sequence);
    }
    this.#next = Math.max(this.#next, sequence);
    this.#settleBefore(sequence);
  }

  /** What was handed out of what is before; looks at the sequences or at the entries, whichever are fewer. */
  #entriesBefore(sequence: number): Entry[] {
    const found: Entry[] = [];
    if (sequence - this.#floor > this.#entries.size) {
      for (const entry of this.#entries.values()) if (entry.sequence < sequence) found.push(entry);
      return found;
    }
    for (let before = this.#floor; before < sequence; before++) {
      const entry = this.#entries.get(before);
      if (entry !== undefined) found.push(entry);
    }
    return found;
  }

  /** Adds somebody who takes messages; call `pump` afterwards. */
  addReceiver(receiver: Receiver): void {
    this.#receivers.push(receiver);
  }

  /** Takes no more; what it has in hands stays hidden unless `release` is called too. */
  removeReceiver(receiver: Receiver): void {
    const index = this.#receivers.indexOf(receiver);
    if (index < 0) return;
    this.#receivers.splice(index, 1);
    if (index < this.#turn) this.#turn--;
  }

  /** A receiver, or the owner of several, is gone: what it had in hands is free again, with its count, before anything else is handed out. */
  release(owner: object): void {
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
        this.#unhide(entry);
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
      const receiver = this.#nextReceiver();
      if (receiver === undefined) break;
      const taken = this.#take();
      if (taken === undefined) {
        // It has had nothing: its turn is yet to come.
        this.#turn--;
        break;
      }
      served.add(receiver);
      this.#hand(receiver, taken.entry, taken.record, now);
    }
    this.#isPumping = false;
    for (const receiver of served) receiver.onPumped();
    if (served.size > 0) this.#reschedule();
    if (this.#passBudget <= 0) this.#context.schedule(after(now, STEP_MS));
  }

  /** Time: what was hidden is free again, what is held is tried again; a step of it. */
  onDue(now: Instant): void {
    this.#giveBack();
    this.#age();
    for (let left = STEP_RECORDS; left > 0; left--) {
      const entry = this.#hidden.takeDue(now);
      if (entry === undefined) break;
      entry.hidden = undefined;
      if (entry.receiver !== undefined) this.#counts.timedOut++;
      this.#returned(entry);
    }
    if (this.#heldAt !== undefined && this.#heldAt <= now) this.#retryHeld(now);
    this.#reschedule();
    this.pump();
  }

  /** Gives up what is to be given up at the front, a step of it. */
  expireFront(): void {
    for (let i = 0; i < STEP_RECORDS; i++) {
      const sequence = this.#again.next() ?? this.#next;
      if (sequence >= this.#flushedEnd) return;
      const isSettled = this.#settled.has(sequence);
      const record = isSettled ? undefined : this.#recordAt(sequence);
      const reason = isSettled ? undefined : this.#reasonToGiveUp(sequence, record);
      if (!isSettled && reason === undefined) return;
      if (!this.#takeAgain()) this.#next++;
      if (reason !== undefined) this.#giveUp(sequence, record, reason);
    }
  }

  /** Settles deliveries: they are done. */
  ack(deliveries: readonly number[]): Settled {
    const settled = this.#each(deliveries, (entry) => this.#settleEntry(entry.sequence));
    this.#counts.acknowledged += deliveries.length - settled.expired.length;
    return settled;
  }

  /** Back in their places; `delayMs`: for nobody before. */
  reject(deliveries: readonly number[], delayMs: number): Settled {
    const now = this.#context.clock.now();
    const settled = this.#each(deliveries, (entry) => {
      const isHidden = delayMs > 0 && !this.#isExhausted(entry, this.#recordAt(entry.sequence));
      if (isHidden) this.#hide(entry, after(now, delayMs), now);
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
      this.#hide(entry, until, now);
      if (receiver !== undefined) this.#putInHands(entry, receiver);
    });
    this.#reschedule();
    this.#counts.extended += deliveries.length - settled.expired.length;
    return settled;
  }

  /** Settles deliveries after `move` has put a copy of each elsewhere, in the same commit. */
  move(deliveries: readonly number[], move: (record: LogRecord) => void): Settled {
    const settled = this.#each(deliveries, (entry) => {
      const record = this.#recordAt(entry.sequence);
      if (record !== undefined) move(record);
      this.#settleEntry(entry.sequence);
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
    let count = 0;
    for (let next = this.#again.next(); next !== undefined && next < end; ) {
      if (count === STEP_RECORDS) break;
      this.#takeAgain();
      this.#settleEntry(next);
      count++;
      next = this.#again.next();
    }
    if (count < STEP_RECORDS) count += this.#ackNew(Math.min(end, this.#next + STEP_NEW_RECORDS));
    this.#advanceFloor();
    this.#counts.purged += count;
    const isDone = this.#next >= end && (this.#again.next() ?? end) >= end;
    return { count, commit: this.#store.openCommit, isDone };
  }

  /** Settles what was never handed out. */
  #ackNew(end: number): number {
    if (end <= this.#next) return 0;
    let count = 0;
    for (const { from, to } of this.#settled.missing(this.#next, end - 1)) {
      count += to - from + 1;
      this.#settled.add(from, to);
    }
    const from = this.#next;
    this.#next = end;
    this.#advanceFloor();
    // What lies before the floor by now needs no record of its own.
    if (this.#floor < end) this.#blocks.touchRange(Math.max(from, this.#floor), end - 1);
    return count;
  }

  /** Settles everything that was sent so far, in hands or not; returns how many. */
  purge(): { readonly count: number; readonly commit: CommitNumber } {
    const end = this.#store.nextSequence(this.#log);
    const count = this.size;
    this.#clear();
    this.#next = end;
    this.#settleBefore(end);
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
    let at = this.#settled.firstMissing(Math.max(from, this.#floor));
    while (at < end && seen < max) {
      const { records, next } = this.#store.read(this.#log, at as Sequence, max, READ_BYTES);
      for (const record of records) {
        if (seen >= max || this.#settled.has(record.sequence)) continue;
        const entry = this.#entries.get(record.sequence);
        const isHidden = entry !== undefined && entry.again === undefined;
        seen++;
        if (!visit(record, entry?.count ?? 0, isHidden)) return;
      }
      if (next <= at) return;
      at = this.#settled.firstMissing(next);
    }
  }

  /** Whose these were is deleted: nothing is left of its state on disk, and nobody receives. */
  forget(): void {
    // Who has one in hands may give it back or settle it later: then it is not known.
    this.#clear();
    this.#batch = [];
    this.isForgotten = true;
    this.#blocks.removeAll();
    for (const receiver of this.#receivers.splice(0)) receiver.onForgotten?.();
  }

  /** The open group is being sealed: state that changed goes with it. */
  onSealing(): void {
    this.#blocks.stage(this.#floor, this.#settled, (sequence) => {
      const entry = this.#entries.get(sequence);
      if (entry === undefined || entry.count === 0) return undefined;
      return { sequence, count: entry.count, ...hiddenOf(entry) };
    });
  }

  #clear(): void {
    for (const entry of this.#entries.values()) {
      this.#hidden.cancel(entry.hidden);
      this.#again.cancel(entry.again);
    }
    this.#entries.clear();
    this.#held.clear();
    this.#heldAt = undefined;
    this.#hands = new WeakMap();
    this.#released.length = 0;
  }

  #nextReceiver(): Receiver | undefined {
    const count = this.#receivers.length;
    for (let i = 0; i < count; i++) {
      if (this.#turn >= count) this.#turn = 0;
      const receiver = this.#receivers[this.#turn++];
      if (receiver !== undefined && receiver.room > 0) return receiver;
    }
    return undefined;
  }

  /** There is more to pass over or to give back than one turn may: it goes on by itself. */
  get isPassing(): boolean {
    return this.#passBudget <= 0 || this.#released.length > 0;
  }

  /** The next message to hand out. Hot path: per message. */
  #take(): { entry: Entry; record: LogRecord } | undefined {
    while (this.#passBudget > 0) {
      const again = this.#takeAgain();
      const sequence = again?.sequence ?? this.#next;
      if (again === undefined) {
        if (sequence >= this.#flushedEnd) return undefined;
        this.#next++;
        if (this.#settled.has(sequence)) continue;
      }
      const record = this.#recordAt(sequence);
      const reason = this.#reasonToGiveUp(sequence, record);
      if (record === undefined || reason !== undefined) {
        this.#passBudget -= GIVE_UP_COST;
        this.#giveUp(sequence, record, reason ?? "lost");
      } else if (this.#context.isMeant?.(record) === false) {
        this.#passBudget--;
        this.#settleEntry(sequence);
        this.#advanceFloor();
      } else {
        return { entry: this.#entries.get(sequence) ?? this.#enter(sequence, 0), record };
      }
    }
    return undefined;
  }

  /** Undefined: it may be handed out, if it is meant at all. */
  #reasonToGiveUp(sequence: number, record: LogRecord | undefined): GiveUpReason | undefined {
    if (record === undefined) return "lost";
    const { isMeant, clock } = this.#context;
    if (isExpired(record, clock)) return isMeant?.(record) === false ? undefined : "expired";
    // It was in hands for the last time when the last run ended.
    const entry = this.#entries.get(sequence);
    return entry !== undefined && this.#isExhausted(entry, record) ? "deliveries" : undefined;
  }

  #hand(receiver: Receiver, entry: Entry, record: LogRecord, now: Instant): void {
    entry.count = Math.min(entry.count + 1, DELIVERY_COUNT_MAX);
    this.#putInHands(entry, receiver);
    const counts = this.#counts;
    counts.countOut(record);
    if (entry.count > 1) counts.redelivered++;
    const visibleAt = after(now, receiver.visibilityMs);
    const isBounded = receiver.visibilityMs < Number.POSITIVE_INFINITY;
    if (isBounded) this.#hideUntil(entry, visibleAt, now);
    this.#blocks.touchLater(entry.sequence);
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
    let hands = this.#hands.get(owner);
    if (hands === undefined) {
      hands = new Hands();
      this.#hands.set(owner, hands);
    }
    hands.take(entry);
  }

  #recordAt(sequence: number): LogRecord | undefined {
    const first = this.#batch[0];
    const guess = first === undefined ? undefined : this.#batch[sequence - first.sequence];
    if (guess?.sequence === sequence) return guess;
    const ahead = sequence >= this.#next - 1 ? READ_RECORDS : 1;
    this.#batch = this.#store.read(this.#log, sequence as Sequence, ahead, READ_BYTES).records;
    const found = this.#batch[0];
    return found?.sequence === sequence ? found : undefined;
  }

  #each(
    deliveries: readonly number[],
    settle: (entry: Entry, receiver: Receiver | undefined) => void,
  ): Settled {
    const expired: number[] = [];
    for (const delivery of deliveries) {
      const entry = this.#entries.get(Math.floor(delivery / NAME_FACTOR));
      if (entry === undefined || entry.count !== delivery % NAME_FACTOR) {
        expired.push(delivery);
        continue;
      }
      const { receiver } = entry;
      this.#unhide(entry);
      this.#takeBack(entry);
      // Each is one step that the answer waits for, although all of them are one record.
      this.#store.sealSoon();
      settle(entry, receiver);
    }
    this.#advanceFloor();
    return { commit: this.#store.openCommit, expired };
  }

  /** Not free or held any more, if it was. */
  #takeBack(entry: Entry): void {
    this.#again.cancel(entry.again);
    entry.again = undefined;
    this.#held.delete(entry);
  }

  /** The first that is free again. */
  #takeAgain(): Entry | undefined {
    const entry = this.#again.takeDue(Number.POSITIVE_INFINITY as Instant);
    if (entry !== undefined) entry.again = undefined;
    return entry;
  }

  #unhide(entry: Entry): void {
    this.#hidden.cancel(entry.hidden);
    entry.hidden = undefined;
    entry.receiver = undefined;
    Hands.drop(entry);
    this.#blocks.touch(entry.sequence);
  }

  #hide(entry: Entry, until: Instant, now: Instant): void {
    this.#hideUntil(entry, until, now);
    this.#blocks.touch(entry.sequence);
  }

  #hideUntil(entry: Entry, until: Instant, now: Instant): void {
    entry.hidden = this.#hidden.add(until, entry);
    entry.until = until;
    entry.forMs = until - now;
  }

  /** Nobody has it any more: it is free again, or given up when it was handed out often enough. */
  #returned(entry: Entry): void {
    entry.receiver = undefined;
    Hands.drop(entry);
    this.#blocks.touch(entry.sequence);
    const record = this.#recordAt(entry.sequence);
    if (this.#isExhausted(entry, record)) this.#giveUp(entry.sequence, record, "deliveries");
    else this.#free(entry);
  }

  #isExhausted(entry: Entry, record: LogRecord | undefined): boolean {
    const max = record === undefined ? 0 : this.#context.deliveriesMaxOf(record);
    return max > 0 && entry.count >= max;
  }

  #free(entry: Entry): void {
    entry.again = this.#again.add(entry.sequence as Instant, entry);
  }

  #giveUp(sequence: number, record: LogRecord | undefined, reason: GiveUpReason): void {
    if (!this.#context.onGivenUp(record, reason)) {
      this.#hold(this.#entries.get(sequence) ?? this.#enter(sequence, 0));
      return;
    }
    this.#settleEntry(sequence);
    this.#advanceFloor();
  }

  /** Nothing of it goes to disk: after a restart it is found again in its place. */
  #hold(entry: Entry): void {
    this.#held.add(entry);
    this.#context.onHeld();
    if (this.#heldAt !== undefined) return;
    this.#heldAt = after(this.#context.clock.now(), HELD_RETRY_MS);
    this.#context.schedule(this.#heldAt);
  }

  /** Tries those that have waited for longest; who is refused again goes to the end. */
  #retryHeld(now: Instant): void {
    let left = Math.min(HELD_RECORDS, this.#held.size);
    let hasRoom = false;
    for (const entry of this.#held) {
      if (left-- === 0) break;
      this.#held.delete(entry);
      const record = this.#recordAt(entry.sequence);
      const reason = this.#reasonToGiveUp(entry.sequence, record);
      if (reason !== undefined && !this.#context.onGivenUp(record, reason)) {
        this.#held.add(entry);
        continue;
      }
      hasRoom = true;
      // Settings have changed: it may be handed out once more.
      if (reason === undefined) this.#free(entry);
      else this.#settleEntry(entry.sequence);
    }
    this.#advanceFloor();
    this.#heldAt =
      this.#held.size === 0 ? undefined : after(now, hasRoom ? STEP_MS : HELD_RETRY_MS);
  }

  #settleEntry(sequence: number): void {
    this.#entries.delete(sequence);
    this.#settled.add(sequence, sequence);
    this.#blocks.touch(sequence);
  }

  /** Everything before is settled: the floor says so, however much it is. */
  #settleBefore(end: number): void {
    if (end <= this.#floor) return;
    this.#settled.add(this.#floor, end - 1);
    this.#advanceFloor();
  }

  #advanceFloor(): void {
    const floor = this.#settled.firstMissing(this.#floor);
    if (floor === this.#floor) return;
    this.#floor = floor;
    this.#settled.removeBelow(floor);
    this.#blocks.moveFloor(floor);
    this.#context.onFloor();
  }

  #reschedule(): void {
    const { schedule, clock } = this.#context;
    const soon = after(clock.now(), STEP_MS);
    const hiddenAt = this.#hidden.next();
    // What is due by now was too much for one turn.
    if (hiddenAt !== undefined) schedule(hiddenAt > soon ? hiddenAt : soon);
    if (this.#heldAt !== undefined) schedule(this.#heldAt);
    if (this.#released.length > 0 || this.#aging !== undefined) schedule(soon);
  }
}

const hiddenOf = ({ hidden, until, forMs }: Entry) =>
  hidden === undefined
    ? { hiddenUntil: 0, hiddenForMs: 0 }
    : { hiddenUntil: until, hiddenForMs: forMs };
