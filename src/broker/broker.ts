/**
 * The broker: routes what is published, stages what must be durable, and when the store says that a commit is on disk
 * hands on what waited for it. Sans-IO: time comes from the clock, deadlines go out through `deadlines`, the rim calls
 * `endTurn` once per turn of the event loop.
 *
 * Who gets a message when:
 * - QoS 0 deliveries, and QoS 1 deliveries to sessions that end with their connection: at once, in parallel with the write.
 * - QoS 1 and 2 deliveries to durable sessions: after the flush, by reference to the log.
 * - A shared subscription is one subscriber: it hands each message to one of its members, in the same way.
 * - A message published with QoS 2 that is stored: to everybody after the flush, so that a crash makes no copy.
 *
 * A little long: publish, seal and flush work on the same state and are read together.
 */
import type { Clock, Instant } from "../lib/clock.ts";
import { DeadlineHeap } from "../lib/deadline-heap.ts";
import { AcknowledgementGate } from "./acknowledgements.ts";
import type { Principal } from "./authenticator.ts";
import type { Authorizer } from "./authorization.ts";
import type { BrokerOptions } from "./broker-options.ts";
import { createConsumers, createQueues, createSystem } from "./broker-parts.ts";
import type { Consumers } from "./consumers.ts";
import { Counters } from "./counters.ts";
import type { Due } from "./due.ts";
import { DuplicateWindows } from "./duplicate-windows.ts";
import { FanOut, mayReceive } from "./fan-out.ts";
import type { PatternLimits } from "./limits.ts";
import { LogUpkeep } from "./log-upkeep.ts";
import { copyMessage, type Message } from "./message.ts";
import { NumberedRecords } from "./numbered-records.ts";
import { newPatternCounts } from "./pattern-counts.ts";
import { PatternSubscriptions } from "./pattern-subscriptions.ts";
import { isPatternTopic } from "./pattern-topics.ts";
import { hasDurable, PublishOutcome, PublishRoom } from "./publish-room.ts";
import type { Queues } from "./queues.ts";
import { Requests } from "./requests.ts";
import { RetainedMessages } from "./retained-messages.ts";
import { type AcceptedEvent, Routing } from "./routing.ts";
import type { Session } from "./session.ts";
import {
  type ConnectRefusal,
  type ConnectRequest,
  type ConnectResult,
  Sessions,
} from "./sessions.ts";
import { SharedSubscriptions, type TreeSubscriber } from "./shared-subscriptions.ts";
import {
  type CommitNumber,
  type LogRecord,
  NO_COMMIT,
  SESSION_LOG,
  type Store,
  type StoreEvents,
} from "./store.ts";
import type { Stream } from "./stream.ts";
import { Streams } from "./streams.ts";
import { SubscriptionIndex } from "./subscription-index.ts";
import { type RouteTarget, SubscriptionTree } from "./subscription-tree.ts";
import { type SubscribeRequest, Subscriptions } from "./subscriptions.ts";
import type { SysTopics, SystemCore } from "./sys-topics.ts";
import { type Topic, TopicTable } from "./topic.ts";
import { WaitingWork } from "./waiting-work.ts";
import { Wills } from "./wills.ts";

/** How often what nobody needs is let go and lazy records are staged. */
const CHORES_INTERVAL_MS = 1_000;
/** The same while much is copied into spills. */
const SPILL_INTERVAL_MS = 100;

/** Somebody who reads logs by a cursor of its own. */
export interface FlushReader {
  /** There may be more to read, or nothing any more. */
  onFlushed(): void;
}

export class Broker implements StoreEvents {
  readonly topics = new TopicTable();
  readonly counters = new Counters();
  readonly patternCounts = newPatternCounts();
  readonly gate = new AcknowledgementGate();
  readonly deadlines = new DeadlineHeap<Due>();
  readonly clock: Clock;
  readonly authorizer: Authorizer;
  readonly duplicates: DuplicateWindows;
  readonly streams: Streams;
  readonly retained: RetainedMessages;
  readonly sessions: Sessions;
  readonly subscriptions: Subscriptions;
  readonly shared: SharedSubscriptions;
  readonly patterns: PatternSubscriptions;
  readonly queues: Queues;
  readonly consumers: Consumers;
  readonly requests: Requests;
  readonly routing: Routing;
  /** They add and remove themselves. */
  readonly readers = new Set<FlushReader>();
  /** The commit that the acknowledgement of the last accepted publish waits for. */
  publishCommit: CommitNumber = NO_COMMIT;
  readonly #options: BrokerOptions;
  readonly #store: Store;
  readonly #tree = new SubscriptionTree<TreeSubscriber>();
  readonly #index: SubscriptionIndex;
  readonly #numbers: NumberedRecords;
  readonly #wills: Wills;
  readonly #system: SysTopics | undefined;
  readonly #fanOut: FanOut;
  readonly #room: PublishRoom;
  readonly #waiting: WaitingWork;
  readonly #upkeep: LogUpkeep;
  #choresDeadline = 0;

