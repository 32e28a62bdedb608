/**
 * An MQTT client that reads a stream: from where its topic filter says, then what comes. Paced by its window. Sessions that outlive their
 * connection go on behind what was acknowledged; how far that is goes to disk about once a second, so that after a crash a little may come again.
 */
import type { Lease } from "./lease.ts";
import { isExpired, type Message } from "./message.ts";
import type { PatternContext, PatternSubscription } from "./pattern-subscriptions.ts";
import type { PatternFilter } from "./pattern-topics.ts";
import { lowerQos, type Session } from "./session.ts";
import { startSequence } from "./start-position.ts";
import type { LogRecord, Sequence } from "./store.ts";
import type { Stream } from "./stream.ts";
import type { SubscriptionOptions } from "./subscription-tree.ts";
import { filterMatches } from "./topic.ts";

const READ_RECORDS = 64;
const READ_BYTES = 65_536;

export class StreamSubscription implements PatternSubscription {
  options: SubscriptionOptions;
  readonly #context: PatternContext;
  readonly #session: Session;
  readonly #topicFilter: string;
  readonly #pattern: PatternFilter & { readonly kind: "stream" };
  #stream: Stream | undefined;
  /** The next to be looked at. */
  #next: number;
  /** Sent and not acknowledged, in order of sending. */
  readonly #unacked = new Set<number>();
  #batch: readonly LogRecord[] = [];
  #isAttached = false;

  constructor(
    context: PatternContext,
    session: Session,
    topicFilter: string,
    pattern: PatternFilter & { readonly kind: "stream" },
    options: SubscriptionOptions,
  ) {
    this.#context = context;
    this.#session = session;
    this.#topicFilter = topicFilter;
    this.#pattern = pattern;
    this.options = options;
    this.#stream = context.streamOf(pattern.name);
    const known = session.subscriptions.get(topicFilter)?.streamPosition;
    this.#next = known ?? this.#start(this.#stream);
    if (known === undefined) this.#notePosition();
  }

  attach(): void {
    this.#isAttached = true;
    this.#context.onWork(this);
  }

  detach(): void {
    this.#isAttached = false;
    this.#notePosition();
  }

  pump(): void {
    const { outbound } = this.#session;
    while (this.#isAttached) {
      const record = this.#peek();
      if (record === undefined) return;
      const qos = lowerQos(record.qos, this.options.qos);
      const hasRoom = qos === 0 ? this.#session.subscriber?.hasRoom === true : outbound.canLease;
      if (!hasRoom) return;
      this.#next = record.sequence + 1;
      this.#deliver(record, qos === 0 ? 0 : 1);
    }
  }

  onFlushed(): void {
    if (this.#isAttached) this.pump();
  }

  onChores(): void {
    this.#notePosition();
  }

  /** The client has it, or will never take it. */
  settle(sequence: number): void {
    this.#unacked.delete(sequence);
  }

  /** The client is gone without it: it and what comes behind it is sent again. */
  giveBack(sequence: number): void {
    this.#unacked.delete(sequence);
    if (sequence < this.#next) this.#next = sequence;
  }

  #start(stream: Stream | undefined): number {
    if (stream === undefined) return 0;
    const { store, clock } = this.#context;
    return startSequence(store, stream.log, this.#pattern.start, clock);
  }

  /** The next record that is meant and has not expired; undefined: there is none now. */
  #peek(): LogRecord | undefined {
    for (;;) {
      const record = this.#read();
      if (record === undefined) return undefined;
      const { filter } = this.#pattern;
      const isMeant = filter === undefined || filterMatches(filter, record.topic.text);
      if (isMeant && !isExpired(record, this.#context.clock)) return record;
      this.#next = record.sequence + 1;
    }
  }

  /** The record at `#next`, or the first behind it that is there. */
  #read(): LogRecord | undefined {
    const stream = this.#currentStream();
    if (stream === undefined) return undefined;
    const first = this.#batch[0];
    const guess = first === undefined ? undefined : this.#batch[this.#next - first.sequence];
    if (guess?.sequence === this.#next) return guess;
    const { store, mayRead, onCut } = this.#context;
    const { firstSequence, nextSequence } = store.stats(stream.log);
    this.#next = Math.max(this.#next, firstSequence);
    while (this.#next < nextSequence) {
      if (!mayRead()) {
        onCut(this);
        return undefined;
      }
      const batch = store.read(stream.log, this.#next as Sequence, READ_RECORDS, READ_BYTES);
      this.#batch = batch.records;
      const [found] = batch.records;
      if (found !== undefined) return found;
      // Damaged ones are passed over.
      if (batch.next <= this.#next) return undefined;
      this.#next = batch.next;
    }
    return undefined;
  }

  /** One that was deleted is looked for again: what has its name now is read from its beginning. */
  #currentStream(): Stream | undefined {
    if (this.#stream !== undefined && !this.#stream.isDeleted) return this.#stream;
    const found = this.#context.streamOf(this.#pattern.name);
    if (found === undefined) return undefined;
    this.#stream = found;
    this.#batch = [];
    this.#next = this.#context.store.stats(found.log).firstSequence;
    return found;
  }

  #deliver(record: LogRecord, qos: 0 | 1): void {
    const { subscriptionId } = this.options;
    const ids = subscriptionId === undefined ? undefined : [subscriptionId];
    const message = this.#messageOf(record);
    this.#context.streamCounts.countOut(record);
    if (qos === 0) {
      this.#context.onDelivered(0);
      this.#session.subscriber?.deliver(message, 0, 0, false, false, ids);
      return;
    }
    this.#unacked.add(record.sequence);
    this.#session.outbound.lease(new StreamLease(this, record), message, 1, false, ids);
  }

  #messageOf(record: LogRecord): Message {
    const { properties, sequence, receivedAt } = record;
    const said = properties?.userProperties ?? [];
    const userProperties = [
      ...said,
      ["rill-stream", this.#pattern.name] as const,
      ["rill-sequence", String(sequence)] as const,
      ["rill-time", String(Math.floor(this.#context.clock.wallOf(receivedAt)))] as const,
    ];
    return { ...record, properties: { ...properties, userProperties } };
  }

  /** Where a session that is resumed goes on; on disk with the next commit. */
  #notePosition(): void {
    const subscription = this.#session.subscriptions.get(this.#topicFilter);
    if (subscription === undefined) return;
    let position = this.#next;
    for (const sequence of this.#unacked) position = Math.min(position, sequence);
    if (subscription.streamPosition === position) return;
    subscription.streamPosition = position;
    this.#session.persistSubscription(this.#topicFilter);
  }
}

/** A record in the hands of the client. */
class StreamLease implements Lease {
  readonly number = 0;
  readonly #subscription: StreamSubscription;
  readonly #record: LogRecord;

  constructor(subscription: StreamSubscription, record: LogRecord) {
    this.#subscription = subscription;
    this.#record = record;
  }

  message(): Message {
    return this.#record;
  }

  claim(): void {
    // It is never sent with QoS 2.
  }

  settle(): void {
    this.#subscription.settle(this.#record.sequence);
  }

  giveBack(): void {
    this.#subscription.giveBack(this.#record.sequence);
  }
}
