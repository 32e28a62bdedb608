/**
 * All queues: made, changed and deleted while the broker runs; what is sent to them, at once or after a delay; what they give
 * up; and their state at the seal of each group.
 */
import { after, type Clock, type Instant } from "../lib/clock.ts";
import type { DeadlineHeap } from "../lib/deadline-heap.ts";
import type { Counters } from "./counters.ts";
import { DelayedMessages } from "./delayed-messages.ts";
import type { Deliveries, Settled } from "./deliveries.ts";
import type { GiveUpReason } from "./deliveries-context.ts";
import type { Due } from "./due.ts";
import { dueSchedule } from "./due-schedule.ts";
import type { DuplicateWindows } from "./duplicate-windows.ts";
import type { Message, MessageAttributes } from "./message.ts";
import { openNamedLog, releaseNamedLog } from "./named-logs.ts";
import type { PatternCounts } from "./pattern-counts.ts";
import { nameInTopic, QUEUE_TOPIC } from "./pattern-topics.ts";
import { Queue, type QueueContext } from "./queue.ts";
import {
  decodeQueue,
  encodeQueue,
  QUEUE_PREFIX,
  type QueueSettings,
  queueKey,
} from "./queue-records.ts";
import type { CommitNumber, LogRecord, Sequence, Store } from "./store.ts";
import { filterMatches, type Topic, type TopicTable } from "./topic.ts";

const NONE: readonly Queue[] = [];
/** In front of the name of its log. */
const LOG_PREFIX = "queue/";

export interface QueueLimits {
  readonly queuesMax: number;
  /** What a queue that is made by its first use is told. */
  readonly defaults: Omit<QueueSettings, "name" | "filters">;
}

/** What is lost or moved, for counters and the log. */
export interface QueueEvents {
  readonly onGivenUp: (queue: string, reason: GiveUpReason, to: string | undefined) => void;
  /** A message that was given up stays, hidden, because its dead letter queue has no room. */
  readonly onHeld: () => void;
}

/** How a message is to be treated. */
export interface SendOptions {
  readonly messageId?: string | undefined;
  readonly delayMs?: number | undefined;
  readonly deliveriesMax?: number | undefined;
  readonly deadLetterQueue?: string | undefined;
  readonly reroutedFrom?: string | undefined;
}

/** What became of a send. */
export type SendResult =
  | {
      readonly isTaken: true;
      /** Undefined while it is delayed. */
      readonly sequence: Sequence | undefined;
      readonly delayedUntil: Instant | undefined;
      readonly isDuplicate: boolean;
      /** What its answer waits for. */
      readonly commit: CommitNumber;
    }
  | { readonly isTaken: false; readonly refusal: "full" };

export interface QueuesContext {
  readonly store: Store;
  readonly topics: TopicTable;
  readonly deadlines: DeadlineHeap<Due>;
  readonly clock: Clock;
  readonly duplicates: DuplicateWindows;
  readonly limits: QueueLimits;
  readonly counts: PatternCounts;
  readonly counters: Counters;
  /** Those of the configuration: always there, as it says. */
  readonly configured: readonly QueueSettings[];
  readonly events: QueueEvents;
}

export class Queues {
  readonly #context: QueuesContext;
  readonly #queueContext: QueueContext;
  readonly #queues = new Map<string, Queue>();
  readonly #byNumber = new Map<number, Queue>();
  readonly #delayed: DelayedMessages;
  /** Of queues whose state changes with the open group. */
  readonly #changed = new Set<Deliveries>();
  /** Queues with messages that are not flushed yet. */
  readonly #fed = new Set<Queue>();
  #lastNumber = 0;
  /** Grows when filters may match otherwise than before. */
  #filtersVersion = 0;

