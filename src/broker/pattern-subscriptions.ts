/** Subscriptions of MQTT clients to queues and streams (pattern-topics.ts): beside the subscription tree, because nothing is published to them. */
import type { Clock } from "../lib/clock.ts";
import type { PatternCounts } from "./pattern-counts.ts";
import { type PatternFilter, patternFilterOf } from "./pattern-topics.ts";
import type { Queue } from "./queue.ts";
import { QueueSubscription } from "./queue-subscription.ts";
import type { Session } from "./session.ts";
import type { Store } from "./store.ts";
import type { Stream } from "./stream.ts";
import { StreamSubscription } from "./stream-subscription.ts";
import type { SubscriptionOptions } from "./subscription-tree.ts";

/** One of them, for as long as its session has it. */
export interface PatternSubscription {
  /** As it was given with the latest SUBSCRIBE. */
  options: SubscriptionOptions;
  /** The session's client is there, and may be sent something. */
  attach(): void;
  /** It is gone. What it has not acknowledged comes back through the leases. */
  detach(): void;
  /** Sends what may be sent now. */
  pump(): void;
  /** A commit is on disk. */
  onFlushed(): void;
  /** Once a second. */
  onChores(): void;
}

/** What they need of the others. */
export interface PatternContext {
  readonly store: Store;
  readonly clock: Clock;
  /** The queue of this name, made when there is none; undefined: there are too many. */
  readonly queueOf: (name: string) => Queue | undefined;
  readonly streamOf: (name: string) => Stream | undefined;
  /** False: this turn has read enough. */
  readonly mayRead: () => boolean;
  /** It goes on with the next turn. */
  readonly onCut: (pumped: { pump(): void }) => void;
  readonly onDelivered: (qos: 0 | 1) => void;
  readonly streamCounts: PatternCounts;
  /** It has something to send: `pump` it at the end of the turn. */
  readonly onWork: (subscription: PatternSubscription) => void;
}

export class PatternSubscriptions {
  readonly #context: PatternContext;
  readonly #all = new Set<PatternSubscription>();
  #dirty = new Set<PatternSubscription>();

  constructor(context: Omit<PatternContext, "onWork">) {
    this.#context = { ...context, onWork: (subscription) => this.#dirty.add(subscription) };
  }

  /** How many there are, of all sessions. */
  get size(): number {
    return this.#all.size;
  }

  /** A session subscribes, for the first time or with other options: then it goes on where it is. */
  add(session: Session, topicFilter: string, options: SubscriptionOptions): void {
    const known = session.patterns.get(topicFilter);
    if (known !== undefined) {
      known.options = options;
      this.#dirty.add(known);
      return;
    }
    const pattern = patternFilterOf(topicFilter);
    // Found well formed before; on disk it may be damaged.
    if (pattern === undefined) return;
    const subscription = this.#make(session, topicFilter, pattern, options);
    session.patterns.set(topicFilter, subscription);
    this.#all.add(subscription);
    if (session.subscriber !== undefined) subscription.attach();
  }

  /** What was sent may still be acknowledged [MQTT-3.10.4-3]; what is not comes back when the client goes. */
  remove(session: Session, topicFilter: string): void {
    const subscription = session.patterns.get(topicFilter);
    if (subscription === undefined) return;
    session.patterns.delete(topicFilter);
    this.#all.delete(subscription);
    this.#dirty.delete(subscription);
    subscription.detach();
  }

  /** The session's window or output has room again, or its client is there. */
  touch(session: Session): void {
    for (const subscription of session.patterns.values()) this.#dirty.add(subscription);
  }

  /** The end of a turn. */
  pump(): void {
    if (this.#dirty.size === 0) return;
    const dirty = this.#dirty;
    this.#dirty = new Set();
    for (const subscription of dirty) subscription.pump();
  }

  onFlushed(): void {
    for (const subscription of this.#all) subscription.onFlushed();
  }

  onChores(): void {
    for (const subscription of this.#all) subscription.onChores();
  }

  #make(
    session: Session,
    topicFilter: string,
    pattern: PatternFilter,
    options: SubscriptionOptions,
  ): PatternSubscription {
    if (pattern.kind === "stream") {
      return new StreamSubscription(this.#context, session, topicFilter, pattern, options);
    }
    return new QueueSubscription(this.#context, session, pattern.name, options);
  }
}
