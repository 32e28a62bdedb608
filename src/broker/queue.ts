/**
 * A queue: a log of messages, each handed to one receiver at a time until it is settled. A message, by its sequence, is
 *
 *     new        at or behind `next`, flushed: never handed out
 *     in hands   handed out, hidden from others until its visibility is over
 *     hidden     rejected with a delay: handed to nobody before that is over
 *     again      handed out before and free: goes before all that is new, in order of sequence
 *     settled    acknowledged, moved or given up: gone for good
 *
 * `floor` is the first that is not settled; the log is trimmed before it. What differs from *new* is on disk in blocks (queue-records.ts):
 * a delivery's count goes with the next commit and nobody waits for it, settling goes with the commit that its
 * answer waits for. A delivery is named by sequence and count: whoever has it may settle it until the message was handed to
 * somebody else, also after a reconnect or a restart.
 */
import { after, type Instant } from "../lib/clock.ts";
import type { Deadline } from "../lib/deadline-heap.ts";
import { DeadlineHeap } from "../lib/deadline-heap.ts";
import { IntervalSet } from "../lib/interval-set.ts";
import { DuplicateWindow } from "./duplicate-window.ts";
import type { Message } from "./message.ts";
import { QueueBlocks } from "./queue-blocks.ts";
import type { QueueSettings } from "./queue-records.ts";
import type { CommitNumber, LogId, LogRecord, Ordinal, Sequence, Store } from "./store.ts";

/** Delivery counts end here: part of a delivery's name. */
export const DELIVERY_COUNT_MAX = 65_535;
const NAME_FACTOR = DELIVERY_COUNT_MAX + 1;
const READ_RECORDS = 64;
const READ_BYTES = 65_536;
/** Expired messages taken from the front in one step when nobody receives. */
const EXPIRE_STEP = 1_000;

/** One handing-over. The record is valid as long as it is held. */
export interface QueueDelivery {
  /** Names it, to settle it. */
  readonly delivery: number;
  readonly record: LogRecord;
  /** 1 for the first time. */
  readonly deliveryCount: number;
  readonly visibleAt: Instant;
}

/** Whoever takes messages of a queue: a long poll, a subscription. */
export interface QueueReceiver {
  /** How many more it takes now. */
  readonly room: number;
  readonly visibilityMs: number;
  deliver(delivery: QueueDelivery): void;
  /** All that could be delivered now was; called after at least one `deliver`. */
  onPumped(): void;
}

/** Why a message was given up. */
export type GiveUpReason = "expired" | "deliveries" | "lost";

/** What a queue needs of the others. */
export interface QueueContext {
  readonly store: Store;
  readonly now: () => Instant;
  /** The queue wants `onDue` to be called then. */
  readonly schedule: (queue: Queue, at: Instant) => void;
  /** A message is given up: moves it to `to` in the open group, where there is such a queue. Counts it. */
  readonly giveUp: (
    queue: Queue,
    record: LogRecord | undefined,
    to: string | undefined,
    reason: GiveUpReason,
  ) => void;
}

interface Entry {
  readonly sequence: number;
  count: number;
  /** In whose hands; undefined: nobody's (any more). */
  receiver: QueueReceiver | undefined;
  hidden: Deadline<Entry> | undefined;
}

/** What became of settling several deliveries. */
export interface Settled {
  /** What the answer waits for. */
  readonly commit: CommitNumber;
  /** Those that are not theirs any more. */
  readonly expired: readonly number[];
}

export class Queue {
  readonly number: number;
  readonly log: LogId;
  settings: QueueSettings;
  readonly duplicates: DuplicateWindow;
  /** Delayed messages, not in the log yet, and their bytes. */
  delayedMessages = 0;
  delayedBytes = 0;
  isDeleted = false;
  readonly #context: QueueContext;
  readonly #store: Store;
  readonly #blocks: QueueBlocks;
  /** Handed out before and not settled. */
  readonly #entries = new Map<number, Entry>();
  readonly #hidden = new DeadlineHeap<Entry>();
  /** Sequences that are free again, ascending. */
  readonly #again: number[] = [];
  readonly #settled = new IntervalSet();
  readonly #receivers: QueueReceiver[] = [];
  #turn = 0;
  #floor: number;
  #next: number;
  #batch: readonly LogRecord[] = [];
  #isPumping = false;

