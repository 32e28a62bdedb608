/**
 * Who of a route gets a message how: at once; by reference with the group that carries its record; or after the flush of a QoS 2 publish.
 * Which of it holds when is said in broker.ts.
 */
import type { Authorizer } from "./authorization.ts";
import type { Counters } from "./counters.ts";
import { DeferredDeliveries } from "./deferred-deliveries.ts";
import type { Message, QoS } from "./message.ts";
import { lowerQos, type Session } from "./session.ts";
import type { TreeSubscriber } from "./shared-subscriptions.ts";
import type { CommitNumber, LogRecord, Store } from "./store.ts";
import type { RouteTarget } from "./subscription-tree.ts";
import type { Topic } from "./topic.ts";

/** The copies of messages on their way to subscribers. */
export class FanOut {
  readonly #store: Store;
  readonly #authorizer: Authorizer;
  readonly #counters: Counters;
  readonly #deferred = new DeferredDeliveries();
  /** Sessions with references for the open group; and for the sealed one. */
  #staged: Session[] = [];
  #sealed: Session[] = [];

  constructor(store: Store, authorizer: Authorizer, counters: Counters) {
    this.#store = store;
    this.#authorizer = authorizer;
    this.#counters = counters;
  }

  /** Nothing more may be deferred. */
  get isFull(): boolean {
    return this.#deferred.isFull;
  }

  /** The open group is being sealed: references of sessions go with it. */
  seal(commit: CommitNumber): void {
    this.#sealed = this.#staged;
    this.#staged = [];
    for (const session of this.#sealed) {
      session.isStaged = false;
      if (!session.hasEnded) session.outbound.seal(commit);
    }
  }

  /** What `seal` sealed is on disk. */
  flushed(): void {
    const sealed = this.#sealed;
    this.#sealed = [];
    for (const session of sealed) if (!session.hasEnded) session.outbound.flushed();
  }

  /**
   * One copy to one subscriber. `record`: where the message is, when it goes to disk; `deferred`: a copy that waits for the flush of a
   * QoS 2 publish. Hot path: per message and subscriber.
   */
  hand(
    message: Message,
    publisher: Session | undefined,
    all: RouteTarget<TreeSubscriber>,
    record: LogRecord | undefined,
    deferred: Message | undefined,
  ): void {
    const session = all.subscriber;
    const granted = session === publisher ? all.ownQos : all.qos;
    if (granted === -1) return;
    const target = session === publisher ? (all.own ?? all) : all;
    const qos = lowerQos(message.qos, granted);
    if (qos > 0 && session.isDurable) {
      if (record !== undefined) this.#stage(record, qos, message, target);
    } else if (deferred !== undefined) {
      const commit = this.#store.openCommit;
      const rulesVersion = this.#authorizer.version;
      this.#deferred.push({ commit, message: deferred, target, qos, rulesVersion });
    } else {
      this.deliver(message, target, qos);
    }
  }

  #stage(record: LogRecord, qos: QoS, message: Message, target: RouteTarget<TreeSubscriber>): void {
    const session = target.subscriber;
    if (session.kind === "shared") {
      session.stage(record, message);
      return;
    }
    if (!session.isStaged) {
      session.isStaged = true;
      this.#staged.push(session);
    }
    const retain = message.retain && target.retainAsPublished;
    if (session.outbound.isReplaying) session.outbound.noteNewer(message.topic.text);
    session.outbound.stage(record, qos, retain, target.subscriptionIds);
  }

  /** A message with QoS 0 to one subscriber, at once. Hot path: per message and subscriber. */
  deliverQos0(
    message: Message,
    target: RouteTarget<TreeSubscriber>,
    publisher: Session | undefined,
  ): void {
    const isOwn = target.subscriber === publisher;
    if (isOwn && target.ownQos === -1) return;
    this.deliver(message, isOwn ? (target.own ?? target) : target, 0);
  }

  /** To one subscriber as it is now, with this QoS. Hot path: per message and subscriber. */
  deliver(message: Message, target: RouteTarget<TreeSubscriber>, qos: QoS): void {
    const session = target.subscriber;
    if (session.kind === "shared") {
      session.deliver(message, qos);
      return;
    }
    const { subscriber } = session;
    const retain = message.retain && target.retainAsPublished;
    if (qos > 0) {
      const isTaken = session.outbound.offer(message, qos, retain, target.subscriptionIds);
      if (session.outbound.isReplaying) session.outbound.noteNewer(message.topic.text);
      // The session ends with its connection and cannot be given what it was promised: so it ends now.
      if (!isTaken) session.owner?.end("quota-exceeded");
      return;
    }
    if (subscriber === undefined) return;
    if (!subscriber.hasRoom) {
      this.#counters.droppedSlowSubscriber++;
      subscriber.missed?.(target.subscriptionIds);
      return;
    }
    if (session.outbound.isReplaying) session.outbound.noteNewer(message.topic.text);
    this.#counters.messagesDeliveredQos0++;
    subscriber.deliver(message, 0, 0, false, retain, target.subscriptionIds);
  }

  /** Those that waited for this commit. */
  deliverDeferred(commit: CommitNumber): void {
    const deferred = this.#deferred;
    for (let next = deferred.take(commit); next !== undefined; next = deferred.take(commit)) {
      const session = next.target.subscriber;
      if (session.hasEnded) continue;
      const isStale = next.rulesVersion !== this.#authorizer.version;
      // Those who may not receive it are not in a shared subscription any more.
      const isAsked = isStale && session.kind === "session";
      if (isAsked && !mayReceive(this.#authorizer, session, next.message.topic)) {
        this.#counters.droppedNotAuthorized++;
      } else {
        this.deliver(next.message, next.target, next.qos);
      }
    }
  }
}

/** Whether the rules let a session have messages on this topic. */
export function mayReceive(
  authorizer: Authorizer,
  { principal, clientId }: Session,
  topic: Topic,
): boolean {
  return authorizer.mayReceive(principal, clientId, topic.text);
}
