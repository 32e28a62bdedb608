/** All durable consumers of all streams: made by their first use, kept on disk, deleted with their stream. */
import type { Clock } from "../lib/clock.ts";
import type { DeadlineHeap } from "../lib/deadline-heap.ts";
import { Consumer, type ConsumerContext } from "./consumer.ts";
import type { Counters } from "./counters.ts";
import type { Deliveries } from "./deliveries.ts";
import type { GiveUpReason } from "./deliveries-context.ts";
import type { Due } from "./due.ts";
import { dueSchedule } from "./due-schedule.ts";
import type { PatternCounts } from "./pattern-counts.ts";
import { type StartPosition, startSequence } from "./start-position.ts";
import type { CommitNumber, LogId, LogRecord, Sequence, SequenceRange, Store } from "./store.ts";
import type { Stream } from "./stream.ts";
import {
  CONSUMER_PREFIX,
  type ConsumerSettings,
  consumerKey,
  decodeConsumer,
  encodeConsumer,
} from "./stream-records.ts";
import type { Streams } from "./streams.ts";

/** What is lost or moved, for counters and the log. */
export interface ConsumerEvents {
  readonly onGivenUp: (consumer: Consumer, reason: GiveUpReason, to: string | undefined) => void;
  /** A record that was given up stays, hidden, because its dead letter stream has no room. */
  readonly onHeld: () => void;
  /** A record was too old to be handed out: passed over, the stream still has it. */
  readonly onExpired: () => void;
  /** The stream gave up records that the consumer had not settled. */
  readonly onLost: (consumer: Consumer, range: SequenceRange) => void;
}

export interface ConsumersContext {
  readonly store: Store;
  readonly streams: Streams;
  readonly deadlines: DeadlineHeap<Due>;
  readonly clock: Clock;
  readonly consumersMax: number;
  /** Of streams. */
  readonly counts: PatternCounts;
  readonly counters: Counters;
  readonly events: ConsumerEvents;
}

export class Consumers {
  readonly #context: ConsumersContext;
  readonly #consumerContext: ConsumerContext;
  /** Of consumers whose state changes with the open group. */
  readonly #changed = new Set<Deliveries>();
  /** Those whose settings go with the open group: they are served when it is on disk. */
  readonly #updated = new Set<Consumer>();
  readonly #byStream = new Map<LogId, Map<string, Consumer>>();
  #size = 0;
  #lastNumber = 0;

