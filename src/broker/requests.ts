/**
 * Requests: a message to whoever answers on its topic, and one reply or a failure before its deadline. Nothing of it is on disk: it goes to those
 * who are connected, past streams, queues and retained messages, and ends with the broker.
 *
 *     asked ----(nobody connected answers there)----> no-responder, at once
 *       |  `---(those who do have no room)----------> busy, at once
 *       |---(the first reply, later ones are refused)-> replied, or responder-error
 *       |---(deadline)------------------------------> timeout
 *       `---(the requester is gone)-----------------> forgotten
 *
 * Who answers: native responders, MQTT 5 clients by response topic, and MQTT 3.1.1 clients by the convention of reply-topics.ts. Those in a shared
 * subscription count as one. Others who subscribe to the topic do not get the request: with it they would have the right to answer.
 */
import { after, type Clock, type Instant } from "../lib/clock.ts";
import { type Deadline, DeadlineHeap } from "../lib/deadline-heap.ts";
import type { Authorizer } from "./authorization.ts";
import type { Counters } from "./counters.ts";
import type { Due } from "./due.ts";
import { dueSchedule } from "./due-schedule.ts";
import type { Message, MessageProperties } from "./message.ts";
import type { AllPatternCounts } from "./pattern-counts.ts";
import { ReplyCache, type ReplyKey } from "./reply-cache.ts";
import {
  type Convention,
  conventionOf,
  isReplyTopic,
  replyTopicOf,
  tokenOf,
} from "./reply-topics.ts";
import type { Session } from "./session.ts";
import type { TreeSubscriber } from "./shared-subscriptions.ts";
import type { RouteTarget } from "./subscription-tree.ts";
import { isTopicName, Topic, type TopicTable } from "./topic.ts";

/** User property of a reply that says that it could not be done, and why. */
export const ERROR_PROPERTY = "rill-error";
/** Longest time to live in the cache. */
const CACHE_TTL_MAX_MS = 24 * 3_600_000;

export interface RequestLimits {
  /** Requests that wait for their reply, of all together. */
  readonly requestsMax: number;
  /** The same of one requester. */
  readonly requestsPerClientMax: number;
  /** Longest time that a request may wait. */
  readonly timeoutMaxMs: number;
  /** Of cached replies; 0: none are kept. */
  readonly replyCacheBytesMax: number;
}

/** Why there is no reply. */
export type RequestFailure =
  | "bad-topic"
  | "not-authorized"
  | "limit-exceeded"
  | "no-responder"
  | "busy"
  | "responder-error"
  | "timeout";

/** Who asks; told once per request, perhaps before `send` returns. */
export interface Requester {
  readonly session: Session;
  /** `tag` as given to `send`. The reply is only valid during the call. */
  onReply(tag: number, reply: Message, isCached: boolean): void;
  onRequestFailed(tag: number, failure: RequestFailure, text: string): void;
}

export interface RequestOptions {
  /** More than the limit is the limit. */
  readonly timeoutMs: number;
  /** A reply that is known under it is the answer. */
  readonly cacheKey: string | undefined;
  /** How long the reply is kept under `cacheKey`. */
  readonly cacheTtlMs: number;
}

/** What a responder that is no MQTT client keeps of a request that it got, to answer it. */
export interface IncomingRequest {
  readonly responseTopic: string;
  readonly correlation: Uint8Array | undefined;
  readonly requesterId: string;
}

/** What became of an answer. `not-found`: nobody waits for it (any more). */
export type AnswerOutcome = "taken" | "not-found" | "not-authorized" | "busy";

export interface RequestsContext {
  readonly clock: Clock;
  readonly deadlines: DeadlineHeap<Due>;
  readonly limits: RequestLimits;
  readonly authorizer: Authorizer;
  readonly counters: Counters;
  readonly counts: AllPatternCounts;
  readonly topics: TopicTable;
  /** 128 random bits as text without `/`. */
  readonly newToken: () => string;
  readonly route: (topic: Topic) => readonly RouteTarget<TreeSubscriber>[];
  readonly sessionOf: (clientId: string) => Session | undefined;
  /** Publishes a reply to an MQTT client. */
  readonly publish: (message: Message, publisher: Session) => "taken" | "not-found" | "busy";
}

