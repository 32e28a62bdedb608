/** A reader of a stream that ends with its sub: a cursor in memory, records as there is credit and room, none acknowledged. */
import type { FlushReader } from "../broker/broker.ts";
import type { Due } from "../broker/due.ts";
import type { LogRecord, Sequence } from "../broker/store.ts";
import type { Stream } from "../broker/stream.ts";
import type { Deadline } from "../lib/deadline-heap.ts";
import type { Caller } from "./caller.ts";
import type { ConsumeFrame, StreamRecord } from "./frame.ts";
import { BATCH_BYTES } from "./queue-receivers.ts";
import { mayRead } from "./rights.ts";
import { isWanted, streamRecordOf } from "./stream-content.ts";
import type { Sub } from "./subs.ts";

/** Records read in one step, and passed over in one turn because of a filter or their expiry. */
const STEP_RECORDS = 1_024;
const TURN_RECORDS = 16_384;

export class CursorSub implements Sub, FlushReader, Due {
  readonly id: number;
  credit: number;
  readonly #caller: Caller;
  readonly #stream: Stream;
  readonly #filter: string | undefined;
  #next: number;
  #lost: (readonly [from: number, to: number])[] = [];
  #deadline: Deadline<Due> | undefined;

  /** `lost`: what was asked for and is gone already. */
  constructor(
    caller: Caller,
    id: number,
    stream: Stream,
    frame: ConsumeFrame,
    first: Sequence,
    lost: readonly [from: number, to: number] | undefined,
  ) {
    this.#caller = caller;
    this.id = id;
    this.#stream = stream;
    this.#filter = frame.filter;
    this.#next = first;
    this.credit = caller.subs.creditOf(frame.credit);
    if (lost !== undefined) this.#lost.push(lost);
  }

  start(): void {
    this.#caller.broker.readers.add(this);
    this.pump();
  }

  onFlushed(): void {
    if (this.#stream.isDeleted) {
      this.#caller.subs.end(this.id, "not-found", "the stream was deleted");
    } else {
      this.pump();
    }
  }

  onDue(): void {
    this.#deadline = undefined;
    this.pump();
  }

  pump(): void {
    if (this.#stream.isDeleted || this.#deadline !== undefined) return;
    let passedOver = 0;
    while (this.credit > 0 && this.#caller.hasRoom) {
      const before = this.#next + this.credit;
      if (!this.#step()) return;
      passedOver += this.#next + this.credit - before;
      if (passedOver < TURN_RECORDS) continue;
      // Others are served in between.
      const { deadlines, clock } = this.#caller.broker;
      this.#deadline = deadlines.add(clock.now(), this);
      return;
    }
  }

  isAllowed(): boolean {
    return mayRead(this.#caller, "stream", this.#stream.name);
  }

  close(): void {
    const { broker } = this.#caller;
    broker.readers.delete(this);
    broker.deadlines.cancel(this.#deadline);
    this.#deadline = undefined;
  }

  /** False: there is nothing to read now. */
  #step(): boolean {
    const { store } = this.#caller.broker;
    const { firstSequence, nextSequence } = store.stats(this.#stream.log);
    if (this.#next < firstSequence) {
      this.#lost.push([this.#next, firstSequence - 1]);
      this.#next = firstSequence;
    }
    const isAtEnd = this.#next >= nextSequence;
    const max = Math.min(this.credit, STEP_RECORDS);
    const from = this.#next as Sequence;
    const batch = isAtEnd ? undefined : store.read(this.#stream.log, from, max, BATCH_BYTES);
    if (batch !== undefined) {
      this.#next = batch.next;
      for (const { from: first, to } of batch.damaged) this.#lost.push([first, to]);
    }
    this.#send(batch?.records ?? []);
    return batch !== undefined && batch.next > from;
  }

  /** Hot path: per record. */
  #send(found: readonly LogRecord[]): void {
    const { clock, patternCounts } = this.#caller.broker;
    const records: StreamRecord[] = [];
    for (const record of found) {
      if (!isWanted(record, this.#filter, clock)) continue;
      patternCounts.stream.countOut(record);
      records.push(streamRecordOf(record, clock, undefined));
    }
    if (records.length === 0 && this.#lost.length === 0) return;
    this.credit -= records.length;
    const lost = this.#lost;
    this.#lost = [];
    const frame = { op: "records", sub: this.id, records } as const;
    this.#caller.send(lost.length === 0 ? frame : { ...frame, lost });
  }
}