  constructor(options: BrokerOptions) {
    this.#options = options;
    this.#store = options.store;
    this.clock = options.clock;
    this.authorizer = options.authorizer;
    const { store, clock, limits } = options;
    const { deadlines, counters } = this;
    this.#waiting = new WaitingWork(options, deadlines, counters);
    this.#fanOut = new FanOut(store, this.authorizer, counters);
    this.duplicates = new DuplicateWindows(store, clock, limits.patterns.duplicates, (count) => {
      counters.identifiersForgotten += count;
    });
    this.streams = new Streams(options.streams, store, this.duplicates, this.patternCounts.stream);
    this.#system = createSystem(
      options,
      this,
      () => this.#tree.hasFirstLevel("$SYS"),
      (message) => this.#publishSystem(message),
      () => this.#systemCore(),
    );
    this.retained = new RetainedMessages(store, limits.retained, this.#system);
    this.#wills = new Wills(store, deadlines, (message, principal) =>
      this.#publishWill(message, principal),
    );
    const outboundEvents = this.#waiting.events;
    const tree = this.#tree;
    this.#numbers = new NumberedRecords(store);
    this.shared = new SharedSubscriptions(
      store,
      this.#numbers,
      tree,
      limits.outbound,
      outboundEvents,
    );
    this.patterns = new PatternSubscriptions({
      store,
      clock,
      queueOf: (name) => this.queues.open(name),
      streamOf: (name) => this.streams.get(name),
      mayRead: outboundEvents.mayRead,
      onCut: outboundEvents.onCut,
      onDelivered: (qos) => outboundEvents.onDelivered(qos),
      streamCounts: this.patternCounts.stream,
    });
    this.#index = new SubscriptionIndex(tree, this.shared, this.patterns);
    const numbers = this.#numbers;
    const index = this.#index;
    const context = { store, clock, deadlines, limits, index, numbers, wills: this.#wills };
    this.sessions = new Sessions({ ...context, outboundEvents, counters });
    this.subscriptions = new Subscriptions(store, clock, limits, index, this.retained);
    this.queues = createQueues(options, this);
    this.consumers = createConsumers(options, this);
    this.#upkeep = new LogUpkeep(options, this);
    this.#room = new PublishRoom(store, this.#fanOut, this.retained, this.queues, limits.outbound);
    this.requests = this.#createRequests();
    this.routing = this.#createRouting();
  }

  get store(): Store {
    return this.#store;
  }

  /**
   * Copies what sessions are owed of the records of a stream before a sequence (undefined: of all), so that these can go: who was
   * promised a message gets it. A step, with the open group; false: to be called again after the flush.
   */
  copyOwed(stream: Stream, before: number | undefined): boolean {
    const bound = stream.ordinalBound(before);
    return bound === undefined || this.sessions.spillBelow(bound);
  }

  /** What is made while it runs, and with which settings where nothing else is said. */
  get patternLimits(): PatternLimits {
    return this.#options.limits.patterns;
  }

  /** Number of subscriptions of all sessions. */
  get subscriptionCount(): number {
    return this.#index.size;
  }

  /** How many sessions a message on this topic would go to. */
  subscribersOf(topic: Topic): number {
    return this.#tree.route(topic).length;
  }

