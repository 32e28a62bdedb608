/** A queue: a log of its own, whose messages are handed to one receiver at a time until they are settled. */
import type { Clock, Instant } from "../lib/clock.ts";
import { Deliveries } from "./deliveries.ts";
import type { GiveUpReason } from "./deliveries-context.ts";
import type { DuplicateWindow } from "./duplicate-window.ts";
import type { DuplicateWindows } from "./duplicate-windows.ts";
import type { PatternCounts } from "./pattern-counts.ts";
import { type QueueSettings, queueBlockKeys } from "./queue-records.ts";
import { StagedSize } from "./staged-size.ts";
import type { LogId, LogRecord, Ordinal, Sequence, Store } from "./store.ts";

/** What a queue needs of the others. */
export interface QueueContext {
  readonly store: Store;
  readonly clock: Clock;
  /** Those whose state changes with the open group. */
  readonly changed: Set<Deliveries>;
  readonly duplicates: DuplicateWindows;
  readonly counts: PatternCounts;
  /** `onDue` of its deliveries is to be called then. */
  readonly schedule: (queue: Queue, at: Instant) => void;
  /** A message is given up: moves it to `to` in the open group, where one is named, and counts it. False: there is no room for it. */
  readonly giveUp: (
    queue: Queue,
    record: LogRecord | undefined,
    to: string | undefined,
    reason: GiveUpReason,
  ) => boolean;
  /** A message stays, given up, for there is no room for it where it is to go. */
  readonly onHeld: () => void;
}

export class Queue {
  readonly number: number;
  readonly log: LogId;
  settings: QueueSettings;
  readonly deliveries: Deliveries;
  readonly duplicates: DuplicateWindow;
  /** Delayed messages, not in the log yet, and their bytes. */
  delayedMessages = 0;
  delayedBytes = 0;
  isDeleted = false;
  readonly staged = new StagedSize();
  readonly #store: Store;

  constructor(context: QueueContext, number: number, log: LogId, settings: QueueSettings) {
    const { store, clock } = context;
    this.#store = store;
    this.number = number;
    this.log = log;
    this.settings = settings;
    this.duplicates = context.duplicates.open(
      { kind: "queue", number },
      settings.duplicateWindowMs,
    );
    this.deliveries = new Deliveries({
      store,
      log,
      clock,
      keys: queueBlockKeys(number),
      changed: context.changed,
      schedule: (at) => context.schedule(this, at),
      deliveriesMaxOf: ({ properties }) =>
        properties?.attributes?.deliveriesMax ?? this.settings.deliveriesMax,
      isMeant: undefined,
      onGivenUp: (record, reason) => {
        const own = record?.properties?.attributes?.deadLetterQueue;
        return context.giveUp(this, record, own ?? this.settings.deadLetterQueue, reason);
      },
      onHeld: context.onHeld,
      onFloor: () => this.trim(),
      counts: context.counts,
    });
  }

  get name(): string {
    return this.settings.name;
  }

  /** Messages that are not settled, staged and delayed ones among them. */
  get messages(): number {
    return this.deliveries.size + this.delayedMessages;
  }

  /** Live bytes of its log, of what is on its way there, and of what is delayed. */
  get bytes(): number {
    return this.#store.stats(this.log).bytes + this.staged.bytes + this.delayedBytes;
  }

  /** When the oldest message that is not settled was sent; undefined: there is none on disk. */
  get oldestAt(): Instant | undefined {
    return this.#store.stats(this.log).oldestAt;
  }

  get isFull(): boolean {
    const { bytesMax, messagesMax } = this.settings;
    return this.messages >= messagesMax || this.bytes >= bytesMax;
  }

  /** Every one of these was taken before: nothing is added when it is sent again. */
  knowsAll(messages: readonly { readonly messageId?: string }[], now: Instant): boolean {
    return messages.every(
      ({ messageId }) => messageId !== undefined && this.duplicates.find(messageId, now),
    );
  }

  /** True while something is staged behind what is flushed. */
  get hasStaged(): boolean {
    return this.#store.nextSequence(this.log) > this.#store.stats(this.log).nextSequence;
  }

  /** A commit is on disk. */
  onFlushed(): void {
    const { nextSequence } = this.#store.stats(this.log);
    this.staged.onFlushed(this.#store.nextSequence(this.log) - nextSequence);
  }

  /** Lets the log go before the floor, as far as it is flushed. */
  trim(): void {
    const { nextSequence, firstSequence } = this.#store.stats(this.log);
    const before = Math.min(this.deliveries.floor, nextSequence) as Sequence;
    if (before > firstSequence) {
      this.#store.trim(this.log, before, Number.MAX_SAFE_INTEGER as Ordinal);
    }
  }
}
