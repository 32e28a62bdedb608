/**
 * The retained messages that a new subscription gets, paced by the session's window: in the order of their topics, a page of
 * topics at a time, each looked up when its turn comes. So current values are sent, deleted ones are not, and a topic of
 * which the client got something newer meanwhile is left out.
 *
 * How far it came is a topic: all up to it are settled. That is on disk for a session that lasts, together with what is known of QoS 2
 * deliveries beyond it, so that after a crash it goes on there and no QoS 2 message comes twice.
 *
 *     topics   a b c d e f g h i j k l ...
 *              settled |  sent (window)  | page | not looked at
 *                 position
 */
import { RingBuffer } from "../lib/ring-buffer.ts";
import type { Message, QoS } from "./message.ts";
import { compareTopics } from "./retained-tree.ts";
import type { Topic } from "./topic.ts";

/** Topics of which something newer was delivered meanwhile; of more of them an older message may follow. */
const NEWER_MAX = 4_096;

/** Where the messages come from, and who is told how far it is. */
export interface ReplaySource {
  /** The next topics behind one, in order; none: that is all. */
  page(after: string | undefined): readonly Topic[];
  /** What is sent of a topic now; undefined: nothing. */
  lookUp(topic: Topic): Message | undefined;
  /** True when a live message on the topic is for this subscription. */
  matches(topic: string): boolean;
  /** All up to a topic are settled: to be on disk with the open group. */
  stagePosition(position: string): void;
  /** Everything is sent and settled. */
  onDone(): void;
}

/** One message that was sent. */
export interface ReplayStep {
  readonly topic: string;
  isSettled: boolean;
  /** The position has passed it, and what is on disk of it goes with that. */
  isPassed: boolean;
  /** What is on disk of it goes: QoS 2 in a session that lasts. */
  readonly forget: (() => void) | undefined;
}

export class RetainedReplay {
  readonly topicFilter: string;
  /** Granted QoS of the subscription. */
  readonly qos: QoS;
  readonly subscriptionIds: readonly number[] | undefined;
  readonly #source: ReplaySource;
  /** Sent and not all settled before, in order. */
  readonly #window = new RingBuffer<ReplayStep>();
  /** QoS 2 deliveries of the last run beyond the position, until the scan comes to them. */
  readonly #known = new Map<string, ReplayStep>();
  readonly #newer = new Set<string>();
  #page: readonly Topic[] = [];
  #index = 0;
  #scanned: string | undefined;
  #position: string | undefined;
  /** The position moved and is not staged. */
  #isDirty = false;
  #hasAll = false;
  #isOver = false;

  /** `after`: all up to this topic were settled in the last run. */
  constructor(
    subscription: {
      readonly topicFilter: string;
      readonly qos: QoS;
      readonly subscriptionId?: number | undefined;
    },
    source: ReplaySource,
    after: string | undefined,
  ) {
    const { topicFilter, qos, subscriptionId } = subscription;
    this.topicFilter = topicFilter;
    this.qos = qos;
    this.subscriptionIds = subscriptionId === undefined ? undefined : [subscriptionId];
    this.#source = source;
    this.#scanned = after;
    this.#position = after;
  }

  /** Done or cancelled. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** Nothing is left to be sent. */
  get isAtEnd(): boolean {
    return this.#hasAll && this.#index >= this.#page.length;
  }

  /** The next message that is to be sent; undefined at the end. */
  next(): Message | undefined {
    for (let topic = this.#nextTopic(); topic !== undefined; topic = this.#nextTopic()) {
      this.#scanned = topic.text;
      const known = this.#known.get(topic.text);
      if (known !== undefined) {
        this.#known.delete(topic.text);
        this.#window.push(known);
        this.#advance();
        continue;
      }
      if (this.#newer.delete(topic.text)) continue;
      const message = this.#source.lookUp(topic);
      if (message !== undefined) return message;
    }
    return undefined;
  }

  #nextTopic(): Topic | undefined {
    if (this.#index >= this.#page.length && !this.#hasAll) {
      this.#page = this.#source.page(this.#scanned);
      this.#index = 0;
      this.#hasAll = this.#page.length === 0;
    }
    return this.#page[this.#index++];
  }

  /** What is sent of a topic now. */
  lookUp(topic: Topic): Message | undefined {
    return this.#source.lookUp(topic);
  }

  /** The message that `next` gave is sent; it is settled with `settle`. */
  sent(topic: string, forget: (() => void) | undefined): ReplayStep {
    const step: ReplayStep = { topic, isSettled: false, isPassed: false, forget };
    this.#window.push(step);
    return step;
  }

  /** The last run had begun or finished this delivery. */
  know(topic: string, isSettled: boolean, forget: () => void): ReplayStep {
    // Once more than the scan can meet: a replay before this one had sent it, too.
    const isPassed = this.#known.has(topic);
    const step: ReplayStep = { topic, isSettled, isPassed, forget };
    if (!isPassed) this.#known.set(topic, step);
    else if (isSettled) forget();
    return step;
  }

  /** The client has it. False: what is on disk of it must say so, until the position has passed it. */
  settle(step: ReplayStep): boolean {
    step.isSettled = true;
    if (this.#isOver || step.isPassed) {
      step.forget?.();
      return true;
    }
    this.#advance();
    this.checkDone();
    return step.isPassed || this.#isOver;
  }

  /** Moves the position over what is settled. */
  #advance(): void {
    let hasForgotten = false;
    for (let step = this.#window.peek(); step?.isSettled === true; step = this.#window.peek()) {
      this.#window.shift();
      step.isPassed = true;
      this.#position = step.topic;
      this.#isDirty = true;
      step.forget?.();
      hasForgotten ||= step.forget !== undefined;
    }
    // In one commit with what says that they are done.
    if (hasForgotten) this.stagePosition();
  }

  /** Stages how far it came, if that is news. */
  stagePosition(): void {
    if (!this.#isDirty || this.#position === undefined || this.#isOver) return;
    this.#isDirty = false;
    this.#source.stagePosition(this.#position);
  }

  /** A newer message is delivered to the client: what is retained of its topic is not sent any more. */
  noteNewer(topic: string): void {
    if (this.#scanned !== undefined && compareTopics(topic, this.#scanned) <= 0) return;
    if (this.#newer.size < NEWER_MAX && this.#source.matches(topic)) this.#newer.add(topic);
  }

  /** Tells whom it concerns when all is sent and settled. */
  checkDone(): void {
    if (this.#isOver || this.#window.size > 0 || !this.isAtEnd) return;
    this.cancel();
    this.#source.onDone();
  }

  /** The subscription is gone or is served anew: nothing more is sent. */
  cancel(): void {
    this.#isOver = true;
    this.#hasAll = true;
    this.#page = [];
    this.#newer.clear();
    for (let step = this.#window.shift(); step !== undefined; step = this.#window.shift()) {
      if (step.isSettled) step.forget?.();
    }
    for (const step of this.#known.values()) if (step.isSettled) step.forget?.();
    this.#known.clear();
  }
}
