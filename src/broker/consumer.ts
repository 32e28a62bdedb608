/** A durable consumer: a named reader of a stream, whose records are handed to one of its receivers at a time until they are settled. */
import type { Clock, Instant } from "../lib/clock.ts";
import { Deliveries } from "./deliveries.ts";
import type { GiveUpReason } from "./deliveries-context.ts";
import type { PatternCounts } from "./pattern-counts.ts";
import type { LogRecord, SequenceRange, Store } from "./store.ts";
import type { Stream } from "./stream.ts";
import { type ConsumerSettings, consumerBlockKeys } from "./stream-records.ts";
import { filterMatches } from "./topic.ts";

export interface ConsumerContext {
  readonly store: Store;
  readonly clock: Clock;
  readonly counts: PatternCounts;
  /** Those whose state changes with the open group. */
  readonly changed: Set<Deliveries>;
  /** `onDue` of its deliveries is to be called then. */
  readonly schedule: (consumer: Consumer, at: Instant) => void;
  /** A record is given up: moves it to the dead letter stream in the open group, where there is one and it has not expired. Counts it. False: there is no room for it. */
  readonly giveUp: (
    consumer: Consumer,
    record: LogRecord | undefined,
    reason: GiveUpReason,
  ) => boolean;
  /** A record stays, given up, for there is no room for it where it is to go. */
  readonly onHeld: () => void;
}

/** A connection that takes the consumer's records. */
export interface ConsumerHolder {
  /** It shares the consumer with others of its kind. */
  readonly isGroup: boolean;
  /** It takes no more: those who leave together do not hand to each other what they had. */
  stop(): void;
  /** Somebody else takes the consumer: it leaves. */
  onTaken(): void;
  /** The stream gave up records before they were settled. */
  onLost(range: SequenceRange): void;
}

export class Consumer {
  /** Those that take its records now; they add and remove themselves. */
  readonly holders = new Set<ConsumerHolder>();
  readonly number: number;
  readonly stream: Stream;
  readonly deliveries: Deliveries;
  settings: ConsumerSettings;
  isDeleted = false;
  readonly #store: Store;

  constructor(
    context: ConsumerContext,
    number: number,
    stream: Stream,
    settings: ConsumerSettings,
  ) {
    this.#store = context.store;
    this.number = number;
    this.stream = stream;
    this.settings = settings;
    this.deliveries = new Deliveries({
      store: context.store,
      log: stream.log,
      keys: consumerBlockKeys(number),
      clock: context.clock,
      changed: context.changed,
      schedule: (at) => context.schedule(this, at),
      deliveriesMaxOf: () => this.settings.deliveriesMax,
      isMeant: ({ topic }) => {
        const { filter } = this.settings;
        return filter === undefined || filterMatches(filter, topic.text);
      },
      onGivenUp: (record, reason) => context.giveUp(this, record, reason),
      onHeld: context.onHeld,
      onFloor: () => undefined,
      counts: context.counts,
    });
    this.deliveries.inHandsMax = settings.unackedMax;
  }

  get name(): string {
    return this.settings.name;
  }

  /** What its stream gave up before it was settled here: passed over. Undefined: nothing. */
  passLoss(): SequenceRange | undefined {
    const { firstSequence } = this.#store.stats(this.stream.log);
    const { floor } = this.deliveries;
    if (firstSequence <= floor) return undefined;
    this.deliveries.skipTo(firstSequence);
    return { from: floor, to: (firstSequence - 1) as SequenceRange["to"] };
  }
}