  constructor(context: ConsumersContext) {
    this.#context = context;
    const { store, clock, deadlines, counts } = context;
    this.#consumerContext = {
      store,
      clock,
      counts,
      changed: this.#changed,
      schedule: dueSchedule<Consumer>(deadlines, (consumer, time) => {
        if (!consumer.isDeleted) consumer.deliveries.onDue(time);
      }),
      giveUp: (consumer, record, reason) => this.#giveUp(consumer, record, reason),
      onHeld: context.events.onHeld,
    };
  }

  get size(): number {
    return this.#size;
  }

  /** Those of a stream. */
  of(stream: Stream): Iterable<Consumer> {
    return this.#byStream.get(stream.log)?.values() ?? [];
  }

  get(stream: Stream, name: string): Consumer | undefined {
    return this.#byStream.get(stream.log)?.get(name);
  }

  /** Reads what is on disk. Returns how many records were damaged. */
  recover(): number {
    const { store, streams } = this.#context;
    let damaged = 0;
    for (const [key, value] of store.scan("meta", CONSUMER_PREFIX)) {
      const record = decodeConsumer(value);
      if (record === undefined) {
        damaged++;
        store.remove("meta", key);
        continue;
      }
      this.#lastNumber = Math.max(this.#lastNumber, record.number);
      const stream = streams.get(record.settings.stream);
      // The configuration has no such stream (any more): the consumer stays for the case that it comes back.
      if (stream === undefined) continue;
      // It came back, and meanwhile another stream of this name had one of this name.
      const older = this.get(stream, record.settings.name);
      if (older !== undefined) this.delete(older);
      damaged += this.#enter(record.number, stream, record.settings).deliveries.recover();
    }
    return damaged;
  }

  /** Makes a consumer of a name that is not taken; undefined: there are too many. Goes with the open group. */
  create(stream: Stream, settings: ConsumerSettings, start: StartPosition): Consumer | undefined {
    const { store, clock, consumersMax, counters } = this.#context;
    if (this.#size >= consumersMax) {
      counters.limitConsumers++;
      return undefined;
    }
    const number = ++this.#lastNumber;
    store.put("meta", consumerKey(number), encodeConsumer({ version: 1, number, settings }));
    const consumer = this.#enter(number, stream, settings);
    consumer.deliveries.skipTo(startSequence(store, stream.log, start, clock));
    return consumer;
  }

  /** Changes what a consumer is told, from now on. */
  update(consumer: Consumer, settings: ConsumerSettings): CommitNumber {
    const { store } = this.#context;
    const { number } = consumer;
    consumer.settings = settings;
    consumer.deliveries.inHandsMax = settings.unackedMax;
    store.put("meta", consumerKey(number), encodeConsumer({ version: 1, number, settings }));
    // More may be unacknowledged than before.
    this.#updated.add(consumer);
    return store.openCommit;
  }

  delete(consumer: Consumer): CommitNumber {
    const { store } = this.#context;
    consumer.isDeleted = true;
    consumer.deliveries.forget();
    const { log } = consumer.stream;
    const consumers = this.#byStream.get(log);
    if (consumers?.delete(consumer.name) === true) this.#size--;
    if (consumers?.size === 0) this.#byStream.delete(log);
    store.remove("meta", consumerKey(consumer.number));
    return store.openCommit;
  }

  /** The first sequence that a durable consumer of this log has not settled; undefined: it has none. */
  neededFrom(log: LogId): Sequence | undefined {
    let needed: Sequence | undefined;
    for (const { deliveries } of this.#byStream.get(log)?.values() ?? []) {
      if (needed === undefined || deliveries.floor < needed) needed = deliveries.floor;
    }
    return needed;
  }

  /** Time spent off has become known. */
  onAged(): void {
    for (const consumers of this.#byStream.values()) {
      for (const { deliveries } of consumers.values()) deliveries.onAged();
    }
  }

  /** The open group is being sealed. */
  onSealing(): void {
    for (const deliveries of this.#changed) deliveries.onSealing();
    this.#changed.clear();
  }

  /** A commit is on disk: new records of these streams may be handed out, or some of them are gone. */
  onFlushed(streams: readonly Stream[]): void {
    for (const stream of streams) {
      for (const consumer of this.of(stream)) this.#serve(consumer);
    }
    for (const consumer of this.#updated) if (!consumer.isDeleted) this.#serve(consumer);
    this.#updated.clear();
  }

  /** Tells what its stream gave up before it was settled. */
  passLoss(consumer: Consumer): void {
    const lost = consumer.passLoss();
    if (lost !== undefined) this.#context.events.onLost(consumer, lost);
  }

  #serve(consumer: Consumer): void {
    this.passLoss(consumer);
    if (consumer.deliveries.receiverCount > 0 && consumer.deliveries.waiting > 0) {
      consumer.deliveries.pump();
    }
  }

  #enter(number: number, stream: Stream, settings: ConsumerSettings): Consumer {
    const consumer = new Consumer(this.#consumerContext, number, stream, settings);
    const consumers = this.#byStream.get(stream.log) ?? new Map<string, Consumer>();
    this.#byStream.set(stream.log, consumers);
    consumers.set(settings.name, consumer);
    this.#size++;
    return consumer;
  }

  /** False: it is to be kept and there is no room for it, in the dead letter stream or in the store. */
  #giveUp(consumer: Consumer, record: LogRecord | undefined, reason: GiveUpReason): boolean {
    const { deadLetterStream } = consumer.settings;
    const { store, streams, events } = this.#context;
    if (reason === "expired") {
      // Nobody failed to work on it: it is no dead letter.
      events.onExpired();
      return true;
    }
    const target = deadLetterStream === undefined ? undefined : streams.get(deadLetterStream);
    const isOther = target !== undefined && target !== consumer.stream;
    if (record !== undefined && isOther) {
      if (store.refusal() !== undefined || target.isFull) return false;
      const { attributes: _before, ...others } = record.properties ?? {};
      const properties = { ...others, attributes: { reroutedFrom: consumer.stream.name } };
      target.append({ ...record, properties, expiresAt: undefined });
    }
    events.onGivenUp(consumer, reason, isOther ? target.name : undefined);
    return true;
  }
}