  /** Reads what is on disk; before anything else. Returns how many records were damaged. */
  recover(): number {
    const now = this.clock.now();
    this.#store.listen(this);
    let damaged = this.streams.recover() + this.queues.recover() + this.consumers.recover();
    damaged += this.duplicates.recover();
    damaged += this.retained.recover(this.topics);
    this.retained.scheduleExpiries(this.clock);
    damaged += this.sessions.recover((session, s) => this.subscriptions.replay(session, s));
    const expiryOf = (clientId: string): number => this.sessions.get(clientId)?.expiryMs ?? 0;
    damaged += this.#wills.recover(this.topics, now, expiryOf);
    // The rules may have changed while nothing ran.
    this.onPolicyChanged();
    this.#doChores(now);
    return damaged;
  }

  connect(request: ConnectRequest): ConnectResult | ConnectRefusal {
    return this.sessions.connect(request);
  }

  /**
   * The authorizer's answers may have changed: subscriptions that are not allowed any more end, and what was owed
   * before is looked at again before it is delivered. Returns how many subscriptions ended.
   */
  onPolicyChanged(): number {
    let count = 0;
    for (const session of this.sessions.all()) {
      const { principal, clientId } = session;
      const revoked = [...session.subscriptions.keys()].filter(
        (topicFilter) => !this.authorizer.maySubscribe(principal, clientId, topicFilter),
      );
      if (revoked.length > 0) this.subscriptions.unsubscribe(session, revoked, []);
      for (const topicFilter of revoked) this.#options.onSubscriptionRevoked(session, topicFilter);
      count += revoked.length;
      const isAllowed = (topic: Topic): boolean => mayReceive(this.authorizer, session, topic);
      session.outbound.recheck(this.authorizer.isOpen ? undefined : isAllowed);
      session.subscriber?.onRulesChanged?.();
    }
    return count;
  }

  subscribe(session: Session, request: SubscribeRequest): CommitNumber {
    return this.subscriptions.subscribe(session, request);
  }

  /**
   * Publishes a message. The result says whether it is accepted; then `publishCommit` is what its acknowledgement waits
   * for. `hold`: there is no room just now; try again when `whenRoom` calls. Hot path: per message.
   */
  publish(message: Message, publisher: Session | undefined): PublishOutcome {
    const to = this.routing.rulesOf(message.topic);
    if (to.length === 0) return this.#publishHere(message, publisher);
    const refusal = this.routing.refusalOfRules(message, to, publisher);
    if (refusal === "busy") return PublishOutcome.hold;
    if (refusal === "full" && message.qos > 0) return PublishOutcome.refused;
    const outcome = this.#publishHere(message, publisher);
    const isTaken = outcome === PublishOutcome.accepted || outcome === PublishOutcome.noSubscribers;
    if (!isTaken) return outcome;
    if (refusal === "full") {
      // QoS 0 promises nothing.
      this.counters.droppedNotStored++;
      return outcome;
    }
    const commit = this.publishCommit;
    this.publishCommit = laterOf(commit, this.routing.sendByRules(message, to, publisher));
    return PublishOutcome.accepted;
  }