interface Pending {
  readonly requester: Requester;
  readonly tag: number;
  readonly token: string;
  /** The reply topic of a device that speaks 3.1.1; undefined: there is none. */
  readonly conventionTopic: string | undefined;
  /** False: the broker put the token there, which is nothing for the requester. */
  readonly hasCorrelation: boolean;
  readonly cache: { readonly key: ReplyKey; readonly ttlMs: number } | undefined;
  deadline: Deadline<Pending> | undefined;
}

export class Requests {
  readonly #context: RequestsContext;
  readonly #cache: ReplyCache;
  readonly #byToken = new Map<string, Pending>();
  readonly #byConvention = new Map<string, Pending>();
  readonly #byRequester = new Map<Requester, Set<Pending>>();
  readonly #waiting = new DeadlineHeap<Pending>();
  readonly #schedule: (requests: Requests, at: Instant) => void;

  constructor(context: RequestsContext) {
    this.#context = context;
    this.#cache = new ReplyCache(context.clock, context.limits.replyCacheBytesMax);
    this.#schedule = dueSchedule<Requests>(context.deadlines, (requests, now) =>
      requests.#onDue(now),
    );
  }

  /** Requests that wait for their reply. */
  get size(): number {
    return this.#byToken.size;
  }

  get cacheBytes(): number {
    return this.#cache.bytes;
  }

  /**
   * Asks. The requester is told what becomes of it, perhaps before this returns. The message is only needed during the call; its
   * response topic is not looked at.
   */
  send(requester: Requester, tag: number, message: Message, options: RequestOptions): void {
    const { counters, counts, newToken } = this.#context;
    counts.request.countIn(message);
    const token = newToken();
    const convention = conventionOf(message.topic.text, token);
    const topic = convention === undefined ? message.topic : new Topic(convention.topic);
    const refusal = this.#refusal(requester, topic);
    if (refusal !== undefined) {
      this.#fail(requester, tag, ...refusal);
      return;
    }
    const cache = cacheOf(requester.session, message.topic.text, options);
    // Whoever may not ask has no answer from the cache either: that was found out above.
    const known = cache === undefined ? undefined : this.#cache.find(cache.key);
    if (known !== undefined) {
      counters.requestsCached++;
      counts.reply.countOut(known);
      requester.onReply(tag, withCorrelation(known, message.properties?.correlationData), true);
      return;
    }
    const conventionTopic = this.#conventionTopic(requester, convention);
    const hasCorrelation = message.properties?.correlationData !== undefined;
    const pending = {
      requester,
      tag,
      token,
      conventionTopic,
      hasCorrelation,
      cache,
      deadline: undefined,
    };
    const timeoutMs = Math.min(options.timeoutMs, this.#context.limits.timeoutMaxMs);
    this.#enter(pending, timeoutMs);
    const taken = this.#deliver(requestOf(message, topic, token), pending, timeoutMs);
    // It may have been answered already.
    if (taken > 0 || !this.#leave(pending)) return;
    if (taken === 0) this.#fail(requester, tag, "busy", "nobody who answers has room just now");
    else this.#fail(requester, tag, "no-responder", "nobody who is connected answers there");
  }

  /** The requester is gone: nobody waits for what it asked. */
  forget(requester: Requester): void {
    for (const pending of [...(this.#byRequester.get(requester) ?? [])]) this.#leave(pending);
  }

  /**
   * A reply published to a response topic that was given out here; the first one is the answer. False: nobody waits for it. The
   * message is only needed during the call.
   */
  takeReply(topic: string, reply: Message): boolean {
    const pending = this.#byToken.get(tokenOf(topic));
    if (pending === undefined) this.#context.counters.repliesLate++;
    else this.#take(pending, reply);
    return pending !== undefined;
  }

  /** Something was published: true when it is the reply of a device that goes by the convention. Hot path: per message. */
  takesConvention(message: Message): boolean {
    if (this.#byConvention.size === 0) return false;
    const pending = this.#byConvention.get(message.topic.text);
    if (pending !== undefined) this.#take(pending, message);
    return pending !== undefined;
  }

  /** Answers a request that a responder got through the broker. `error`: it could not be done, for this reason. */
  answer(
    responder: Session,
    request: IncomingRequest,
    reply: Message,
    error: string | undefined,
  ): AnswerOutcome {
    const { responseTopic, correlation, requesterId } = request;
    const { authorizer, sessionOf, topics, publish, counters } = this.#context;
    const message = { ...reply, properties: replyProperties(reply.properties, correlation, error) };
    if (isReplyTopic(responseTopic)) {
      return this.takeReply(responseTopic, message) ? "taken" : "not-found";
    }
    if (!isTopicName(responseTopic) || responseTopic.startsWith("$")) return "not-authorized";
    const requester = sessionOf(requesterId);
    if (requester === undefined) {
      counters.repliesLate++;
      return "not-found";
    }
    // The requester chose the topic: nobody is made to publish for it where it may not look, nor where the responder may not publish.
    const isAllowed =
      authorizer.mayReceive(requester.principal, requester.clientId, responseTopic) &&
      authorizer.mayPublish(responder.principal, responder.clientId, responseTopic);
    if (!isAllowed) return "not-authorized";
    return publish(
      { ...message, topic: topics.of(responseTopic), qos: 1, retain: false },
      responder,
    );
  }

  #refusal(
    requester: Requester,
    topic: Topic,
  ): readonly [failure: RequestFailure, text: string] | undefined {
    const { authorizer, limits } = this.#context;
    const { session } = requester;
    if (!isTopicName(topic.text) || topic.text.startsWith("$")) {
      return ["bad-topic", "not a topic that can be asked"];
    }
    if (!authorizer.mayPublish(session.principal, session.clientId, topic.text)) {
      return ["not-authorized", "the rules do not allow to publish there"];
    }
    const own = this.#byRequester.get(requester)?.size ?? 0;
    if (this.size < limits.requestsMax && own < limits.requestsPerClientMax) return undefined;
    this.#context.counters.limitRequests++;
    return ["limit-exceeded", "too many requests wait for their replies"];
  }

  /** What the requester could not receive is not handed to it by way of a request. */
  #conventionTopic({ session }: Requester, convention: Convention | undefined): string | undefined {
    if (convention === undefined) return undefined;
    const { replyTopic } = convention;
    const { principal, clientId } = session;
    const isAllowed = this.#context.authorizer.mayReceive(principal, clientId, replyTopic);
    return isAllowed ? replyTopic : undefined;
  }

  #enter(pending: Pending, timeoutMs: number): void {
    const at = after(this.#context.clock.now(), timeoutMs);
    const { requester, token, conventionTopic } = pending;
    this.#byToken.set(token, pending);
    if (conventionTopic !== undefined) this.#byConvention.set(conventionTopic, pending);
    const own = this.#byRequester.get(requester) ?? new Set();
    this.#byRequester.set(requester, own);
    own.add(pending);
    pending.deadline = this.#waiting.add(at, pending);
    this.#schedule(this, at);
  }

  /** False: nobody waits for it any more. */
  #leave(pending: Pending): boolean {
    const { requester, token, conventionTopic } = pending;
    if (!this.#byToken.delete(token)) return false;
    if (conventionTopic !== undefined) this.#byConvention.delete(conventionTopic);
    const own = this.#byRequester.get(requester);
    own?.delete(pending);
    if (own?.size === 0) this.#byRequester.delete(requester);
    this.#waiting.cancel(pending.deadline);
    return true;
  }

  /** How many got it; 0: those who answer there have no room; -1: there is nobody. */
  #deliver(message: Message, { requester, conventionTopic }: Pending, timeoutMs: number): number {
    const isByConvention = conventionTopic !== undefined;
    message.expiresAt = after(message.receivedAt, timeoutMs);
    let taken = -1;
    for (const target of this.#context.route(message.topic)) {
      const { subscriber } = target;
      const isOwn = subscriber === requester.session;
      if (isOwn && target.ownQos === -1) continue;
      const ids = isOwn ? (target.own ?? target).subscriptionIds : target.subscriptionIds;
      const room =
        subscriber.kind === "shared"
          ? subscriber.request(message, isByConvention)
          : offer(subscriber, message, ids, isByConvention);
      if (room > 0) {
        this.#context.counters.messagesDeliveredQos0++;
        this.#context.counts.request.countOut(message);
      }
      if (room >= 0) taken = Math.max(taken, 0) + Math.min(room, 1);
    }
    return taken;
  }

  #take(pending: Pending, said: Message): void {
    this.#leave(pending);
    this.#context.counts.reply.countIn(said);
    const { requester, tag, cache, hasCorrelation } = pending;
    const reply = hasCorrelation ? said : withCorrelation(said, undefined);
    const error = errorOf(reply.properties);
    if (error !== undefined) {
      this.#fail(requester, tag, "responder-error", error);
      return;
    }
    // Under the key others may get it, who correlate otherwise.
    if (cache !== undefined) {
      this.#cache.keep(cache.key, withCorrelation(said, undefined), cache.ttlMs);
    }
    this.#context.counts.reply.countOut(reply);
    this.#context.counters.requestsReplied++;
    requester.onReply(tag, reply, false);
  }

  #fail(requester: Requester, tag: number, failure: RequestFailure, text: string): void {
    const { counters } = this.#context;
    if (failure === "no-responder") counters.requestsNoResponder++;
    else if (failure === "timeout") counters.requestsTimedOut++;
    else if (failure === "responder-error") counters.requestsFailed++;
    else counters.requestsRefused++;
    requester.onRequestFailed(tag, failure, text);
  }

  #onDue(now: Instant): void {
    for (
      let pending = this.#waiting.takeDue(now);
      pending !== undefined;
      pending = this.#waiting.takeDue(now)
    ) {
      if (!this.#leave(pending)) continue;
      this.#fail(pending.requester, pending.tag, "timeout", "no reply came in time");
    }
    const next = this.#waiting.next();
    if (next !== undefined) this.#schedule(this, next);
  }
}

