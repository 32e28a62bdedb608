/**
 * In which state each record of a log is that is handed to one receiver at a time, and what of that is on disk (delivery-blocks.ts). A
 * record, by its sequence, is
 *
 *     new        at or behind `next`, flushed: never handed out
 *     in hands   handed out, hidden from others until its visibility is over
 *     hidden     rejected with a delay: handed to nobody before that is over
 *     again      handed out before and free: goes before all that is new, in order of sequence
 *     held       given up, and where it is to go has no room: handed to nobody, tried again once a second; on disk it is *again*
 *     settled    acknowledged, moved or given up: gone for good
 *
 * `floor` is the first that is not settled. Who hands out and settles is deliveries.ts.
 */
import { type Clock, type Instant, missedSince } from "../lib/clock.ts";
import { DeadlineHeap } from "../lib/deadline-heap.ts";
import { IntervalSet } from "../lib/interval-set.ts";
import type { HandedOut } from "./block-records.ts";
import { type BlockKeys, DeliveryBlocks } from "./delivery-blocks.ts";
import { type Entry, entryOf, Hands } from "./delivery-entry.ts";
import type { LogId, Store } from "./store.ts";

/** Records that are looked at in one turn. */
const STEP_RECORDS = 1_000;
/** Records that were never handed out and are settled without that in one turn: they cost little, but for what goes to disk of them. */
const STEP_NEW_RECORDS = 65_536;

/** Whose states these are. */
interface StatesContext {
  readonly store: Store;
  readonly log: LogId;
  readonly keys: BlockKeys;
  readonly clock: Clock;
  /** All before the floor is settled. */
  readonly onFloor: () => void;
}

export class DeliveryStates {
  /** Given up without room for them, in the order in which they are tried again. */
  readonly held = new Set<Entry>();
  readonly #store: Store;
  readonly #log: LogId;
  readonly #clock: Clock;
  readonly #onFloor: () => void;
  readonly #blocks: DeliveryBlocks;
  /** Handed out before and not settled. */
  readonly #entries = new Map<number, Entry>();
  readonly #hidden = new DeadlineHeap<Entry>();
  /** Those that are free again, by sequence. */
  readonly #again = new DeadlineHeap<Entry>();
  readonly #settled = new IntervalSet();
  /** Those that are still to be looked at since time spent off became known. */
  #aging: Iterator<Entry> | undefined;
  #floor: number;
  #next: number;

  /** Begins with the first record that is still there. `onWanted`: `stage` is to be called when the open group is sealed. */
  constructor(context: StatesContext, onWanted: () => void) {
    this.#store = context.store;
    this.#log = context.log;
    this.#clock = context.clock;
    this.#onFloor = context.onFloor;
    this.#blocks = new DeliveryBlocks(context.store, context.keys, onWanted);
    this.#floor = this.#store.stats(this.#log).firstSequence;
    this.#next = this.#floor;
  }

  /** The first sequence that is not settled. */
  get floor(): number {
    return this.#floor;
  }

  /** The first sequence that was never handed out. */
  get next(): number {
    return this.#next;
  }

  /** Records in hands or hidden. */
  get inHands(): number {
    return this.#entries.size - this.#again.size - this.held.size;
  }

  /** Records that are free again. */
  get againCount(): number {
    return this.#again.size;
  }

  /** Settled records behind the floor. */
  get settledCount(): number {
    return this.#settled.size;
  }

  /** When the first of those hidden is not any more. */
  get hiddenAt(): Instant | undefined {
    return this.#hidden.next();
  }

  /** The first that is free again; undefined: there is none. */
  get firstAgain(): number | undefined {
    return this.#again.next();
  }

  /** Reads its state from disk. Returns how many blocks were damaged. */
  recover(): number {
    const now = this.#clock.now();
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
    this.advanceFloor();
    return damaged;
  }