  #publishHere(message: Message, publisher: Session | undefined): PublishOutcome {
    const route = this.#tree.route(message.topic);
    const stream = this.streams.of(message.topic);
    const isQueued = this.queues.takes(message.topic);
    this.publishCommit = NO_COMMIT;
    const isReply = this.requests.takesConvention(message);
    if (message.qos === 0 && stream === undefined && !message.retain && !isQueued) {
      message.topic.messages++;
      for (const target of route) this.#fanOut.deliverQos0(message, target, publisher);
      return PublishOutcome.accepted;
    }
    const outcome = this.#publishDurably(message, publisher, route, stream);
    return isReply && outcome === PublishOutcome.noSubscribers ? PublishOutcome.accepted : outcome;
  }

  /** Publishes what the broker itself has to say (wills): never held back, never refused, control has a reserve. */
  publishInternal(message: Message, principal: Principal): void {
    const stream = this.streams.of(message.topic);
    // A will is its client's own message: No Local holds for it [MQTT-3.8.3-3].
    const publisher = this.sessions.get(message.publisherId);
    this.#accept(message, publisher, principal, this.#tree.route(message.topic), stream);
    const to = this.routing.rulesOf(message.topic);
    if (to.length > 0) this.routing.sendByRules(message, to, publisher);
  }

  #createRouting(): Routing {
    const { streams, queues, topics, authorizer } = this;
    return new Routing({
      settings: this.#options.routing,
      store: this.#store,
      streams,
      queues,
      topics,
      authorizer,
      check: (message, publisher) => {
        const route = this.#tree.route(message.topic);
        const stream = streams.of(message.topic);
        if (!this.#room.needsStore(message, publisher, route, stream)) return undefined;
        const refusal = this.#room.refusal(message, stream, route, publisher);
        if (refusal === PublishOutcome.accepted) return undefined;
        return refusal === PublishOutcome.hold ? "busy" : "full";
      },
      accept: (message, publisher) => this.#acceptRouted(message, publisher),
    });
  }

  #acceptRouted(message: Message, publisher: Session | undefined): AcceptedEvent {
    const route = this.#tree.route(message.topic);
    const stream = this.streams.of(message.topic);
    this.publishCommit = NO_COMMIT;
    const principal = publisher?.principal;
    this.#accept(message, publisher, principal, route, stream);
    const isHeard = route.length > 0 || stream !== undefined || this.queues.takes(message.topic);
    return { isHeard, commit: this.publishCommit };
  }

  #createRequests(): Requests {
    const { clock, deadlines, authorizer, counters, topics } = this;
    return new Requests({
      clock,
      deadlines,
      authorizer,
      counters,
      topics,
      counts: this.patternCounts,
      limits: this.#options.limits.patterns.requests,
      newToken: this.#options.newToken,
      route: (topic) => this.#tree.route(topic),
      sessionOf: (clientId) => this.sessions.get(clientId),
      publish: (message, publisher) => {
        const outcome = this.publish(message, publisher);
        if (outcome === PublishOutcome.accepted) return "taken";
        return outcome === PublishOutcome.noSubscribers ? "not-found" : "busy";
      },
    });
  }

  #publishSystem(message: Message): void {
    for (const target of this.#tree.route(message.topic)) this.#fanOut.deliver(message, target, 0);
  }

  #systemCore(): SystemCore {
    return {
      clientsConnected: this.sessions.online,
      clientsMaximum: this.sessions.onlineMax,
      clientsTotal: this.sessions.size,
      subscriptions: this.subscriptionCount,
      sharedSubscriptions: this.shared.size,
      retainedMessages: this.retained.size,
    };
  }

  #publishWill(message: Message, principal: Principal): void {
    if (this.authorizer.mayPublish(principal, message.publisherId, message.topic.text)) {
      // It is delivered all the same, only not kept: who connects again and again keeps no more than others.
      if (message.retain && !this.retained.hasRoom(message, principal)) {
        message.retain = false;
        this.counters.droppedNotStored++;
      }
      this.publishInternal(message, principal);
    } else {
      this.counters.droppedNotAuthorized++;
    }
  }

  /** Calls back once when a held publish may be tried again. */
  whenRoom(callback: () => void): void {
    this.#waiting.hold(callback);
  }

  forgetHeld(callback: () => void): void {
    this.#waiting.forgetHeld(callback);
  }

  /** The session's window or output has room again: it is served at the end of the turn. */
  touch(session: Session): void {
    this.#waiting.touch(session);
    if (session.shared.size > 0) this.shared.touch(session);
    if (session.patterns.size > 0) this.patterns.touch(session);
  }

  /** The end of a turn of the event loop: everything that arrived is handled, output may be gathered now. */
  endTurn(): void {
    this.#waiting.beginTurn();
    this.#finishTurn();
  }

  #finishTurn(): void {
    this.#waiting.pump();
    this.shared.pump();
    this.patterns.pump();
    if (this.#waiting.congestion.takeRelief()) this.#waiting.resumeHeld();
  }

  /** Serves what is due. */
  onTime(now: Instant): void {
    for (
      let due = this.deadlines.takeDue(now);
      due !== undefined;
      due = this.deadlines.takeDue(now)
    ) {
      due.onDue(now);
    }
    if (now >= this.#choresDeadline) this.#doChores(now);
  }

  /** Time spent off has become known: what is from before is older than it was (see `Clock.since`). */
  onAged(): void {
    this.sessions.scheduleExpiries();
    this.retained.scheduleExpiries(this.clock);
    this.queues.onAged();
    this.consumers.onAged();
  }

  /** When `onTime` wants to be called next. */
  nextDeadline(): Instant {
    const next = this.deadlines.next();
    const chores = this.#choresDeadline as Instant;
    return next === undefined || chores < next ? chores : next;
  }

  onSealing(commit: CommitNumber): void {
    this.retained.stageDirty();
    this.#fanOut.seal(commit);
    this.#waiting.seal();
    this.shared.seal();
    this.queues.onSealing();
    this.consumers.onSealing();
    this.#options.onSealing();
  }

  onFlushed(commit: CommitNumber): void {
    this.#waiting.beginTurn();
    this.#fanOut.flushed();
    this.shared.flushed();
    this.#fanOut.deliverDeferred(commit);
    this.#waiting.flushed();
    const streams = this.streams.takeTouched();
    for (const stream of streams) this.#upkeep.account(stream.onFlushed());
    this.gate.advance(commit);
    this.queues.onFlushed();
    this.consumers.onFlushed(streams);
    for (const reader of this.readers) reader.onFlushed();
    this.patterns.onFlushed();
    this.#finishTurn();
    this.#waiting.resumeHeld();
    this.#options.onFlushed();
  }

  onFailed(_commit: CommitNumber, error: Error): void {
    for (const session of this.sessions.all()) session.owner?.end("store-failed");
    this.#options.onFailed(error);
  }

  #publishDurably(
    message: Message,
    publisher: Session | undefined,
    route: readonly RouteTarget<TreeSubscriber>[],
    stream: Stream | undefined,
  ): PublishOutcome {
    if (message.qos > 0 && this.#waiting.congestion.holds(route, publisher))
      return PublishOutcome.hold;
    if (this.#room.needsStore(message, publisher, route, stream)) {
      const refusal = this.#room.refusal(message, stream, route, publisher);
      if (refusal === PublishOutcome.hold) return refusal;
      if (refusal === PublishOutcome.refused) {
        if (message.qos > 0) return refusal;
        // QoS 0 promises nothing: those who listen get it, the log does not.
        this.counters.droppedNotStored++;
        for (const target of route) this.#fanOut.deliverQos0(message, target, publisher);
        return PublishOutcome.accepted;
      }
    }
    this.#accept(message, publisher, publisher?.principal, route, stream);
    return route.length === 0 && stream === undefined && !this.queues.takes(message.topic)
      ? PublishOutcome.noSubscribers
      : PublishOutcome.accepted;
  }

  /** Stages and delivers. Hot path: per message with QoS above 0 or with durable interest. */
  #accept(
    message: Message,
    publisher: Session | undefined,
    principal: Principal,
    route: readonly RouteTarget<TreeSubscriber>[],
    stream: Stream | undefined,
  ): void {
    const { qos } = message;
    message.topic.messages++;
    let record: LogRecord | undefined;
    const kept = isPatternTopic(message.topic.text) ? this.#labelled(message) : message;
    if (stream !== undefined) record = stream.append(kept);
    else if (qos > 0 && hasDurable(route)) record = this.#store.append(SESSION_LOG, message);
    const isKept = message.retain && this.retained.keep(message, principal);
    const queues = this.queues.of(message.topic);
    for (const queue of queues) this.queues.send(queue, kept);
    const isStored = record !== undefined || isKept || queues.length > 0;
    if (isStored) this.publishCommit = this.#store.openCommit;
    const isDeferred = qos === 2 && (isStored || publisher?.isDurable === true);
    const deferred = isDeferred ? copyMessage(message) : undefined;
    for (const target of route) {
      this.#fanOut.hand(message, publisher, target, record, deferred);
    }
  }

  /** What a client sends to a queue or appends to a stream has the name as its topic. */
  #labelled(message: Message): Message {
    const { text } = message.topic;
    return { ...message, topic: this.topics.of(text.slice(text.indexOf("/") + 1)) };
  }

  #doChores(now: Instant): void {
    this.#choresDeadline = now + CHORES_INTERVAL_MS;
    if (this.#store.refusal() === "failed") return;
    this.retained.expire(this.clock);
    this.retained.stageDirty();
    this.#numbers.sweep();
    this.sessions.doChores();
    this.queues.onChores();
    this.duplicates.onChores();
    this.patterns.onChores();
    if (this.#upkeep.run()) this.#choresDeadline = now + SPILL_INTERVAL_MS;
    this.#waiting.resumeHeld();
  }
}

const laterOf = (a: CommitNumber, b: CommitNumber): CommitNumber => (a > b ? a : b);