  constructor(context: QueueContext, number: number, log: LogId, settings: QueueSettings) {
    this.#context = context;
    this.#store = context.store;
    this.number = number;
    this.log = log;
    this.settings = settings;
    this.duplicates = new DuplicateWindow(settings.duplicateWindowMs);
    this.#blocks = new QueueBlocks(context.store, number);
    this.#floor = context.store.stats(log).firstSequence;
    this.#next = this.#floor;
  }

  get name(): string {
    return this.settings.name;
  }

  /** Messages that are not settled, without delayed ones; staged ones among them. */
  get messages(): number {
    const above = this.#store.nextSequence(this.log) - this.#floor;
    return above - this.#settledAbove;
  }

  /** Messages in hands or hidden. */
  get inflightMessages(): number {
    return this.#entries.size - this.#again.length;
  }

  /** Live bytes of its log and of what is delayed. */
  get bytes(): number {
    return this.#store.stats(this.log).bytes + this.delayedBytes;
  }

  /** One past the last flushed sequence. */
  get flushedEnd(): number {
    return this.#store.stats(this.log).nextSequence;
  }

  get isFull(): boolean {
    const { bytesMax, messagesMax } = this.settings;
    return this.messages + this.delayedMessages >= messagesMax || this.bytes >= bytesMax;
  }

  get receiverCount(): number {
    return this.#receivers.length;
  }