  constructor(context: QueuesContext) {
    this.#context = context;
    const { store, clock, deadlines, duplicates, counts } = context;
    this.#queueContext = {
      store,
      clock,
      counts,
      duplicates,
      changed: this.#changed,
      schedule: dueSchedule<Queue>(deadlines, (queue, time) => {
        if (!queue.isDeleted) queue.deliveries.onDue(time);
      }),
      giveUp: (queue, record, to, reason) => this.#giveUp(queue, record, to, reason),
      onHeld: context.events.onHeld,
    };
    this.#delayed = new DelayedMessages({
      store,
      topics: context.topics,
      deadlines,
      clock,
      onDue: (number, message, bytes) => this.#onDelayOver(number, message, bytes),
    });
  }

  get size(): number {
    return this.#queues.size;
  }

  /** How many more there may be. */
  get roomLeft(): number {
    return Math.max(0, this.#context.limits.queuesMax - this.#queues.size);
  }

  all(): IterableIterator<Queue> {
    return this.#queues.values();
  }

  /** False: it comes from the configuration and is changed there. */
  isMadeAtRunTime({ name }: Queue): boolean {
    return !this.#context.configured.some((settings) => settings.name === name);
  }

  get(name: string): Queue | undefined {
    return this.#queues.get(name);
  }

  /** Reads what is on disk. Returns how many records were damaged. */
  recover(): number {
    const { store } = this.#context;
    let damaged = 0;
    for (const [key, value] of store.scan("meta", QUEUE_PREFIX)) {
      const record = decodeQueue(value);
      if (record === undefined) {
        damaged++;
        store.remove("meta", key);
        continue;
      }
      this.#lastNumber = Math.max(this.#lastNumber, record.number);
      const queue = this.#enter(record.number, record.settings);
      damaged += queue.deliveries.recover();
    }
    for (const settings of this.#context.configured) {
      const known = this.#queues.get(settings.name);
      if (known === undefined) this.#make(settings);
      else if (JSON.stringify(known.settings) !== JSON.stringify(settings)) {
        this.update(known, settings);
      }
    }
    damaged += this.#delayed.recover((number, bytes) => {
      const queue = this.#byNumber.get(number);
      if (queue === undefined) return false;
      queue.delayedMessages++;
      queue.delayedBytes += bytes;
      return true;
    });
    return damaged;
  }

  /** The queue of this name, made with the defaults when there is none; undefined: there are too many. */
  open(name: string): Queue | undefined {
    const known = this.#queues.get(name);
    if (known !== undefined) return known;
    return this.create({ ...this.#context.limits.defaults, name, filters: [] });
  }

  /** Makes a queue that is not there; undefined: there are too many. Goes with the open group. */
  create(settings: QueueSettings): Queue | undefined {
    if (this.roomLeft > 0) return this.#make(settings);
    this.#context.counters.limitQueues++;
    return undefined;
  }

  #make(settings: QueueSettings): Queue {
    const { store } = this.#context;
    const number = ++this.#lastNumber;
    store.put("meta", queueKey(settings.name), encodeQueue({ version: 1, number, settings }));
    return this.#enter(number, settings);
  }

  /** Changes what a queue is told; from now on. */
  update(queue: Queue, settings: QueueSettings): CommitNumber {
    const { store } = this.#context;
    queue.settings = settings;
    queue.duplicates.windowMs = settings.duplicateWindowMs;
    this.#filtersVersion++;
    const record = { version: 1, number: queue.number, settings } as const;
    store.put("meta", queueKey(settings.name), encodeQueue(record));
    return store.openCommit;
  }

  /** Deletes a queue with all that is in it; the space comes back. Its receivers are the caller's affair. */
  delete(queue: Queue): CommitNumber {
    const { store, duplicates } = this.#context;
    this.purge(queue);
    queue.isDeleted = true;
    queue.deliveries.forget();
    this.#queues.delete(queue.name);
    this.#byNumber.delete(queue.number);
    this.#fed.delete(queue);
    this.#filtersVersion++;
    store.remove("meta", queueKey(queue.name));
    duplicates.close(queue.duplicates);
    releaseNamedLog(store, queue.log);
    return store.openCommit;
  }

  /**
   * Sends a message; copies what it needs of it. `mustTake`: limits do not count (dead letters and what is moved: it was within
   * the limits where it comes from). Whether the store has room is asked before.
   */
  send(queue: Queue, message: Message, options: SendOptions = {}, mustTake = false): SendResult {
    const { store, clock } = this.#context;
    const at = clock.now();
    const { messageId, delayMs = 0 } = options;
    if (messageId !== undefined) {
      const known = queue.duplicates.find(messageId, at);
      if (known !== undefined) {
        const sequence = known.sequence === 0 ? undefined : known.sequence;
        const { commit } = known;
        return { isTaken: true, sequence, delayedUntil: undefined, isDuplicate: true, commit };
      }
    }
    if (!mustTake && queue.isFull) return { isTaken: false, refusal: "full" };
    const kept = withAttributes(message, queue.settings, options, at);
    this.#context.counts.countIn(message);
    const delayedUntil = delayMs > 0 ? after(at, delayMs) : undefined;
    let sequence: Sequence | undefined;
    if (delayedUntil === undefined) sequence = this.#append(queue, kept);
    else {
      queue.delayedMessages++;
      queue.delayedBytes += this.#delayed.add(delayedUntil, queue.number, kept);
    }
    const commit = store.openCommit;
    if (messageId !== undefined) {
      queue.duplicates.remember({ messageId, sequence: sequence ?? (0 as Sequence), commit, at });
    }
    return { isTaken: true, sequence, delayedUntil, isDuplicate: false, commit };
  }

  /** Moves deliveries to the end of a queue (the same or another one), in one commit. */
  requeue(from: Queue, deliveries: readonly number[], to: Queue, delayMs: number): Settled {
    return from.deliveries.move(deliveries, (record) => {
      const { deliveriesMax, deadLetterQueue } = record.properties?.attributes ?? {};
      const reroutedFrom = to === from ? undefined : from.name;
      const options = { delayMs, deliveriesMax, deadLetterQueue, reroutedFrom };
      this.send(to, record, options, true);
    });
  }

  /** Settles everything in a queue, delayed messages too; returns how many. */
  purge(queue: Queue): { readonly count: number; readonly commit: CommitNumber } {
    const { count, commit } = queue.deliveries.purge();
    const delayed = queue.delayedMessages;
    if (delayed > 0) this.#delayed.removeAll(queue.number);
    queue.delayedMessages = 0;
    queue.delayedBytes = 0;
    return { count: count + delayed, commit };
  }

  /** Whether publishes to a topic go into a queue. Hot path: per message. */
  takes(topic: Topic): boolean {
    return this.#queues.size > 0 && this.of(topic).length > 0;
  }

  /** The queues that publishes to a topic go into. Hot path: per message; looked up once per topic. */
  of(topic: Topic): readonly Queue[] {
    if (topic.queuesVersion !== this.#filtersVersion) {
      topic.queuesVersion = this.#filtersVersion;
      const found = [...this.#queues.values()].filter(({ settings }) =>
        settings.filters.some((filter) => filterMatches(filter, topic.text)),
      );
      const named = this.#queues.get(nameInTopic(topic.text, QUEUE_TOPIC) ?? "");
      if (named !== undefined && !found.includes(named)) found.push(named);
      topic.queues = found.length === 0 ? NONE : found;
    }
    return topic.queues as readonly Queue[];
  }

  /** The open group is being sealed. */
  onSealing(): void {
    for (const deliveries of this.#changed) deliveries.onSealing();
    this.#changed.clear();
  }

  /** A commit is on disk: what it brought may be handed out. */
  onFlushed(): void {
    if (this.#fed.size === 0) return;
    const fed = [...this.#fed];
    this.#fed.clear();
    for (const queue of fed) {
      if (queue.isDeleted) continue;
      queue.onFlushed();
      queue.trim();
      queue.deliveries.pump();
      queue.deliveries.onFlushed();
      // Staged behind the commit that was flushed: asked again after the next.
      if (queue.hasStaged) this.#fed.add(queue);
    }
  }

  /** Time spent off has become known. */
  onAged(): void {
    for (const { deliveries } of this.#queues.values()) deliveries.onAged();
    this.#delayed.onAged();
  }

  /** Once a second: what is too old is given up. */
  onChores(): void {
    for (const { deliveries } of this.#queues.values()) {
      if (deliveries.receiverCount === 0) deliveries.expireFront();
    }
  }

  #enter(number: number, settings: QueueSettings): Queue {
    const log = openNamedLog(this.#context.store, `${LOG_PREFIX}${settings.name}`);
    const queue = new Queue(this.#queueContext, number, log, settings);
    this.#queues.set(settings.name, queue);
    this.#byNumber.set(number, queue);
    this.#filtersVersion++;
    return queue;
  }

  #append(queue: Queue, message: Message): Sequence {
    const { store } = this.#context;
    const sequence = store.nextSequence(queue.log);
    queue.deliveries.onAppended(store.append(queue.log, message));
    queue.staged.add(message);
    this.#fed.add(queue);
    return sequence;
  }

  #onDelayOver(number: number, message: Message, bytes: number): void {
    const queue = this.#byNumber.get(number);
    if (queue === undefined) return;
    queue.delayedMessages--;
    queue.delayedBytes -= bytes;
    this.#append(queue, message);
  }

  /** False: it is to be kept and there is no room for it, in the dead letter queue, for one more queue, or in the store. */
  #giveUp(
    queue: Queue,
    record: LogRecord | undefined,
    to: string | undefined,
    reason: GiveUpReason,
  ): boolean {
    const { store, events } = this.#context;
    const isKept = record !== undefined && to !== undefined && to !== queue.name;
    if (!isKept) {
      events.onGivenUp(queue.name, reason, undefined);
      return true;
    }
    const target = store.refusal() === undefined ? this.open(to) : undefined;
    if (target === undefined || target.isFull) return false;
    // It does not expire there, nor is it given up again.
    const message = { ...record, expiresAt: undefined };
    this.send(target, message, { reroutedFrom: queue.name }, true);
    events.onGivenUp(queue.name, reason, to);
    return true;
  }
}

/** The message as the queue keeps it. */
function withAttributes(
  message: Message,
  settings: QueueSettings,
  options: SendOptions,
  at: Instant,
): Message {
  if (keepsAsItIs(message, settings, options)) return message;
  const { messageId, deliveriesMax, deadLetterQueue, reroutedFrom, delayMs = 0 } = options;
  const attributes: MessageAttributes = {
    ...(messageId === undefined ? {} : { messageId }),
    ...(deliveriesMax === undefined ? {} : { deliveriesMax }),
    ...(deadLetterQueue === undefined ? {} : { deadLetterQueue }),
    ...(reroutedFrom === undefined ? {} : { reroutedFrom }),
  };
  const hasAny = Object.keys(attributes).length > 0;
  const { attributes: _before, ...others } = message.properties ?? {};
  const properties = hasAny
    ? { ...others, attributes }
    : message.properties === undefined
      ? undefined
      : others;
  // Counted from when it can be received.
  const limit = settings.expiryMs > 0 ? after(at, settings.expiryMs + delayMs) : undefined;
  const expiresAt = reroutedFrom === undefined ? (message.expiresAt ?? limit) : message.expiresAt;
  return { ...message, properties, expiresAt };
}

/** Nothing is to be added to the message, nor to be taken off. Hot path: per message. */
const keepsAsItIs = (
  { properties }: Message,
  settings: QueueSettings,
  { messageId, deliveriesMax, deadLetterQueue, reroutedFrom }: SendOptions,
): boolean =>
  settings.expiryMs === 0 &&
  messageId === undefined &&
  deliveriesMax === undefined &&
  deadLetterQueue === undefined &&
  reroutedFrom === undefined &&
  properties?.attributes === undefined;
