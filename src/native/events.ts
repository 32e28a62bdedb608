/** Events: publishing them, and subs that get them at most once, within their credit; what finds none is dropped, and that is told. */

import type { Message } from "../broker/message.ts";
import { PublishOutcome } from "../broker/publish-room.ts";
import type { Topic } from "../broker/topic.ts";
import type { Caller } from "./caller.ts";
import {
  checkContent,
  checkFilter,
  checkTopic,
  fillContent,
  messageOf,
  wallOf,
} from "./content.ts";
import type { DropNotices } from "./drop-notices.ts";
import type { EventFrame, PublishFrame, SubscribeFrame } from "./frame.ts";
import { type Handled, HOLD, Refusal } from "./refusal.ts";
import { mustPublish, mustSubscribe } from "./rights.ts";
import type { Sub } from "./subs.ts";

/** Topics of retained messages looked up at a time. */
const PAGE_TOPICS = 256;

/** Hot path: per event that is published. */
export function publish(caller: Caller, frame: PublishFrame & { readonly topic: string }): Handled {
  const { broker, options, session } = caller;
  const { counters } = broker;
  const { id, topic, retain = false } = frame;
  checkTopic(topic, options, counters);
  checkContent(frame, options, counters);
  if (retain && !options.isRetainAvailable) {
    throw new Refusal("bad-frame", "there are no retained messages here");
  }
  mustPublish(caller, topic);
  const message = messageOf(frame, {
    topic: broker.topics.of(topic),
    qos: id === undefined ? 0 : 1,
    retain,
    publisherId: session.clientId,
    now: broker.clock.now(),
  });
  const outcome = broker.publish(message, session);
  if (outcome === PublishOutcome.hold) return HOLD;
  if (outcome === PublishOutcome.refused) {
    throw new Refusal("full", "there is no room for all who are owed it");
  }
  counters.payloadBytesReceived += message.payloadEnd;
  if (id === undefined) counters.messagesReceivedQos0++;
  else counters.messagesReceivedQos1++;
  const result = outcome === PublishOutcome.noSubscribers ? { reached: false } : {};
  caller.answer(id, broker.publishCommit, result);
  return undefined;
}

/** One filter of a connection. */
export class EventSub implements Sub {
  readonly id: number;
  readonly topicFilter: string;
  credit: number;
  /** Dropped and not told yet. */
  dropped = 0;
  readonly #caller: Caller;
  readonly #notices: DropNotices;
  readonly #noLocal: boolean;
  /** Undefined: nothing retained is to be sent (any more). */
  #replayed: string | undefined;
  /** The next topics with retained messages, and the first of them that is not sent. */
  #page: readonly Topic[] = [];
  #next = 0;

  constructor(
    caller: Caller,
    notices: DropNotices,
    id: number,
    topicFilter: string,
    { credit, noLocal = false }: SubscribeFrame,
  ) {
    this.#caller = caller;
    this.#notices = notices;
    this.id = id;
    this.topicFilter = topicFilter;
    this.credit = caller.subs.creditOf(credit);
    this.#noLocal = noLocal;
  }

  /** Sends what is retained for this filter, as there is credit. */
  replay(filter: string): void {
    this.#replayed = filter;
    this.pump();
  }

  /** Hot path: per event. */
  deliver(message: Message, retained: boolean): void {
    if (this.credit <= 0 || !this.#caller.hasRoom) {
      this.#caller.broker.counters.droppedSlowSubscriber++;
      this.miss();
      return;
    }
    this.#send(message, retained);
  }

  /** An event is dropped. */
  miss(): void {
    this.dropped++;
    this.#notices.add(this);
  }

  pump(): void {
    while (this.#replayed !== undefined && this.credit > 0 && this.#caller.hasRoom) {
      if (this.#next < this.#page.length || this.#turnPage(this.#replayed)) this.#replayNext();
      else this.#replayed = undefined;
    }
  }

  isAllowed(): boolean {
    return this.#caller.session.subscriptions.has(this.topicFilter);
  }

  close(): void {
    const { broker, session } = this.#caller;
    this.#replayed = undefined;
    this.#page = [];
    this.#notices.delete(this);
    // A session that has ended has none, and its clientId may have another one by now.
    if (!session.hasEnded) broker.subscriptions.unsubscribe(session, [this.topicFilter], []);
  }

  /** False: there are no more. */
  #turnPage(filter: string): boolean {
    const { retained, clock } = this.#caller.broker;
    this.#page = retained.page(filter, this.#page.at(-1)?.text, PAGE_TOPICS, clock);
    this.#next = 0;
    return this.#page.length > 0;
  }

  #replayNext(): void {
    const { broker, session } = this.#caller;
    const topic = this.#page[this.#next++];
    const message = topic === undefined ? undefined : broker.retained.get(topic);
    if (message === undefined) return;
    if (this.#noLocal && message.publisherId === session.clientId) return;
    this.#send(message, true);
  }

  #send(message: Message, retained: boolean): void {
    const { clock } = this.#caller.broker;
    this.credit--;
    const frame: EventFrame = {
      op: "event",
      sub: this.id,
      topic: message.topic.text,
      publishedAt: wallOf(clock, message.receivedAt),
      ...(retained ? { retained } : {}),
    };
    this.#caller.broker.counters.payloadBytesSent += message.payloadEnd - message.payloadStart;
    this.#caller.send(fillContent(frame, message, clock));
  }
}

/** Makes a sub of events. */
export function subscribe(caller: Caller, notices: DropNotices, frame: SubscribeFrame): void {
  const { broker, options, session, subs } = caller;
  const { filter, group, noLocal = false, retained = false } = frame;
  checkFilter(filter, options, broker.counters);
  if (group !== undefined && (retained || noLocal)) {
    throw new Refusal("bad-frame", "a group has neither retained nor noLocal");
  }
  mustSubscribe(caller, filter);
  const topicFilter = group === undefined ? filter : `$share/${group}/${filter}`;
  if (session.subscriptions.has(topicFilter)) {
    throw new Refusal("exists", "this connection has a sub of this filter");
  }
  const id = subs.nextId();
  const results: boolean[] = [];
  const subscription = {
    qos: 0,
    noLocal,
    retainAsPublished: false,
    retainHandling: 2,
    subscriptionId: id,
  } as const;
  broker.subscribe(session, { filters: [{ topicFilter, options: subscription }], results });
  if (results[0] !== true) {
    broker.counters.limitSubscriptions++;
    throw new Refusal("limit-exceeded", "too many subscriptions");
  }
  const sub = new EventSub(caller, notices, id, topicFilter, frame);
  subs.add(sub);
  caller.reply(frame.id, { sub: id });
  if (retained) sub.replay(filter);
}