  #recoverEntry(open: HandedOut, now: Instant): void {
    const entry = this.#enter(open.sequence, open.count);
    entry.until = open.hiddenUntil;
    entry.forMs = open.hiddenForMs;
    const hiddenUntil = this.#dueOf(entry);
    if (hiddenUntil > now) entry.hidden = this.#hidden.add(hiddenUntil, entry);
    else this.free(entry);
  }

  /** Below `next` and neither settled nor known: its first handing-over did not get to disk. */
  #recoverGaps(): void {
    for (const { from, to } of this.#settled.missing(this.#floor, this.#next - 1)) {
      for (let sequence = from; sequence <= to; sequence++) {
        if (this.#entries.has(sequence)) continue;
        this.free(this.#enter(sequence, 0));
      }
    }
  }

  /** When it is not hidden any more, time spent off included. */
  #dueOf({ until, forMs }: Entry): Instant {
    return (until - missedSince(this.#clock, (until - forMs) as Instant)) as Instant;
  }

  /** Time spent off has become known: what is hidden is looked at, a step of it now. */
  onAged(): void {
    this.#aging = this.#entries.values();
    this.age();
  }

  /** There is more to be looked at since then. */
  get isAging(): boolean {
    return this.#aging !== undefined;
  }

  /** A step of it. */
  age(): void {
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

  /** One that was handed out before and is not settled. Hot path: per settled delivery. */
  find(sequence: number): Entry | undefined {
    return this.#entries.get(sequence);
  }

  /** The same; one that is new becomes known, with a count of 0. Hot path: per delivery. */
  entryOf(sequence: number): Entry {
    return this.#entries.get(sequence) ?? this.#enter(sequence, 0);
  }

  /** In nobody's hands. */
  #enter(sequence: number, count: number): Entry {
    const entry = entryOf(sequence, count);
    this.#entries.set(sequence, entry);
    return entry;
  }

  isSettled(sequence: number): boolean {
    return this.#settled.has(sequence);
  }

  /** The first that is not settled, at or behind a sequence. */
  firstOpen(from: number): number {
    return this.#settled.firstMissing(Math.max(from, this.#floor));
  }

  /** The one at `next` is not new any more. */
  passNext(): void {
    this.#next++;
  }

  /** It is free again. */
  free(entry: Entry): void {
    entry.again = this.#again.add(entry.sequence as Instant, entry);
  }

  /** The first that is free again is so no more. Hot path: per delivery. */
  takeAgain(): Entry | undefined {
    const entry = this.#again.takeDue(Number.POSITIVE_INFINITY as Instant);
    if (entry !== undefined) entry.again = undefined;
    return entry;
  }

  /** Not free or held any more, if it was. */
  takeBack(entry: Entry): void {
    this.#again.cancel(entry.again);
    entry.again = undefined;
    this.held.delete(entry);
  }

  /** Hidden from now on, which goes to disk with the next commit. */
  hide(entry: Entry, until: Instant, now: Instant): void {
    this.hideUntil(entry, until, now);
    this.#blocks.touch(entry.sequence);
  }

  /** Hot path: per delivery. */
  hideUntil(entry: Entry, until: Instant, now: Instant): void {
    entry.hidden = this.#hidden.add(until, entry);
    entry.until = until;
    entry.forMs = until - now;
  }

  /** One that is not hidden any more at `now`; undefined: there is none. */
  takeDue(now: Instant): Entry | undefined {
    const entry = this.#hidden.takeDue(now);
    if (entry !== undefined) entry.hidden = undefined;
    return entry;
  }

  /** Neither hidden nor in hands any more. */
  unhide(entry: Entry): void {
    this.#hidden.cancel(entry.hidden);
    entry.hidden = undefined;
    this.letGo(entry);
  }

  /** Nobody has it in hands any more. */
  letGo(entry: Entry): void {
    entry.receiver = undefined;
    Hands.drop(entry);
    this.#blocks.touch(entry.sequence);
  }

  /** It was handed out: its count goes to disk, and nobody waits for that. Hot path: per delivery. */
  countLater(entry: Entry): void {
    this.#blocks.touchLater(entry.sequence);
  }

  /** Gone for good. Hot path: per settled delivery. */
  settle(sequence: number): void {
    this.#entries.delete(sequence);
    this.#settled.add(sequence, sequence);
    this.#blocks.touch(sequence);
  }

  /** Everything before is settled without being handed out. */
  skipTo(sequence: number): void {
    if (sequence <= this.#floor) return;
    for (const entry of this.#entriesBefore(sequence)) {
      this.unhide(entry);
      this.takeBack(entry);
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

  /** Settles what is before `end` and in nobody's hands, not hidden and not held, a step of it; returns how many. */
  settleWaiting(end: number): number {
    let count = 0;
    for (let next = this.firstAgain; next !== undefined && next < end; next = this.firstAgain) {
      if (count === STEP_RECORDS) break;
      this.takeAgain();
      this.settle(next);
      count++;
    }
    if (count < STEP_RECORDS)
      count += this.#settleNew(Math.min(end, this.#next + STEP_NEW_RECORDS));
    this.advanceFloor();
    return count;
  }

  /** Settles what was never handed out. */
  #settleNew(end: number): number {
    if (end <= this.#next) return 0;
    let count = 0;
    for (const { from, to } of this.#settled.missing(this.#next, end - 1)) {
      count += to - from + 1;
      this.#settled.add(from, to);
    }
    const from = this.#next;
    this.#next = end;
    this.advanceFloor();
    // What lies before the floor by now needs no record of its own.
    if (this.#floor < end) this.#blocks.touchRange(Math.max(from, this.#floor), end - 1);
    return count;
  }

  /** Settles everything before `end`, whatever its state. */
  purge(end: number): void {
    this.clear();
    this.#next = end;
    this.#settleBefore(end);
  }

  /** Everything before is settled: the floor says so, however much it is. */
  #settleBefore(end: number): void {
    if (end <= this.#floor) return;
    this.#settled.add(this.#floor, end - 1);
    this.advanceFloor();
  }

  /** The floor goes up as far as all is settled. To be called behind `settle`. */
  advanceFloor(): void {
    const floor = this.#settled.firstMissing(this.#floor);
    if (floor === this.#floor) return;
    this.#floor = floor;
    this.#settled.removeBelow(floor);
    this.#blocks.moveFloor(floor);
    this.#onFloor();
  }

  /** Nothing is in hands, hidden, free again or held any more. */
  clear(): void {
    for (const entry of this.#entries.values()) {
      this.#hidden.cancel(entry.hidden);
      this.#again.cancel(entry.again);
    }
    this.#entries.clear();
    this.held.clear();
  }

  /** Nothing is left of it on disk. */
  removeAll(): void {
    this.#blocks.removeAll();
  }

  /** The open group is being sealed: what changed goes with it. */
  stage(): void {
    this.#blocks.stage(this.#floor, this.#settled, (sequence) => {
      const entry = this.#entries.get(sequence);
      if (entry === undefined || entry.count === 0) return undefined;
      return { sequence, count: entry.count, ...hiddenOf(entry) };
    });
  }
}

const hiddenOf = ({ hidden, until, forMs }: Entry) =>
  hidden === undefined
    ? { hiddenUntil: 0, hiddenForMs: 0 }
    : { hiddenUntil: until, hiddenForMs: forMs };