/** The request that a message is, for a responder that is no MQTT client; undefined: nobody waits for an answer to it. */
export function incomingRequestOf({
  properties,
  publisherId,
}: Message): IncomingRequest | undefined {
  const { responseTopic, correlationData } = properties ?? {};
  if (responseTopic === undefined) return undefined;
  return { responseTopic, correlation: correlationData, requesterId: publisherId };
}

function cacheOf(
  { principal }: Session,
  topic: string,
  { cacheKey, cacheTtlMs }: RequestOptions,
): Pending["cache"] {
  if (cacheKey === undefined || cacheTtlMs <= 0) return undefined;
  return {
    key: { principal, topic, key: cacheKey },
    ttlMs: Math.min(cacheTtlMs, CACHE_TTL_MAX_MS),
  };
}

/** The message as responders get it. */
function requestOf(message: Message, topic: Topic, token: string): Message {
  const properties: MessageProperties = {
    ...message.properties,
    responseTopic: replyTopicOf(token),
    correlationData: message.properties?.correlationData ?? Buffer.from(token),
  };
  return { ...message, topic, qos: 0, retain: false, properties };
}

/** The message with another correlation, or without one. */
function withCorrelation(message: Message, correlationData: Uint8Array | undefined): Message {
  if (message.properties?.correlationData === correlationData) return message;
  const { correlationData: _other, ...rest } = message.properties ?? {};
  const properties = correlationData === undefined ? rest : { ...rest, correlationData };
  return { ...message, properties };
}

