/** Queues on a memory store, a virtual clock and flushes by hand; for tests. */

import { Counters } from "../../src/broker/counters.ts";
import type { LogDelivery, Receiver } from "../../src/broker/delivery-receiver.ts";
import type { Due } from "../../src/broker/due.ts";
import { DuplicateWindows } from "../../src/broker/duplicate-windows.ts";
import { plainMessage } from "../../src/broker/message.ts";
import { trimFreeLogs } from "../../src/broker/named-logs.ts";
import { PatternCounts } from "../../src/broker/pattern-counts.ts";
import type { Queue } from "../../src/broker/queue.ts";
import type { QueueSettings } from "../../src/broker/queue-records.ts";
import { Queues, type SendOptions, type SendResult } from "../../src/broker/queues.ts";
import type { Ordinal } from "../../src/broker/store.ts";
import { TopicTable } from "../../src/broker/topic.ts";
import type { Clock, Instant } from "../../src/lib/clock.ts";
import { DeadlineHeap } from "../../src/lib/deadline-heap.ts";
import { MemoryDisk, MemoryStore } from "../../src/store/memory-store.ts";

export const DEFAULTS: Omit<QueueSettings, "name" | "filters"> = {
  bytesMax: 1_048_576,
  messagesMax: 1_000,
  deliveriesMax: 3,
  deadLetterQueue: undefined,
  visibilityMs: 30_000,
  expiryMs: 0,
  duplicateWindowMs: 120_000,
};

/** Somebody who takes messages and remembers them. */
export class Taker implements Receiver {
  room: number;
  readonly visibilityMs: number;
  readonly got: { text: string; delivery: number; count: number; visibleAt: number }[] = [];

  constructor(room = 1_000, visibilityMs = 30_000) {
    this.room = room;
    this.visibilityMs = visibilityMs;
  }

  deliver({ delivery, record, deliveryCount, visibleAt }: LogDelivery): void {
    this.room--;
    const text = Buffer.from(
      record.bytes.subarray(record.payloadStart, record.payloadEnd),
    ).toString();
    this.got.push({ text, delivery, count: deliveryCount, visibleAt });
  }

  onPumped(): void {}

  get texts(): string[] {
    return this.got.map(({ text }) => text);
  }
}

export class QueueBench {
  readonly disk = new MemoryDisk();
  readonly givenUp: string[] = [];
  readonly topics = new TopicTable();
  readonly #defaults: typeof DEFAULTS;
  readonly #identifierBytesMax: number;
  store!: MemoryStore;
  queues!: Queues;
  duplicates!: DuplicateWindows;
  deadlines!: DeadlineHeap<Due>;
  /** Messages given up that had to stay. */
  held = 0;
  /** Identifiers that were forgotten before their time. */
  forgotten = 0;
  ms = 1_000_000;
  /** Time spent off that has become known, and was before this; and how often somebody asked how old something is. */
  missed = { ms: 0, before: 0 };
  ages = 0;
  readonly #clock: Clock = {
    now: () => this.now,
    since: (stamp) => {
      this.ages++;
      return this.ms - stamp + (stamp < this.missed.before ? this.missed.ms : 0);
    },
    wallOf: (stamp) => stamp,
  };

  constructor(defaults: Partial<typeof DEFAULTS> = {}, identifierBytesMax = 1_048_576) {
    this.#defaults = { ...DEFAULTS, ...defaults };
    this.#identifierBytesMax = identifierBytesMax;
    this.#open();
  }

  get now(): Instant {
    return this.ms as Instant;
  }

  queue(name = "q"): Queue {
    const queue = this.queues.open(name);
    if (queue === undefined) throw new Error("too many queues");
    return queue;
  }

  send(text: string, options: SendOptions = {}, name = "q", expiryMs?: number): SendResult {
    const bytes = Buffer.from(text);
    const message = {
      ...plainMessage(this.topics.of(name), bytes, this.now),
      publisherId: "sender",
      expiresAt: expiryMs === undefined ? undefined : ((this.ms + expiryMs) as Instant),
    };
    return this.queues.send(this.queue(name), message, options);
  }

  /** Takes what there is, up to `room`, and stays for no more. */
  take(room = 1_000, name = "q", visibilityMs = 30_000): Taker {
    const taker = new Taker(room, visibilityMs);
    const queue = this.queue(name);
    queue.deliveries.addReceiver(taker);
    queue.deliveries.pump();
    queue.deliveries.removeReceiver(taker);
    return taker;
  }

  flush(): void {
    while (this.store.flush());
  }

  /** Lets time pass, flushing all the time. */
  advance(ms: number): void {
    const until = this.ms + ms;
    this.flush();
    for (;;) {
      const next = this.deadlines.next();
      if (next === undefined || next > until) break;
      this.ms = Math.max(this.ms, next);
      this.deadlines.takeDue(this.now)?.onDue(this.now);
      this.flush();
    }
    this.ms = until;
    this.queues.onChores();
    this.duplicates.onChores();
    trimFreeLogs(this.store, Number.MAX_SAFE_INTEGER as Ordinal);
    this.flush();
  }

  /** What was not flushed is gone. */
  crash(): void {
    this.#open();
  }

  #open(): void {
    this.store = new MemoryStore(this.disk, { flushes: "manual" });
    this.deadlines = new DeadlineHeap<Due>();
    const limits = { bytesMax: this.#identifierBytesMax };
    this.duplicates = new DuplicateWindows(this.store, this.#clock, limits, (count) => {
      this.forgotten += count;
    });
    this.queues = new Queues({
      duplicates: this.duplicates,
      store: this.store,
      topics: this.topics,
      deadlines: this.deadlines,
      clock: this.#clock,
      counts: new PatternCounts(),
      counters: new Counters(),
      limits: { queuesMax: 100, defaults: this.#defaults },
      configured: [],
      events: {
        onHeld: () => {
          this.held++;
        },
        onGivenUp: (queue, reason, to) => this.givenUp.push(`${queue} ${reason} ${to ?? "-"}`),
      },
    });
    this.store.listen({
      onSealing: () => this.queues.onSealing(),
      onFlushed: () => this.queues.onFlushed(),
      onFailed: (_commit, error) => {
        throw error;
      },
    });
    this.queues.recover();
    this.duplicates.recover();
  }
}