  get #settledAbove(): number {
    return this.#settled.size;
  }

  /** Reads its state from disk. Returns how many blocks were damaged. */
  recover(): number {
    const now = this.#context.now();
    const { floor, blocks, damaged } = this.#blocks.recover();
    const { firstSequence } = this.#store.stats(this.log);
    this.#floor = Math.max(floor, firstSequence);
    this.#next = this.#floor;
    for (const { settled, handedOut } of blocks) {
      for (const { from, to } of settled) {
        if (to >= this.#floor) this.#settled.add(Math.max(from, this.#floor), to);
      }
      for (const { sequence, count, hiddenUntil } of handedOut) {
        if (sequence >= this.#floor) this.#recoverEntry(sequence, count, hiddenUntil, now);
        this.#next = Math.max(this.#next, sequence + 1);
      }
    }
    const runs = this.#settled.runs();
    this.#next = Math.max(this.#next, (runs[runs.length - 1]?.to ?? 0) + 1);
    this.#recoverGaps();
    this.duplicates.recover(this.#store, this.log, now, this.#store.flushedCommit);
    this.#advanceFloor();
    this.#reschedule();
    return damaged;
  }

  #recoverEntry(sequence: number, count: number, hiddenUntil: number, now: Instant): void {
    const entry: Entry = { sequence, count, receiver: undefined, hidden: undefined };
    this.#entries.set(sequence, entry);
    if (hiddenUntil > now) entry.hidden = this.#hidden.add(hiddenUntil as Instant, entry);
    else this.#free(entry);
  }

  /** Below `next` and neither settled nor known: its first handing-over did not get to disk. */
  #recoverGaps(): void {
    for (const { from, to } of this.#settled.missing(this.#floor, this.#next - 1)) {
      for (let sequence = from; sequence <= to; sequence++) {
        if (this.#entries.has(sequence)) continue;
        const entry: Entry = { sequence, count: 0, receiver: undefined, hidden: undefined };
        this.#entries.set(sequence, entry);
        this.#free(entry);
      }
    }
  }

  /** Messages that may be handed out now, without looking at their expiry. */
  get waitingMessages(): number {
    return this.#again.length + Math.max(0, this.#store.stats(this.log).nextSequence - this.#next);
  }

  /** Adds somebody who takes messages; call `pump` afterwards. */
  addReceiver(receiver: QueueReceiver): void {
    this.#receivers.push(receiver);
  }

  /** Takes no more; what it has in hands stays hidden unless `release` is called too. */
  removeReceiver(receiver: QueueReceiver): void {
    const index = this.#receivers.indexOf(receiver);
    if (index >= 0) this.#receivers.splice(index, 1);
    if (index < this.#turn) this.#turn--;
  }

  /** The receiver is gone: what it had in hands is free again at once, with its count. */
  release(receivers: (receiver: QueueReceiver) => boolean): void {
    for (const entry of [...this.#entries.values()]) {
      if (entry.receiver === undefined || !receivers(entry.receiver)) continue;
      this.#unhide(entry);
      this.#returned(entry);
    }
    this.#reschedule();
    this.pump();
  }

  /** Hands out what there is to those who take it, in turn. */
  pump(): void {
    if (this.#isPumping) return;
    this.#isPumping = true;
    const now = this.#context.now();
    const served = new Set<QueueReceiver>();
    for (;;) {
      const receiver = this.#nextReceiver();
      if (receiver === undefined) break;
      const taken = this.#take(now);
      if (taken === undefined) break;
      served.add(receiver);
      this.#hand(receiver, taken.entry, taken.record, now);
    }
    this.#isPumping = false;
    for (const receiver of served) receiver.onPumped();
    if (served.size > 0) this.#reschedule();
  }

  /** Time: what was hidden is free again. */
  onDue(now: Instant): void {
    for (
      let entry = this.#hidden.takeDue(now);
      entry !== undefined;
      entry = this.#hidden.takeDue(now)
    ) {
      entry.hidden = undefined;
      this.#returned(entry);
    }
    this.#reschedule();
    this.pump();
  }

  /** Lets go of what has expired at the front, a step of it. */
  expireFront(now: Instant): void {
    for (let i = 0; i < EXPIRE_STEP; i++) {
      const sequence = this.#again[0] ?? this.#next;
      if (sequence >= this.#store.stats(this.log).nextSequence) return;
      const record = this.#recordAt(sequence);
      if (record !== undefined && !isExpired(record, now)) return;
      if (this.#again[0] === sequence) this.#again.shift();
      else this.#next++;
      if (this.#settled.has(sequence)) continue;
      this.#giveUp(sequence, record, record === undefined ? "lost" : "expired");
    }
  }

  /** Settles deliveries: they are done. */
  ack(deliveries: readonly number[]): Settled {
    return this.#each(deliveries, (entry) => this.#settleEntry(entry));
  }

  /** Back in their places; `delayMs`: for nobody before. */
  reject(deliveries: readonly number[], delayMs: number): Settled {
    const now = this.#context.now();
    const settled = this.#each(deliveries, (entry) => {
      if (delayMs > 0 && !this.#isExhausted(entry)) this.#hide(entry, after(now, delayMs));
      else this.#returned(entry);
    });
    this.#reschedule();
    return settled;
  }

  /** Hidden for so long from now on. */
  extend(deliveries: readonly number[], visibilityMs: number): Settled {
    const until = after(this.#context.now(), visibilityMs);
    const settled = this.#each(deliveries, (entry, receiver) => {
      this.#hide(entry, until);
      entry.receiver = receiver;
    });
    this.#reschedule();
    return settled;
  }

  /** Settles deliveries after `move` has put a copy of each elsewhere, in the same commit. */
  move(deliveries: readonly number[], move: (record: LogRecord) => void): Settled {
    return this.#each(deliveries, (entry) => {
      const record = this.#recordAt(entry.sequence);
      if (record !== undefined) move(record);
      this.#settleEntry(entry);
    });
  }

  /** Settles all that is not in anybody's hands or hidden; returns how many. */
  ackWaiting(): { readonly count: number; readonly commit: CommitNumber } {
    const again = this.#again.splice(0);
    for (const sequence of again) this.#entries.delete(sequence);
    let count = again.length;
    for (const sequence of again) this.#settle(sequence, sequence);
    const end = this.#store.stats(this.log).nextSequence;
    if (end > this.#next) {
      for (const { from, to } of this.#settled.missing(this.#next, end - 1)) {
        count += to - from + 1;
        this.#settle(from, to);
      }
      this.#next = end;
    }
    this.#advanceFloor();
    return { count, commit: this.#store.openCommit };
  }

  /** Settles everything that was sent so far, in hands or not; returns how many. */
  purge(): { readonly count: number; readonly commit: CommitNumber } {
    const end = this.#store.nextSequence(this.log);
    const count = this.messages;
    for (const entry of this.#entries.values()) this.#hidden.cancel(entry.hidden);
    this.#entries.clear();
    this.#again.length = 0;
    if (end > this.#floor) this.#settle(this.#floor, end - 1);
    this.#next = end;
    this.#advanceFloor();
    return { count, commit: this.#store.openCommit };
  }

  /** Messages from a sequence on, in hands or not, without any effect on them. */
  peek(
    from: number,
    max: number,
    visit: (record: LogRecord, deliveryCount: number, isHidden: boolean) => void,
  ): void {
    const end = this.#store.stats(this.log).nextSequence;
    let seen = 0;
    let at = this.#settled.firstMissing(Math.max(from, this.#floor));
    while (at < end && seen < max) {
      const { records, next } = this.#store.read(this.log, at as Sequence, max, READ_BYTES);
      for (const record of records) {
        if (seen >= max || this.#settled.has(record.sequence)) continue;
        const entry = this.#entries.get(record.sequence);
        visit(record, entry?.count ?? 0, entry !== undefined && entry.hidden !== undefined);
        seen++;
      }
      if (next <= at) return;
      at = this.#settled.firstMissing(next);
    }
  }

  /** It is deleted: nothing is left of its state on disk, nothing is due any more. */
  forget(): void {
    this.#blocks.removeAll();
    this.#receivers.length = 0;
  }

  /** The open group is being sealed: state that changed goes with it. */
  onSealing(): void {
    this.#blocks.stage(this.#floor, this.#settled, (sequence) => {
      const entry = this.#entries.get(sequence);
      if (entry === undefined || entry.count === 0) return undefined;
      return { sequence, count: entry.count, hiddenUntil: entry.hidden?.at ?? 0 };
    });
  }

  #nextReceiver(): QueueReceiver | undefined {
    const count = this.#receivers.length;
    for (let i = 0; i < count; i++) {
      if (this.#turn >= count) this.#turn = 0;
      const receiver = this.#receivers[this.#turn++];
      if (receiver !== undefined && receiver.room > 0) return receiver;
    }
    return undefined;
  }

  /** The next message to hand out. Hot path: per message. */
  #take(now: Instant): { entry: Entry; record: LogRecord } | undefined {
    for (;;) {
      const again = this.#again.shift();
      const sequence = again ?? this.#next;
      if (again === undefined) {
        if (sequence >= this.#store.stats(this.log).nextSequence) return undefined;
        this.#next++;
        if (this.#settled.has(sequence)) continue;
      }
      const record = this.#recordAt(sequence);
      if (record === undefined) {
        this.#giveUp(sequence, undefined, "lost");
      } else if (isExpired(record, now)) {
        this.#giveUp(sequence, record, "expired");
      } else {
        let entry = this.#entries.get(sequence);
        if (entry === undefined) {
          entry = { sequence, count: 0, receiver: undefined, hidden: undefined };
          this.#entries.set(sequence, entry);
        }
        return { entry, record };
      }
    }
  }

  #hand(receiver: QueueReceiver, entry: Entry, record: LogRecord, now: Instant): void {
    entry.count = Math.min(entry.count + 1, DELIVERY_COUNT_MAX);
    entry.receiver = receiver;
    const visibleAt = after(now, receiver.visibilityMs);
    entry.hidden = this.#hidden.add(visibleAt, entry);
    this.#blocks.touch(entry.sequence);
    receiver.deliver({
      delivery: entry.sequence * NAME_FACTOR + entry.count,
      record,
      deliveryCount: entry.count,
      visibleAt,
    });
  }

  #recordAt(sequence: number): LogRecord | undefined {
    const first = this.#batch[0];
    const guess = first === undefined ? undefined : this.#batch[sequence - first.sequence];
    if (guess?.sequence === sequence) return guess;
    const ahead = sequence >= this.#next - 1 ? READ_RECORDS : 1;
    this.#batch = this.#store.read(this.log, sequence as Sequence, ahead, READ_BYTES).records;
    const found = this.#batch[0];
    return found?.sequence === sequence ? found : undefined;
  }

  #each(
    deliveries: readonly number[],
    settle: (entry: Entry, receiver: QueueReceiver | undefined) => void,
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
      settle(entry, receiver);
    }
    this.#advanceFloor();
    return { commit: this.#store.openCommit, expired };
  }

  /** Not free any more, if it was. */
  #takeBack(entry: Entry): void {
    const index = lowerBound(this.#again, entry.sequence);
    if (this.#again[index] === entry.sequence) this.#again.splice(index, 1);
  }

  #unhide(entry: Entry): void {
    this.#hidden.cancel(entry.hidden);
    entry.hidden = undefined;
    entry.receiver = undefined;
    this.#blocks.touch(entry.sequence);
  }

  #hide(entry: Entry, until: Instant): void {
    entry.hidden = this.#hidden.add(until, entry);
    this.#blocks.touch(entry.sequence);
  }

  /** Nobody has it any more: it is free again, or given up when it was handed out often enough. */
  #returned(entry: Entry): void {
    entry.receiver = undefined;
    this.#blocks.touch(entry.sequence);
    if (!this.#isExhausted(entry)) {
      this.#free(entry);
      return;
    }
    this.#giveUp(entry.sequence, this.#recordAt(entry.sequence), "deliveries");
    this.#advanceFloor();
  }

  #isExhausted(entry: Entry): boolean {
    const attributes = this.#recordAt(entry.sequence)?.properties?.attributes;
    const max = attributes?.deliveriesMax ?? this.settings.deliveriesMax;
    return max > 0 && entry.count >= max;
  }

  #free(entry: Entry): void {
    this.#again.splice(lowerBound(this.#again, entry.sequence), 0, entry.sequence);
  }

  #giveUp(sequence: number, record: LogRecord | undefined, reason: GiveUpReason): void {
    const to = record?.properties?.attributes?.deadLetterQueue ?? this.settings.deadLetterQueue;
    this.#context.giveUp(this, record, to, reason);
    this.#entries.delete(sequence);
    this.#settle(sequence, sequence);
    this.#advanceFloor();
  }

  #settleEntry(entry: Entry): void {
    this.#entries.delete(entry.sequence);
    this.#settle(entry.sequence, entry.sequence);
  }

  #settle(from: number, to: number): void {
    this.#settled.add(from, to);
    this.#blocks.touchRange(from, to);
  }

  #advanceFloor(): void {
    const floor = this.#settled.firstMissing(this.#floor);
    if (floor === this.#floor) return;
    this.#floor = floor;
    this.#settled.removeBelow(floor);
    this.#blocks.moveFloor(floor);
    this.trim();
  }

  /** Lets the log go before the floor, as far as it is flushed. */
  trim(): void {
    const { nextSequence, firstSequence } = this.#store.stats(this.log);
    const before = Math.min(this.#floor, nextSequence) as Sequence;
    if (before > firstSequence) {
      this.#store.trim(this.log, before, Number.MAX_SAFE_INTEGER as Ordinal);
    }
  }

  #reschedule(): void {
    const at = this.#hidden.next();
    if (at !== undefined) this.#context.schedule(this, at);
  }
}

/** Past its expiry. */
export const isExpired = ({ expiresAt }: Message, now: Instant): boolean =>
  expiresAt !== undefined && expiresAt <= now;

/** Index of the first element that is not below `value`. */
function lowerBound(sorted: readonly number[], value: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] ?? 0) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