/** See `Subscriber.requestRoom`; above 0 it was delivered. */
function offer(
  { subscriber }: Session,
  message: Message,
  subscriptionIds: readonly number[] | undefined,
  isByConvention: boolean,
): number {
  const room = subscriber?.requestRoom?.(subscriptionIds, isByConvention) ?? -1;
  if (room > 0) subscriber?.deliver(message, 0, 0, false, false, subscriptionIds);
  return room;
}

function replyProperties(
  properties: MessageProperties | undefined,
  correlationData: Uint8Array | undefined,
  error: string | undefined,
): MessageProperties {
  const said = properties?.userProperties ?? [];
  // Only `error` says so, not what a responder wrote among its properties.
  const others = said.filter(([name]) => name !== ERROR_PROPERTY);
  const userProperties =
    error === undefined ? others : [...others, [ERROR_PROPERTY, error] as const];
  const { correlationData: _own, responseTopic: _nowhere, ...rest } = properties ?? {};
  return {
    ...rest,
    ...(userProperties.length === 0 ? {} : { userProperties }),
    ...(correlationData === undefined ? {} : { correlationData }),
  };
}

function errorOf(properties: MessageProperties | undefined): string | undefined {
  return properties?.userProperties?.find(([name]) => name === ERROR_PROPERTY)?.[1];
}
